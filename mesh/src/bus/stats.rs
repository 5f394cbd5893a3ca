//! What this process does with its queues, counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;

/// Counts, by queue.
#[derive(Default)]
pub(super) struct Stats(Mutex<HashMap<String, Counts>>);

/// Of one queue.
#[derive(Clone, Default)]
pub(super) struct Counts {
    pub(super) handled: u64,
    pub(super) failures: u64,
    /// What is being handled, by place; and when it was sent.
    under_way: BTreeMap<u64, OffsetDateTime>,
    next: u64,
}

impl Counts {
    pub(super) fn in_flight(&self) -> u64 {
        self.under_way.len() as u64
    }

    /// When the oldest of what is being handled was sent.
    pub(super) fn oldest(&self) -> Option<OffsetDateTime> {
        self.under_way.values().min().copied()
    }
}

impl Stats {
    pub(super) fn of(&self, queue: &str) -> Counts {
        self.counts().get(queue).cloned().unwrap_or_default()
    }

    /// Counts a message as being handled, until what is returned is dropped.
    pub(super) fn begin<'s>(&'s self, queue: &str, sent_at: OffsetDateTime) -> UnderWay<'s> {
        let mut counts = self.counts();
        let counts = counts.entry(queue.to_owned()).or_default();
        counts.next += 1;
        counts.under_way.insert(counts.next, sent_at);
        UnderWay { stats: self, queue: queue.to_owned(), place: counts.next }
    }

    /// Counts what came of a message. `failures` are the tries that failed.
    pub(super) fn count(&self, queue: &str, done: bool, failures: u32) {
        let mut counts = self.counts();
        let counts = counts.entry(queue.to_owned()).or_default();
        counts.handled += u64::from(done);
        counts.failures += u64::from(failures);
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is being handled.
pub(super) struct UnderWay<'s> {
    stats: &'s Stats,
    queue: String,
    place: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(counts) = self.stats.counts().get_mut(&self.queue) {
            counts.under_way.remove(&self.place);
        }
    }
}
