//! Previews of links: what a message's text links to is told to worker-svc in the transaction of the message, and what the pages say of
//! themselves comes back as an event of the room. Reads no page itself.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use proto::chat::{
    internal::v1::AttachPreviewsResponse,
    v1::{Event, LinkPreview, LinksPosted, LinksPreviewed, Message, RemovePreviewsResponse, event::Body},
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    append::Work,
    command::Actor,
    errors::ChatError,
    messages,
    store::{self, event, message, preview},
};

/// Tells which links the text of a message has, which is held by the event of this number.
pub(crate) fn tell(
    work: &mut Work<'_>,
    room_id: Uuid,
    message_id: &str,
    seq: u64,
    links: &[String],
) -> Result<(), ChatError> {
    if links.is_empty() {
        return Ok(());
    }
    let urls = links.to_vec();
    work.publish(room_id, &LinksPosted { room_id: room_id.to_string(), message_id: message_id.to_owned(), seq, urls })
}

/// Sets a message's previews, unless its text is no longer the one they are for, somebody removed them, or they are the same already.
pub(crate) async fn attach(
    work: &mut Work<'_>,
    room_id: Uuid,
    message_id: Uuid,
    content_seq: u64,
    previews: &[LinkPreview],
) -> Result<Bytes, ChatError> {
    let attached = match messages::living(work, room_id, 0, message_id).await {
        Ok(row) if store::unsigned(row.current_seq) == content_seq => set(work, &row, previews).await?,
        Ok(_) | Err(ChatError::MessageNotFound) => false,
        Err(cause) => return Err(cause),
    };
    Ok(AttachPreviewsResponse { attached }.encode_to_vec().into())
}

async fn set(work: &mut Work<'_>, row: &message::Model, previews: &[LinkPreview]) -> Result<bool, ChatError> {
    if let Some(known) = preview::find(work.tx().await?, row.id).await? {
        let here = known.content_seq == row.current_seq;
        if known.removed || (here && at(work.tx().await?, row.room_id, known.seq).await? == previews) {
            return Ok(false);
        }
    }
    let body = LinksPreviewed {
        message_id: row.id.to_string(),
        message_seq: store::unsigned(row.seq),
        previews: previews.to_vec(),
    };
    let seq = work.append(row.room_id, Uuid::nil(), Body::LinksPreviewed(body), None);
    message::holds_content(work.tx().await?, row.id, seq).await?;
    let saved =
        preview::Model { message_id: row.id, content_seq: row.current_seq, seq: store::signed(seq), removed: false };
    preview::save(work.tx().await?, saved).await?;
    work.wrote();
    Ok(true)
}

/// The previews that an event holds.
async fn at<C: ConnectionTrait>(db: &C, room_id: Uuid, seq: i64) -> Result<Vec<LinkPreview>, ChatError> {
    let events = event::some(db, room_id, &[seq]).await?;
    Ok(events.first().and_then(|event| within(&event.bytes)).unwrap_or_default())
}

fn within(bytes: &[u8]) -> Option<Vec<LinkPreview>> {
    match Event::decode(bytes).ok()?.body? {
        Body::LinksPreviewed(previewed) => Some(previewed.previews),
        _ => None,
    }
}

/// Takes a message's previews away, out of the log as well, and lets none come any more.
pub(crate) async fn remove(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    message_id: Uuid,
) -> Result<Bytes, ChatError> {
    let row = messages::removable(work, actor, room_id, message_id).await?;
    let known = preview::find(work.tx().await?, message_id).await?;
    if known.as_ref().is_some_and(|known| known.removed) {
        return Ok(RemovePreviewsResponse { seq: 0 }.encode_to_vec().into());
    }
    messages::note_of_others(work, actor, "message.previews_removed", &row);
    let shown = known.is_some_and(|known| known.content_seq == row.current_seq);
    let seq = if shown {
        let message_seq = store::unsigned(row.seq);
        let body = LinksPreviewed { message_id: message_id.to_string(), message_seq, previews: Vec::new() };
        work.append(room_id, actor.user_id, Body::LinksPreviewed(body), None)
    } else {
        0
    };
    let content = message::content(work.tx().await?, &row).await?;
    let events = event::some(work.tx().await?, room_id, &content).await?;
    let held = events.iter().filter(|event| within(&event.bytes).is_some());
    let held: Vec<i64> = held.map(|event| event.seq).collect();
    event::redact(work.tx().await?, room_id, &held).await?;
    let removed = preview::Model { message_id, content_seq: row.current_seq, seq: store::signed(seq), removed: true };
    preview::save(work.tx().await?, removed).await?;
    work.wrote();
    Ok(RemovePreviewsResponse { seq }.encode_to_vec().into())
}

/// What is known of the previews of messages as they are now.
pub(crate) struct Known {
    rows: HashMap<Uuid, preview::Model>,
    previews: HashMap<i64, Vec<LinkPreview>>,
}

impl Known {
    /// Of these messages of a room.
    pub(crate) async fn of<C: ConnectionTrait>(
        db: &C,
        room_id: Uuid,
        messages: &[message::Model],
    ) -> Result<Self, ChatError> {
        let living = messages.iter().filter(|row| row.deleted_at == 0);
        let current: HashMap<Uuid, i64> = living.map(|row| (row.id, row.current_seq)).collect();
        let ids: Vec<Uuid> = current.keys().copied().collect();
        let mut rows = preview::some(db, &ids).await?;
        rows.retain(|id, row| current.get(id) == Some(&row.content_seq));
        let seqs: Vec<i64> = rows.values().filter(|row| !row.removed).map(|row| row.seq).collect();
        let events = if seqs.is_empty() { Vec::new() } else { event::some(db, room_id, &seqs).await? };
        let previews = events.iter().filter_map(|event| Some((event.seq, within(&event.bytes)?))).collect();
        Ok(Self { rows, previews })
    }

    /// Puts them into a message.
    pub(crate) fn fill(&mut self, id: Uuid, message: &mut Message) {
        if let Some(row) = self.rows.get(&id) {
            message.previews_seq = store::unsigned(row.seq);
            message.previews = self.previews.remove(&row.seq).unwrap_or_default();
        }
    }
}
