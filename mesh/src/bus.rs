//! Events between services: published to everybody who declared a queue for their kind, handled by named queues with retry,
//! delay and an error queue. Delivery is at least once; consumers use the inbox.
//!
//! Names, envelope and rules are MassTransit's (documented at masstransit.io: topology, exceptions), so that the in-process
//! bus and a broker behave alike.

mod envelope;
pub mod memory;

use std::{future::Future, time::Duration};

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::envelope::Envelope;
use self::memory::MemoryBus;
use crate::{clock::Clock, db::Db};

/// A bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Kind);

#[derive(Clone)]
enum Kind {
    Memory(MemoryBus),
}

/// A queue: what it is called, what goes into it, and how failures are tried again.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Unique among all services.
    pub name: String,
    /// The kinds of events that go into it.
    pub kinds: Vec<String>,
    /// How failures are tried again.
    pub retry: RetryPolicy,
}

impl QueueSpec {
    /// A queue with the usual retries.
    pub fn new(name: &str, kinds: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.into(), kinds: kinds.into_iter().collect(), retry: RetryPolicy::default() }
    }
}

/// How a failing message is tried again: at once some times, then after each of these delays (at once some times again),
/// then it goes to the error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Further tries without a pause.
    pub immediate: u32,
    /// Pauses between rounds.
    pub delays: Vec<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { immediate: 3, delays: vec![Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(900)] }
    }
}

/// Which kinds of events anybody wants. An event of another kind would be dropped by the bus, so it need not be written.
/// Cheap to clone.
#[derive(Clone)]
pub struct Interest(Option<MemoryBus>);

impl Interest {
    /// In everything: for a process that cannot know who listens.
    pub const fn everything() -> Self {
        Self(None)
    }

    /// Whether an event of this kind may be wanted.
    pub fn wants(&self, kind: &str) -> bool {
        self.0.as_ref().is_none_or(|bus| bus.is_bound(kind))
    }
}

/// A message as a handler gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message.
    pub envelope: Envelope,
    /// How often it was delayed before.
    pub redelivery: u32,
}

/// Why a handler could not handle a message.
#[derive(Debug)]
pub enum HandlerError {
    /// It may work later.
    Retry(anyhow::Error),
    /// It never will: straight to the error queue.
    Poison(anyhow::Error),
}

/// What is in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// The queue's name.
    pub name: String,
    /// Messages waiting.
    pub ready: u64,
    /// Messages being handled by this process.
    pub in_flight: u64,
    /// Messages waiting for their next try.
    pub delayed: u64,
    /// Messages that failed for good.
    pub failed: u64,
    /// When the oldest message that has not failed came in.
    pub oldest_at: Option<OffsetDateTime>,
}

/// A message in the error queue.
#[derive(Clone, Debug)]
pub struct FailedMessage {
    /// The entry's id.
    pub id: Uuid,
    /// The queue in which it failed.
    pub queue: String,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for good.
    pub failed_at: OffsetDateTime,
    /// The message.
    pub envelope: Envelope,
}

/// Why the bus refused.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Its database refused.
    #[error("{0}")]
    Db(#[from] sea_orm::DbErr),
    /// A message that cannot be written or read.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The page token is not one that was given.
    #[error("the page token is not one that this call gave")]
    PageToken,
}

impl Bus {
    /// The bus of one process, with its queues in `db`, whose tables [`memory::migration`] makes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn open_memory(db: Db, clock: Clock) -> Result<Self, BusError> {
        Ok(Self(Kind::Memory(MemoryBus::open(db, clock).await?)))
    }

    /// Which kinds anybody has declared a queue for.
    pub fn interest(&self) -> Interest {
        match &self.0 {
            Kind::Memory(bus) => Interest(Some(bus.clone())),
        }
    }

    /// Publishes messages. OK means that every queue that was declared for their kinds holds them durably.
    ///
    /// # Errors
    /// When the bus cannot take them; all may be published again.
    pub async fn publish(&self, messages: Vec<Envelope>) -> Result<(), BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.publish(&messages).await,
        }
    }

    /// Declares a queue, durably. Must happen before what goes into it is published.
    ///
    /// # Errors
    /// When the bus refuses.
    pub async fn declare(&self, queue: &QueueSpec) -> Result<(), BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.declare(queue).await,
        }
    }

    /// Handles a queue's messages until `stop`, at most `prefetch` at a time, and finishes those under way. A message is
    /// acknowledged after the handler returned OK; a panic counts as a failure.
    pub async fn consume<H, F>(&self, queue: &QueueSpec, prefetch: usize, stop: CancellationToken, handler: H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        match &self.0 {
            Kind::Memory(bus) => bus.consume(queue, prefetch, stop, handler).await,
        }
    }

    /// Every queue with what is in it, by name.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.queues().await,
        }
    }

    /// A page of failed messages, newest first, of one queue or (empty) of all; and the token of the next page.
    ///
    /// # Errors
    /// When the bus does not answer, or the token is not one of these.
    pub async fn failed(
        &self,
        queue: &str,
        page_size: u64,
        page_token: &str,
    ) -> Result<(Vec<FailedMessage>, String), BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.failed(queue, page_size, page_token).await,
        }
    }

    /// One failed message.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn failed_one(&self, id: Uuid) -> Result<Option<FailedMessage>, BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.failed_one(id).await,
        }
    }

    /// Puts a failed message back into its queue. False when there is none.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn retry(&self, id: Uuid) -> Result<bool, BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.retry(id).await,
        }
    }

    /// Throws a failed message away. False when there is none.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn discard(&self, id: Uuid) -> Result<bool, BusError> {
        match &self.0 {
            Kind::Memory(bus) => bus.discard(id).await,
        }
    }
}
