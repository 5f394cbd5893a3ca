//! Events between services: published to everybody who declared a queue for their kind, handled by named queues with retry,
//! delay and an error queue. Delivery is at least once; consumers use the inbox.
//!
//! Names, envelope and rules are MassTransit's (documented at masstransit.io: topology, exceptions), so that the bus within a
//! process, a broker and other programs on that broker behave alike.

mod address;
mod amqp;
mod attempt;
mod envelope;
mod fault;
pub mod memory;
mod queue;
mod stats;

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::{
    address::{Destination, exchange_of},
    amqp::{AmqpConfig, QueueType, Translate},
    envelope::Envelope,
    queue::{
        Delivery, FailedMessage, FailedReason, HandlerError, Health, Interest, QueueSpec, QueueStatus, RetryPolicy,
    },
};
use self::{amqp::AmqpBus, memory::MemoryBus};
use crate::{audit::Note, clock::Clock, db::Db, lifecycle::Tasks};

/// A bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    kind: Kind,
    /// How queues are retried that say nothing of it.
    usual: Arc<RetryPolicy>,
}

#[derive(Clone)]
enum Kind {
    Memory(MemoryBus),
    Amqp(AmqpBus),
}

/// Why the bus refused.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Its URL names no broker that this build can use. Passwords are not repeated.
    #[error("{0}")]
    Url(String),
    /// Its database refused.
    #[error("{0}")]
    Db(#[from] sea_orm::DbErr),
    /// A message that cannot be written or read.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The page token is not one that was given.
    #[error("the page token is not one that this call gave")]
    PageToken,
    /// There is no connection to the broker.
    #[error("the broker is away: {0}")]
    Away(String),
    /// The connection ended, or the broker took too long, before it confirmed a message. It may have it.
    #[error("the broker did not confirm a message: {0}")]
    Unconfirmed(String),
    /// No queue took a message that one of ours is for.
    #[error("no queue took the message: {0}")]
    Returned(String),
    /// The broker refused what was asked of it.
    #[error("the broker refused: {0}")]
    Refused(String),
}

impl Bus {
    /// The bus of one process, with its queues in `db`, whose tables [`memory::migration`] makes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn open_memory(db: Db, clock: Clock) -> Result<Self, BusError> {
        Ok(Self::of(Kind::Memory(MemoryBus::open(db, clock).await?)))
    }

    /// A bus over a broker. A broker that is away is waited for a moment and then looked for in the background.
    ///
    /// # Errors
    /// When the URL is not one.
    pub async fn open_amqp(config: AmqpConfig, clock: Clock, tasks: &Tasks) -> Result<Self, BusError> {
        Ok(Self::of(Kind::Amqp(AmqpBus::open(config, clock, tasks).await?)))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, usual: Arc::default() }
    }

    /// Retries queues so that say nothing of it. Those of other processes must be told the same.
    #[must_use]
    pub fn retrying(mut self, usual: RetryPolicy) -> Self {
        self.usual = Arc::new(usual);
        self
    }

    /// Which kinds anybody has declared a queue for.
    pub fn interest(&self) -> Interest {
        match &self.kind {
            Kind::Memory(bus) => Interest::of(bus.clone()),
            // Other programs may have queues of their own there.
            Kind::Amqp(_) => Interest::everything(),
        }
    }

    /// Publishes messages. OK means that every queue that was declared for their kinds holds them durably.
    ///
    /// # Errors
    /// When the bus cannot take them; all may be published again.
    pub async fn publish(&self, messages: Vec<Envelope>) -> Result<(), BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.publish(&messages).await,
            Kind::Amqp(bus) => bus.publish(messages).await,
        }
    }

    /// Sends a message to one place, whatever its kind. OK means that it is there durably.
    ///
    /// # Errors
    /// When the bus cannot take it, or there is no such queue.
    pub async fn send(&self, to: &Destination, message: &Envelope) -> Result<(), BusError> {
        let body = serde_json::to_vec(message)?;
        self.send_bytes(to, Some(message.message_id), body.into()).await
    }

    /// The same with bytes as they are: what another program wrote, or what is no envelope at all.
    ///
    /// # Errors
    /// When the bus cannot take it, or there is no such queue.
    pub async fn send_bytes(&self, to: &Destination, message_id: Option<Uuid>, body: Bytes) -> Result<(), BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.send(to, message_id, &body).await,
            Kind::Amqp(bus) => bus.send(to, message_id, body).await,
        }
    }

    /// Declares a queue, durably, or another set of kinds for it. Must happen before what goes into it is published.
    ///
    /// # Errors
    /// When the bus refuses. A broker that is away does not: the queue is declared when it is back.
    pub async fn declare(&self, queue: &QueueSpec) -> Result<(), BusError> {
        let queue = queue.clone().retrying(&self.usual);
        match &self.kind {
            Kind::Memory(bus) => bus.declare(&queue).await,
            Kind::Amqp(bus) => bus.declare(&queue).await,
        }
    }

    /// Handles a queue's messages until `stop`, at most `prefetch` at a time, and finishes those under way. A message is
    /// acknowledged after the handler returned OK; a panic counts as a failure.
    pub async fn consume<H, F>(&self, queue: &QueueSpec, prefetch: usize, stop: CancellationToken, handler: H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        let queue = queue.clone().retrying(&self.usual);
        match &self.kind {
            Kind::Memory(bus) => bus.consume(&queue, prefetch, stop, handler).await,
            Kind::Amqp(bus) => bus.consume(&queue, prefetch, stop, handler).await,
        }
    }

    /// How the bus is.
    pub fn health(&self) -> Health {
        match &self.kind {
            Kind::Memory(_) => Health::Good,
            Kind::Amqp(bus) => bus.health(),
        }
    }

    /// Every queue with what is in it, by name.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.queues().await,
            Kind::Amqp(bus) => bus.queues().await,
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
        match &self.kind {
            Kind::Memory(bus) => bus.failed(queue, page_size, page_token).await,
            Kind::Amqp(bus) => bus.failed(queue, page_size, page_token).await,
        }
    }

    /// One failed message.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn failed_one(&self, id: Uuid) -> Result<Option<FailedMessage>, BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.failed_one(id).await,
            Kind::Amqp(bus) => bus.failed_one(id).await,
        }
    }

    /// Puts a failed message back into its queue. False when there is none. What is noted of it stands in its own transaction where
    /// the queues are rows; what a broker is asked for is noted before, and once more when it failed.
    ///
    /// # Errors
    /// When the bus does not answer, or it cannot be noted: nothing has happened then.
    pub async fn retry(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.retry(id, note).await,
            Kind::Amqp(bus) => bus.retry(id, note).await,
        }
    }

    /// Throws a failed message away. False when there is none. Noted like [`Bus::retry`].
    ///
    /// # Errors
    /// When the bus does not answer, or it cannot be noted.
    pub async fn discard(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        match &self.kind {
            Kind::Memory(bus) => bus.discard(id, note).await,
            Kind::Amqp(bus) => bus.discard(id, note).await,
        }
    }
}
