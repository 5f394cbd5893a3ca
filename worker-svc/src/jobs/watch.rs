//! The queues as they change, for somebody who looks at them.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use mesh::{bus::Health, errors};
use proto::worker::v1::{Queue, WatchQueuesResponse};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{queue, timestamp, waiting};
use crate::schedule::Schedule;

/// They are looked at this often.
const EVERY: Duration = Duration::from_secs(1);
/// They are told after so many looks, even when nothing changed.
const AT_LEAST: u32 = 15;
/// So many jobs are told.
const JOBS: u64 = 100;

/// What is told to one who watches.
pub(crate) type Watching = Pin<Box<dyn Stream<Item = Result<WatchQueuesResponse, Status>> + Send>>;

struct Watch {
    schedule: Schedule,
    stopping: CancellationToken,
    told: Option<WatchQueuesResponse>,
    looks: u32,
    ended: bool,
}

/// Tells the queues now, and again whenever something changed.
pub(crate) fn watch(schedule: Schedule, stopping: CancellationToken) -> Watching {
    let watch = Watch { schedule, stopping, told: None, looks: 0, ended: false };
    Box::pin(stream::unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        Some((next, watch))
    }))
}

impl Watch {
    async fn next(&mut self) -> Option<Result<WatchQueuesResponse, Status>> {
        if self.ended {
            return None;
        }
        loop {
            if self.told.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = self.stopping.cancelled() => {
                        self.ended = true;
                        return Some(Err(errors::unavailable("STOPPING", "The server is stopping.", EVERY)));
                    }
                }
            }
            let seen = self.look().await;
            self.looks += 1;
            if self.looks >= AT_LEAST || self.told.as_ref().is_none_or(|told| differs(told, &seen)) {
                self.looks = 0;
                self.told = Some(seen.clone());
                return Some(Ok(seen));
            }
        }
    }

    async fn look(&self) -> WatchQueuesResponse {
        let (queues, mut problem) = match self.schedule.bus.queues().await {
            Ok(queues) => (queues.into_iter().map(queue).collect(), String::new()),
            Err(cause) => (self.known(), cause.to_string()),
        };
        if let Health::Away(why) | Health::Blocked(why) = self.schedule.bus.health() {
            problem = why;
        }
        let jobs = match waiting::list(&self.schedule, JOBS).await {
            Ok(jobs) => jobs,
            Err(cause) => {
                tracing::warn!(%cause, "the jobs cannot be read");
                self.told.as_ref().map(|told| told.jobs.clone()).unwrap_or_default()
            }
        };
        WatchQueuesResponse {
            at: Some(timestamp(self.schedule.clock.now())),
            queues,
            jobs,
            bus_available: problem.is_empty(),
            bus_problem: problem,
        }
    }

    fn known(&self) -> Vec<Queue> {
        self.told.as_ref().map(|told| told.queues.clone()).unwrap_or_default()
    }
}

/// Whether anything but the time is another.
fn differs(told: &WatchQueuesResponse, seen: &WatchQueuesResponse) -> bool {
    WatchQueuesResponse { at: None, ..told.clone() } != WatchQueuesResponse { at: None, ..seen.clone() }
}
