//! `event`: the log. A row holds the very bytes that clients get, and their hash, which stays when the bytes go.

use bytes::Bytes;
use mesh::db::{Insert, Rows};
use prost::Message as _;
use proto::chat::v1::{Event, FileReady, LinksPreviewed, MessageDeleted, MessageEdited, Redacted, event::Body};
use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*};
use sha2::{Digest as _, Sha256};

use super::{signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) feed_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    /// The message that the event posted; nothing for every other event.
    pub(crate) message_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An event on its way into the log.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) feed_id: Uuid,
    pub(crate) seq: u64,
    pub(crate) bytes: Bytes,
    pub(crate) message_id: Option<Uuid>,
}

pub(super) static INSERT: Insert<5> = Insert::new("event", &["feed_id", "seq", "bytes", "hash", "message_id"], "");

/// For rows that are there.
static REPLACE: Insert<4> = Insert::new(
    "event",
    &["feed_id", "seq", "bytes", "hash"],
    "ON CONFLICT (feed_id, seq) DO UPDATE SET bytes = excluded.bytes",
);

/// How many events of a range are read at a time.
const RANGE: u64 = 500;

/// Writes events.
pub(crate) fn insert(events: &[NewEvent]) -> Rows {
    let row = |event: &NewEvent| {
        let hash = Sha256::digest(&event.bytes).to_vec();
        [
            event.feed_id.into(),
            signed(event.seq).into(),
            event.bytes.to_vec().into(),
            hash.into(),
            event.message_id.into(),
        ]
    };
    INSERT.rows(events.iter().map(row))
}

/// A page of the log above `after`, at most `rows` long.
pub(crate) async fn page<C: ConnectionTrait>(
    db: &C,
    feed_id: Uuid,
    after: u64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::FeedId.eq(feed_id))
        .filter(Column::Seq.gt(signed(after)))
        .order_by_asc(Column::Seq)
        .limit(rows)
        .all(db)
        .await
}

/// Some events of one feed by their numbers.
pub(crate) async fn some<C: ConnectionTrait>(db: &C, feed_id: Uuid, seqs: &[i64]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::FeedId.eq(feed_id)).filter(Column::Seq.is_in(seqs.iter().copied())).all(db).await
}

/// The hashes of a range, by rising number.
pub(crate) async fn hashes<C: ConnectionTrait>(
    db: &C,
    feed_id: Uuid,
    from: u64,
    to: u64,
) -> Result<Vec<Vec<u8>>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Hash)
        .filter(Column::FeedId.eq(feed_id))
        .filter(Column::Seq.between(signed(from), signed(to)))
        .order_by_asc(Column::Seq)
        .into_tuple()
        .all(db)
        .await
}

/// Takes the content of events away: stubs with the same numbers, times and hashes remain.
pub(crate) async fn redact<C: ConnectionTrait>(db: &C, feed_id: Uuid, seqs: &[i64]) -> Result<(), DbErr> {
    for seqs in super::portions(seqs) {
        let rows = some(db, feed_id, seqs).await?.into_iter();
        let stubbed = rows.filter_map(|row| match row.event()? {
            Event { body: Some(Body::Redacted(_)), .. } => None,
            event => Some(row.stubbed(event)),
        });
        replace(db, stubbed).await?;
    }
    Ok(())
}

/// Takes away what people said and brought with the events above one number and up to another, and tells which files they
/// announced. Who came and went, and what the room was called, stays.
pub(crate) async fn redact_range<C: ConnectionTrait>(
    db: &C,
    feed_id: Uuid,
    after: u64,
    to: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let (mut after, mut announced) = (after, Vec::new());
    while after < to {
        let rows = page(db, feed_id, after, RANGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.number();
        let mut stubbed = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.number() <= to) {
            let Some(event) = row.event() else { continue };
            announced.extend(file_of(&event));
            if has_content(&event) {
                stubbed.push(row.stubbed(event));
            }
        }
        replace(db, stubbed.into_iter()).await?;
    }
    Ok(announced)
}

/// The file that an event announces.
fn file_of(event: &Event) -> Option<Uuid> {
    match &event.body {
        Some(Body::FileReady(FileReady { file: Some(file) })) => Uuid::try_parse(&file.id).ok(),
        _ => None,
    }
}

/// Whether an event holds something that somebody said or brought. What is not named here does.
fn has_content(event: &Event) -> bool {
    !matches!(
        event.body,
        None | Some(
            Body::RoomCreated(_)
                | Body::RoomUpdated(_)
                | Body::RoomArchived(_)
                | Body::RoomUnarchived(_)
                | Body::MemberJoined(_)
                | Body::MemberLeft(_)
                | Body::MemberRoleChanged(_)
                | Body::MessageDeleted(_)
                | Body::MessagesExpired(_)
                | Body::FileRemoved(_)
                | Body::Redacted(_)
        )
    )
}

/// Writes other bytes in place of those of some events. Their hashes stay.
async fn replace<C: ConnectionTrait>(db: &C, rows: impl Iterator<Item = Model>) -> Result<(), DbErr> {
    let row = |row: Model| [row.feed_id.into(), row.seq.into(), row.bytes.into(), row.hash.into()];
    for statement in REPLACE.rows(rows.map(row)).statements(db.get_database_backend()) {
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// The number of the posting of the message that an event edits or deletes, or whose links it previews: for who reads only from a
/// higher number on there is no such message, and so nothing that says whose it was and when.
pub(crate) fn about(body: Option<&Body>) -> u64 {
    match body {
        Some(Body::MessageEdited(MessageEdited { message: Some(message) })) => message.seq,
        Some(
            Body::LinksPreviewed(LinksPreviewed { message_seq, .. })
            | Body::MessageDeleted(MessageDeleted { message_seq, .. }),
        ) => *message_seq,
        _ => 0,
    }
}

/// What stands in place of an event without its content.
fn stub(event: Event, hash: Vec<u8>) -> Vec<u8> {
    Event { body: Some(Body::Redacted(Redacted { hash: hash.into() })), ..event }.encode_to_vec()
}

impl Model {
    /// The bytes for somebody who reads the feed from a number on: what changes a message from before it is a stub for them.
    pub(crate) fn bytes_from(self, first: u64) -> Vec<u8> {
        // Only joinings with SINCE_JOINED begin later, and only their pages are looked into.
        let changes_older = |event: &Event| (1..first).contains(&about(event.body.as_ref()));
        match (first > 1).then(|| Event::decode(self.bytes.as_slice())) {
            Some(Ok(event)) if changes_older(&event) => stub(event, self.hash),
            _ => self.bytes,
        }
    }

    /// The event that its bytes hold.
    fn event(&self) -> Option<Event> {
        Event::decode(self.bytes.as_slice()).ok()
    }

    /// The row with a stub in place of the content of its event.
    fn stubbed(mut self, event: Event) -> Self {
        self.bytes = stub(event, self.hash.clone());
        self
    }

    /// The number as the contracts have it.
    pub(crate) fn number(&self) -> u64 {
        unsigned(self.seq)
    }
}
