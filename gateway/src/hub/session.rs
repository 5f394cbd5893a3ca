//! What waits for one client: bounded by count and bytes. When it is full, events are forgotten and only the feeds they
//! belong to are remembered; the client's subscriber reads those from the log instead.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use proto::edge::v1::SubscribeRequest;
use tokio::sync::Notify;
use uuid::Uuid;

/// How many events may wait.
const MAX_FRAMES: usize = 256;
/// How many frames of a socket's own may wait before it is not read any further.
const MAX_OWN_FRAMES: usize = 64;
/// How many bytes of events may wait.
const MAX_BYTES: usize = 1024 * 1024;

/// Something that waits for a client.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A numbered event, as a frame.
    Event { feed: Uuid, seq: u64, frame: Bytes },
    /// Something passing, as a frame.
    Ephemeral(Bytes),
    /// A frame of the socket's own: a reply, an error, a pong.
    Frame(Bytes),
    /// The feed is further than what was told: read the log.
    Head { feed: Uuid, seq: u64 },
    /// The user is in this room from the next event on.
    Joined(Uuid),
    /// The user sees nothing of this room after what was told.
    Left(Uuid),
    /// The stream from chat-svc was interrupted: ask anew where everything stands.
    Resync,
    /// The client asks for the live stream.
    Subscribe(SubscribeRequest),
    /// The server goes away.
    GoAway { after_ms: u32 },
    /// The session has ended.
    Revoked,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique in this process.
    pub(crate) id: u64,
    /// The account.
    pub(crate) user_id: Uuid,
    /// The session of the account, for revocation.
    pub(crate) session_id: Uuid,
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    frames: usize,
    bytes: usize,
    own_frames: usize,
    /// Feeds of events that were forgotten.
    behind: HashSet<Uuid>,
}

impl Session {
    pub(crate) fn new(id: u64, user_id: Uuid, session_id: Uuid) -> Self {
        Self {
            id,
            user_id,
            session_id,
            queue: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            gone: AtomicBool::new(false),
        }
    }

    /// Adds an event, or only remembers its feed when too much waits already.
    pub(crate) fn push_event(&self, feed: Uuid, seq: u64, frame: Bytes) {
        let mut queue = self.queue();
        if queue.behind.is_empty() && queue.frames < MAX_FRAMES && queue.bytes + frame.len() <= MAX_BYTES {
            queue.frames += 1;
            queue.bytes += frame.len();
            queue.entries.push_back(Entry::Event { feed, seq, frame });
        } else {
            queue.fall_behind(feed);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Adds something passing, unless much waits already.
    pub(crate) fn push_ephemeral(&self, frame: Bytes) {
        let mut queue = self.queue();
        if queue.entries.len() < MAX_FRAMES / 4 {
            queue.entries.push_back(Entry::Ephemeral(frame));
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// Adds anything else. How many of these there can be is bounded where they come from: unanswered calls, rooms, and
    /// single words of the hub.
    pub(crate) fn push(&self, entry: Entry) {
        let mut queue = self.queue();
        queue.own_frames += usize::from(matches!(entry, Entry::Frame(_)));
        queue.entries.push_back(entry);
        drop(queue);
        self.filled.notify_one();
    }

    /// Waits until the client has taken enough of its answers to be asked for more.
    pub(crate) async fn room_for_answers(&self) {
        while self.queue().own_frames >= MAX_OWN_FRAMES {
            self.emptied.notified().await;
        }
    }

    /// Says that nobody takes anything from here any more.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether nobody takes anything from here any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Everything that waits, and the feeds to read from the log. Waits until there is something.
    pub(crate) async fn take(&self) -> (VecDeque<Entry>, HashSet<Uuid>) {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// Everything that waits now, if anything does.
    pub(crate) fn try_take(&self) -> Option<(VecDeque<Entry>, HashSet<Uuid>)> {
        let mut queue = self.queue();
        if queue.entries.is_empty() && queue.behind.is_empty() {
            return None;
        }
        queue.frames = 0;
        queue.bytes = 0;
        queue.own_frames = 0;
        self.emptied.notify_one();
        Some((std::mem::take(&mut queue.entries), std::mem::take(&mut queue.behind)))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Forgets the events that wait; their feeds are read from the log.
    fn fall_behind(&mut self, feed: Uuid) {
        self.behind.insert(feed);
        if self.frames == 0 {
            return;
        }
        metrics::counter!("loquat_gateway_sessions_behind_total").increment(1);
        let behind = &mut self.behind;
        self.entries.retain(|entry| match entry {
            Entry::Event { feed, .. } => {
                behind.insert(*feed);
                false
            }
            Entry::Ephemeral(_) => false,
            _ => true,
        });
        self.frames = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_read_from_the_log() {
        let session = Session::new(1, Uuid::nil(), Uuid::nil());
        let (one, two) = (mesh::ids::new_id(), mesh::ids::new_id());
        session.push(Entry::Joined(two));
        for seq in 1..=MAX_FRAMES as u64 {
            session.push_event(one, seq, Bytes::from_static(b"x"));
        }
        session.push_event(two, 1, Bytes::from_static(b"x"));
        session.push_event(two, 2, Bytes::from_static(b"x"));
        let (entries, behind) = session.try_take().unwrap();
        assert!(matches!(entries.into_iter().collect::<Vec<_>>()[..], [Entry::Joined(_)]), "words of the hub are kept");
        assert_eq!(behind, HashSet::from([one, two]));
        assert!(session.try_take().is_none());
        session.push_event(one, 300, Bytes::from_static(b"x"));
        assert_eq!(session.try_take().unwrap().0.len(), 1, "live again");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let session = Session::new(1, Uuid::nil(), Uuid::nil());
        let feed = mesh::ids::new_id();
        session.push_event(feed, 1, Bytes::from(vec![0; MAX_BYTES - 1]));
        session.push_event(feed, 2, Bytes::from_static(b"xx"));
        let (entries, behind) = session.try_take().unwrap();
        assert!(entries.is_empty());
        assert_eq!(behind, HashSet::from([feed]));
    }
}
