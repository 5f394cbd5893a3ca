//! How much one account, one address and everybody together may ask for, and how many connections they may hold.
//!
//! Calls are counted in this process, without a lock or a round trip; what was counted is settled with the other gateways over the
//! cache from time to time (`settle`), and goes on being counted here when the cache is away. Connections are rarer and are asked
//! about when they are opened. What an account may do besides is decided by services.

mod meter;
mod party;
mod seat;
mod settle;
#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use mesh::{cache::Cache, errors};
use serde::{Deserialize, Serialize};
use tonic::Status;

use self::{
    meter::{Meter, Rate},
    party::Parties,
};
pub(crate) use self::{party::Party, seat::Seat, settle::run as settle};

/// Who asks too much, and of what: as it is told and counted.
type Reason = &'static str;

/// What costs more than most calls: as tables of methods name it, and what a refusal says.
const CLASSES: [(&str, Reason); 5] = [
    ("sends", "SENDS_PER_ACCOUNT"),
    ("searches", "SEARCHES_PER_ACCOUNT"),
    ("uploads", "UPLOADS_PER_ACCOUNT"),
    ("rooms", "ROOMS_PER_ACCOUNT"),
    ("invitations", "INVITATIONS_PER_ACCOUNT"),
];

/// How long who has too many connections should wait: nobody knows when one ends.
const COME_BACK: Duration = Duration::from_secs(5);

/// A class of calls with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(usize);

impl Class {
    /// Uploads that are begun.
    pub(crate) const UPLOADS: Self = Self(2);

    /// The class that a table of methods names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        CLASSES.iter().position(|(known, _)| *known == name).map(Self)
    }
}

/// The section `gateway.limits`. 0 is no limit. Accounts and addresses are counted over all gateways that share a cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Calls of one account in a second, over every transport. Default 10,000.
    pub calls_per_account: u32,
    /// Calls from one IPv4 address or IPv6 /64 network in a second. Loopback is not counted. Default 20,000.
    pub calls_per_address: u32,
    /// Calls that one gateway takes in a second. Default 100,000.
    pub calls_altogether: u32,
    /// For how many seconds' worth of these, and of `sends_per_account`, may come at once. Default 20.
    pub burst_seconds: NonZeroU32,
    /// Messages that one account sends in a second. Default 5,000.
    pub sends_per_account: u32,
    /// Searches of one account in a minute, for people and for files. Default 6,000.
    pub searches_per_account: u32,
    /// Uploads that one account begins in a minute. Default 6,000.
    pub uploads_per_account: u32,
    /// Rooms that one account makes in a minute. Default 3,000.
    pub rooms_per_account: u32,
    /// Invitations that one account makes in a minute. Default 3,000.
    pub invitations_per_account: u32,
    /// Sockets and streams that one account has open. Default 1,000.
    pub sockets_per_account: u32,
    /// Sockets and streams from one IPv4 address or IPv6 /64 network. Loopback is not counted. Default 5,000.
    pub sockets_per_address: u32,
    /// Sockets and streams that one gateway serves: less than `gateway.max_connections`, so that calls find a place when it is
    /// full. Default 18,000.
    pub sockets_altogether: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            calls_per_account: 10_000,
            calls_per_address: 20_000,
            calls_altogether: 100_000,
            burst_seconds: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
            sends_per_account: 5_000,
            searches_per_account: 6_000,
            uploads_per_account: 6_000,
            rooms_per_account: 3_000,
            invitations_per_account: 3_000,
            sockets_per_account: 1000,
            sockets_per_address: 5000,
            sockets_altogether: 18_000,
        }
    }
}

/// The configuration as it is compared with.
struct Rates {
    account: Option<Rate>,
    address: Option<Rate>,
    altogether: Option<Rate>,
    classes: [Option<Rate>; CLASSES.len()],
    sockets: LimitsConfig,
}

impl Rates {
    fn of(config: &LimitsConfig) -> Self {
        let second = |calls| Rate::per_second(calls, config.burst_seconds);
        Self {
            account: second(config.calls_per_account),
            address: second(config.calls_per_address),
            altogether: second(config.calls_altogether),
            classes: [
                second(config.sends_per_account),
                Rate::per_minute(config.searches_per_account),
                Rate::per_minute(config.uploads_per_account),
                Rate::per_minute(config.rooms_per_account),
                Rate::per_minute(config.invitations_per_account),
            ],
            sockets: config.clone(),
        }
    }
}

/// What was asked for so far.
pub(crate) struct Limits {
    rates: Rates,
    parties: Parties,
    calls: Meter,
    sockets: AtomicU32,
    began: Instant,
    /// What other gateways count in as well; nothing when there are none.
    shared: Option<Cache>,
    /// Which gateway this is, among those.
    name: String,
}

impl Limits {
    /// Nothing was asked for yet. `cache` is shared with other gateways if it can be.
    pub(crate) fn new(config: &LimitsConfig, cache: Cache) -> Arc<Self> {
        Arc::new(Self {
            rates: Rates::of(config),
            parties: Parties::default(),
            calls: Meter::default(),
            sockets: AtomicU32::new(0),
            began: Instant::now(),
            shared: Some(cache).filter(Cache::is_shared),
            name: mesh::ids::new_id().to_string(),
        })
    }

    /// Nanoseconds since it began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts a call of somebody, whoever it is, from a network that counts.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with when to come back.
    pub(crate) fn arrives(&self, network: Option<&Party>) -> Result<(), Status> {
        let now = self.now();
        if let (Some(network), Some(rate)) = (network, &self.rates.address) {
            network.calls.take(rate, now).map_err(|after| too_often("CALLS_PER_ADDRESS", after))?;
        }
        let Some(rate) = &self.rates.altogether else { return Ok(()) };
        self.calls.take(rate, now).map_err(|after| too_often("CALLS_ALTOGETHER", after))
    }

    /// Counts a call of an account, of a class that costs more if it is one.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with when to come back.
    pub(crate) fn calls(&self, account: &Party, class: Option<Class>) -> Result<(), Status> {
        let now = self.now();
        if let Some(rate) = &self.rates.account {
            account.calls.take(rate, now).map_err(|after| too_often("CALLS_PER_ACCOUNT", after))?;
        }
        let Some(Class(class)) = class else { return Ok(()) };
        match &self.rates.classes[class] {
            Some(rate) => account.class(class).take(rate, now).map_err(|after| too_often(CLASSES[class].1, after)),
            None => Ok(()),
        }
    }

    /// A place for a socket or a stream from a network, whoever it will belong to ([`Seat::belongs_to`]).
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with when to come back.
    pub(crate) async fn seat(self: &Arc<Self>, network: Option<Arc<Party>>) -> Result<Seat, Status> {
        let most = self.rates.sockets.sockets_altogether;
        let seat = Seat::new(self.clone());
        if most > 0 && self.sockets.load(Ordering::Relaxed) > most {
            return Err(too_many("SOCKETS_ALTOGETHER"));
        }
        match network {
            Some(network) => seat.takes(network, self.rates.sockets.sockets_per_address, "SOCKETS_PER_ADDRESS").await,
            None => Ok(seat),
        }
    }
}

fn too_often(reason: Reason, after: Duration) -> Status {
    metrics::counter!("loquat_gateway_limited_total", "limit" => reason).increment(1);
    errors::exhausted(reason, "This was asked for too often; wait before the next time.", after)
}

fn too_many(reason: Reason) -> Status {
    metrics::counter!("loquat_gateway_limited_total", "limit" => reason).increment(1);
    errors::exhausted(reason, "Too many connections are open; close one, or come back later.", COME_BACK)
}
