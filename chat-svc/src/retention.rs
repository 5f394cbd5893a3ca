//! Retention: what rooms keep for a while only. Messages that are older are gone for every call, their words are out of the log, and
//! files that no message refers to any more go with them. Numbers and hashes stay.
//!
//! It happens in steps, each a transaction of the writer like any other change, so that people go on talking meanwhile.

use bytes::Bytes;
use prost::Message as _;
use proto::chat::{
    internal::v1::ExpireMessagesResponse,
    v1::{FilesReleased, MessagesExpired, event::Body},
};
use sea_orm::ConnectionTrait;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    append::{Appender, Work},
    command::{Action, Actor, Command, Place},
    errors::ChatError,
    store::{self, message, message_file, read_marker::Marker, room},
};

/// The most messages of one step.
const MESSAGES: u64 = 500;
/// The most numbers between its first message and its last.
const NUMBERS: u64 = 1000;
/// Rooms that are looked at in one call, when there is nothing to do in them.
const ROOMS: u64 = 200;
/// The most files in one announcement.
const FILES: usize = 500;

/// The longest that a room can say: a hundred years.
pub(crate) const MAX_DAYS: u32 = 36_500;

/// Messages from before this time are no longer kept in a room; nothing when it keeps them for ever.
fn horizon(room: &room::Model, workspace_days: u32, now: OffsetDateTime) -> Option<i64> {
    let days = if room.retention_days > 0 { i64::from(room.retention_days) } else { workspace_days.into() };
    (days > 0).then(|| store::micros(now - Duration::days(days)))
}

/// The next messages of a room that it no longer keeps.
async fn due<C: ConnectionTrait>(
    db: &C,
    room: &room::Model,
    workspace_days: u32,
    now: OffsetDateTime,
    rows: u64,
) -> Result<Vec<message::Model>, ChatError> {
    let Some(horizon) = horizon(room, workspace_days, now) else { return Ok(Vec::new()) };
    let expired = store::unsigned(room.expired_seq);
    let mut rows = message::after(db, room.id, expired, expired + 1, rows).await?;
    let last = rows.first().map_or(0, |first| store::unsigned(first.seq) + NUMBERS);
    let kept = rows.iter().position(|row| row.created_at >= horizon || store::unsigned(row.seq) >= last);
    rows.truncate(kept.unwrap_or(rows.len()));
    Ok(rows)
}

/// One step in one room. The answer says how many messages went.
pub(crate) async fn expire(work: &mut Work<'_>, room_id: Uuid, workspace_days: u32) -> Result<Bytes, ChatError> {
    work.flush().await?;
    let answer = |expired| Ok(ExpireMessagesResponse { expired, ..Default::default() }.encode_to_vec().into());
    let Some(room) = room::find(work.tx().await?, room_id).await? else { return answer(0) };
    let due = due(work.tx().await?, &room, workspace_days, work.now, MESSAGES).await?;
    let Some(last) = due.last() else { return answer(0) };
    let expired = Marker { seq: store::unsigned(last.seq), ordinal: store::unsigned(last.ordinal) };
    let ids: Vec<Uuid> = due.iter().map(|row| row.id).collect();
    let count = due.iter().filter(|row| row.deleted_at == 0).count() as u64;

    let from = store::unsigned(room.expired_seq);
    let edits = message::edits(work.tx().await?, &ids).await?;
    store::event::redact(work.tx().await?, room_id, &edits).await?;
    let announced = store::event::redact_range(work.tx().await?, room_id, from, expired.seq).await?;
    message::expired(work.tx().await?, &ids, store::micros(work.now)).await?;
    room::expired(work.tx().await?, room_id, expired).await?;
    work.wrote();
    release(work, room_id, &ids, announced).await?;
    let gone = MessagesExpired { through_seq: expired.seq, through_ordinal: expired.ordinal, count };
    work.append(room_id, Uuid::nil(), Body::MessagesExpired(gone), None);
    answer(count)
}

/// Lets files go that came with these messages, or were announced beside them, unless a message that is left refers to them.
async fn release(work: &mut Work<'_>, room_id: Uuid, messages: &[Uuid], announced: Vec<Uuid>) -> Result<(), ChatError> {
    let mut files = message_file::of(work.tx().await?, messages).await?;
    files.extend(announced);
    let mut files: Vec<Uuid> = files.into_iter().collect();
    let held = message_file::held(work.tx().await?, room_id, &files).await?;
    files.retain(|file| !held.contains(file));
    files.sort_unstable();
    message_file::forget(work.tx().await?, messages).await?;
    store::file::forget(work.tx().await?, room_id, &files).await?;
    for some in files.chunks(FILES) {
        let file_ids = some.iter().map(Uuid::to_string).collect();
        work.publish(room_id, &FilesReleased { room_id: room_id.to_string(), file_ids })?;
    }
    Ok(())
}

/// The next step of a walk through all rooms, from this room on.
pub(crate) async fn step<C: ConnectionTrait>(
    db: &C,
    appender: &Appender,
    workspace_days: u32,
    now: OffsetDateTime,
    from: Uuid,
) -> Result<ExpireMessagesResponse, ChatError> {
    let mut rooms = room::forgetful(db, workspace_days > 0, from, ROOMS + 1).await?;
    let next = if mesh::db::cut_page(&mut rooms, ROOMS) { rooms.pop() } else { None };
    for room in rooms {
        if due(db, &room, workspace_days, now, 1).await?.is_empty() {
            continue;
        }
        let action = Action::ExpireMessages { room_id: room.id, workspace_days };
        let command = Command { actor: Actor::SYSTEM, op: None, action, place: Place::default() };
        let done = ExpireMessagesResponse::decode(appender.commit(command).await?).map_err(ChatError::internal)?;
        // The same room again: there may be more in it.
        return Ok(ExpireMessagesResponse { next_page_token: room.id.to_string(), ..done });
    }
    let next_page_token = next.map(|room| room.id.to_string()).unwrap_or_default();
    Ok(ExpireMessagesResponse { expired: 0, next_page_token })
}
