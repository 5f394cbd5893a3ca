//! Telling: the open streams to gateways, which feeds each of them needs, and how far each feed was told.
//!
//! Nothing here is durable, and nothing is promised: a stream that cannot keep up is ended, and its gateway attaches again
//! and reads the log. Where several processes commit (`hints`), events come out of order or not at all; then the log is read
//! once for all gateways (`fill`), so that a stream never has a hole.

pub(crate) mod fill;
pub(crate) mod hints;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use proto::chat::internal::v1::{
    AttachResponse, AudienceChange, FeedEphemeral, FeedEvent, FeedHead, attach_response::Item,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::presence::Presence;

/// How many items may wait for one gateway.
const QUEUE: usize = 16 * 1024;
/// How many hints may wait for other processes.
const HINTS: usize = 4096;
/// How many feeds may wait to be read from the log.
const FILLS: usize = 64 * 1024;

/// That somebody is typing is told once in this time.
const MERGE_TYPING: Duration = Duration::from_secs(1);
/// How many people are remembered as typing.
const MAX_TYPING: u64 = 10_000;

/// An event that is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) feed_id: Uuid,
    pub(crate) seq: u64,
    /// Empty when only the number is known.
    pub(crate) bytes: Bytes,
    pub(crate) audience: Option<AudienceChange>,
    /// The number of the posting of the message that it changes; 0 for every other event.
    pub(crate) about: u64,
}

/// Something that other processes should hear of.
#[derive(Clone, Debug)]
pub(crate) enum Hint {
    Event(Committed),
    Ephemeral(Uuid, Bytes),
}

/// The open streams.
pub(crate) struct Live {
    state: Mutex<State>,
    /// To other processes that commit to the same log; nothing when there are none.
    others: Option<mpsc::Sender<Hint>>,
    /// Feeds in which something is missing.
    missing: mpsc::Sender<Uuid>,
    /// Hears whose members changed.
    presence: Arc<Presence>,
    /// Who was typing where within the last second.
    typing: moka::sync::Cache<(Uuid, Uuid), ()>,
}

/// What is to be done besides: each by its own task.
pub(crate) struct Work {
    /// What to tell other processes.
    pub(crate) hints: mpsc::Receiver<Hint>,
    /// Feeds to be read from the log.
    pub(crate) missing: mpsc::Receiver<Uuid>,
}

#[derive(Default)]
struct State {
    next: u64,
    streams: HashMap<u64, Stream>,
    /// How far each feed was told, and how many streams need it. Kept only where other processes commit as well.
    told: HashMap<Uuid, Told>,
    /// Feeds that wait to be read from the log.
    filling: HashSet<Uuid>,
}

#[derive(Default)]
struct Told {
    seq: Option<u64>,
    streams: usize,
}

struct Stream {
    feeds: HashSet<Uuid>,
    items: mpsc::Sender<AttachResponse>,
}

/// One gateway's stream; dropping it ends the interest.
pub(crate) struct Attachment {
    id: u64,
    live: Arc<Live>,
    /// Weak, so that the receiver ends when the stream is given up.
    items: mpsc::WeakSender<AttachResponse>,
}

impl Live {
    /// No streams yet. `shared`: other processes commit to the same log.
    pub(crate) fn new(shared: bool, presence: Arc<Presence>) -> (Self, Work) {
        let (others, hints) = mpsc::channel(HINTS);
        let (missing, to_fill) = mpsc::channel(FILLS);
        let typing = moka::sync::Cache::builder().max_capacity(MAX_TYPING).time_to_live(MERGE_TYPING).build();
        let live = Self { state: Mutex::default(), others: shared.then_some(others), missing, presence, typing };
        (live, Work { hints, missing: to_fill })
    }

    /// Whether other processes commit to the same log.
    pub(crate) const fn is_shared(&self) -> bool {
        self.others.is_some()
    }

    /// Opens a stream.
    pub(crate) fn attach(self: &Arc<Self>) -> (Attachment, mpsc::Receiver<AttachResponse>) {
        let (items, received) = mpsc::channel(QUEUE);
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let weak = items.downgrade();
        state.streams.insert(id, Stream { feeds: HashSet::new(), items });
        (Attachment { id, live: self.clone(), items: weak }, received)
    }

    /// Passes events on that this process has committed, and tells the others.
    pub(crate) fn tell(&self, events: Vec<Committed>) {
        if let Some(others) = &self.others {
            for event in &events {
                // When too many wait, the others notice by the numbers.
                let _ = others.try_send(Hint::Event(event.clone()));
            }
        }
        self.pass(events);
    }

    /// Passes events on, each once to every gateway that needs it.
    pub(crate) fn pass(&self, events: Vec<Committed>) {
        let shared = self.is_shared();
        for event in events.iter().filter(|event| event.audience.is_some()) {
            self.presence.members_changed(event.feed_id);
        }
        let mut state = self.state();
        for event in events {
            if shared && !state.is_next(&event) {
                self.miss(&mut state, event.feed_id);
                continue;
            }
            state.pass(&event, shared);
        }
    }

