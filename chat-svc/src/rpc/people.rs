//! `PeopleService`: whom somebody shares a room with.

use mesh::fields::Fields;
use proto::{
    auth::v1::{GetUsersRequest, User},
    chat::v1::{self as v1, people_service_server::PeopleService},
};
use sea_orm::{ConnectionTrait, DbErr};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer};
use crate::{errors::ChatError, policy, store::member};

/// How many accounts one call is about.
const MOST: u32 = 200;

#[async_trait]
impl PeopleService for Rpc {
    async fn get_people(
        &self,
        request: Request<v1::GetPeopleRequest>,
    ) -> Result<Response<v1::GetPeopleResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let asked = fields.ids("user_ids", &request.user_ids, MOST as usize);
            fields.done()?;
            let seen = seen(self.0.db.reader(), actor.user_id, asked).await?;
            Ok(v1::GetPeopleResponse { users: self.accounts(&seen).await? })
        };
        answer(self.0.db.within(run).await)
    }

    async fn list_people(
        &self,
        request: Request<v1::ListPeopleRequest>,
    ) -> Result<Response<v1::ListPeopleResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, MOST);
            let after = fields.optional_id("page_token", &request.page_token);
            fields.done()?;
            // Who shares a room with somebody is met by them, as `policy::meets` has it.
            let mut seen = member::all_sharing(self.0.db.reader(), actor.user_id, after, rows + 1).await?;
            // Also who is in no room is somebody: themselves.
            if after.is_none_or(|after| actor.user_id > after)
                && let Err(place) = seen.binary_search(&actor.user_id)
            {
                seen.insert(place, actor.user_id);
            }
            let more = mesh::db::cut_page(&mut seen, rows);
            let next = seen.last().filter(|_| more).map(Uuid::to_string);
            let mut users = self.accounts(&seen).await?;
            users.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            Ok(v1::ListPeopleResponse { users, next_page_token: next.unwrap_or_default() })
        };
        answer(self.0.db.within(run).await)
    }
}

/// Those of some accounts whom somebody sees over the rooms that they share, and themselves.
pub(super) async fn seen<C: ConnectionTrait>(db: &C, by: Uuid, asked: Vec<Uuid>) -> Result<Vec<Uuid>, DbErr> {
    let shared = member::sharing(db, by, &asked).await?;
    Ok(asked.into_iter().filter(|user| policy::meets(by, *user, shared.contains(user))).collect())
}

impl Rpc {
    /// Accounts as auth-svc knows them, in no promised order.
    pub(super) async fn accounts(&self, ids: &[Uuid]) -> Result<Vec<User>, ChatError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = Request::new(GetUsersRequest { user_ids: ids.iter().map(Uuid::to_string).collect() });
        let found = self.0.users.clone().get_users(request).await.map_err(ChatError::service)?;
        Ok(found.into_inner().users)
    }
}
