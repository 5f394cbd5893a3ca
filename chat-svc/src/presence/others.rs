//! Presence between processes, over the cache's pub/sub: while somebody looks anywhere, every process tells once per interval
//! who is online at its gateways. Lost words are made good by the next; without the cache each process knows only its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh::cache::Cache;
use prost::Message as _;
use proto::chat::internal::v1::PresenceHint;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Other, Presence, unpacked};

const CHANNEL: &str = "chat.presence";
/// A process that is silent for so many intervals is gone.
pub(super) const SILENT_AFTER: u32 = 3;
/// Waited before a cache that is gone is listened to again.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells other processes, until `stop`.
pub(crate) async fn tell(presence: Arc<Presence>, cache: Cache, origin: Uuid, stop: CancellationToken) {
    let mut interval = tokio::time::interval(presence.every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = false;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = presence.tell_others.notified() => {}
            () = stop.cancelled() => return,
        }
        let Some(hint) = presence.hint(origin, looked) else {
            looked = false;
            continue;
        };
        looked = hint.looks;
        let published = cache.publish(CHANNEL, hint.encode_to_vec().into());
        if !matches!(tokio::time::timeout(presence.every, published).await, Ok(Ok(()))) {
            metrics::counter!("loquat_chat_presence_lost_total").increment(1);
        }
    }
}

/// Listens to other processes, until `stop`.
pub(crate) async fn listen(presence: Arc<Presence>, cache: Cache, origin: Uuid, stop: CancellationToken) {
    let origin = origin.to_string();
    let mut told = cache.subscribe(CHANNEL).await;
    loop {
        let hint = tokio::select! {
            hint = told.recv() => hint,
            () = stop.cancelled() => return,
        };
        match hint {
            Some(Ok(bytes)) => presence.hear(&origin, bytes),
            // The next ones are complete.
            Some(Err(_)) => {}
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl Presence {
    /// What to tell others; nothing when nobody looks anywhere. That we look no longer is told once.
    fn hint(&self, origin: Uuid, looked: bool) -> Option<PresenceHint> {
        let state = self.state();
        let looks = state.wants_to_know();
        if !looks && !looked && !state.others.values().any(|other| other.looks) {
            return None;
        }
        let online: HashSet<Uuid> = state.gateways.values().flat_map(|known| known.online.iter().copied()).collect();
        drop(state);
        let online = online.iter().flat_map(|user| *user.as_bytes()).collect::<Bytes>();
        Some(PresenceHint { origin: origin.to_string(), looks, online })
    }

    /// Another process tells.
    fn hear(&self, own_origin: &str, bytes: Bytes) {
        let Ok(hint) = PresenceHint::decode(bytes) else { return };
        if hint.origin == own_origin {
            return;
        }
        let other = Other { online: unpacked(&hint.online).collect(), looks: hint.looks, heard: Instant::now() };
        let mut state = self.state();
        let looked = state.others.values().any(|other| other.looks);
        let before = state.others.insert(hint.origin, other);
        let same = before.as_ref().is_some_and(|before| {
            let now = unpacked(&hint.online);
            before.online.len() == hint.online.len() / 16 && now.into_iter().all(|user| before.online.contains(&user))
        });
        state.version += u64::from(!same);
        state.ask_gateways();
        drop(state);
        // Who begins to look hears of us at once.
        if hint.looks && !looked {
            self.tell_others.notify_one();
        }
    }
}
