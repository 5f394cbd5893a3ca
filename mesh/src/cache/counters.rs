//! Counts in windows of time, for all processes and for this one.

use std::time::Duration;

use super::Cache;

/// Counts in the shared cache for all processes and here for this one. While the shared cache is away this process alone counts on
/// from where it is: nobody gets more than with a single process, and nobody is refused for the outage.
pub struct Counters {
    shared: Cache,
    here: Cache,
    alone: &'static str,
}

impl Counters {
    /// `here` is a cache of this process, `alone` the metric of what it counted alone.
    pub const fn new(shared: Cache, here: Cache, alone: &'static str) -> Self {
        Self { shared, here, alone }
    }

    /// Counts one, and tells how many there are in the window that the first one began.
    pub async fn increment(&self, key: &str, window: Duration) -> u64 {
        let (here, shared) = tokio::join!(self.here.increment(key, window), self.shared.increment(key, window));
        if let Err(cause) = &shared {
            tracing::debug!(%cause, metric = self.alone, "this is counted in this process alone");
            metrics::counter!(self.alone).increment(1);
        }
        here.unwrap_or(0).max(shared.unwrap_or(0))
    }
}