    /// Passes something passing on here and elsewhere, if there is room for it.
    pub(crate) fn ephemeral(&self, feed_id: Uuid, bytes: &Bytes) {
        if let Some(others) = &self.others {
            let _ = others.try_send(Hint::Ephemeral(feed_id, bytes.clone()));
        }
        self.pass_ephemeral(feed_id, bytes);
    }

    /// Whether it was told within the last second that somebody is typing.
    pub(crate) fn typed_just_now(&self, room: Uuid, user: Uuid) -> bool {
        self.typing.contains_key(&(room, user))
    }

    /// Notes that it is being told.
    pub(crate) fn typed(&self, room: Uuid, user: Uuid) {
        self.typing.insert((room, user), ());
    }

    fn pass_ephemeral(&self, feed_id: Uuid, bytes: &Bytes) {
        for stream in self.state().streams.values().filter(|stream| stream.feeds.contains(&feed_id)) {
            // Only where there is much room, which events need more.
            if stream.items.capacity() * 2 > QUEUE {
                let ephemeral = FeedEphemeral { feed_id: feed_id.to_string(), ephemeral: bytes.clone() };
                let _ = stream.items.try_send(item(Item::Ephemeral(ephemeral)));
            }
        }
    }

    /// Has a feed read from the log, once however often it is asked for.
    fn miss(&self, state: &mut State, feed: Uuid) {
        if state.told.contains_key(&feed) && state.filling.insert(feed) && self.missing.try_send(feed).is_err() {
            state.filling.remove(&feed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether nothing is missing before an event. Of a feed that nobody needs, nothing is.
    fn is_next(&mut self, event: &Committed) -> bool {
        let Some(told) = self.told.get(&event.feed_id).and_then(|told| told.seq) else {
            return !event.bytes.is_empty();
        };
        event.seq <= told || (event.seq == told + 1 && !event.bytes.is_empty())
    }

    /// A gateway that follows a user's own feed also gets the event that brings that user into a room, and the room's events
    /// from then on.
    fn pass(&mut self, event: &Committed, shared: bool) {
        if shared && let Some(told) = self.told.get_mut(&event.feed_id) {
            if told.seq.is_some_and(|seq| event.seq <= seq) {
                return;
            }
            told.seq = Some(event.seq);
        }
        let added: Vec<Uuid> = event.audience.iter().flat_map(added).collect();
        let Self { streams, told, .. } = self;
        streams.retain(|_, stream| {
            if !stream.feeds.contains(&event.feed_id) {
                if !added.iter().any(|user| stream.feeds.contains(user)) {
                    return true;
                }
                stream.feeds.insert(event.feed_id);
                if shared {
                    let told = told.entry(event.feed_id).or_default();
                    told.seq = Some(event.seq);
                    told.streams += 1;
                }
            }
            let passed = stream.items.try_send(item(Item::Event(wire(event)))).is_ok();
            if !passed {
                stream.feeds.iter().for_each(|feed| release(told, *feed));
            }
            passed
        });
    }
}

/// One stream needs a feed no longer.
fn release(told: &mut HashMap<Uuid, Told>, feed: Uuid) {
    if let Some(known) = told.get_mut(&feed) {
        known.streams = known.streams.saturating_sub(1);
        if known.streams == 0 {
            told.remove(&feed);
        }
    }
}

impl Attachment {
    /// Sends these feeds from now on.
    pub(crate) fn add(&self, feeds: &[Uuid]) {
        let mut state = self.live.state();
        let State { streams, told, .. } = &mut *state;
        let Some(stream) = streams.get_mut(&self.id) else {
            return;
        };
        for feed in feeds {
            if stream.feeds.insert(*feed) && self.live.is_shared() {
                told.entry(*feed).or_default().streams += 1;
            }
        }
    }

    /// Notes where feeds stood after they were added: what comes later and is not heard of is missing.
    pub(crate) fn stood(&self, heads: &HashMap<Uuid, u64>) {
        let mut state = self.live.state();
        for (feed, head) in heads {
            if let Some(told) = state.told.get_mut(feed)
                && told.seq.is_none()
            {
                told.seq = Some(*head);
            }
        }
    }

    /// Sends these feeds no longer.
    pub(crate) fn drop_feeds(&self, feeds: &[Uuid]) {
        let mut state = self.live.state();
        let State { streams, told, .. } = &mut *state;
        if let Some(stream) = streams.get_mut(&self.id) {
            for feed in feeds {
                if stream.feeds.remove(feed) {
                    release(told, *feed);
                }
            }
        }
    }

    /// The way to its gateway, as long as the stream lasts.
    pub(crate) fn items(&self) -> mpsc::WeakSender<AttachResponse> {
        self.items.clone()
    }

    /// Says that a feed is being sent, and how far it is. False when the stream has ended.
    pub(crate) async fn flows(&self, feed: Uuid, head: u64) -> bool {
        let Some(items) = self.items.upgrade() else {
            return false;
        };
        items.send(item(Item::Head(FeedHead { feed_id: feed.to_string(), seq: head }))).await.is_ok()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.live.state();
        if let Some(stream) = state.streams.remove(&self.id) {
            stream.feeds.iter().for_each(|feed| release(&mut state.told, *feed));
        }
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
        about_seq: event.about,
    }
}

#[cfg(test)]
mod tests;
