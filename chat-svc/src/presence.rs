//! Who is online, as a digest for each room that somebody looks at.
//!
//! Gateways tell who has an open stream there and which rooms are looked at; nothing of it is stored. Other processes are told
//! over the cache (`others`); without it, each knows its own gateways. A digest is made at most once per interval and only when
//! something changed, in a task of its own (`run`), and is dropped first when a gateway has much to read. As long as nobody looks,
//! gateways are not asked who is online.

pub(crate) mod digest;
pub(crate) mod others;
mod question;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use proto::chat::internal::v1::{
    AttachResponse, FeedPresence, LookChange, OnlineChange, TellOnline, attach_response::Item,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use uuid::Uuid;

use self::question::Question;

/// Presence as this process knows it.
pub(crate) struct Presence {
    state: Mutex<State>,
    /// Rooms whose members changed since they were read. Apart from the rest, because whoever commits adds to it.
    changed_rooms: Mutex<HashSet<Uuid>>,
    /// Somebody looks at something at a gateway of this process.
    looked: AtomicBool,
    /// Somebody began to look.
    wake: Notify,
    /// Others should hear of us before the interval is over.
    tell_others: Notify,
    /// The interval.
    every: Duration,
}

#[derive(Default)]
struct State {
    next: u64,
    gateways: HashMap<u64, Known>,
    /// What other processes told, by their origin.
    others: HashMap<String, Other>,
    rooms: HashMap<Uuid, Room>,
    /// Somebody asks about single people.
    question: Option<Question>,
    /// Rises whenever somebody came or went.
    version: u64,
}

/// A gateway.
struct Known {
    online: HashSet<Uuid>,
    /// The rooms that are looked at there, and the version of the digest that it was given; 0 for none.
    looks: HashMap<Uuid, u64>,
    items: mpsc::WeakSender<AttachResponse>,
    /// It tells who is online.
    asked: bool,
    /// When its stream ended. It may come back at once, so that its users are not gone at once.
    left: Option<Instant>,
}

/// Another process.
struct Other {
    online: HashSet<Uuid>,
    looks: bool,
    heard: Instant,
}

/// A room that is looked at.
#[derive(Default)]
struct Room {
    /// By rising id; nothing when they are not kept.
    members: Option<Arc<[Uuid]>>,
    /// The members changed since they were read.
    stale: bool,
    /// When the digest was made.
    made: Option<Instant>,
    /// The version of who is online that it was made from.
    online: u64,
    digest: Bytes,
    /// Of the digest; 0 before the first.
    version: u64,
}

/// One gateway's part; dropping it says that its stream has ended.
pub(crate) struct Gateway {
    id: u64,
    presence: Arc<Presence>,
}

impl Presence {
    /// Nobody is online, and nobody looks. A digest is made at most once in `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            state: Mutex::default(),
            changed_rooms: Mutex::default(),
            looked: AtomicBool::new(false),
            wake: Notify::new(),
            tell_others: Notify::new(),
            every,
        }
    }

    /// A gateway has opened its stream.
    pub(crate) fn attach(self: &Arc<Self>, items: mpsc::WeakSender<AttachResponse>) -> Gateway {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let known = Known { online: HashSet::new(), looks: HashMap::new(), items, asked: false, left: None };
        state.gateways.insert(id, known);
        state.ask_gateways();
        drop(state);
        Gateway { id, presence: self.clone() }
    }

    /// The members of a room changed.
    pub(crate) fn members_changed(&self, room: Uuid) {
        if self.looked.load(Ordering::Relaxed) {
            self.changed_rooms().insert(room);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed_rooms(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.changed_rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Users came and went there.
    pub(crate) fn online(&self, change: &OnlineChange) {
        let mut state = self.presence.state();
        let State { gateways, version, .. } = &mut *state;
        let Some(known) = gateways.get_mut(&self.id) else { return };
        let before = known.online.len();
        let mut changed = false;
        if change.whole {
            known.online = HashSet::new();
            // It begins to tell by itself when somebody looks there.
            known.asked = true;
            changed = before > 0;
        }
        for user in unpacked(&change.gone) {
            changed |= known.online.remove(&user);
        }
        for user in unpacked(&change.came) {
            changed |= known.online.insert(user);
        }
        *version += u64::from(changed);
        let others_look = state.others.values().any(|other| other.looks);
        drop(state);
        if change.whole && others_look {
            self.presence.tell_others.notify_one();
        }
    }

    /// Rooms are looked at there, or no longer.
    pub(crate) fn look(&self, change: &LookChange) {
        let mut state = self.presence.state();
        let State { gateways, rooms, .. } = &mut *state;
        let Some(known) = gateways.get_mut(&self.id) else { return };
        for room in ids(&change.removed_room_ids) {
            known.looks.remove(&room);
        }
        for room in ids(&change.added_room_ids) {
            // What it was given before, it may have forgotten.
            known.looks.insert(room, 0);
            rooms.entry(room).or_default();
        }
        let first = state.looks() && !self.presence.looked.swap(true, Ordering::Relaxed);
        state.ask_gateways();
        drop(state);
        if first {
            self.presence.tell_others.notify_one();
        }
        self.presence.wake.notify_one();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(known) = self.presence.state().gateways.get_mut(&self.id) {
            known.left = Some(Instant::now());
            known.looks = HashMap::new();
        }
    }
}

impl State {
    /// Whether somebody looks at something at a gateway of this process.
    fn looks(&self) -> bool {
        self.gateways.values().any(|known| !known.looks.is_empty())
    }

    /// Asks gateways who is online there, once somebody looks anywhere.
    fn ask_gateways(&mut self) {
        if !self.wants_to_know() && !self.others.values().any(|other| other.looks) {
            return;
        }
        for known in self.gateways.values_mut().filter(|known| !known.asked) {
            known.asked = send(&known.items, Item::TellOnline(TellOnline {}));
        }
    }

    fn is_online(&self, user: &Uuid) -> bool {
        self.gateways.values().any(|known| known.online.contains(user))
            || self.others.values().any(|other| other.online.contains(user))
    }

    /// Gives a room's digest to the gateways that look and do not have it.
    fn give(&mut self, room: Uuid) {
        let Self { gateways, rooms, .. } = self;
        let Some(Room { digest, version, .. }) = rooms.get(&room).filter(|room| room.version > 0) else {
            return;
        };
        for known in gateways.values_mut() {
            let Known { looks, items, .. } = known;
            if let Some(given) = looks.get_mut(&room).filter(|given| **given != *version) {
                let presence = FeedPresence { feed_id: room.to_string(), ephemeral: digest.clone() };
                if send(items, Item::Presence(presence)) {
                    *given = *version;
                }
            }
        }
    }

    /// Forgets rooms that nobody looks at, gateways that did not come back and processes that are silent.
    fn forget(&mut self, every: Duration) {
        let Self { gateways, others, rooms, version, .. } = self;
        let known = gateways.len() + others.len();
        gateways.retain(|_, known| known.left.is_none_or(|left| left.elapsed() < every));
        others.retain(|_, other| other.heard.elapsed() < every * others::SILENT_AFTER);
        if gateways.len() + others.len() < known {
            *version += 1;
        }
        rooms.retain(|room, state| {
            let looked = gateways.values().any(|known| known.looks.contains_key(room));
            looked || state.made.is_some_and(|made| made.elapsed() < every)
        });
    }
}

/// Sends an item unless the gateway has much to read. False when it was not sent.
fn send(items: &mpsc::WeakSender<AttachResponse>, item: Item) -> bool {
    let Some(items) = items.upgrade() else { return false };
    items.capacity() * 2 > items.max_capacity() && items.try_send(AttachResponse { item: Some(item) }).is_ok()
}

fn ids(texts: &[String]) -> impl Iterator<Item = Uuid> {
    texts.iter().filter_map(|text| Uuid::try_parse(text).ok())
}

/// Ids of 16 bytes each.
fn unpacked(bytes: &[u8]) -> impl Iterator<Item = Uuid> {
    bytes.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok())
}

#[cfg(test)]
mod tests;
