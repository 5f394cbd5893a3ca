//! `UserService`.

use mesh::fields::Fields;
use proto::auth::v1::{
    GetMeRequest, GetMeResponse, GetUsersRequest, GetUsersResponse, SearchUsersRequest, SearchUsersResponse,
    user_service_server::UserService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::{errors::AuthError, store::account};

const MAX_QUERY_CHARS: usize = 64;

#[async_trait]
impl UserService for Rpc {
    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let user = mesh::authn::user(request.extensions())?;
        let run = async {
            let account = account::find(self.0.db.reader(), user.user_id).await?.ok_or(AuthError::SessionEnded)?;
            Ok(GetMeResponse { user: Some(account.to_proto()) })
        };
        answer(self.0.db.within(run).await)
    }

    async fn get_users(&self, request: Request<GetUsersRequest>) -> Result<Response<GetUsersResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let ids = fields.ids("user_ids", &request.user_ids, 200);
            fields.done()?;
            let accounts = account::some(self.0.db.reader(), &ids).await?;
            Ok(GetUsersResponse { users: accounts.iter().map(account::Model::to_proto).collect() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn search_users(
        &self,
        request: Request<SearchUsersRequest>,
    ) -> Result<Response<SearchUsersResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            if request.query.chars().count() > MAX_QUERY_CHARS {
                fields.wrong("query", format!("must have at most {MAX_QUERY_CHARS} characters"));
            }
            fields.done()?;
            let prefix = request.query.trim().to_lowercase();
            let mut found = account::search(self.0.db.reader(), &prefix, &request.page_token, rows + 1).await?;
            let more = found.len() as u64 > rows;
            found.truncate(usize::try_from(rows).unwrap_or(usize::MAX));
            let next = found.last().filter(|_| more).map(|account| account.username.clone());
            Ok(SearchUsersResponse {
                users: found.iter().map(account::Model::to_proto).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        answer(self.0.db.within(run).await)
    }
}
