//! The bus of one process. Its queues, delays and errors are rows, so that a crash loses nothing; only what is being handled
//! is in memory, and is handled again after a restart.

mod store;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::store::Row;
pub use self::store::migration;
use super::{BusError, Delivery, Envelope, FailedMessage, HandlerError, QueueSpec, QueueStatus, RetryPolicy};
use crate::{
    clock::Clock,
    db::{Db, time_of},
};

/// A consumer looks by itself this often.
const POLL: Duration = Duration::from_secs(1);

/// The bus of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct MemoryBus(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The queues of each kind.
    bindings: HashMap<String, Vec<String>>,
    wakes: HashMap<String, Arc<Notify>>,
    in_flight: HashMap<String, HashSet<i64>>,
}

/// What is left to do with a message that was handled.
enum Verdict {
    Done,
    Later { after: Duration, error: String },
    Failed { error: String },
}

impl MemoryBus {
    pub(super) async fn open(db: Db, clock: Clock) -> Result<Self, BusError> {
        let bindings = store::bindings(db.reader()).await?;
        let state = State { bindings, ..State::default() };
        Ok(Self(Arc::new(Inner { db, clock, state: Mutex::new(state) })))
    }

    pub(super) async fn declare(&self, queue: &QueueSpec) -> Result<(), BusError> {
        let tx = self.0.db.begin().await?;
        store::bind(&tx, &queue.name, &queue.kinds).await?;
        tx.commit().await?;
        let bindings = store::bindings(self.0.db.reader()).await?;
        self.state().bindings = bindings;
        Ok(())
    }

    /// Whether a queue takes this kind.
    pub(super) fn is_bound(&self, kind: &str) -> bool {
        self.state().bindings.contains_key(kind)
    }

