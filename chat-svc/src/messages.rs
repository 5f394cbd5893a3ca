//! Messages: posted, edited, deleted, listed.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use proto::chat::v1::{
    DeleteMessageResponse, EditMessageResponse, Event, Message, MessageDeleted, MessageEdited, MessagePosted,
    SendMessageResponse, event::Body,
};
use proto::file::v1::File;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    append::Work,
    command::{Actor, FileClaim},
    errors::ChatError,
    files, mentions,
    policy::{self, Action},
    previews, rooms,
    said::Said,
    store::{self, message},
};

/// Posts a message.
pub(crate) async fn send(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    said: &Said,
    claims: &[FileClaim],
    op_id: Option<Uuid>,
) -> Result<Bytes, ChatError> {
    let first = work.open(room_id, actor, Action::Post).await?.first_visible();
    let files = resolve(work, room_id, first, claims).await?;
    let posted = Message {
        author_id: actor.user_id.to_string(),
        files,
        op_id: op_id.map(|id| id.to_string()).unwrap_or_default(),
        ..Message::default()
    };
    put(work, room_id, actor.user_id, said, posted)
}

/// Appends what was written, by whoever may: gives it its text, its id and its numbers, and tells other services.
pub(crate) fn put(
    work: &mut Work<'_>,
    room_id: Uuid,
    author_id: Uuid,
    said: &Said,
    written: Message,
) -> Result<Bytes, ChatError> {
    let ordinal = work.next_ordinal(room_id);
    let seq = work.next_seq(room_id);
    let id = mesh::ids::new_id();
    let message = Message {
        id: id.to_string(),
        room_id: room_id.to_string(),
        seq,
        ordinal,
        text: said.text.clone(),
        created_at: Some(work.at()),
        ..written
    };
    work.shares(room_id, seq, &message.files);
    work.refers(room_id, id, &message.files);
    let posted = MessagePosted { message: Some(message.clone()) };
    work.publish(room_id, &posted)?;
    previews::tell(work, room_id, &message.id, seq, &said.links)?;
    mentions::tell(work, room_id, &message, seq, said, "")?;
    work.post(
        message::Model {
            id,
            room_id,
            seq: store::signed(seq),
            ordinal: store::signed(ordinal),
            author_id,
            created_at: store::micros(work.now),
            current_seq: store::signed(seq),
            deleted_at: 0,
        },
        Body::MessagePosted(posted),
    );
    Ok(SendMessageResponse { message: Some(message) }.encode_to_vec().into())
}

/// The files of a message: proven by a reference, or announced in the room before.
async fn resolve(
    work: &Work<'_>,
    room_id: Uuid,
    first_visible: u64,
    claims: &[FileClaim],
) -> Result<Vec<File>, ChatError> {
    let announced = claims.iter().filter_map(|claim| match claim {
        FileClaim::Announced(id) => Some(*id),
        FileClaim::Proven(_) => None,
    });
    let announced: Vec<Uuid> = announced.collect();
    // Most messages ask for nothing, and then there is no need for a transaction yet.
    let known = match announced.is_empty() {
        true => HashMap::new(),
        false => files::visible(work.tx().await?, room_id, first_visible, &announced).await?,
    };
    let one = |claim: &FileClaim| match claim {
        FileClaim::Proven(file) => Ok(file.as_ref().clone()),
        FileClaim::Announced(id) => known.get(id).cloned().ok_or_else(|| ChatError::FileNotFound(id.to_string())),
    };
    claims.iter().map(one).collect()
}

/// Replaces the text of one's own message.
pub(crate) async fn edit(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    message_id: Uuid,
    said: &Said,
) -> Result<Bytes, ChatError> {
    let first = work.open(room_id, actor, Action::Post).await?.first_visible();
    let row = living(work, room_id, first, message_id).await?;
    if row.author_id != actor.user_id {
        return Err(ChatError::NotTheAuthor);
    }
    let before = current(work.tx().await?, &row).await?;
    if said.text.trim().is_empty() && before.files.is_empty() {
        return Err(ChatError::invalid("text", "must not be empty"));
    }
    let edited_seq = work.next_seq(room_id);
    let text_before = before.text.clone();
    let message = Message { text: said.text.clone(), edited_at: Some(work.at()), edited_seq, ..before };
    // Its files stay where it was posted: who came in between reads neither.
    let edited = MessageEdited { message: Some(message.clone()) };
    work.publish(room_id, &edited)?;
    previews::tell(work, room_id, &message.id, edited_seq, &said.links)?;
    mentions::tell(work, room_id, &message, edited_seq, said, &text_before)?;
    work.append(room_id, actor.user_id, Body::MessageEdited(edited), None);
    message::edited(work.tx().await?, message_id, edited_seq).await?;
    work.wrote();
    work.answered_with(message_id, edited_seq);
    Ok(EditMessageResponse { message: Some(message) }.encode_to_vec().into())
}

/// Deletes a message and takes its text out of the log. Remembered answers only name the log.
pub(crate) async fn delete(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    message_id: Uuid,
) -> Result<Bytes, ChatError> {
    let row = removable(work, actor, room_id, message_id).await?;
    note_of_others(work, actor, "message.deleted", &row);
    let files = current(work.tx().await?, &row).await?.files;
    message::deleted(work.tx().await?, message_id, store::micros(work.now)).await?;
    work.wrote();
    let released = files::released(work, room_id, row.author_id, &files).await?;
    let deleted = MessageDeleted {
        message_id: message_id.to_string(),
        message_seq: store::unsigned(row.seq),
        file_ids: released.iter().map(Uuid::to_string).collect(),
        author_id: row.author_id.to_string(),
        ordinal: store::unsigned(row.ordinal),
        created_at: Some(store::timestamp(row.created_at)),
    };
    work.publish(room_id, &deleted)?;
    let seq = work.append(room_id, actor.user_id, Body::MessageDeleted(deleted), None);
    work.flush().await?;
    let content = message::content(work.tx().await?, &row).await?;
    store::event::redact(work.tx().await?, room_id, &content).await?;
    Ok(DeleteMessageResponse { seq }.encode_to_vec().into())
}

