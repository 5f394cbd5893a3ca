//! The internal `AccessService`.

use mesh::{authn::Rank, errors::Describe as _, fields::Fields};
use proto::chat::internal::v1::{
    CheckAccessRequest, CheckAccessResponse, RoomAction, access_service_server::AccessService,
};
use sea_orm::ConnectionTrait;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, answer, people::seen};
use crate::{
    command::Actor,
    errors::ChatError,
    files,
    policy::{self, Action},
    rooms,
};

/// How many files one question is about.
const MAX_FILES: usize = 500;

#[async_trait]
impl AccessService for Rpc {
    async fn check_access(
        &self,
        request: Request<CheckAccessRequest>,
    ) -> Result<Response<CheckAccessResponse>, Status> {
        let request = request.into_inner();
        if !request.sees_user_id.is_empty() {
            return answer(self.0.db.within(sees(self.0.db.reader(), &request)).await);
        }
        let run = async {
            let mut fields = Fields::default();
            let user_id = fields.id("user_id", &request.user_id);
            let room_id = fields.id("room_id", &request.room_id);
            let action = match RoomAction::try_from(request.action) {
                Ok(RoomAction::Read) => Action::Read,
                Ok(RoomAction::Post) => Action::Post,
                Ok(RoomAction::DeleteOthers) => Action::DeleteOthers,
                _ => {
                    fields.wrong("action", "must be one of the named actions");
                    Action::Read
                }
            };
            let files = fields.ids("file_ids", &request.file_ids, MAX_FILES);
            fields.done()?;
            let actor = Actor { user_id, rank: Rank::named(&request.workspace_role) };
            let tx = self.0.db.snapshot().await?;
            let cause = match rooms::open(&tx, room_id, actor, action).await {
                Ok(seen) => {
                    let hidden = files::hidden(&tx, room_id, seen.first_visible(), &files).await?;
                    let hidden_file_ids = hidden.iter().map(Uuid::to_string).collect();
                    return Ok(CheckAccessResponse {
                        allowed: true,
                        visible: true,
                        hidden_file_ids,
                        ..Default::default()
                    });
                }
                Err(cause) => cause,
            };
            match cause {
                ChatError::RoomNotFound | ChatError::RoleTooLow | ChatError::RoomArchived => {
                    let visible = !matches!(cause, ChatError::RoomNotFound);
                    Ok(CheckAccessResponse { visible, reason: cause.reason().into(), ..Default::default() })
                }
                other => Err(other),
            }
        };
        answer(self.0.db.within(run).await)
    }
}

/// Members of the workspace see everybody, guests only those with whom they share a room.
async fn sees<C: ConnectionTrait>(db: &C, request: &CheckAccessRequest) -> Result<CheckAccessResponse, ChatError> {
    let mut fields = Fields::default();
    let user_id = fields.id("user_id", &request.user_id);
    let other = fields.id("sees_user_id", &request.sees_user_id);
    fields.done()?;
    let everybody = policy::sees_everybody(Rank::named(&request.workspace_role));
    let seen = everybody || !seen(db, user_id, vec![other]).await?.is_empty();
    Ok(CheckAccessResponse { allowed: seen, visible: seen, ..Default::default() })
}
