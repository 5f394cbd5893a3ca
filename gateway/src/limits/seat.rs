//! Places for sockets and streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tonic::Status;

use super::{Limits, Party, Reason, too_many};

/// For how long others believe what a gateway said of its sockets; it says so again every second.
pub(super) const BELIEVED: Duration = Duration::from_secs(3);

/// The place of one socket or stream, given back when it is dropped.
pub(crate) struct Seat {
    limits: Arc<Limits>,
    /// A network and an account, as far as they count.
    of: [Option<Arc<Party>>; 2],
}

impl Seat {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        limits.sockets.fetch_add(1, Ordering::Relaxed);
        Self { limits, of: [None, None] }
    }

    /// It is an account's from now on.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with when to come back.
    pub(crate) async fn belongs_to(self, account: Arc<Party>) -> Result<Self, Status> {
        let most = self.limits.rates.sockets.sockets_per_account;
        self.takes(account, most, "SOCKETS_PER_ACCOUNT").await
    }

    pub(super) async fn takes(mut self, party: Arc<Party>, most: u32, reason: Reason) -> Result<Self, Status> {
        let here = party.sockets.fetch_add(1, Ordering::Relaxed) + 1;
        // From here on it is given back with the seat, also when there is no room for it.
        self.of[usize::from(self.of[0].is_some())] = Some(party.clone());
        if most == 0 {
            return Ok(self);
        }
        let everywhere = if is_worth_telling(here, most) { self.limits.everywhere(&party, here).await } else { None };
        if here.max(everywhere.unwrap_or(here)) > most { Err(too_many(reason)) } else { Ok(self) }
    }
}

/// Others are told of an eighth of what is allowed and more.
pub(super) fn is_worth_telling(here: u32, most: u32) -> bool {
    most > 0 && u64::from(here) * 8 >= u64::from(most)
}

impl Limits {
    /// Tells other gateways how many sockets somebody has here, and returns how many there are everywhere; nothing while the cache
    /// is away.
    pub(super) async fn everywhere(&self, party: &Party, here: u32) -> Option<u32> {
        let shared = self.shared.as_ref()?;
        let key = format!("gateway.sockets.{}", party.key);
        match shared.gauge(&key, &self.name, here.into(), BELIEVED).await {
            Ok(all) => Some(u32::try_from(all).unwrap_or(u32::MAX)),
            Err(cause) => {
                tracing::debug!(%cause, "sockets are counted in this process alone");
                metrics::counter!("loquat_gateway_limits_local_total").increment(1);
                None
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let less = |count: &AtomicU32| _ = count.fetch_sub(1, Ordering::Relaxed);
        self.of.iter().flatten().for_each(|party| less(&party.sockets));
        less(&self.limits.sockets);
    }
}
