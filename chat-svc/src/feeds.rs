//! The log, read: where a subscriber starts, pages, and proof of completeness. Whether somebody may read a
//! room is decided by `policy`, each time.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use proto::chat::{
    internal::v1::{FeedReset, FeedStart, StoredEvent, feed_start::Start},
    v1::{RoomSnapshot, Snapshot, UserSnapshot, snapshot::Body},
};
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    errors::ChatError,
    policy::{self, Action, Asker},
    rooms,
    store::{
        self,
        beginning::{self, Entered},
    },
};

/// A page of the log ends after about this many bytes.
const PAGE_BYTES: usize = 1024 * 1024;
/// The longest range that is digested at once.
const MAX_DIGEST: u64 = 100_000;

/// A feed as somebody may read it.
struct Readable {
    /// From this number on.
    first: u64,
    /// Up to this one, the newest.
    head: u64,
}

/// A feed for somebody who wants to read it, if they may: their own, or that of a room of which the policy says so.
async fn readable<C: ConnectionTrait>(db: &C, user_id: Uuid, feed_id: Uuid) -> Result<Readable, ChatError> {
    if feed_id == user_id {
        return Ok(Readable { first: 1, head: store::feed::head(db, feed_id).await?.seq });
    }
    let entered = beginning::of_room(db, user_id, feed_id).await?.filter(reads).ok_or(ChatError::FeedNotFound)?;
    Ok(Readable { first: first_visible_of(&entered), head: entered.head.seq })
}

/// Whether somebody may read a room that they are in.
fn reads(entered: &Entered) -> bool {
    policy::allow(Action::Read, entered.room.rules(), Asker::inside(entered.member.role())).is_ok()
}

/// A page of the log, and the newest number.
pub(crate) async fn page<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    feed_id: Uuid,
    after: u64,
    rows: u64,
) -> Result<(Vec<StoredEvent>, u64), ChatError> {
    let Readable { first, head } = readable(db, user_id, feed_id).await?;
    let after = after.max(first.saturating_sub(1));
    let mut bytes = 0;
    let events = store::event::page(db, feed_id, after, rows)
        .await?
        .into_iter()
        .take_while(|row| {
            let fits = bytes < PAGE_BYTES;
            bytes += row.bytes.len();
            fits
        })
        .map(|row| StoredEvent { seq: row.number(), event: row.bytes_from(first).into() })
        .collect();
    Ok((events, head))
}

/// The digest of a range.
pub(crate) async fn verify<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    feed_id: Uuid,
    from: u64,
    to: u64,
) -> Result<(u64, Vec<u8>), ChatError> {
    let Readable { first, head } = readable(db, user_id, feed_id).await?;
    if from == 0 || from > to {
        return Err(ChatError::invalid("from_seq", "must be at least 1 and at most to_seq"));
    }
    if from < first {
        return Err(ChatError::FeedNotFound);
    }
    if to > head {
        return Err(ChatError::invalid("to_seq", "is above the newest number of the feed"));
    }
    if to - from >= MAX_DIGEST {
        return Err(ChatError::invalid("to_seq", &format!("makes the range longer than {MAX_DIGEST}")));
    }
    let hashes = store::event::hashes(db, feed_id, from, to).await?;
    let mut digest = Sha256::new();
    for hash in &hashes {
        digest.update(hash);
    }
    Ok((hashes.len() as u64, digest.finalize().to_vec()))
}

/// What a subscriber brings.
pub(crate) struct Opening {
    pub(crate) user_id: Uuid,
    pub(crate) cursors: HashMap<String, u64>,
    pub(crate) epoch: String,
    /// Only these feeds; empty means all that the user may follow.
    pub(crate) only: HashSet<String>,
}

