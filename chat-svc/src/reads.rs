//! Read markers: how far somebody has read a room. Private to them, so the events go into their own feed.

use bytes::Bytes;
use prost::Message as _;
use proto::chat::v1::{MarkReadResponse, MarkUnreadResponse, Read, event::Body};
use uuid::Uuid;

use crate::{
    append::Work,
    command::Actor,
    errors::ChatError,
    policy::Action,
    rooms,
    store::{
        message,
        read_marker::{self, Marker},
    },
};

/// Moves the marker forward; a marker that is further already stays.
pub(crate) async fn mark_read(work: &mut Work<'_>, actor: Actor, room_id: Uuid, seq: u64) -> Result<Bytes, ChatError> {
    rooms::open(work.tx().await?, room_id, actor, Action::Read).await?;
    let known = read_marker::find(work.tx().await?, actor.user_id, room_id).await?;
    let head = work.head(room_id);
    let marker = if seq <= known.seq {
        known
    } else if seq >= head.seq {
        set(work, actor, room_id, Marker { seq: head.seq, ordinal: head.ordinal }).await?
    } else {
        let marker = at(work, room_id, seq).await?;
        set(work, actor, room_id, marker).await?
    };
    Ok(MarkReadResponse { seq: marker.seq, ordinal: marker.ordinal }.encode_to_vec().into())
}

/// Sets the marker back.
pub(crate) async fn mark_unread(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    seq: u64,
) -> Result<Bytes, ChatError> {
    let seen = rooms::open(work.tx().await?, room_id, actor, Action::Read).await?;
    // What one may not read is not unread either.
    let seq = seq.max(seen.first_visible().saturating_sub(1));
    let known = read_marker::find(work.tx().await?, actor.user_id, room_id).await?;
    let marker = if seq < known.seq {
        let marker = at(work, room_id, seq).await?;
        set(work, actor, room_id, marker).await?
    } else {
        known
    };
    Ok(MarkUnreadResponse { seq: marker.seq, ordinal: marker.ordinal }.encode_to_vec().into())
}

async fn at(work: &mut Work<'_>, room_id: Uuid, seq: u64) -> Result<Marker, ChatError> {
    // The rows of messages that are gone by retention are still there: numbers and ordinals go together for ever.
    work.flush().await?;
    Ok(Marker { seq, ordinal: message::ordinal_at(work.tx().await?, room_id, seq).await? })
}

async fn set(work: &mut Work<'_>, actor: Actor, room_id: Uuid, marker: Marker) -> Result<Marker, ChatError> {
    read_marker::save(work.tx().await?, actor.user_id, room_id, marker).await?;
    work.wrote();
    let read = Read { room_id: room_id.to_string(), seq: marker.seq, ordinal: marker.ordinal };
    work.append(actor.user_id, actor.user_id, Body::Read(read), None);
    Ok(marker)
}
