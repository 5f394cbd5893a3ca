//! What a queue is, and what is told of it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Envelope, memory::MemoryBus};

/// A queue: what it is called, what goes into it, and how failures are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Unique among all services.
    pub name: String,
    /// The kinds of messages that go into it: what a message type is behind `urn:message:`.
    pub kinds: Vec<String>,
    /// How failures are tried again; as the bus does with all that say nothing, if nothing.
    pub retry: Option<RetryPolicy>,
    /// Further tries without a pause, where only these differ from what the bus does.
    pub immediate: Option<u32>,
}

impl QueueSpec {
    /// A queue that is retried as the bus does.
    pub fn new(name: &str, kinds: impl IntoIterator<Item = String>) -> Self {
        Self { name: name.into(), kinds: kinds.into_iter().collect(), retry: None, immediate: None }
    }

    /// A failure is not tried again at once: what failed a moment ago is still as it was. The pauses are the bus's.
    #[must_use]
    pub const fn never_at_once(mut self) -> Self {
        self.immediate = Some(0);
        self
    }

    /// With these retries, unless it has some of its own.
    #[must_use]
    pub fn retrying(mut self, usual: &RetryPolicy) -> Self {
        self.retry = Some(self.policy_or(usual));
        self
    }

    /// How failures are tried again.
    pub(super) fn policy(&self) -> RetryPolicy {
        self.policy_or(&RetryPolicy::default())
    }

    fn policy_or(&self, usual: &RetryPolicy) -> RetryPolicy {
        let immediate = self.immediate.unwrap_or(usual.immediate);
        self.retry.clone().unwrap_or_else(|| RetryPolicy { immediate, delays: usual.delays.clone() })
    }

    /// Whether its consumer understands a message.
    pub(super) fn takes(&self, message: &Envelope) -> bool {
        message.kinds().any(|kind| self.kinds.iter().any(|known| known == kind))
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

/// Tries at once, before anything is put off.
const IMMEDIATE: u32 = 3;

impl RetryPolicy {
    /// Three times at once, and again after each of these pauses.
    pub fn after(delays: Vec<Duration>) -> Self {
        Self { immediate: IMMEDIATE, delays }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::after([5, 60, 900].map(Duration::from_secs).to_vec())
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

    pub(super) const fn of(bus: MemoryBus) -> Self {
        Self(Some(bus))
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
    /// There is no further pause: what fails now has failed for good.
    pub last: bool,
}

/// Why a handler could not handle a message.
#[derive(Debug)]
pub enum HandlerError {
    /// It may work later.
    Retry(anyhow::Error),
    /// It never will: straight to the error queue.
    Poison(anyhow::Error),
}

/// How a bus is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It takes messages.
    #[default]
    Good,
    /// There is no connection; why.
    Away(String),
    /// There is one, and it takes no messages for the time being; why.
    Blocked(String),
}

/// What is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Messages that its consumer does not understand.
    pub skipped: u64,
    /// When the oldest message that has not failed came in; if nobody tells, since when the queue was not seen empty.
    pub oldest_at: Option<OffsetDateTime>,
    /// Messages that this process has handled.
    pub handled: u64,
    /// Tries of this process that failed.
    pub failures: u64,
}

/// Why a message is in an error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedReason {
    /// It was tried to the end.
    Fault,
    /// The queue's consumer does not understand it.
    Skipped,
}

/// A message in an error queue.
#[derive(Clone, Debug)]
pub struct FailedMessage {
    /// The entry's id.
    pub id: Uuid,
    /// The queue in which it failed.
    pub queue: String,
    /// Why it is here.
    pub reason: FailedReason,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed for good.
    pub failed_at: OffsetDateTime,
    /// As it came.
    pub body: Bytes,
    /// The message, if it is one.
    pub envelope: Option<Envelope>,
    /// What was noted beside it: `MT-Reason`, `MT-Fault-Message` and so on.
    pub headers: BTreeMap<String, String>,
}
