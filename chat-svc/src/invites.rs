//! Invitations as chat sees them: whoever used one enters the rooms that it leads into.
//!
//! auth-svc owns invitations and announces that one was used; whether it counts in a room is decided here, when it happens, by
//! what who made it may do there.

use bytes::Bytes;
use mesh::bus::{Delivery, HandlerError, QueueSpec};
use proto::{auth::v1::InviteAccepted, chat::v1::RoomRole};
use uuid::Uuid;

use crate::{
    append::{Appender, Work},
    command::{Action, Actor, Command, Place},
    errors::ChatError,
    members, policy, rooms,
    store::member,
};

/// The name under which handled announcements are remembered, and of the queue.
const CONSUMER: &str = "ChatInviteAccepted";

/// An invitation that was used.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// Of the announcement: it counts once.
    message_id: Uuid,
    user_id: Uuid,
    /// Each with the role that it gives.
    rooms: Vec<(Uuid, RoomRole)>,
}

impl Accepted {
    /// The feeds that it may append to.
    pub(crate) fn feeds(&self) -> Vec<Uuid> {
        self.rooms.iter().map(|(room, _)| *room).chain([self.user_id]).collect()
    }
}

/// The queue on which auth-svc's announcements wait.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new(CONSUMER, [proto::event_kind::<InviteAccepted>()])
}

/// Hands an announcement to the append path.
pub(crate) async fn accepted(appender: Appender, delivery: Delivery) -> Result<(), HandlerError> {
    let envelope = &delivery.envelope;
    let invite: InviteAccepted = proto::from_json(&envelope.body).map_err(poison)?;
    let rank = policy::rank_of(invite.invited_by_role());
    let room = |room: &proto::auth::v1::InvitedRoom| {
        let role = i32::try_from(room.room_role).ok().and_then(|role| RoomRole::try_from(role).ok());
        let role = match role.ok_or_else(|| poison("a role that is none"))? {
            RoomRole::Unspecified => RoomRole::Member,
            role => role,
        };
        Ok((Uuid::try_parse(&room.room_id).map_err(poison)?, role))
    };
    let accepted = Accepted {
        message_id: envelope.message_id,
        user_id: Uuid::try_parse(&invite.user_id).map_err(poison)?,
        rooms: invite.rooms.iter().map(room).collect::<Result<_, HandlerError>>()?,
    };
    let actor = Actor { user_id: Uuid::try_parse(&invite.invited_by).map_err(poison)?, rank };
    let trace = envelope.headers.get("traceparent").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let place = Place { trace, ..Place::default() };
    let done = appender.commit(Command { actor, op: None, action: Action::AcceptInvite(accepted), place }).await;
    done.map(drop).map_err(|cause| HandlerError::Retry(cause.into()))
}

fn poison(cause: impl std::fmt::Display) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("{cause}"))
}

/// Lets somebody into the rooms of an invitation, as far as who made it may bring people there now; others are passed over.
pub(crate) async fn enter(work: &mut Work<'_>, actor: Actor, accepted: &Accepted) -> Result<Bytes, ChatError> {
    let Accepted { message_id, user_id, rooms } = accepted;
    if !mesh::inbox::claim(work.tx().await?, CONSUMER, *message_id, work.now).await? {
        return Ok(Bytes::new());
    }
    work.wrote();
    for (room_id, role) in rooms {
        let seen = match rooms::open(work.tx().await?, *room_id, actor, policy::Action::Add(*role)).await {
            Ok(seen) => seen,
            Err(refused @ (ChatError::RoomNotFound | ChatError::RoomArchived | ChatError::RoleTooLow)) => {
                tracing::info!(%room_id, inviter = %actor.user_id, %refused, "an invitation does not count in a room");
                continue;
            }
            Err(cause) => return Err(cause),
        };
        if member::find(work.tx().await?, *room_id, *user_id).await?.is_none() {
            members::admit(work, actor, &seen.room, *user_id, *role).await?;
            work.audit(actor, "member.added", *room_id, &[("user", user_id.to_string()), ("by", "invitation".into())]);
        }
    }
    Ok(Bytes::new())
}
