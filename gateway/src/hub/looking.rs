//! Presence at this gateway: which clients look at which rooms, and who is online here, as far as chat-svc wants to know.
//!
//! As long as nobody looks, here or elsewhere, nothing is told and nothing is noted. The newest digest of a looked-at room is
//! kept, so that a client that begins to look, or had no room for it, gets it without asking.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use proto::chat::internal::v1::{LookChange, OnlineChange, attach_request::Action};
use uuid::Uuid;

use super::{
    Session,
    frame::{self, Frame},
};

/// How many users or rooms one request to chat-svc names.
const AT_ONCE: usize = 10_000;
/// When more users than this came and went since the last word of it, everybody is told instead.
const MAX_CHANGES: usize = 20_000;

/// Who looks, and what is to be said of it.
#[derive(Default)]
pub(super) struct Looking {
    rooms: HashMap<Uuid, Looked>,
    /// Rooms that are looked at, or no longer, since chat-svc was told.
    changed: Vec<Uuid>,
    /// There may be rooms that nobody looks at any more. They are given back at the next second, so that a client that looks here
    /// and there and here again is no matter of chat-svc's.
    left: bool,
    online: Online,
}

/// A room that is looked at.
#[derive(Default)]
struct Looked {
    lookers: Vec<Looker>,
    digest: Bytes,
    frame: Option<Frame>,
    /// Of the digest; 0 before the first.
    version: u32,
}

struct Looker {
    id: u64,
    session: Arc<Session>,
    /// The version that the client was given.
    given: u32,
}

/// What chat-svc knows of who is online here.
#[derive(Default)]
struct Online {
    /// It is told who comes and goes.
    told: bool,
    /// It must be told everybody.
    whole: bool,
    /// Users who came or went since it was told.
    changed: Vec<Uuid>,
    /// Changes are gathered until the next second.
    due: bool,
}

/// Clients that must be flushed.
type Dirty = Vec<Arc<Session>>;

impl Looking {
    /// A client looks at a room that it follows.
    pub(super) fn enter(&mut self, room: Uuid, session: &Arc<Session>, dirty: &mut Dirty) {
        let looked = self.rooms.entry(room).or_insert_with(|| {
            self.changed.push(room);
            Looked::default()
        });
        self.online.begin();
        if looked.lookers.iter().all(|looker| looker.id != session.id) {
            looked.lookers.push(Looker { id: session.id, session: session.clone(), given: 0 });
        }
        looked.offer(room, dirty);
    }

    /// A client looks at a room no longer, or may not.
    pub(super) fn leave(&mut self, room: Uuid, session_id: u64) {
        if let Some(looked) = self.rooms.get_mut(&room) {
            looked.lookers.retain(|looker| looker.id != session_id);
            self.left |= looked.lookers.is_empty();
        }
    }

    /// Who of a room is online, from chat-svc.
    pub(super) fn digest(&mut self, room: Uuid, bytes: Bytes, dirty: &mut Dirty) {
        let Some(looked) = self.rooms.get_mut(&room) else { return };
        if looked.frame.is_none() || looked.digest != bytes {
            looked.frame = Some(frame::ephemeral(&bytes));
            looked.digest = bytes;
            looked.version += 1;
        }
        looked.offer(room, dirty);
    }

    /// The first session of a user began here, or the last one ended.
    pub(super) fn user_changed(&mut self, user: Uuid) {
        if self.online.told && !self.online.whole {
            self.online.changed.push(user);
            if self.online.changed.len() > MAX_CHANGES {
                self.online.tell_everybody();
            }
        }
    }

    /// Somebody looks elsewhere: chat-svc wants to know who is online here.
    pub(super) fn tell_online(&mut self) {
        self.online.begin();
    }

    /// A new stream to chat-svc is open, on which nothing was said yet.
    pub(super) fn attached(&mut self) {
        self.online = Online::default();
        self.rooms.retain(|_, looked| !looked.lookers.is_empty());
        if !self.rooms.is_empty() {
            self.online.begin();
        }
        self.changed = self.rooms.keys().copied().collect();
    }

    /// A second has passed. Clients that had no room for a digest are offered it again.
    pub(super) fn tick(&mut self, dirty: &mut Dirty) {
        self.online.due = true;
        if std::mem::take(&mut self.left) {
            let left = self.rooms.extract_if(|_, looked| looked.lookers.is_empty());
            self.changed.extend(left.map(|(room, _)| room));
        }
        self.rooms.iter_mut().for_each(|(room, looked)| looked.offer(*room, dirty));
    }

    /// What chat-svc is to be told now: who is online before who looks, so that the first digest is right.
    pub(super) fn asks<T>(&mut self, users: &HashMap<Uuid, T>) -> Vec<Action> {
        let mut asks = self.online.asks(users);
        if self.changed.is_empty() {
            return asks;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for some in changed.chunks(AT_ONCE) {
            let (added, removed): (Vec<Uuid>, Vec<Uuid>) = some.iter().partition(|room| self.rooms.contains_key(*room));
            let texts = |ids: Vec<Uuid>| ids.iter().map(Uuid::to_string).collect();
            asks.push(Action::Look(LookChange { added_room_ids: texts(added), removed_room_ids: texts(removed) }));
        }
        asks
    }
}

impl Looked {
    /// Gives the newest digest to those that do not have it.
    fn offer(&mut self, room: Uuid, dirty: &mut Dirty) {
        let Some(frame) = &self.frame else { return };
        for looker in self.lookers.iter_mut().filter(|looker| looker.given != self.version) {
            if let Some(flush) = looker.session.ephemeral(room, frame) {
                looker.given = self.version;
                if flush {
                    dirty.push(looker.session.clone());
                }
            }
        }
    }
}

impl Online {
    fn begin(&mut self) {
        if !self.told {
            self.told = true;
            self.tell_everybody();
        }
    }

    fn tell_everybody(&mut self) {
        self.whole = true;
        self.changed = Vec::new();
    }

    fn asks<T>(&mut self, users: &HashMap<Uuid, T>) -> Vec<Action> {
        if std::mem::take(&mut self.whole) {
            self.due = false;
            let ids: Vec<Uuid> = users.keys().copied().collect();
            let change = |(number, some): (usize, &[Uuid])| OnlineChange {
                whole: number == 0,
                came: packed(some.iter()),
                gone: Bytes::new(),
            };
            let parts = if ids.is_empty() { vec![ids.as_slice()] } else { ids.chunks(AT_ONCE).collect() };
            return parts.into_iter().enumerate().map(|part| Action::Online(change(part))).collect();
        }
        if !std::mem::take(&mut self.due) || self.changed.is_empty() {
            return Vec::new();
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let here = |user: &&Uuid| users.contains_key(*user);
        let came = packed(changed.iter().filter(here));
        let gone = packed(changed.iter().filter(|user| !here(user)));
        vec![Action::Online(OnlineChange { whole: false, came, gone })]
    }
}

/// Ids of 16 bytes each.
fn packed<'a>(ids: impl Iterator<Item = &'a Uuid>) -> Bytes {
    ids.flat_map(|id| *id.as_bytes()).collect()
}

#[cfg(test)]
mod tests;
