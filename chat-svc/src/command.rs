//! Everything that changes something, as data: what the append path takes in, locks for, and runs.

use bytes::Bytes;
use proto::chat::v1::{LinkPreview, RoomHistory, RoomKind, RoomRole};
use proto::file::v1::File;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use mesh::authn::Rank;

use crate::{
    append::Work,
    errors::ChatError,
    files,
    invites::{self, Accepted},
    members, messages,
    policy::{Permission, Permissions},
    previews, reads, retention, rooms,
    said::Said,
    store::op::Op,
    webhooks,
};

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Who asks.
    pub(crate) actor: Actor,
    /// The operation, when the caller made an id for it.
    pub(crate) op: Option<Op>,
    /// What to do.
    pub(crate) action: Action,
    /// From where it is asked for, for the audit log; empty for what never stands there.
    pub(crate) place: Place,
}

/// From where a call comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The client's address, as far as it is known.
    pub(crate) address: String,
    /// The trace of the call.
    pub(crate) trace: String,
}

/// Who asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The account; nil for the system.
    pub(crate) user_id: Uuid,
    /// The standing in the workspace.
    pub(crate) rank: Rank,
}

impl Actor {
    /// The system itself.
    pub(crate) const SYSTEM: Self = Self { user_id: Uuid::nil(), rank: Rank::Member };
}

/// What can be changed.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    CreateRoom(NewRoom),
    UpdateRoom {
        room_id: Uuid,
        change: RoomChange,
    },
    ArchiveRoom {
        room_id: Uuid,
    },
    UnarchiveRoom {
        room_id: Uuid,
    },
    JoinRoom {
        room_id: Uuid,
    },
    LeaveRoom {
        room_id: Uuid,
    },
    AddMember {
        room_id: Uuid,
        user_id: Uuid,
        role: RoomRole,
    },
    RemoveMember {
        room_id: Uuid,
        user_id: Uuid,
    },
    SetMemberRole {
        room_id: Uuid,
        user_id: Uuid,
        role: RoomRole,
    },
    SendMessage {
        room_id: Uuid,
        text: Said,
        files: Vec<FileClaim>,
    },
    EditMessage {
        room_id: Uuid,
        message_id: Uuid,
        text: Said,
    },
    DeleteMessage {
        room_id: Uuid,
        message_id: Uuid,
    },
    /// worker-svc has read the pages that a message links to.
    AttachPreviews {
        room_id: Uuid,
        message_id: Uuid,
        /// The number of the event with the text that links to them.
        seq: u64,
        previews: Vec<LinkPreview>,
    },
    RemovePreviews {
        room_id: Uuid,
        message_id: Uuid,
    },
    MarkRead {
        room_id: Uuid,
        seq: u64,
    },
    MarkUnread {
        room_id: Uuid,
        seq: u64,
    },
    /// The next messages of a room are gone by retention.
    ExpireMessages {
        room_id: Uuid,
        /// What holds where the room says nothing; 0 for ever.
        workspace_days: u32,
    },
    AcceptInvite(Accepted),
    FileReady {
        message_id: Uuid,
        room_id: Uuid,
        file_id: Uuid,
        file: Box<File>,
    },
    CreateWebhook {
        room_id: Uuid,
        webhook: Box<NewWebhook>,
    },
    RenameWebhook {
        room_id: Uuid,
        webhook_id: Uuid,
        name: String,
    },
    DeleteWebhook {
        room_id: Uuid,
        webhook_id: Uuid,
    },
    /// A program posts that knows a webhook's secret.
    PostFromWebhook {
        room_id: Uuid,
        webhook_id: Uuid,
        said: Said,
        /// Shown instead of its own.
        name: Option<String>,
    },
    /// file-svc took a file out of its room.
    FileRemoved {
        message_id: Uuid,
        room_id: Uuid,
        file_id: Uuid,
        actor_id: Uuid,
    },
}

/// A room to be made. The id is chosen before, so that its feed can be locked like any other.
#[derive(Clone, Debug)]
pub(crate) struct NewRoom {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) kind: RoomKind,
    pub(crate) topic: String,
    pub(crate) history: RoomHistory,
    pub(crate) permissions: Permissions,
}

/// A webhook to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewWebhook {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Of its secret.
    pub(crate) hash: [u8; 32],
}

/// What changes of a room; what is nothing stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomChange {
    pub(crate) name: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) history: Option<RoomHistory>,
    pub(crate) permissions: Vec<(Permission, RoomRole)>,
    /// 0 for what holds in every room.
    pub(crate) retention_days: Option<u32>,
}

/// What a sender says of an attached file.
#[derive(Clone, Debug)]
pub(crate) enum FileClaim {
    /// A reference that was checked already.
    Proven(Box<File>),
    /// The id of a file that must have been announced in the room.
    Announced(Uuid),
}

