//! `InviteService`.

use std::sync::Arc;

use mesh::fields::Fields;
use proto::auth::v1::{
    AcceptInviteRequest, AcceptInviteResponse, CreateInviteRequest, CreateInviteResponse, ListInvitesRequest,
    ListInvitesResponse, PreviewInviteRequest, PreviewInviteResponse, RevokeInviteRequest, RevokeInviteResponse,
    invite_service_server::InviteService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Call, Rpc, Shared, answer, origin};
use crate::{
    errors::AuthError,
    invites,
    store::{self, account},
};

#[async_trait]
impl InviteService for Rpc {
    async fn create_invite(
        &self,
        request: Request<CreateInviteRequest>,
    ) -> Result<Response<CreateInviteResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let (invite, invite_token) = invites::create(&shared, &call, request.into_inner()).await?;
            let link = shared.link(&format!("/invite#{invite_token}"));
            Ok(CreateInviteResponse { invite: Some(invite), invite_token, link })
        };
        answer(self.detached(work).await)
    }

    async fn list_invites(
        &self,
        request: Request<ListInvitesRequest>,
    ) -> Result<Response<ListInvitesResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            let before = fields.optional_id("page_token", &request.page_token);
            fields.done()?;
            let mut invites = invites::list(&self.0, &call, before, rows + 1).await?;
            let more = mesh::db::cut_page(&mut invites, rows);
            let next = invites.last().filter(|_| more).map(|invite| invite.id.clone());
            Ok(ListInvitesResponse { invites, next_page_token: next.unwrap_or_default() })
        };
        answer(run.await)
    }

    async fn revoke_invite(
        &self,
        request: Request<RevokeInviteRequest>,
    ) -> Result<Response<RevokeInviteResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let mut fields = Fields::default();
            let id = fields.id("invite_id", &request.into_inner().invite_id);
            fields.done()?;
            invites::revoke(&shared, &call, id).await
        };
        answer(self.detached(work).await.map(|()| RevokeInviteResponse {}))
    }

    async fn preview_invite(
        &self,
        request: Request<PreviewInviteRequest>,
    ) -> Result<Response<PreviewInviteResponse>, Status> {
        let origin = origin(&request);
        let run = async {
            self.0.limits.count_network(&origin).await?;
            let db = self.0.db.reader();
            let invite = invites::good(db, &request.into_inner().invite_token, self.0.clock.now()).await?;
            let inviter = account::find(db, invite.created_by).await?;
            Ok(PreviewInviteResponse {
                invited_by: inviter.map(|inviter| inviter.display_name).unwrap_or_default(),
                role: invite.role,
                rooms: invites::room_count(&invite),
                expires_at: Some(store::timestamp(invite.expires_at)),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn accept_invite(
        &self,
        request: Request<AcceptInviteRequest>,
    ) -> Result<Response<AcceptInviteResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| accept(&shared, &call, &request.into_inner().invite_token).await;
        let rooms = self.detached(work).await;
        answer(rooms.map(|rooms| AcceptInviteResponse { room_ids: rooms.iter().map(Uuid::to_string).collect() }))
    }
}

async fn accept(shared: &Shared, call: &Call, token: &str) -> Result<Vec<Uuid>, AuthError> {
    shared.limits.count_network(&call.origin).await?;
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let invite = invites::good(&tx, token, now).await?;
    let account = account::find(&tx, call.user.user_id).await?.ok_or(AuthError::SessionEnded)?;
    let rooms = invites::accept(&tx, &invite, &account, &call.origin, now).await?;
    tx.commit().await?;
    shared.wake.now();
    Ok(rooms)
}
