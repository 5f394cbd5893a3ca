//! Limits on tries to sign in: per account and altogether, in windows of a minute.

use std::time::Duration;

use mesh::cache::Cache;

use crate::errors::AuthError;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts tries, in the shared cache for all processes and here for this one. While the cache is away this process alone
/// counts on from where it is: nobody gets more tries than with a single process, and nobody is refused for the outage.
pub(crate) struct Limits {
    shared: Cache,
    here: Cache,
    per_account: u64,
    altogether: u64,
}

impl Limits {
    /// `per_account` and `altogether` are tries in a minute; `here` is a cache of this process.
    pub(crate) fn new(shared: Cache, here: Cache, per_account: u64, altogether: u64) -> Self {
        Self { shared, here, per_account, altogether }
    }

    /// Counts a try. An account that is being guessed at answers more slowly; it is never locked for longer than the window.
    pub(crate) async fn count(&self, username: &str) -> Result<(), AuthError> {
        let account = format!("auth.tries.{username}");
        let (tries, all) = tokio::join!(self.tries(&account), self.tries("auth.tries"));
        if tries > self.per_account || all > self.altogether {
            return Err(AuthError::TooManyTries(WINDOW));
        }
        Ok(())
    }

    async fn tries(&self, key: &str) -> u64 {
        let (here, shared) = tokio::join!(self.here.increment(key, WINDOW), self.shared.increment(key, WINDOW));
        if let Err(cause) = &shared {
            tracing::debug!(%cause, "tries to sign in are counted in this process alone");
            metrics::counter!("loquat_auth_limits_local_total").increment(1);
        }
        here.unwrap_or(0).max(shared.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use mesh::lifecycle::Tasks;

    use super::*;

    fn limits(shared: &str, tasks: &Tasks) -> Limits {
        Limits::new(Cache::open(shared, tasks).unwrap(), Cache::open("memory:", tasks).unwrap(), 3, 5)
    }

    #[tokio::test]
    async fn tries_are_limited_whether_the_cache_is_there_or_not() {
        let tasks = Tasks::new();
        // Nobody listens on port 1.
        for shared in ["memory:", "redis://127.0.0.1:1"] {
            let limits = limits(shared, &tasks);
            for _ in 0..3 {
                limits.count("alice").await.unwrap();
            }
            assert!(matches!(limits.count("alice").await, Err(AuthError::TooManyTries(_))), "{shared}");
            limits.count("bob").await.unwrap();
            assert!(matches!(limits.count("carol").await, Err(AuthError::TooManyTries(_))), "{shared}");
        }
        tasks.stop(Duration::from_secs(5)).await;
    }
}
