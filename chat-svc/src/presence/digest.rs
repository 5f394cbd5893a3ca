//! Makes the digests of the rooms that are looked at.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use mesh::db::Db;
use prost::Message as _;
use proto::chat::v1::{Ephemeral, Presence as Digest, ephemeral::Body};
use sea_orm::DbErr;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Presence, State};
use crate::store;

/// How many members a digest names; it counts all.
const MAX_NAMED: usize = 200;
/// The members of a larger room are read again each time instead of kept.
const MAX_KEPT: usize = 4096;
/// Waited before they are looked through again.
const PAUSE: Duration = Duration::from_millis(10);
/// Rooms are looked through so many times in an interval, so that each has its own.
const LOOKS_PER_INTERVAL: u32 = 5;

/// Makes digests and gives them to gateways, until `stop`.
pub(crate) async fn run(presence: Arc<Presence>, db: Db, stop: CancellationToken) {
    let mut look = tokio::time::interval((presence.every / LOOKS_PER_INTERVAL).max(Duration::from_millis(10)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = presence.wake.notified() => {}
            () = stop.cancelled() => return,
        }
        for room in presence.due() {
            if let Err(cause) = presence.make(&db, room).await {
                tracing::warn!(%room, %cause, "the members of a room could not be read for its presence");
            }
        }
        presence.give_all();
        // However often somebody begins to look.
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Presence {
    /// The rooms whose digest must be made: for the first time, or because something changed and the interval is over.
    fn due(&self) -> Vec<Uuid> {
        let changed = std::mem::take(&mut *self.changed_rooms());
        let mut state = self.state();
        state.forget(self.every);
        state.ask_gateways();
        self.looked.store(!state.rooms.is_empty(), Ordering::Relaxed);
        let State { rooms, version, .. } = &mut *state;
        for room in changed {
            if let Some(room) = rooms.get_mut(&room) {
                room.members = None;
                room.stale = true;
            }
        }
        let due = rooms.iter().filter(|(_, room)| match room.made {
            None => true,
            Some(made) => made.elapsed() >= self.every && (room.stale || room.online != *version),
        });
        due.map(|(id, _)| *id).collect()
    }

    /// Makes one room's digest, reading its members unless they are known.
    pub(super) async fn make(&self, db: &Db, id: Uuid) -> Result<(), DbErr> {
        let known = {
            let mut state = self.state();
            let Some(room) = state.rooms.get_mut(&id) else { return Ok(()) };
            // Noted before reading, so that a database that fails is asked once per interval.
            room.made = Some(Instant::now());
            room.stale = false;
            room.members.clone()
        };
        let members = match known {
            Some(members) => members,
            None => match store::member::ids(db.reader(), id).await {
                Ok(members) => members.into(),
                Err(cause) => {
                    self.state().rooms.entry(id).and_modify(|room| room.stale = true);
                    return Err(cause);
                }
            },
        };
        let mut state = self.state();
        let (online, digest) = (state.version, digest(&state, id, &members));
        let Some(room) = state.rooms.get_mut(&id) else { return Ok(()) };
        room.online = online;
        room.members = (members.len() <= MAX_KEPT && !room.stale).then_some(members);
        if room.version == 0 || room.digest != digest {
            room.version += 1;
            room.digest = digest;
        }
        state.give(id);
        Ok(())
    }

    /// Gives digests to gateways that do not have them: they began to look, or had no room for it.
    fn give_all(&self) {
        let mut state = self.state();
        let rooms: Vec<Uuid> = state.rooms.keys().copied().collect();
        rooms.into_iter().for_each(|room| state.give(room));
    }
}

/// The bytes of a digest. Members stand by rising id, so that the same people are the same bytes.
fn digest(state: &State, room: Uuid, members: &[Uuid]) -> Bytes {
    let online = members.iter().filter(|user| state.is_online(user));
    let (mut count, mut named) = (0_u32, Vec::new());
    for user in online {
        count += 1;
        if named.len() < MAX_NAMED {
            named.push(user.to_string());
        }
    }
    let digest = Digest { online_user_ids: named, online_count: count };
    Ephemeral { feed_id: room.to_string(), body: Some(Body::Presence(digest)) }.encode_to_vec().into()
}