    pub(super) async fn publish(&self, messages: &[Envelope]) -> Result<(), BusError> {
        let mut rows = Vec::new();
        let mut woken = HashSet::new();
        for message in messages {
            let queues = self.queues_of(message);
            let text = serde_json::to_string(message)?;
            for queue in queues {
                rows.push(store::new_row(&queue, message.message_id, &text, self.0.clock.now()));
                woken.insert(queue);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let tx = self.0.db.begin().await?;
        store::insert(&tx, rows).await?;
        tx.commit().await?;
        for queue in woken {
            self.wake(&queue).notify_one();
        }
        Ok(())
    }

    pub(super) async fn consume<H, F>(&self, queue: &QueueSpec, prefetch: usize, stop: CancellationToken, handler: H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        let wake = self.wake(&queue.name);
        let mut running = FuturesUnordered::new();
        loop {
            let stopped = stop.is_cancelled();
            if stopped && running.is_empty() {
                return;
            }
            let free = if stopped { 0 } else { prefetch - running.len() };
            for row in self.take(&queue.name, free).await {
                running.push(self.handle(queue, row, &handler));
            }
            tokio::select! {
                Some(()) = running.next() => {}
                () = wake.notified(), if !stopped => {}
                () = tokio::time::sleep(POLL), if !stopped => {}
                () = stop.cancelled(), if !stopped => {}
            }
        }
    }

    /// The next messages that are due and not being handled.
    async fn take(&self, queue: &str, free: usize) -> Vec<Row> {
        if free == 0 {
            return Vec::new();
        }
        let busy: Vec<i64> = self.state().in_flight.get(queue).into_iter().flatten().copied().collect();
        match store::due(self.0.db.reader(), queue, self.0.clock.now(), &busy, free).await {
            Ok(rows) => {
                let taken = rows.iter().map(|row| row.position);
                self.state().in_flight.entry(queue.to_owned()).or_default().extend(taken);
                rows
            }
            Err(cause) => {
                tracing::warn!(queue, %cause, "the queue cannot be read; trying again");
                Vec::new()
            }
        }
    }

    async fn handle<H, F>(&self, queue: &QueueSpec, row: Row, handler: &H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        let (verdict, tries) = match serde_json::from_str::<Envelope>(&row.envelope) {
            Ok(envelope) => attempt(&queue.retry, &envelope, row.redelivery(), handler).await,
            Err(cause) => (Verdict::Failed { error: format!("not an envelope: {cause}") }, 1),
        };
        while let Err(cause) = self.settle(queue, &row, &verdict, tries).await {
            tracing::warn!(queue = queue.name, %cause, "a handled message cannot be settled; trying again");
            tokio::time::sleep(POLL).await;
        }
        if let Some(busy) = self.state().in_flight.get_mut(&queue.name) {
            busy.remove(&row.position);
        }
    }

    async fn settle(&self, queue: &QueueSpec, row: &Row, verdict: &Verdict, tries: u32) -> Result<(), BusError> {
        let now = self.0.clock.now();
        let outcome = match verdict {
            Verdict::Done => "done",
            Verdict::Later { .. } => "later",
            Verdict::Failed { .. } => "failed",
        };
        let tx = self.0.db.begin().await?;
        match verdict {
            Verdict::Done => store::delete(&tx, row.position).await?,
            Verdict::Later { after, error } => store::delay(&tx, row, now + *after, tries, error).await?,
            Verdict::Failed { error } => store::fail(&tx, row, now, tries, error).await?,
        }
        tx.commit().await?;
        metrics::counter!("loquat_bus_handled_total", "queue" => queue.name.clone(), "outcome" => outcome).increment(1);
        if let Verdict::Failed { error } = verdict {
            tracing::error!(queue = queue.name, message = %row.message_id, error, "a message failed for good");
            if let Ok(envelope) = serde_json::from_str::<Envelope>(&row.envelope) {
                self.publish(&[envelope.fault(error, now)]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn queues(&self) -> Result<Vec<QueueStatus>, BusError> {
        let mut queues = store::status(self.0.db.reader(), self.0.clock.now()).await?;
        let state = self.state();
        for queue in &mut queues {
            let busy = state.in_flight.get(&queue.name).map_or(0, HashSet::len) as u64;
            queue.in_flight = busy;
            queue.ready = queue.ready.saturating_sub(busy);
        }
        Ok(queues)
    }

    pub(super) async fn failed(
        &self,
        queue: &str,
        size: u64,
        token: &str,
    ) -> Result<(Vec<FailedMessage>, String), BusError> {
        let before = match token {
            "" => i64::MAX,
            token => token.parse().map_err(|_| BusError::PageToken)?,
        };
        let mut rows = store::failed(self.0.db.reader(), queue, before, size + 1).await?;
        let more = rows.len() as u64 > size;
        rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let next = rows.last().filter(|_| more).map(|row| row.position.to_string()).unwrap_or_default();
        Ok((rows.into_iter().map(failed_message).collect::<Result<_, _>>()?, next))
    }

    pub(super) async fn failed_one(&self, id: Uuid) -> Result<Option<FailedMessage>, BusError> {
        store::failed_one(self.0.db.reader(), id).await?.map(failed_message).transpose()
    }

    pub(super) async fn retry(&self, id: Uuid) -> Result<bool, BusError> {
        let Some(row) = store::failed_one(self.0.db.reader(), id).await? else {
            return Ok(false);
        };
        let tx = self.0.db.begin().await?;
        store::revive(&tx, row.position, self.0.clock.now()).await?;
        tx.commit().await?;
        self.wake(&row.queue).notify_one();
        Ok(true)
    }

    pub(super) async fn discard(&self, id: Uuid) -> Result<bool, BusError> {
        let Some(row) = store::failed_one(self.0.db.reader(), id).await? else {
            return Ok(false);
        };
        let tx = self.0.db.begin().await?;
        store::delete(&tx, row.position).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn queues_of(&self, message: &Envelope) -> Vec<String> {
        let state = self.state();
        let mut queues: Vec<String> =
            message.kinds().filter_map(|kind| state.bindings.get(kind)).flatten().cloned().collect();
        queues.sort();
        queues.dedup();
        queues
    }

    fn wake(&self, queue: &str) -> Arc<Notify> {
        self.state().wakes.entry(queue.to_owned()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round: the handler once, and again at once as often as the policy says. Also tells how often it was tried.
async fn attempt<H, F>(retry: &RetryPolicy, envelope: &Envelope, redelivery: u32, handler: &H) -> (Verdict, u32)
where
    H: Fn(Delivery) -> F + Send + Sync,
    F: Future<Output = Result<(), HandlerError>> + Send,
{
    let mut error = String::new();
    for tries in 1..=retry.immediate + 1 {
        let delivery = Delivery { envelope: envelope.clone(), redelivery };
        let handled = AssertUnwindSafe(async { handler(delivery).await }).catch_unwind().await;
        match handled {
            Ok(Ok(())) => return (Verdict::Done, tries),
            Ok(Err(HandlerError::Poison(cause))) => {
                return (Verdict::Failed { error: format!("{cause:#}") }, tries);
            }
            Ok(Err(HandlerError::Retry(cause))) => error = format!("{cause:#}"),
            Err(_) => "the handler panicked".clone_into(&mut error),
        }
    }
    let verdict = match retry.delays.get(redelivery as usize) {
        Some(after) => Verdict::Later { after: *after, error },
        None => Verdict::Failed { error },
    };
    (verdict, retry.immediate + 1)
}

fn failed_message(row: Row) -> Result<FailedMessage, BusError> {
    Ok(FailedMessage {
        id: row.id,
        queue: row.queue,
        error: row.error,
        attempts: u32::try_from(row.attempts).unwrap_or(0),
        failed_at: time_of(row.due_at),
        envelope: serde_json::from_str(&row.envelope)?,
    })
}
