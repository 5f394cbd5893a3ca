//! `TokenService`.

use std::sync::Arc;

use mesh::fields::Fields;
use proto::auth::v1::{
    CreateTokenRequest, CreateTokenResponse, ListTokensRequest, ListTokensResponse, RevokeTokenRequest,
    RevokeTokenResponse, token_service_server::TokenService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Call, Rpc, Shared, answer};
use crate::programs::{self, NewToken};

#[async_trait]
impl TokenService for Rpc {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let CreateTokenRequest { name, scopes, expires_in_days } = request.into_inner();
            let new = NewToken::read(&name, &scopes, expires_in_days)?;
            programs::create(&shared, &call, call.user.user_id, new).await
        };
        let created = self.detached(work).await;
        answer(created.map(|(token, secret)| CreateTokenResponse { token: Some(token), secret }))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        let call = Call::of(&request)?;
        let listed = programs::list(&self.0, &call, call.user.user_id).await;
        answer(listed.map(|tokens| ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let mut fields = Fields::default();
            let id = fields.id("token_id", &request.into_inner().token_id);
            fields.done()?;
            programs::revoke(&shared, &call, call.user.user_id, id).await
        };
        answer(self.detached(work).await.map(|()| RevokeTokenResponse {}))
    }
}
