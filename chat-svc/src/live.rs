//! Telling: the open streams to gateways, and which feeds each of them needs.
//!
//! Nothing here is durable, and nothing is promised: a stream that cannot keep up is ended, and its gateway attaches again
//! and reads the log.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use proto::chat::internal::v1::{
    AttachResponse, AudienceChange, FeedEphemeral, FeedEvent, FeedHead, attach_response::Item,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// How many items may wait for one gateway.
const QUEUE: usize = 16 * 1024;

/// An event that is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) feed_id: Uuid,
    pub(crate) seq: u64,
    pub(crate) bytes: Bytes,
    pub(crate) audience: Option<AudienceChange>,
}

/// The open streams.
#[derive(Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    streams: HashMap<u64, Stream>,
}

struct Stream {
    feeds: HashSet<Uuid>,
    items: mpsc::Sender<AttachResponse>,
}

/// One gateway's stream; dropping it ends the interest.
pub(crate) struct Attachment {
    id: u64,
    live: std::sync::Arc<Live>,
    /// Weak, so that the receiver ends when the stream is given up.
    items: mpsc::WeakSender<AttachResponse>,
}

impl Live {
    /// Opens a stream.
    pub(crate) fn attach(self: &std::sync::Arc<Self>) -> (Attachment, mpsc::Receiver<AttachResponse>) {
        let (items, received) = mpsc::channel(QUEUE);
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let weak = items.downgrade();
        state.streams.insert(id, Stream { feeds: HashSet::new(), items });
        (Attachment { id, live: self.clone(), items: weak }, received)
    }

    /// Passes committed events on, each once to every gateway that needs it. A gateway that follows a user's own feed also
    /// gets the event that brings that user into a room, and the room's events from then on.
    pub(crate) fn tell(&self, events: Vec<Committed>) {
        let mut state = self.state();
        for event in events {
            let added: Vec<Uuid> = event.audience.iter().flat_map(added).collect();
            state.streams.retain(|_, stream| {
                if !stream.feeds.contains(&event.feed_id) {
                    if !added.iter().any(|user| stream.feeds.contains(user)) {
                        return true;
                    }
                    stream.feeds.insert(event.feed_id);
                }
                stream.items.try_send(item(Item::Event(wire(&event)))).is_ok()
            });
        }
    }

    /// Passes something passing on, if there is room for it.
    pub(crate) fn ephemeral(&self, feed_id: Uuid, bytes: &Bytes) {
        for stream in self.state().streams.values().filter(|stream| stream.feeds.contains(&feed_id)) {
            let ephemeral = FeedEphemeral { feed_id: feed_id.to_string(), ephemeral: bytes.clone() };
            let _ = stream.items.try_send(item(Item::Ephemeral(ephemeral)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attachment {
    /// Sends these feeds from now on.
    pub(crate) fn add(&self, feeds: &[Uuid]) {
        if let Some(stream) = self.live.state().streams.get_mut(&self.id) {
            stream.feeds.extend(feeds);
        }
    }

    /// Sends these feeds no longer.
    pub(crate) fn drop_feeds(&self, feeds: &[Uuid]) {
        if let Some(stream) = self.live.state().streams.get_mut(&self.id) {
            for feed in feeds {
                stream.feeds.remove(feed);
            }
        }
    }

    /// What is being sent.
    pub(crate) fn feeds(&self) -> Vec<Uuid> {
        self.live.state().streams.get(&self.id).map(|stream| stream.feeds.iter().copied().collect()).unwrap_or_default()
    }

    /// Says where a feed stands. False when the stream has ended.
    pub(crate) async fn head(&self, feed: Uuid, seq: u64) -> bool {
        let Some(items) = self.items.upgrade() else {
            return false;
        };
        items.send(item(Item::Head(FeedHead { feed_id: feed.to_string(), seq }))).await.is_ok()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.live.state().streams.remove(&self.id);
    }
}

fn added(change: &AudienceChange) -> impl Iterator<Item = Uuid> {
    change.added_user_ids.iter().filter_map(|id| Uuid::try_parse(id).ok())
}

fn item(item: Item) -> AttachResponse {
    AttachResponse { item: Some(item) }
}

fn wire(event: &Committed) -> FeedEvent {
    FeedEvent {
        feed_id: event.feed_id.to_string(),
        seq: event.seq,
        event: event.bytes.clone(),
        audience_change: event.audience.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn event(feed_id: Uuid, seq: u64, added: &[Uuid]) -> Committed {
        let audience = AudienceChange {
            added_user_ids: added.iter().map(Uuid::to_string).collect(),
            removed_user_ids: Vec::new(),
        };
        Committed { feed_id, seq, bytes: Bytes::from_static(b"e"), audience: (!added.is_empty()).then_some(audience) }
    }

    fn seqs(received: &mut mpsc::Receiver<AttachResponse>) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Ok(AttachResponse { item: Some(Item::Event(event)) }) = received.try_recv() {
            seqs.push(event.seq);
        }
        seqs
    }

    #[test]
    fn the_event_that_brings_a_user_in_starts_the_rooms_stream() {
        let (live, room, user) = (Arc::new(Live::default()), mesh::ids::new_id(), mesh::ids::new_id());
        let (attachment, mut received) = live.attach();
        attachment.add(&[user]);
        live.tell(vec![event(room, 1, &[]), event(room, 2, &[user]), event(room, 3, &[])]);
        assert_eq!(seqs(&mut received), [2, 3]);
    }

    #[test]
    fn a_gateway_that_reads_too_slowly_loses_its_stream() {
        let (live, room) = (Arc::new(Live::default()), mesh::ids::new_id());
        let (attachment, mut received) = live.attach();
        attachment.add(&[room]);
        live.tell((1..=QUEUE as u64 + 1).map(|seq| event(room, seq, &[])).collect());
        assert_eq!(seqs(&mut received).len(), QUEUE);
        live.tell(vec![event(room, 1, &[])]);
        assert!(received.try_recv().is_err(), "nothing follows a hole");
    }
}
