//! The internal `AccessService`.

use mesh::fields::Fields;
use proto::chat::internal::v1::{
    CheckAccessRequest, CheckAccessResponse, RoomAction, access_service_server::AccessService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::{command::Actor, errors::ChatError, policy::Action, rooms};

#[async_trait]
impl AccessService for Rpc {
    async fn check_access(
        &self,
        request: Request<CheckAccessRequest>,
    ) -> Result<Response<CheckAccessResponse>, Status> {
        let request = request.into_inner();
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
            fields.done()?;
            // Reading and posting need membership, where a guest is like anybody else.
            let actor = Actor { user_id, guest: false };
            let tx = self.0.db.snapshot().await?;
            match rooms::open(&tx, room_id, actor, action).await {
                Ok(_) => Ok(CheckAccessResponse { allowed: true, visible: true }),
                Err(ChatError::RoomNotFound) => Ok(CheckAccessResponse { allowed: false, visible: false }),
                Err(ChatError::RoleTooLow) => Ok(CheckAccessResponse { allowed: false, visible: true }),
                Err(cause) => Err(cause),
            }
        };
        answer(self.0.db.within(run).await)
    }
}