/// A message of which the actor may take something away: their own, or anybody's with the permission.
pub(crate) async fn removable(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    message_id: Uuid,
) -> Result<message::Model, ChatError> {
    let seen = rooms::open(work.tx().await?, room_id, actor, Action::DeleteOwn).await?;
    let row = living(work, room_id, seen.first_visible(), message_id).await?;
    if row.author_id != actor.user_id {
        policy::allow(Action::DeleteOthers, seen.room.rules(), seen.asker(actor))?;
    }
    Ok(row)
}

/// What is taken away from somebody else's message is noted.
pub(crate) fn note_of_others(work: &mut Work<'_>, actor: Actor, action: &'static str, row: &message::Model) {
    if row.author_id != actor.user_id {
        let facts = [("message", row.id.to_string()), ("author", row.author_id.to_string())];
        work.audit(actor, action, row.room_id, &facts);
    }
}

/// A message that is there for somebody who reads from a number on, and not deleted. What this very transaction posted or edited before is written first.
pub(crate) async fn living(
    work: &mut Work<'_>,
    room_id: Uuid,
    first_visible: u64,
    message_id: Uuid,
) -> Result<message::Model, ChatError> {
    work.flush().await?;
    let row = message::find(work.tx().await?, room_id, message_id).await?;
    row.filter(|row| row.deleted_at == 0 && store::unsigned(row.seq) >= first_visible).ok_or(ChatError::MessageNotFound)
}

/// A message's content as it is now.
async fn current<C: ConnectionTrait>(db: &C, row: &message::Model) -> Result<Message, ChatError> {
    let rows = store::event::some(db, row.room_id, &[row.current_seq]).await?;
    let event = rows.first().ok_or_else(|| ChatError::internal("a message without its event"))?;
    content(&event.bytes).ok_or_else(|| ChatError::internal("a message's event without a message"))
}

fn content(bytes: &[u8]) -> Option<Message> {
    match Event::decode(bytes).ok()?.body? {
        Body::MessagePosted(posted) => posted.message,
        Body::MessageEdited(edited) => edited.message,
        _ => None,
    }
}

/// The answer to a send or an edit that was answered before: the message as that event has it, or what is left of it.
pub(crate) async fn answer_again<C: ConnectionTrait>(db: &C, message_id: Uuid, seq: i64) -> Result<Bytes, ChatError> {
    let row =
        message::by_id(db, message_id).await?.ok_or_else(|| ChatError::internal("an answer without a message"))?;
    let events = store::event::some(db, row.room_id, &[seq]).await?;
    let message = events.first().and_then(|event| content(&event.bytes)).unwrap_or_else(|| tombstone(&row));
    // Both answers have the message as their first field.
    Ok(SendMessageResponse { message: Some(message) }.encode_to_vec().into())
}

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The newest page.
    Newest,
    /// Below this number.
    Before(u64),
    /// Above this number.
    After(u64),
}

/// A page of messages as they are now, by rising number, and whether there are more on the far side.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    actor: Actor,
    room_id: Uuid,
    bound: Bound,
    size: u64,
) -> Result<(Vec<Message>, bool), ChatError> {
    let seen = rooms::open(db, room_id, actor, Action::Read).await?;
    let first = seen.first_visible();
    let mut rows = match bound {
        Bound::Newest => message::before(db, room_id, None, first, size + 1).await?,
        Bound::Before(below) => message::before(db, room_id, Some(below), first, size + 1).await?,
        Bound::After(above) => message::after(db, room_id, above, first, size + 1).await?,
    };
    let more = mesh::db::cut_page(&mut rows, size);
    rows.sort_unstable_by_key(|row| row.seq);
    Ok((contents(db, room_id, &rows).await?, more))
}

/// Messages by their rows, with what is known of their files by now.
async fn contents<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    rows: &[message::Model],
) -> Result<Vec<Message>, ChatError> {
    let living: Vec<i64> = rows.iter().filter(|row| row.deleted_at == 0).map(|row| row.current_seq).collect();
    let events = store::event::some(db, room_id, &living).await?;
    let mut by_seq: HashMap<i64, Message> =
        events.iter().filter_map(|event| Some((event.seq, content(&event.bytes)?))).collect();
    let ids: Vec<Uuid> =
        by_seq.values().flat_map(|message| &message.files).filter_map(|file| Uuid::try_parse(&file.id).ok()).collect();
    let files = store::file::some(db, room_id, &ids).await?;
    let mut previews = previews::Known::of(db, room_id, rows).await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let mut message = by_seq.remove(&row.current_seq).unwrap_or_else(|| tombstone(row));
        for file in &mut message.files {
            if let Some(newer) = Uuid::try_parse(&file.id).ok().and_then(|id| files.get(&id)) {
                *file = newer.clone();
            }
        }
        previews.fill(row.id, &mut message);
        messages.push(message);
    }
    Ok(messages)
}

/// What remains of a deleted message.
fn tombstone(row: &message::Model) -> Message {
    Message {
        id: row.id.to_string(),
        room_id: row.room_id.to_string(),
        seq: store::unsigned(row.seq),
        ordinal: store::unsigned(row.ordinal),
        author_id: row.author_id.to_string(),
        created_at: Some(store::timestamp(row.created_at)),
        deleted_at: Some(store::timestamp(row.deleted_at)),
        ..Message::default()
    }
}
