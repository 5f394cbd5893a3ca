//! Everything that can go wrong in chat-svc, each with its code and its stable reason.

use std::time::Duration;

use mesh::{
    errors::{Describe, Violation},
    fields::Invalid,
};
use sea_orm::DbErr;
use tonic::Code;

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChatError {
    /// Fields of the request are wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No such room, or one that the caller may not see.
    #[error("There is no such room.")]
    RoomNotFound,
    /// No such message in the room, or a deleted one.
    #[error("There is no such message.")]
    MessageNotFound,
    /// No such feed, or one that the caller may not see.
    #[error("There is no such feed.")]
    FeedNotFound,
    /// A file that was never announced in the room, or a reference that does not count.
    #[error("There is no such file in this room: {0}")]
    FileNotFound(String),
    /// No such message that waits, of this person.
    #[error("There is no such scheduled message.")]
    ScheduledMessageNotFound,
    /// The account of who put a message off was disabled, or is gone, when it was due.
    #[error("Your account was disabled when it was due.")]
    AuthorDisabled,
    /// One person has put off as many as there may be.
    #[error("You have 100 scheduled messages; more are not possible.")]
    TooManyScheduled,
    /// No such webhook, or a secret that is not its own.
    #[error("There is no such webhook.")]
    WebhookNotFound,
    /// A room has as many webhooks as it may.
    #[error("This room has 50 webhooks; more are not possible.")]
    TooManyWebhooks,
    /// A webhook posts too often.
    #[error("This webhook posts too often; wait before the next time.")]
    WebhookPosts(Duration),
    /// The text of so many bytes is longer than it may be.
    #[error("The text has {0} bytes, at most 16,384 are allowed.")]
    TextTooLong(usize),
    /// An account that does not exist.
    #[error("There is no such user.")]
    UserNotFound,
    /// A user who is not in the room.
    #[error("That user is not in the room.")]
    MemberNotFound,
    /// The role in the room does not allow it.
    #[error("Your role in this room does not allow that.")]
    RoleTooLow,
    /// Somebody else's message.
    #[error("Only the author can change a message.")]
    NotTheAuthor,
    /// The room can only be read.
    #[error("This room is archived: it can be read, and nothing else.")]
    RoomArchived,
    /// The only owner wants to leave others behind.
    #[error("You are the only owner of this room; make somebody else an owner first.")]
    LastOwner,
    /// The operation id was used for something else.
    #[error("This op_id was already used for another operation.")]
    OpIdReused,
    /// The database did not answer.
    #[error("The chat database is not available just now.")]
    StoreUnavailable(#[source] SharedError),
    /// Another service did not answer.
    #[error("A service that this needs is not available just now.")]
    ServiceUnavailable(#[source] SharedError),
    /// A bug, or data that should not be there.
    #[error("The server failed on this call.")]
    Internal(#[source] SharedError),
}

/// A cause that several waiting callers share.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SharedError(std::sync::Arc<str>);

impl ChatError {
    /// A bug, or data that should not be there.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(SharedError(cause.to_string().into()))
    }

    /// The database did not answer.
    pub fn store(cause: impl std::fmt::Display) -> Self {
        Self::StoreUnavailable(SharedError(cause.to_string().into()))
    }

    /// Another service did not answer.
    pub fn service(cause: impl std::fmt::Display) -> Self {
        Self::ServiceUnavailable(SharedError(cause.to_string().into()))
    }

    /// One field is wrong.
    pub fn invalid(field: &str, description: &str) -> Self {
        Self::Invalid(Invalid::one(field, description))
    }
}

impl From<DbErr> for ChatError {
    fn from(cause: DbErr) -> Self {
        Self::store(cause)
    }
}

impl Describe for ChatError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::TextTooLong(_) => Code::InvalidArgument,
            Self::RoomNotFound
            | Self::MessageNotFound
            | Self::FeedNotFound
            | Self::FileNotFound(_)
            | Self::ScheduledMessageNotFound
            | Self::WebhookNotFound
            | Self::UserNotFound
            | Self::MemberNotFound => Code::NotFound,
            Self::RoleTooLow | Self::NotTheAuthor | Self::AuthorDisabled => Code::PermissionDenied,
            Self::LastOwner | Self::RoomArchived => Code::FailedPrecondition,
            Self::OpIdReused => Code::AlreadyExists,
            Self::TooManyScheduled | Self::TooManyWebhooks | Self::WebhookPosts(_) => Code::ResourceExhausted,
            Self::StoreUnavailable(_) | Self::ServiceUnavailable(_) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::RoomNotFound => "ROOM_NOT_FOUND",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::FeedNotFound => "FEED_NOT_FOUND",
            Self::FileNotFound(_) => "FILE_NOT_FOUND",
            Self::ScheduledMessageNotFound => "SCHEDULED_MESSAGE_NOT_FOUND",
            Self::AuthorDisabled => "AUTHOR_DISABLED",
            Self::TooManyScheduled => "TOO_MANY_SCHEDULED",
            Self::WebhookNotFound => "WEBHOOK_NOT_FOUND",
            Self::TooManyWebhooks => "TOO_MANY_WEBHOOKS",
            Self::WebhookPosts(_) => "WEBHOOK_POSTS",
            Self::TextTooLong(_) => "TEXT_TOO_LONG",
            Self::UserNotFound => "USER_NOT_FOUND",
            Self::MemberNotFound => "MEMBER_NOT_FOUND",
            Self::RoleTooLow => "ROLE_TOO_LOW",
            Self::NotTheAuthor => "NOT_THE_AUTHOR",
            Self::LastOwner => "LAST_OWNER",
            Self::RoomArchived => "ROOM_ARCHIVED",
            Self::OpIdReused => "OP_ID_REUSED",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::ServiceUnavailable(_) => "SERVICE_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(Invalid(violations)) => violations.clone(),
            Self::RoomNotFound => vec![Violation::new("room_id", "names no room that you can see")],
            Self::MessageNotFound => vec![Violation::new("message_id", "names no message in this room")],
            Self::FeedNotFound => vec![Violation::new("feed_id", "names no feed that you can see")],
            Self::FileNotFound(id) => {
                vec![Violation::new("file_ids", format!("{id} is no file that you can send here"))]
            }
            Self::ScheduledMessageNotFound => vec![Violation::new("id", "names no message of yours that waits")],
            Self::WebhookNotFound => vec![Violation::new("webhook_id", "names no webhook of this room")],
            Self::TextTooLong(bytes) => {
                vec![Violation::new("text", format!("has {bytes} bytes, at most 16384 are allowed"))]
            }
            Self::UserNotFound => vec![Violation::new("user_id", "names no account")],
            Self::MemberNotFound => vec![Violation::new("user_id", "names nobody in this room")],
            Self::OpIdReused => vec![Violation::new("op_id", "was already used for another operation")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::StoreUnavailable(_) | Self::ServiceUnavailable(_) => Some(Duration::from_secs(1)),
            Self::WebhookPosts(after) => Some(*after),
            _ => None,
        }
    }
}
