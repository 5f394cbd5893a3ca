//! What a client's task is told.

use proto::edge::v1::{Cursor, SubscribeRequest};
use uuid::Uuid;

/// Something that a client's task has to do.
#[derive(Debug)]
pub(crate) enum Word {
    /// The user is in this room from the next event on.
    Joined(Uuid),
    /// The user is in this room no longer.
    Left(Uuid),
    /// The stream from chat-svc was interrupted: ask anew where everything stands.
    Resync,
    /// The client asks for the live stream.
    Subscribe(SubscribeRequest),
    /// The client says what it holds.
    Holds(Vec<Cursor>),
    /// The client says which rooms it looks at.
    Look(Vec<Uuid>),
}

/// Why a client's stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server goes away.
    GoingAway,
    /// The session has ended.
    Revoked,
    /// The account's rights have changed: its streams are begun anew, with new tokens.
    Stale,
    /// The client took nothing for too long.
    TooSlow,
    /// Nothing was heard of it for too long.
    Silent,
}