impl Command {
    /// The feeds that it may append to: their counters are locked first, in ascending order.
    pub(crate) fn feeds(&self) -> Vec<Uuid> {
        let me = self.actor.user_id;
        match &self.action {
            Action::CreateRoom(room) => vec![room.id, me],
            Action::JoinRoom { room_id }
            | Action::LeaveRoom { room_id }
            | Action::MarkRead { room_id, .. }
            | Action::MarkUnread { room_id, .. } => vec![*room_id, me],
            Action::AddMember { room_id, user_id, .. } | Action::RemoveMember { room_id, user_id } => {
                vec![*room_id, *user_id]
            }
            Action::UpdateRoom { room_id, .. }
            | Action::ArchiveRoom { room_id }
            | Action::UnarchiveRoom { room_id }
            | Action::SetMemberRole { room_id, .. }
            | Action::SendMessage { room_id, .. }
            | Action::EditMessage { room_id, .. }
            | Action::DeleteMessage { room_id, .. }
            | Action::ExpireMessages { room_id, .. }
            | Action::CreateWebhook { room_id, .. }
            | Action::RenameWebhook { room_id, .. }
            | Action::DeleteWebhook { room_id, .. }
            | Action::PostFromWebhook { room_id, .. }
            | Action::AttachPreviews { room_id, .. }
            | Action::RemovePreviews { room_id, .. }
            | Action::FileRemoved { room_id, .. } => vec![*room_id],
            Action::AcceptInvite(accepted) => accepted.feeds(),
            Action::FileReady { room_id, file, .. } => {
                let uploader = Uuid::try_parse(&file.uploader_id).ok();
                std::iter::once(*room_id).chain(uploader).collect()
            }
        }
    }

    /// Whether it reads nothing but what the writer remembers, and only appends.
    pub(crate) fn only_appends(&self) -> bool {
        match &self.action {
            Action::SendMessage { files, .. } => files.iter().all(|claim| matches!(claim, FileClaim::Proven(_))),
            _ => false,
        }
    }

    /// Runs it inside the transaction. Rules check everything before they append or write, so that a refusal leaves no
    /// trace in the batch.
    pub(crate) async fn run(&self, work: &mut Work<'_>) -> Result<Bytes, ChatError> {
        let actor = self.actor;
        match &self.action {
            Action::CreateRoom(room) => rooms::create(work, actor, room).await,
            Action::UpdateRoom { room_id, change } => rooms::update(work, actor, *room_id, change).await,
            Action::ArchiveRoom { room_id } => rooms::archive(work, actor, *room_id).await,
            Action::UnarchiveRoom { room_id } => rooms::unarchive(work, actor, *room_id).await,
            Action::JoinRoom { room_id } => members::join(work, actor, *room_id).await,
            Action::LeaveRoom { room_id } => members::leave(work, actor, *room_id).await,
            Action::AddMember { room_id, user_id, role } => members::add(work, actor, *room_id, *user_id, *role).await,
            Action::RemoveMember { room_id, user_id } => members::remove(work, actor, *room_id, *user_id).await,
            Action::SetMemberRole { room_id, user_id, role } => {
                members::set_role(work, actor, *room_id, *user_id, *role).await
            }
            Action::SendMessage { room_id, text, files } => {
                let op_id = self.op.as_ref().map(|op| op.op_id);
                messages::send(work, actor, *room_id, text, files, op_id).await
            }
            Action::EditMessage { room_id, message_id, text } => {
                messages::edit(work, actor, *room_id, *message_id, text).await
            }
            Action::DeleteMessage { room_id, message_id } => messages::delete(work, actor, *room_id, *message_id).await,
            Action::AttachPreviews { room_id, message_id, seq, previews } => {
                previews::attach(work, *room_id, *message_id, *seq, previews).await
            }
            Action::RemovePreviews { room_id, message_id } => {
                previews::remove(work, actor, *room_id, *message_id).await
            }
            Action::MarkRead { room_id, seq } => reads::mark_read(work, actor, *room_id, *seq).await,
            Action::MarkUnread { room_id, seq } => reads::mark_unread(work, actor, *room_id, *seq).await,
            Action::ExpireMessages { room_id, workspace_days } => {
                retention::expire(work, *room_id, *workspace_days).await
            }
            Action::AcceptInvite(accepted) => invites::enter(work, actor, accepted).await,
            Action::FileReady { message_id, room_id, file_id, file } => {
                files::ready(work, *message_id, *room_id, *file_id, file).await
            }
            Action::CreateWebhook { room_id, webhook } => webhooks::create(work, actor, *room_id, webhook).await,
            Action::RenameWebhook { room_id, webhook_id, name } => {
                webhooks::rename(work, actor, *room_id, *webhook_id, name).await
            }
            Action::DeleteWebhook { room_id, webhook_id } => webhooks::delete(work, actor, *room_id, *webhook_id).await,
            Action::PostFromWebhook { room_id, webhook_id, said, name } => {
                let op_id = self.op.as_ref().map(|op| op.op_id);
                webhooks::post(work, *room_id, *webhook_id, said, name.as_deref(), op_id).await
            }
            Action::FileRemoved { message_id, room_id, file_id, actor_id } => {
                files::removed(work, *message_id, *room_id, *file_id, *actor_id).await
            }
        }
    }
}

/// The operation that a request describes: who, and a hash of the method and of the fields in the order of the contract.
pub(crate) fn op<M: prost::Message>(
    user_id: Uuid,
    op_id: Option<Uuid>,
    method: &'static str,
    request: &M,
) -> Option<Op> {
    let op_id = op_id?;
    let hash = Sha256::new().chain_update(method).chain_update([0]).chain_update(request.encode_to_vec()).finalize();
    Some(Op { user_id, op_id, hash: hash.into() })
}
