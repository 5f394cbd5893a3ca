//! What may be forgotten: short-lived values, counters for limits, and hints between processes. In this process or on Redis.
//!
//! Nothing here is ever the only copy of anything, and nothing waits for it: whoever asks a cache that is away is told so
//! within [`PATIENCE`] and goes on without it.

mod counters;
mod memory;
mod redis;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;

pub use self::counters::Counters;
use self::{memory::Memory, redis::Redis};
use crate::lifecycle::Tasks;

/// How many hints may wait for one subscriber.
const HINTS: usize = 1024;
/// How long a call waits at most.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// A cache with hints. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Memory),
    Redis(Redis),
}

/// Why the cache refused.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL names no cache that this build can use.
    #[error("cache.url: {0:?} is not supported; use memory: or redis://HOST:PORT")]
    Url(String),
    /// It does not answer just now.
    #[error("the cache does not answer: {0}")]
    Away(String),
}

impl Cache {
    /// Opens a cache: `memory:`, or `redis://USER:PASSWORD@HOST:PORT/DATABASE?prefix=NAME` (all but the host may be left out).
    /// A Redis that is away is looked for until `tasks` stop; nobody waits for it here. Every key and channel on it begins with
    /// `loquat:` and the prefix, so that several servers can share one Redis.
    ///
    /// # Errors
    /// When the URL is not supported.
    pub fn open(url: &str, tasks: &Tasks) -> Result<Self, CacheError> {
        if url == "memory:" {
            return Ok(Self(Kind::Memory(Memory::new())));
        }
        Ok(Self(Kind::Redis(Redis::open(url, tasks)?)))
    }

    /// A value that has not ended.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.get(key)),
            Kind::Redis(redis) => redis.get(key).await,
        }
    }

    /// Sets a value for some time, a day at most.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError> {
        match &self.0 {
            Kind::Memory(memory) => {
                memory.set(key, bytes, ttl);
                Ok(())
            }
            Kind::Redis(redis) => redis.set(key, bytes, ttl).await,
        }
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn delete(&self, key: &str) -> Result<(), CacheError> {
        match &self.0 {
            Kind::Memory(memory) => {
                memory.delete(key);
                Ok(())
            }
            Kind::Redis(redis) => redis.delete(key).await,
        }
    }

    /// Counts one more, and tells how many there were within `ttl` of the first.
    ///
    /// # Errors
    /// When the cache does not answer. It may have counted all the same.
    pub async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, CacheError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.increment(key, ttl)),
            Kind::Redis(redis) => redis.increment(key, ttl).await,
        }
    }

    /// Pours into a bucket that drains by itself, and tells how much is in it: as long as it takes to be empty.
    ///
    /// # Errors
    /// When the cache does not answer. It may have poured all the same.
    pub async fn pour(&self, key: &str, amount: Duration) -> Result<Duration, CacheError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.pour(key, amount)),
            Kind::Redis(redis) => redis.pour(key, amount).await,
        }
    }

    /// Says how many of something `member` has, which is believed for `ttl`, and tells how many all members have that said so.
    ///
    /// # Errors
    /// When the cache does not answer. It may have taken it in all the same.
    pub async fn gauge(&self, key: &str, member: &str, count: u64, ttl: Duration) -> Result<u64, CacheError> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.gauge(key, member, count, ttl)),
            Kind::Redis(redis) => redis.gauge(key, member, count, ttl).await,
        }
    }

    /// Whether other processes may use the same.
    pub const fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Redis(_))
    }

    /// Tells everybody who listens now.
    ///
    /// # Errors
    /// When the cache does not answer. It may have told all the same.
    pub async fn publish(&self, channel: &str, hint: Bytes) -> Result<(), CacheError> {
        match &self.0 {
            Kind::Memory(memory) => {
                memory.publish(channel, hint);
                Ok(())
            }
            Kind::Redis(redis) => redis.publish(channel, hint).await,
        }
    }

    /// Listens from now on. When the cache is away, from its return on: then the subscription begins with [`Lagged`].
    ///
    /// Channels are named in the code, never by what somebody sent: they are not forgotten before the process ends.
    pub async fn subscribe(&self, channel: &str) -> Subscription {
        Subscription(match &self.0 {
            Kind::Memory(memory) => memory.subscribe(channel),
            Kind::Redis(redis) => redis.subscribe(channel).await,
        })
    }
}

/// What a subscription brings.
#[derive(Clone, Debug)]
enum Told {
    Hint(Bytes),
    /// Nobody knows how many were lost.
    Lost,
}

/// Hints were lost: ask whoever knows. How many, or 0 when nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

/// Somebody who listens.
pub struct Subscription(broadcast::Receiver<Told>);

impl Subscription {
    /// The next hint; an error when some were lost, nothing when the cache is gone.
    pub async fn recv(&mut self) -> Option<Result<Bytes, Lagged>> {
        match self.0.recv().await {
            Ok(Told::Hint(hint)) => Some(Ok(hint)),
            Ok(Told::Lost) => Some(Err(Lagged(0))),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(Lagged(lost))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
