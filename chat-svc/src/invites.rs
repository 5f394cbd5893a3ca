//! Invitations as chat sees them: somebody used one, and is brought into the rooms it leads to.
//!
//! Who made the invitation must be allowed to add members at that moment; a room where they are not is passed over.

use mesh::{
    authn::Rank,
    bus::{Delivery, HandlerError, QueueSpec},
    errors::Describe as _,
};
use proto::{
    auth::v1::{InviteAccepted, WorkspaceRole},
    chat::v1::{AddMemberRequest, RoomRole},
};
use sha2::{Digest as _, Sha256};
use tonic::Code;
use uuid::Uuid;

use crate::{
    append::Appender,
    command::{self, Action, Actor, Command},
};

/// The queue on which used invitations wait.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new("ChatInviteAccepted", [proto::event_kind::<InviteAccepted>()])
}

/// Brings somebody into the rooms of an invitation. Each room is an operation of its own, made of the message and the room, so
/// that a repeated delivery does not bring back who has left meanwhile.
pub(crate) async fn accepted(appender: Appender, delivery: Delivery) -> Result<(), HandlerError> {
    let envelope = &delivery.envelope;
    let accepted: InviteAccepted = proto::from_json(&envelope.body).map_err(poison)?;
    let actor = Actor {
        user_id: Uuid::try_parse(&accepted.invited_by).map_err(poison)?,
        rank: rank(accepted.invited_by_role()),
    };
    let user_id = Uuid::try_parse(&accepted.user_id).map_err(poison)?;
    for room in &accepted.rooms {
        let room_id = Uuid::try_parse(&room.room_id).map_err(poison)?;
        let role = i32::try_from(room.room_role).ok().and_then(|role| RoomRole::try_from(role).ok());
        let role = role.filter(|role| *role != RoomRole::Unspecified).unwrap_or(RoomRole::Member);
        let op_id = operation(envelope.message_id, room_id);
        let request = AddMemberRequest {
            room_id: room_id.to_string(),
            user_id: user_id.to_string(),
            role: role.into(),
            op_id: op_id.to_string(),
        };
        let op = command::op(actor.user_id, Some(op_id), "InviteAccepted", &request);
        let added = appender.commit(Command { actor, op, action: Action::AddMember { room_id, user_id, role } }).await;
        match added {
            Ok(_) => {}
            Err(cause) if matches!(cause.code(), Code::Unavailable | Code::Internal) => {
                return Err(HandlerError::Retry(cause.into()));
            }
            Err(refused) => {
                tracing::warn!(%room_id, invite = accepted.invite_id, reason = refused.reason(), "an invitation leads nowhere");
            }
        }
    }
    Ok(())
}

fn operation(message_id: Uuid, room_id: Uuid) -> Uuid {
    let digest = Sha256::new().chain_update(message_id).chain_update(room_id).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn rank(role: WorkspaceRole) -> Rank {
    match role {
        WorkspaceRole::Owner => Rank::Owner,
        WorkspaceRole::Admin => Rank::Admin,
        WorkspaceRole::Member => Rank::Member,
        WorkspaceRole::Guest | WorkspaceRole::Unspecified => Rank::Guest,
    }
}

fn poison(cause: impl std::fmt::Display) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("{cause}"))
}
