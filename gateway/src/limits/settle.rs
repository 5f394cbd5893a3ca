//! Settling with other gateways: once a second, only for those who ask for much, and never on anybody's way.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use mesh::cache::Cache;
use tokio_util::sync::CancellationToken;

use super::{
    CLASSES, Limits, Party,
    meter::{Meter, Rate},
    party::Key,
    seat::is_worth_telling,
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// The same when there are no others, and some are only to be forgotten.
const EVERY_ALONE: Duration = Duration::from_secs(10);
/// How many questions to the cache are under way.
const AT_ONCE: usize = 32;

/// A bucket of somebody: that of all calls, or that of a class.
#[derive(Clone, Copy)]
enum Of {
    Calls,
    Class(usize),
}

/// Runs until `stop`.
pub(crate) async fn run(limits: Arc<Limits>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(if limits.shared.is_some() { EVERY } else { EVERY_ALONE });
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => limits.settle().await,
            () = stop.cancelled() => return,
        }
    }
}

impl Limits {
    /// Forgets those who ask for nothing, and tells the others of those who ask for much.
    pub(super) async fn settle(&self) {
        let (mut poured, mut sockets) = (Vec::new(), Vec::new());
        self.parties.sweep(self.now(), |party| {
            if self.shared.is_some() {
                poured.extend(self.to_tell(party));
                let here = party.sockets.load(Ordering::Relaxed);
                if is_worth_telling(here, self.most_sockets(party)) {
                    sockets.push((party.clone(), here));
                }
            }
        });
        let Some(shared) = &self.shared else { return };
        let pour = |(party, of, amount): (Arc<Party>, Of, Duration)| async move {
            self.pour(shared, &party, of, amount).await
        };
        // A cache that is away or frozen is not waited for once for each of them.
        let answers = futures::stream::iter(poured).map(pour).buffer_unordered(AT_ONCE);
        if !answers.all(std::future::ready).await {
            return;
        }
        let tell = |(party, here): (Arc<Party>, u32)| async move { self.everywhere(&party, here).await.is_some() };
        let answers = futures::stream::iter(sockets).map(tell).buffer_unordered(AT_ONCE);
        let _ = answers.all(std::future::ready).await;
    }

    /// What somebody has asked for that others should know of.
    fn to_tell(&self, party: &Arc<Party>) -> impl Iterator<Item = (Arc<Party>, Of, Duration)> {
        let calls = (Of::Calls, &party.calls);
        let all = std::iter::once(calls).chain(party.classes().map(|(class, meter)| (Of::Class(class), meter)));
        all.filter_map(move |(of, meter)| Some((party.clone(), of, meter.to_tell(&self.rate(party, of)?)?)))
    }

    fn rate(&self, party: &Party, of: Of) -> Option<Rate> {
        match (of, party.key) {
            (Of::Calls, Key::Account(_)) => self.rates.account,
            (Of::Calls, Key::Network(_)) => self.rates.address,
            (Of::Class(class), _) => self.rates.classes[class],
        }
    }

    fn most_sockets(&self, party: &Party) -> u32 {
        match party.key {
            Key::Account(_) => self.rates.sockets.sockets_per_account,
            Key::Network(_) => self.rates.sockets.sockets_per_address,
        }
    }

    /// Adds to what all gateways count, and learns how much that is. Whether the cache has answered.
    async fn pour(&self, shared: &Cache, party: &Party, of: Of, amount: Duration) -> bool {
        let (name, meter): (_, &Meter) = match of {
            Of::Calls => ("calls", &party.calls),
            Of::Class(class) => (CLASSES[class].0, party.class(class)),
        };
        match shared.pour(&format!("gateway.{name}.{}", party.key), amount).await {
            Ok(level) => {
                meter.filled_to(level, self.now());
                true
            }
            Err(cause) => {
                tracing::debug!(%cause, "calls are counted in this process alone");
                metrics::counter!("loquat_gateway_limits_local_total").increment(1);
                false
            }
        }
    }
}
