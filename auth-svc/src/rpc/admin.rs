//! `AdminService`.

use std::sync::Arc;

use mesh::fields::Fields;
use proto::auth::v1::{
    AdminUser, DisableUserRequest, DisableUserResponse, EnableUserRequest, EnableUserResponse, ListUsersRequest,
    ListUsersResponse, RevokeUserSessionsRequest, RevokeUserSessionsResponse, SetUserRoleRequest, SetUserRoleResponse,
    WorkspaceRole, admin_service_server::AdminService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Call, Rpc, Shared, answer, count};
use crate::{
    admin,
    errors::AuthError,
    fields, sessions, store,
    store::{account, session},
};

const MAX_QUERY_CHARS: usize = 64;

#[async_trait]
impl AdminService for Rpc {
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let call = Call::of(&request)?;
        let run = list(&self.0, &call, request.into_inner());
        answer(self.0.db.within(run).await)
    }

    async fn set_user_role(
        &self,
        request: Request<SetUserRoleRequest>,
    ) -> Result<Response<SetUserRoleResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let request = request.into_inner();
            let mut fields = Fields::default();
            let id = fields.id("user_id", &request.user_id);
            let role = fields::role(&mut fields, request.role, WorkspaceRole::Unspecified);
            fields.done()?;
            admin::set_role(&shared, &call, id, role).await
        };
        answer(self.detached(work).await.map(|user| SetUserRoleResponse { user: Some(user.to_proto()) }))
    }

    async fn disable_user(
        &self,
        request: Request<DisableUserRequest>,
    ) -> Result<Response<DisableUserResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            admin::set_disabled(&shared, &call, id(&request.into_inner().user_id)?, true, false).await
        };
        answer(self.detached(work).await.map(|user| DisableUserResponse { user: Some(user.to_proto()) }))
    }

    async fn enable_user(&self, request: Request<EnableUserRequest>) -> Result<Response<EnableUserResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            admin::set_disabled(&shared, &call, id(&request.into_inner().user_id)?, false, false).await
        };
        answer(self.detached(work).await.map(|user| EnableUserResponse { user: Some(user.to_proto()) }))
    }

    async fn revoke_user_sessions(
        &self,
        request: Request<RevokeUserSessionsRequest>,
    ) -> Result<Response<RevokeUserSessionsResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            admin::revoke_sessions(&shared, &call, id(&request.into_inner().user_id)?).await
        };
        let ended = self.detached(work).await;
        answer(ended.map(|ended| RevokeUserSessionsResponse { ended_sessions: count(ended.len()) }))
    }
}

fn id(text: &str) -> Result<Uuid, AuthError> {
    let mut fields = Fields::default();
    let id = fields.id("user_id", text);
    fields.done()?;
    Ok(id)
}

async fn list(shared: &Shared, call: &Call, request: ListUsersRequest) -> Result<ListUsersResponse, AuthError> {
    let mut fields = Fields::default();
    let rows = fields.page_size(request.page_size, 50, 200);
    if request.query.chars().count() > MAX_QUERY_CHARS {
        fields.wrong("query", format!("must have at most {MAX_QUERY_CHARS} characters"));
    }
    fields.done()?;
    let db = shared.db.reader();
    admin::administrator(db, call).await?;
    let prefix = request.query.trim().to_lowercase();
    let mut found = account::search(db, &prefix, &request.page_token, rows + 1).await?;
    let more = mesh::db::cut_page(&mut found, rows);
    let next = found.last().filter(|_| more).map(|account| account.username.clone());
    let ids: Vec<Uuid> = found.iter().map(|account| account.id).collect();
    let activity = session::activity(db, &ids, sessions::idle_since(shared.idle, shared.clock.now())).await?;
    let users = found.into_iter().map(|account| {
        let active = activity.get(&account.id);
        AdminUser {
            user: Some(account.to_proto()),
            sessions: active.map_or(0, |active| u32::try_from(active.sessions).unwrap_or(u32::MAX)),
            last_used_at: active.map(|active| store::timestamp(active.last_used_at)),
            email: account.email,
        }
    });
    Ok(ListUsersResponse { users: users.collect(), next_page_token: next.unwrap_or_default() })
}
