//! What may be forgotten: short-lived values, counters for limits, and hints between processes.
//!
//! Nothing here is ever the only copy of anything. The in-process cache is bounded in entries.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::broadcast;

/// How many values are kept at most.
const MAX_ENTRIES: u64 = 100_000;
/// How many hints may wait for one subscriber.
const HINTS: usize = 1024;

/// A cache with hints. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Arc<Memory>),
}

struct Memory {
    values: moka::sync::Cache<String, Value>,
    channels: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
}

#[derive(Clone)]
struct Value {
    bytes: Bytes,
    count: u64,
    ends: Instant,
}

/// Why the cache refused.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL names no cache that this build can use.
    #[error("cache.url: {0:?} is not supported; use memory:")]
    Url(String),
}

impl Cache {
    /// Opens a cache: `memory:`.
    ///
    /// # Errors
    /// When the URL is not supported.
    pub fn open(url: &str) -> Result<Self, CacheError> {
        if url != "memory:" {
            return Err(CacheError::Url(url.into()));
        }
        let values =
            moka::sync::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(Duration::from_secs(86_400)).build();
        Ok(Self(Kind::Memory(Arc::new(Memory { values, channels: Mutex::default() }))))
    }

    /// A value that has not ended.
    ///
    /// # Errors
    /// When the cache does not answer.
    #[allow(clippy::unused_async, reason = "a cache over the network answers later")]
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let Kind::Memory(memory) = &self.0;
        Ok(memory.values.get(key).filter(Value::lives).map(|value| value.bytes))
    }

    /// Sets a value for some time.
    ///
    /// # Errors
    /// When the cache does not answer.
    #[allow(clippy::unused_async, reason = "a cache over the network answers later")]
    pub async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError> {
        let Kind::Memory(memory) = &self.0;
        memory.values.insert(key.into(), Value { bytes, count: 0, ends: Instant::now() + ttl });
        Ok(())
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// When the cache does not answer.
    #[allow(clippy::unused_async, reason = "a cache over the network answers later")]
    pub async fn delete(&self, key: &str) -> Result<(), CacheError> {
        let Kind::Memory(memory) = &self.0;
        memory.values.invalidate(key);
        Ok(())
    }

    /// Counts one more, and tells how many there were within `ttl` of the first.
    ///
    /// # Errors
    /// When the cache does not answer.
    #[allow(clippy::unused_async, reason = "a cache over the network answers later")]
    pub async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, CacheError> {
        let Kind::Memory(memory) = &self.0;
        let entry = memory.values.entry(key.into()).and_upsert_with(|old| match old.map(moka::Entry::into_value) {
            Some(value) if value.lives() => Value { count: value.count + 1, ..value },
            _ => Value { bytes: Bytes::new(), count: 1, ends: Instant::now() + ttl },
        });
        Ok(entry.into_value().count)
    }

    /// Tells everybody who listens now.
    ///
    /// # Errors
    /// When the cache does not answer.
    #[allow(clippy::unused_async, reason = "a cache over the network answers later")]
    pub async fn publish(&self, channel: &str, hint: Bytes) -> Result<(), CacheError> {
        let Kind::Memory(memory) = &self.0;
        if let Some(sender) = memory.channels().get(channel) {
            // An error says that nobody listens.
            let _ = sender.send(hint);
        }
        Ok(())
    }

    /// Listens from now on.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        let Kind::Memory(memory) = &self.0;
        let mut channels = memory.channels();
        Subscription(channels.entry(channel.into()).or_insert_with(|| broadcast::channel(HINTS).0).subscribe())
    }
}

impl Memory {
    fn channels(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Bytes>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    fn lives(&self) -> bool {
        Instant::now() < self.ends
    }
}

/// So many hints were lost: ask whoever knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

/// Somebody who listens.
pub struct Subscription(broadcast::Receiver<Bytes>);

impl Subscription {
    /// The next hint; an error when some were lost, nothing when the cache is gone.
    pub async fn recv(&mut self) -> Option<Result<Bytes, Lagged>> {
        match self.0.recv().await {
            Ok(hint) => Some(Ok(hint)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(Lagged(lost))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
