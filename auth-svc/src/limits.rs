//! Limits on tries to sign in: per account, per network and altogether, in windows of a minute.

use std::time::Duration;

use mesh::{
    authn::Origin,
    cache::{Cache, Counters},
};
use sha2::{Digest as _, Sha256};

use crate::errors::AuthError;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts tries.
pub(crate) struct Limits {
    counters: Counters,
    most: Most,
}

/// How many tries a minute has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) per_account: u64,
    /// An IPv4 address or an IPv6 /64 network.
    pub(crate) per_network: u64,
    pub(crate) altogether: u64,
}

impl Limits {
    /// `here` is a cache of this process.
    pub(crate) fn new(shared: Cache, here: Cache, most: Most) -> Self {
        Self { counters: Counters::new(shared, here, "loquat_auth_limits_local_total"), most }
    }

    /// Counts a try. An account that is being guessed at answers more slowly; it is never locked for longer than the window.
    pub(crate) async fn count(&self, account: &str, origin: &Origin) -> Result<(), AuthError> {
        // What was typed may be of any length.
        let account = format!("auth.tries.account.{}", hex::encode(&Sha256::digest(account)[..16]));
        let (tries, ()) = tokio::try_join!(async { Ok(self.tries(&account).await) }, self.count_network(origin))?;
        if tries > self.most.per_account {
            return Err(AuthError::TooManyTries(WINDOW));
        }
        Ok(())
    }

    /// Counts a try that names no account: of a registration, an invitation, a token.
    pub(crate) async fn count_network(&self, origin: &Origin) -> Result<(), AuthError> {
        let all = self.tries("auth.tries");
        // Whoever is on this machine, or behind a proxy that is not known to be one, cannot be told from others.
        let known = origin.address.is_some_and(|address| !address.to_canonical().is_loopback());
        let network =
            async { if known { self.tries(&format!("auth.tries.network.{}", origin.network())).await } else { 0 } };
        let (all, network) = tokio::join!(all, network);
        if network > self.most.per_network || all > self.most.altogether {
            return Err(AuthError::TooManyTries(WINDOW));
        }
        Ok(())
    }

    async fn tries(&self, key: &str) -> u64 {
        self.counters.increment(key, WINDOW).await
    }
}

#[cfg(test)]
mod tests {
    use mesh::lifecycle::Tasks;

    use super::*;

    fn limits(shared: &str, tasks: &Tasks) -> Limits {
        let most = Most { per_account: 3, per_network: 4, altogether: 8 };
        Limits::new(Cache::open(shared, tasks).unwrap(), Cache::open("memory:", tasks).unwrap(), most)
    }

    fn at(address: &str) -> Origin {
        Origin { address: address.parse().ok(), agent: String::new() }
    }

    #[tokio::test]
    async fn tries_are_limited_whether_the_cache_is_there_or_not() {
        let tasks = Tasks::new();
        // Nobody listens on port 1.
        for shared in ["memory:", "redis://127.0.0.1:1"] {
            let limits = limits(shared, &tasks);
            let refused = async |account: &str, address: &str| {
                matches!(limits.count(account, &at(address)).await, Err(AuthError::TooManyTries(_)))
            };
            for number in 0..3 {
                assert!(!refused("alice", &format!("2001:db8::{number}")).await);
            }
            assert!(refused("alice", "203.0.113.1").await, "{shared}: an account, from wherever");
            assert!(!refused("bob", "2001:db8::ffff").await);
            assert!(refused("carol", "2001:db8::1:2:3:4").await, "{shared}: a network of 64 bits");
            assert!(!refused("carol", "2001:db8:0:1::1").await, "another network");
            assert!(!refused("dora", "127.0.0.1").await);
            assert!(refused("emil", "203.0.113.9").await, "{shared}: altogether");
        }
        tasks.stop(Duration::from_secs(5)).await;
    }
}
