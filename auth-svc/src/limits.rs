//! Limits on tries, in windows of a minute: per network, per account in a network, per account in all networks that are strange to
//! it, and altogether. Who is refused for one of them takes nothing from those after it, so that nobody's tries shut others out.

use std::time::Duration;

use mesh::{
    authn::Origin,
    cache::{Cache, Counters},
};
use sha2::{Digest as _, Sha256};

use crate::errors::AuthError;

const WINDOW: Duration = Duration::from_secs(60);
/// So many times what it has in one network an account has in all strange networks together.
const STRANGE_NETWORKS: u64 = 10;
/// What has been written down is no news for so long.
const NEWS: Duration = Duration::from_secs(3600);

/// Counts tries.
pub(crate) struct Limits {
    counters: Counters,
    most: Most,
}

/// How many tries a minute has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// In one network.
    pub(crate) per_account: u64,
    /// An IPv4 address or an IPv6 /64 network.
    pub(crate) per_network: u64,
    pub(crate) altogether: u64,
}

/// What is tried. Each has counters of its own: who asks for links takes nobody's tries to sign in away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tried {
    /// To sign in.
    SignIn,
    /// To have a link sent that resets a password.
    Reset,
}

impl Tried {
    /// What the keys of its counters begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::SignIn => "auth.tries",
            Self::Reset => "auth.resets",
        }
    }
}

impl Limits {
    /// `here` is a cache of this process.
    pub(crate) fn new(shared: Cache, here: Cache, most: Most) -> Self {
        Self { counters: Counters::new(shared, here, "loquat_auth_limits_local_total"), most }
    }

    /// Counts a try at an account. From one network there are so many; whoever guesses from many networks at once shuts out the
    /// strange ones only, and `at_home`, which says whether this one is not, is asked no sooner than then.
    pub(crate) async fn count(
        &self,
        tried: Tried,
        account: &str,
        origin: &Origin,
        at_home: impl Future<Output = Result<bool, AuthError>>,
    ) -> Result<(), AuthError> {
        let (prefix, network) = (tried.prefix(), network(origin));
        self.count_in(prefix, network.as_deref()).await?;
        // What was typed may be of any length.
        let account = format!("{prefix}.account.{}", hex::encode(&Sha256::digest(account)[..16]));
        let in_network = format!("{account}.{}", network.as_deref().unwrap_or_default());
        // At once, since the second is this network's own and no other's.
        let (all, in_network) = tokio::join!(self.tries(prefix), self.tries(&in_network));
        refuse_above(all, self.most.altogether)?;
        refuse_above(in_network, self.most.per_account)?;
        // Those who cannot be told from others are one network.
        if network.is_some()
            && self.tries(&account).await > self.most.per_account.saturating_mul(STRANGE_NETWORKS)
            && !at_home.await?
        {
            return Err(AuthError::TooManyTries(WINDOW));
        }
        Ok(())
    }

    /// Counts a try that names no account: of a registration, an invitation, a token.
    pub(crate) async fn count_network(&self, origin: &Origin) -> Result<(), AuthError> {
        let prefix = Tried::SignIn.prefix();
        self.count_in(prefix, network(origin).as_deref()).await?;
        refuse_above(self.tries(prefix).await, self.most.altogether)
    }

    /// Whether this was not written down within the last hour.
    pub(crate) async fn is_news(&self, what: &str) -> bool {
        self.counters.increment(&format!("auth.noted.{what}"), NEWS).await <= 1
    }

    async fn count_in(&self, prefix: &str, network: Option<&str>) -> Result<(), AuthError> {
        let Some(network) = network else { return Ok(()) };
        refuse_above(self.tries(&format!("{prefix}.network.{network}")).await, self.most.per_network)
    }

    async fn tries(&self, key: &str) -> u64 {
        self.counters.increment(key, WINDOW).await
    }
}

/// The network that tries are counted in. Whoever is on this machine, or behind a proxy that is not known to be one, cannot be told
/// from others.
fn network(origin: &Origin) -> Option<String> {
    let known = origin.address.is_some_and(|address| !address.to_canonical().is_loopback());
    known.then(|| origin.network())
}

