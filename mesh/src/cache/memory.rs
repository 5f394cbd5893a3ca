//! The cache of one process. Bounded in entries.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::{HINTS, Told};

/// How many values are kept at most.
const MAX_ENTRIES: u64 = 100_000;
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone)]
pub(super) struct Memory(Arc<Inner>);

struct Inner {
    values: moka::sync::Cache<String, Value>,
    /// What members said, by gauge.
    gauges: moka::sync::Cache<String, HashMap<String, Value>>,
    channels: Mutex<HashMap<String, broadcast::Sender<Told>>>,
}

#[derive(Clone)]
struct Value {
    bytes: Bytes,
    count: u64,
    ends: Instant,
}

impl Memory {
    pub(super) fn new() -> Self {
        let values = moka::sync::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(DAY).build();
        let gauges = moka::sync::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(DAY).build();
        Self(Arc::new(Inner { values, gauges, channels: Mutex::default() }))
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.0.values.get(key).filter(Value::lives).map(|value| value.bytes)
    }

    pub(super) fn set(&self, key: &str, bytes: Bytes, ttl: Duration) {
        self.0.values.insert(key.into(), Value { bytes, count: 0, ends: Instant::now() + ttl });
    }

    pub(super) fn delete(&self, key: &str) {
        self.0.values.invalidate(key);
    }

    pub(super) fn increment(&self, key: &str, ttl: Duration) -> u64 {
        let entry = self.0.values.entry(key.into()).and_upsert_with(|old| match old.map(moka::Entry::into_value) {
            Some(value) if value.lives() => Value { count: value.count + 1, ..value },
            _ => Value { bytes: Bytes::new(), count: 1, ends: Instant::now() + ttl },
        });
        entry.into_value().count
    }

    pub(super) fn pour(&self, key: &str, amount: Duration) -> Duration {
        let now = Instant::now();
        let entry = self.0.values.entry(key.into()).and_upsert_with(|old| {
            let ends = old.map_or(now, |old| old.into_value().ends).max(now) + amount;
            Value { bytes: Bytes::new(), count: 0, ends }
        });
        entry.into_value().ends.saturating_duration_since(now)
    }

    pub(super) fn gauge(&self, key: &str, member: &str, count: u64, ttl: Duration) -> u64 {
        let entry = self.0.gauges.entry(key.into()).and_upsert_with(|old| {
            let mut said = old.map(moka::Entry::into_value).unwrap_or_default();
            said.retain(|name, value| name != member && value.lives());
            said.insert(member.into(), Value { bytes: Bytes::new(), count, ends: Instant::now() + ttl });
            said
        });
        entry.into_value().values().map(|value| value.count).sum()
    }

    pub(super) fn publish(&self, channel: &str, hint: Bytes) {
        if let Some(sender) = self.channels().get(channel) {
            // An error says that nobody listens.
            let _ = sender.send(Told::Hint(hint));
        }
    }

    pub(super) fn subscribe(&self, channel: &str) -> broadcast::Receiver<Told> {
        self.channels().entry(channel.into()).or_insert_with(|| broadcast::channel(HINTS).0).subscribe()
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Told>>> {
        self.0.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    fn lives(&self) -> bool {
        Instant::now() < self.ends
    }
}
