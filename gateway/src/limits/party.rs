//! Whose calls and connections are counted: accounts, and networks.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use uuid::Uuid;

use super::{CLASSES, Limits, Meter};

/// How many are remembered. Those that ask for nothing are forgotten, so that these are those of a minute; further ones are counted
/// only together with everybody.
const MOST: usize = 200_000;

/// Who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Account(Uuid),
    /// An IPv4 address, or the first 64 bits of an IPv6 one: whoever has one of such a network has all of them.
    Network(IpAddr),
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(formatter, "account.{id}"),
            Self::Network(address) => write!(formatter, "network.{address}"),
        }
    }
}

/// What one of them has asked for.
pub(crate) struct Party {
    pub(super) key: Key,
    pub(super) calls: Meter,
    /// Most never ask for any of it.
    classes: OnceLock<Box<[Meter; CLASSES.len()]>>,
    /// Open ones, at this gateway.
    pub(super) sockets: AtomicU32,
}

impl Party {
    fn new(key: Key) -> Arc<Self> {
        let sockets = AtomicU32::new(0);
        Arc::new(Self { key, calls: Meter::default(), classes: OnceLock::new(), sockets })
    }

    pub(super) fn class(&self, class: usize) -> &Meter {
        &self.classes.get_or_init(Box::default)[class]
    }

    /// The classes that it has asked for.
    pub(super) fn classes(&self) -> impl Iterator<Item = (usize, &Meter)> {
        self.classes.get().into_iter().flat_map(|meters| meters.iter().enumerate())
    }

    /// Whether it may be forgotten: forgetting it changes nothing.
    fn is_idle(&self, now: u64) -> bool {
        let empty = self.calls.is_empty(now) && self.classes().all(|(_, meter)| meter.is_empty(now));
        empty && self.sockets.load(Ordering::Relaxed) == 0
    }
}

/// Everybody who has asked for something lately.
#[derive(Default)]
pub(super) struct Parties(Mutex<HashMap<Key, Arc<Party>>>);

impl Parties {
    fn known(&self) -> MutexGuard<'_, HashMap<Key, Arc<Party>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: Key) -> Arc<Party> {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&key) {
            metrics::counter!("loquat_gateway_limits_uncounted_total").increment(1);
            return Party::new(key);
        }
        known.entry(key).or_insert_with(|| Party::new(key)).clone()
    }

    /// All of them, those forgotten that are held by nobody and have asked for nothing of late.
    pub(super) fn sweep(&self, now: u64, with: impl FnMut(&Arc<Party>)) {
        let mut known = self.known();
        known.retain(|_, party| Arc::strong_count(party) > 1 || !party.is_idle(now));
        if known.capacity() > 4 * known.len().max(1024) {
            known.shrink_to_fit();
        }
        known.values().for_each(with);
    }
}

impl Limits {
    /// An account.
    pub(crate) fn account(&self, id: Uuid) -> Arc<Party> {
        self.parties.get(Key::Account(id))
    }

    /// The network of an address. Nothing when it does not count: whoever is on this machine, or behind a proxy that is not known to
    /// be one, cannot be told from others.
    pub(crate) fn network(&self, address: Option<IpAddr>) -> Option<Arc<Party>> {
        let address = address.map(|address| address.to_canonical()).filter(|address| !address.is_loopback())?;
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let bits = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(bits).into()
            }
        };
        Some(self.parties.get(Key::Network(network)))
    }
}
