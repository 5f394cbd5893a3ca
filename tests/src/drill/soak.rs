//! Load for hours, without faults: half of what the servers take, everything checked and memory read again and again.

use std::time::{Duration, Instant};

use super::{Drill, Outcome};
use crate::load::server::pss_kib;

/// What the servers take is found out for so long at most.
const TRIAL: Duration = Duration::from_secs(30);

impl Drill {
    /// Finds out what the servers take, and gives them half of it for `time`, with a check every `every`. Ends at the first check
    /// that is not clean. `tell` hears of each: what it was, and what came of it.
    pub async fn soaks(&mut self, time: Duration, every: Duration, mut tell: impl FnMut(String, &Outcome)) -> Outcome {
        self.set_pause(Duration::ZERO);
        let (trial, before) = (every.min(TRIAL), Instant::now());
        let mut outcome = self.works(trial).await;
        let most = outcome.counts.tally.acknowledged as f64 / before.elapsed().as_secs_f64();
        tell(format!("the servers take {most:.0} messages a second; half of that from now on"), &outcome);
        self.set_pause(Duration::from_secs_f64(self.senders() as f64 / (most / 2.0)));
        let started = Instant::now();
        while outcome.counts.is_clean() && started.elapsed() < time {
            outcome = self.works(every).await;
            let memory = pss_kib(&self.world.pids()) / 1024.0;
            let minutes = started.elapsed().as_secs_f64() / 60.0;
            tell(format!("{minutes:.1} min, {memory:.1} MiB"), &outcome);
        }
        outcome
    }
}
