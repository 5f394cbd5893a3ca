//! What waits for its time: messages that were put off, and jobs that come back by a plan. Rows, so that a restart loses nothing.
//!
//! Messages are put off over the queue `scheduler` by the contracts of MassTransit, so that any program on the bus can do it; on every
//! kind of bus, and without a plug-in of the broker.

mod plan;
mod scheduler;

use std::sync::Arc;

use mesh::{
    audit::Entry,
    bus::{Bus, BusError, Destination, Envelope},
    clock::Clock,
    db::{Db, micros},
};
use sea_orm::DbErr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::{
    plan::{Plan, Planned},
    scheduler::{handle, queue},
};
use crate::{
    audit,
    store::{
        planned,
        put_off::{self, Model},
    },
};

/// What is due is looked for this often.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// How many messages are sent at a time.
const PORTION: u64 = 200;
/// A message that no queue takes is tried again after this.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// What waits. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) clock: Clock,
    wake: Arc<Notify>,
    plans: Arc<[Planned]>,
}

/// Why something that was due could not be done; tried again.
#[derive(Debug, thiserror::Error)]
enum ScheduleError {
    #[error("the database: {0}")]
    Db(#[from] DbErr),
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
}

impl Schedule {
    pub(crate) fn new(db: Db, bus: Bus, clock: Clock, plans: Vec<Planned>) -> Self {
        Self { db, bus, clock, wake: Arc::default(), plans: plans.into() }
    }

    /// Writes the planned jobs down.
    pub(crate) async fn prepare(&self) -> Result<(), DbErr> {
        let tx = self.db.begin().await?;
        for job in self.plans.iter() {
            planned::plan(&tx, job.name, job.plan.text(), micros(job.plan.after(self.clock.now()))).await?;
        }
        tx.commit().await
    }

    /// Does what is due, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let sent = match self.send_due().await {
                Ok(sent) => sent,
                Err(cause) => {
                    tracing::warn!(%cause, "what was put off cannot be sent; trying again");
                    0
                }
            };
            if let Err(cause) = self.run_due().await {
                tracing::warn!(%cause, "planned jobs cannot be run; trying again");
            }
            if sent == PORTION {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Sends what is due and forgets it then: sent twice, it has the same id. Returns how many there were.
    async fn send_due(&self) -> Result<u64, ScheduleError> {
        let due = put_off::due(self.db.reader(), micros(self.clock.now()), PORTION).await?;
        let count = due.len() as u64;
        for row in due {
            let sent = self.send(&row).await;
            let tx = self.db.begin().await?;
            match sent {
                Ok(()) => _ = put_off::forget(&tx, row.token).await?,
                Err(cause @ (BusError::Returned(_) | BusError::Refused(_))) => {
                    tracing::warn!(destination = row.destination, %cause, "no queue takes what was put off for it");
                    let later = micros(self.clock.now() + AGAIN);
                    put_off::later(&tx, row.token, later, &cause.to_string()).await?;
                }
                Err(cause) => return Err(cause.into()),
            }
            tx.commit().await?;
        }
        Ok(count)
    }

    async fn send(&self, row: &Model) -> Result<(), BusError> {
        let to = Destination::parse(&row.destination).ok_or_else(|| BusError::Refused("no such address".into()))?;
        let envelope = Envelope::read(row.envelope.as_bytes(), Some(row.token))?;
        self.bus.send(&to, &envelope).await
    }

    /// Runs planned jobs whose time has come, each in one process.
    async fn run_due(&self) -> Result<(), DbErr> {
        let now = self.clock.now();
        for row in planned::list(self.db.reader()).await?.into_iter().filter(|row| row.next_at <= micros(now)) {
            let Some(job) = self.plans.iter().find(|job| job.name == row.name) else { continue };
            let tx = self.db.begin().await?;
            let taken = planned::take(&tx, &row, micros(job.plan.after(now)), micros(now)).await?;
            tx.commit().await?;
            if !taken {
                continue;
            }
            let ended = (job.run)(self.db.clone(), now).await;
            let error = ended.err().map(|cause| format!("{cause:#}")).unwrap_or_default();
            if !error.is_empty() {
                tracing::warn!(job = job.name, error, "a planned job failed");
            }
            let tx = self.db.begin().await?;
            planned::ended(&tx, job.name, &error).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Lets a planned job run now. False when there is none.
    pub(crate) async fn hurry(&self, name: &str, entry: Entry) -> Result<bool, DbErr> {
        let tx = self.db.begin().await?;
        let found = planned::hurry(&tx, name, micros(self.clock.now())).await?;
        if found {
            audit::commit(tx, entry, &self.clock).await?;
            self.wake.notify_one();
        }
        Ok(found)
    }

    /// Takes a message back. False when there is none.
    pub(crate) async fn cancel(&self, token: Uuid, entry: Entry) -> Result<bool, DbErr> {
        let tx = self.db.begin().await?;
        let found = put_off::forget(&tx, token).await?;
        if found {
            audit::commit(tx, entry, &self.clock).await?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
