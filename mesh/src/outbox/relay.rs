//! The relay: brings events from the outbox to the bus, in order, and forgets what the bus has confirmed.

use std::time::Duration;

use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*};
use tokio_util::sync::CancellationToken;

use super::{Column, Entity, KEY, Model, Wake, lease::Lease};
use crate::{
    bus::{Bus, BusError, Envelope},
    clock::Clock,
    db::{Db, micros, time_of},
};

/// How many events one publish takes at most.
const WINDOW: u64 = 256;
/// The relay looks by itself this often, in case it was not woken.
const POLL: Duration = Duration::from_secs(1);
/// The same in a database of one process, where only who was gone at the commit does not wake it.
const POLL_ALONE: Duration = Duration::from_secs(5);
/// Waited after the bus refused, doubling up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Told between processes on one database when there is something to relay.
const TOLD: &str = "loquat_outbox";

/// Brings events from the outbox to the bus, in order. Several on one database are safe: one works at a time.
pub struct Relay {
    db: Db,
    bus: Bus,
    wake: Wake,
    clock: Clock,
    lease: Lease,
}

/// What one look at the outbox came to.
enum Looked {
    /// Another process relays.
    Elsewhere,
    /// So many events were relayed.
    Relayed(usize),
}

impl Relay {
    /// A relay for one database.
    pub fn new(db: Db, bus: Bus, wake: Wake, clock: Clock) -> Self {
        let lease = Lease::new(db.clone(), clock.clone());
        Self { db, bus, wake, clock, lease }
    }

    /// Runs until `stop`. A bus or a database that refuses is tried again for ever; nothing is skipped.
    pub async fn run(mut self, stop: CancellationToken) {
        let (db, wake) = (self.db.clone(), self.wake.clone());
        let heard = async {
            let mut told = db.told(TOLD);
            loop {
                told.next().await;
                wake.now();
            }
        };
        tokio::select! {
            () = self.relay(&stop) => {}
            () = heard => {}
        }
        if let Err(cause) = self.lease.release().await {
            tracing::warn!(%cause, "the outbox is not given back; the next relay waits for it");
        }
    }

    async fn relay(&mut self, stop: &CancellationToken) {
        let poll = if self.db.is_shared() { POLL } else { POLL_ALONE };
        let (mut pause, mut woken) = (FIRST_PAUSE, false);
        while !stop.is_cancelled() {
            let rest = match self.once().await {
                Ok(Looked::Relayed(0)) => poll,
                Ok(Looked::Relayed(_)) => {
                    (pause, woken) = (FIRST_PAUSE, false);
                    continue;
                }
                Ok(Looked::Elsewhere) => {
                    // A hint; who relays looks by itself every second.
                    if woken && let Err(cause) = self.db.tell(TOLD).await {
                        tracing::debug!(%cause, "the process that relays is not told");
                    }
                    poll
                }
                Err(cause) => {
                    tracing::warn!(%cause, "the outbox could not be relayed; trying again");
                    pause = (pause * 2).min(MAX_PAUSE);
                    pause
                }
            };
            tokio::select! {
                () = self.wake.0.notified(), if rest == poll => woken = true,
                () = tokio::time::sleep(rest) => woken = false,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Publishes one window and forgets it once it is confirmed.
    async fn once(&mut self) -> Result<Looked, RelayError> {
        if !self.lease.holds().await? {
            return Ok(Looked::Elsewhere);
        }
        let rows = Entity::find().order_by_asc(Column::Position).limit(WINDOW).all(self.db.reader()).await?;
        let Some(first) = rows.first() else {
            return Ok(Looked::Relayed(0));
        };
        let lag = micros(self.clock.now()) - first.sent_at;
        metrics::histogram!("loquat_outbox_lag_seconds").record(Duration::from_micros(u64::try_from(lag).unwrap_or(0)));
        let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
        self.bus.publish(rows.into_iter().map(envelope).collect::<Result<_, _>>()?).await?;
        crate::crash::point("outbox.published");
        let count = positions.len();
        let tx = self.db.begin().await?;
        // Rows in between that were committed meanwhile were not published: only what was read is forgotten.
        Entity::delete_many().filter(Column::Position.is_in(positions)).exec(&tx).await?;
        tx.commit().await?;
        crate::crash::point("outbox.forgotten");
        Ok(Looked::Relayed(count))
    }
}

fn envelope(row: Model) -> Result<Envelope, RelayError> {
    let mut envelope = Envelope::new(row.message_id, row.kind, serde_json::from_str(&row.body)?, time_of(row.sent_at));
    envelope.correlation_id = row.correlation_id;
    envelope.headers.insert(KEY.into(), row.key.into());
    if let Some(traceparent) = row.traceparent {
        envelope.headers.insert("traceparent".into(), traceparent.into());
    }
    Ok(envelope)
}

/// Why a window could not be relayed.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the database: {0}")]
    Db(#[from] DbErr),
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
    #[error("an event that is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}