fn refuse_above(tries: u64, most: u64) -> Result<(), AuthError> {
    if tries > most { Err(AuthError::TooManyTries(WINDOW)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use mesh::lifecycle::Tasks;

    use super::*;

    /// Nobody listens on port 1.
    const CACHES: [&str; 2] = ["memory:", "redis://127.0.0.1:1"];

    fn limits(shared: &str, tasks: &Tasks, altogether: u64) -> Limits {
        let most = Most { per_account: 3, per_network: 4, altogether };
        Limits::new(Cache::open(shared, tasks).unwrap(), Cache::open("memory:", tasks).unwrap(), most)
    }

    fn at(address: &str) -> Origin {
        Origin { address: address.parse().ok(), agent: String::new() }
    }

    /// Tries to sign in from a network that is strange to the account.
    async fn refused(limits: &Limits, account: &str, address: &str) -> bool {
        let strange = std::future::ready(Ok(false));
        let counted = limits.count(Tried::SignIn, account, &at(address), strange).await;
        matches!(counted, Err(AuthError::TooManyTries(_)))
    }

    #[tokio::test]
    async fn tries_are_limited_whether_the_cache_is_there_or_not() {
        let tasks = Tasks::new();
        for shared in CACHES {
            let limits = limits(shared, &tasks, 8);
            for number in 0..3 {
                assert!(!refused(&limits, "alice", &format!("2001:db8::{number}")).await);
            }
            assert!(refused(&limits, "alice", "2001:db8::3").await, "{shared}: an account in a network");
            assert!(refused(&limits, "carol", "2001:db8::1:2:3:4").await, "{shared}: a network of 64 bits");
            assert!(!refused(&limits, "carol", "2001:db8:0:1::1").await, "another network");
            assert!(!refused(&limits, "alice", "203.0.113.1").await, "{shared}: the account in another network");
            assert!(!refused(&limits, "dora", "127.0.0.1").await);
            assert!(!refused(&limits, "dora", "").await);
            assert!(refused(&limits, "emil", "203.0.113.9").await, "{shared}: altogether");
        }
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn one_address_shuts_nobody_else_out() {
        let tasks = Tasks::new();
        for shared in CACHES {
            let limits = limits(shared, &tasks, 8);
            for number in 0..100 {
                let name = format!("somebody{number}");
                assert_eq!(refused(&limits, &name, "203.0.113.1").await, number >= 4, "{shared}: try {number}");
            }
            for number in 0..100 {
                let counted = limits.count_network(&at("203.0.113.1")).await;
                assert!(matches!(counted, Err(AuthError::TooManyTries(_))), "{shared}: token {number}");
            }
            assert!(!refused(&limits, "alice", "203.0.113.2").await, "{shared}: four were counted, not two hundred");
            limits.count_network(&at("203.0.113.3")).await.unwrap();
        }
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_stranger_locks_nobody_out_of_their_account() {
        let tasks = Tasks::new();
        for shared in CACHES {
            let limits = limits(shared, &tasks, 1000);
            for number in 0..4 {
                assert_eq!(refused(&limits, "alice", "203.0.113.1").await, number == 3, "{shared}: try {number}");
            }
            assert!(!refused(&limits, "alice", "198.51.100.7").await, "{shared}: the owner is elsewhere");
            // Thirty in all networks together, of which four are used up: what was refused in one took nothing from the others.
            for number in 0..26 {
                let address = format!("203.0.113.{}", 10 + number / 3);
                assert!(!refused(&limits, "alice", &address).await, "{shared}: try {number}");
            }
            assert!(refused(&limits, "alice", "203.0.113.99").await, "{shared}: one more strange network");
            for _ in 0..2 {
                let home = std::future::ready(Ok(true));
                limits.count(Tried::SignIn, "alice", &at("198.51.100.7"), home).await.unwrap();
            }
            let home = std::future::ready(Ok(true));
            let counted = limits.count(Tried::SignIn, "alice", &at("198.51.100.7"), home).await;
            assert!(matches!(counted, Err(AuthError::TooManyTries(_))), "{shared}: at home there are so many, too");
            assert!(!refused(&limits, "bob", "203.0.113.99").await, "{shared}: another account");
        }
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn where_networks_are_not_known_an_account_has_its_tries_all_the_same() {
        let tasks = Tasks::new();
        let limits = limits("memory:", &tasks, 1000);
        for address in ["127.0.0.1", "::1", ""] {
            assert!(!refused(&limits, "alice", address).await);
        }
        for address in ["127.0.0.1", "::ffff:127.0.0.1", ""] {
            assert!(refused(&limits, "alice", address).await, "{address:?} cannot be told from the others");
        }
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn asking_for_links_takes_no_tries_away() {
        let tasks = Tasks::new();
        let limits = limits("memory:", &tasks, 8);
        let strange = || std::future::ready(Ok(false));
        let asked = async |address: &str| limits.count(Tried::Reset, "alice", &at(address), strange()).await.is_ok();
        for number in 0..4 {
            assert_eq!(asked("203.0.113.1").await, number < 3, "request {number}");
        }
        for number in 0..20 {
            asked(&format!("203.0.113.{}", 2 + number)).await;
        }
        assert!(!asked("203.0.113.99").await, "they are limited altogether");
        assert!(!refused(&limits, "alice", "203.0.113.1").await, "and none of it was a try to sign in");
        tasks.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn what_was_written_down_is_no_news() {
        let tasks = Tasks::new();
        let limits = limits("memory:", &tasks, 8);
        assert!(limits.is_news("one").await);
        assert!(!limits.is_news("one").await);
        assert!(limits.is_news("another").await);
        tasks.stop(Duration::from_secs(5)).await;
    }
}
