//! What the writer remembers of rooms and members between transactions.
//!
//! A feed's counter row carries the number of the newest event that changed the room or its members. The row is locked while
//! a transaction decides, so what was read at that number still holds, whichever process wrote last. Bounded in entries.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::store::{feed::Head, member, room};

/// How many feeds, rooms and memberships are remembered; then everything is forgotten and read again.
const MAX_ENTRIES: usize = 50_000;

/// Rooms and memberships, each with the number at which it was read.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Feeds that have a counter: it is never taken away.
    feeds: HashSet<Uuid>,
    /// Where feeds stand; in a database that others write to, where they stood when this process wrote last.
    heads: HashMap<Uuid, Head>,
    rooms: HashMap<Uuid, (u64, room::Model)>,
    members: HashMap<(Uuid, Uuid), (u64, Option<member::Model>)>,
}

impl Known {
    /// Those of these feeds that may not have a counter yet, in the same order.
    pub(crate) fn new_feeds(&self, feeds: &[Uuid]) -> Vec<Uuid> {
        feeds.iter().filter(|feed| !self.feeds.contains(feed)).copied().collect()
    }

    /// Remembers that feeds have a counter.
    pub(crate) fn learn_feeds(&mut self, feeds: &[Uuid]) {
        if self.feeds.len() + feeds.len() > MAX_ENTRIES {
            self.feeds.clear();
        }
        self.feeds.extend(feeds);
    }

    /// Where a feed stands, or stood when this process wrote last.
    pub(crate) fn head(&self, feed: Uuid) -> Option<Head> {
        self.heads.get(&feed).copied()
    }

    /// Remembers where feeds stand.
    pub(crate) fn learn_heads(&mut self, heads: impl IntoIterator<Item = (Uuid, Head)>) {
        if self.heads.len() >= MAX_ENTRIES {
            self.heads.clear();
        }
        self.heads.extend(heads);
    }

    /// A room as it is at `changed`.
    pub(crate) fn room(&self, id: Uuid, changed: u64) -> Option<&room::Model> {
        self.rooms.get(&id).filter(|(at, _)| *at == changed).map(|(_, room)| room)
    }

    /// A membership as it is at `changed`: the inner nothing says that there is none.
    pub(crate) fn member(&self, room_id: Uuid, user_id: Uuid, changed: u64) -> Option<&Option<member::Model>> {
        self.members.get(&(room_id, user_id)).filter(|(at, _)| *at == changed).map(|(_, member)| member)
    }

    /// Remembers a room.
    pub(crate) fn learn_room(&mut self, changed: u64, room: room::Model) {
        if self.rooms.len() >= MAX_ENTRIES {
            self.rooms.clear();
        }
        self.rooms.insert(room.id, (changed, room));
    }

    /// Remembers a membership, or that there is none.
    pub(crate) fn learn_member(&mut self, room_id: Uuid, user_id: Uuid, changed: u64, member: Option<member::Model>) {
        if self.members.len() >= MAX_ENTRIES {
            self.members.clear();
        }
        self.members.insert((room_id, user_id), (changed, member));
    }

    /// Forgets where feeds stand: somebody else moves them as well.
    pub(crate) fn forget_heads(&mut self) {
        self.heads.clear();
    }

    /// Forgets everything: what was read in a transaction that did not happen may never have been true.
    pub(crate) fn forget(&mut self) {
        self.feeds.clear();
        self.heads.clear();
        self.rooms.clear();
        self.members.clear();
    }
}