/// Where a subscriber starts, decided by one state of everything.
pub(crate) async fn open<C: ConnectionTrait>(
    db: &C,
    opening: &Opening,
    epoch: &str,
) -> Result<Vec<FeedStart>, ChatError> {
    let continued = opening.epoch.is_empty() || opening.epoch == epoch;
    let (own, mut rooms) = beginning::of_user(db, opening.user_id).await?;
    rooms.retain(reads);
    let start = Beginning { user_id: opening.user_id, own, rooms };
    let mut feeds = Vec::new();
    for feed_id in start.feeds() {
        let id = feed_id.to_string();
        if opening.only.is_empty() || opening.only.contains(&id) {
            feeds.extend(start.one(feed_id, opening.cursors.get(&id).copied(), continued));
        }
    }
    let visible: HashSet<String> = start.feeds().map(|feed| feed.to_string()).collect();
    let asked: HashSet<&String> = opening.cursors.keys().chain(&opening.only).collect();
    let hidden = asked.into_iter().filter(|feed_id| !visible.contains(*feed_id));
    feeds.extend(hidden.map(|feed_id| entry(feed_id, 0, Start::Reset(FeedReset::NotFound.into()))));
    Ok(feeds)
}

/// Everything that decides where somebody starts.
struct Beginning {
    user_id: Uuid,
    /// The number of the newest event of the user's own feed.
    own: u64,
    /// By rising id.
    rooms: Vec<Entered>,
}

impl Beginning {
    fn feeds(&self) -> impl Iterator<Item = Uuid> {
        std::iter::once(self.user_id).chain(self.rooms.iter().map(|entered| entered.room.id))
    }

    /// The entries of one feed: a snapshot, a replay, or a reset and the snapshot that follows it.
    fn one(&self, feed_id: Uuid, cursor: Option<u64>, continued: bool) -> Vec<FeedStart> {
        let id = feed_id.to_string();
        let entered = self.entered(feed_id);
        let head = entered.map_or(self.own, |entered| entered.head.seq);
        let first = entered.map_or(1, first_visible_of);
        let entry = |start| FeedStart { first_visible_seq: first, ..entry(&id, head, start) };
        let snapshot = || entry(Start::Snapshot(self.snapshot(feed_id, entered).encode_to_vec().into()));
        let reset = |reason: FeedReset| vec![entry(Start::Reset(reason.into())), snapshot()];
        match cursor {
            None => vec![snapshot()],
            Some(_) if !continued => reset(FeedReset::EpochChanged),
            Some(seq) if seq > head => reset(FeedReset::CursorAhead),
            Some(seq) => {
                let hidden = first.saturating_sub(1);
                // Between the cursor and the latest joining lies what this member may not see: a replay would have a hole.
                if seq > 0 && seq < hidden {
                    return vec![snapshot()];
                }
                vec![entry(Start::ReplayAfter(seq.max(hidden)))]
            }
        }
    }

    fn entered(&self, room_id: Uuid) -> Option<&Entered> {
        self.rooms.binary_search_by(|entered| entered.room.id.cmp(&room_id)).ok().and_then(|at| self.rooms.get(at))
    }

    fn snapshot(&self, feed_id: Uuid, entered: Option<&Entered>) -> Snapshot {
        let (head, first_visible_seq, body) = match entered {
            Some(entered) => {
                let room = RoomSnapshot { user_head: self.own, ..room_snapshot(entered) };
                (entered.head.seq, first_visible_of(entered), Body::Room(room))
            }
            None => {
                let room_ids = self.rooms.iter().map(|entered| entered.room.id.to_string()).collect();
                (self.own, 1, Body::User(UserSnapshot { room_ids }))
            }
        };
        Snapshot { feed_id: feed_id.to_string(), head, first_visible_seq, body: Some(body) }
    }
}

fn first_visible_of(entered: &Entered) -> u64 {
    store::unsigned(entered.member.first_visible_seq)
}

fn room_snapshot(entered: &Entered) -> RoomSnapshot {
    let mut membership = rooms::standing(&entered.member, entered.room.expired(), entered.head, entered.marker);
    membership.member_count = u32::try_from(entered.room.member_count).unwrap_or(0);
    RoomSnapshot { room: Some(entered.room.to_proto()), membership: Some(membership), ..RoomSnapshot::default() }
}

fn entry(feed_id: &str, head: u64, start: Start) -> FeedStart {
    FeedStart { feed_id: feed_id.to_owned(), head, start: Some(start), first_visible_seq: 0 }
}
