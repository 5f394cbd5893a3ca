//! The bus of one process. Its queues, delays and errors are rows, so that a crash loses nothing; only what is being handled
//! is in memory, and is handled again after a restart.

mod store;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::store::Row;
pub use self::store::migration;
use super::{
    BusError, Delivery, Destination, Envelope, FailedMessage, FailedReason, HandlerError, QueueSpec, QueueStatus,
    attempt::{self, Outcome, Verdict},
    envelope::id_of,
    exchange_of, fault,
    stats::Stats,
};
use crate::{
    audit::Note,
    clock::Clock,
    db::{Db, time_of},
};

/// A consumer looks by itself this often while something waits for its time.
const POLL: Duration = Duration::from_secs(1);
/// And this often while nothing does: what comes wakes it, unless whoever brought it was gone when it was committed.
const QUIET: Duration = Duration::from_secs(5);

/// The bus of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct MemoryBus(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    stats: Stats,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The queues of each kind.
    bindings: HashMap<String, Vec<String>>,
    declared: BTreeSet<String>,
    wakes: HashMap<String, Arc<Notify>>,
    in_flight: HashMap<String, HashSet<i64>>,
}

impl MemoryBus {
    pub(super) async fn open(db: Db, clock: Clock) -> Result<Self, BusError> {
        let bindings = store::bindings(db.reader()).await?;
        let state = Mutex::new(State { bindings, ..State::default() });
        Ok(Self(Arc::new(Inner { db, clock, stats: Stats::default(), state })))
    }

    pub(super) async fn declare(&self, queue: &QueueSpec) -> Result<(), BusError> {
        let tx = self.0.db.begin().await?;
        store::bind(&tx, &queue.name, &queue.kinds).await?;
        tx.commit().await?;
        let bindings = store::bindings(self.0.db.reader()).await?;
        let mut state = self.state();
        state.bindings = bindings;
        state.declared.insert(queue.name.clone());
        Ok(())
    }

    /// Whether a queue takes this kind.
    pub(super) fn is_bound(&self, kind: &str) -> bool {
        self.state().bindings.contains_key(kind)
    }

    pub(super) async fn publish(&self, messages: &[Envelope]) -> Result<(), BusError> {
        let rows = self.rows_of(messages)?;
        self.add(rows).await
    }

    /// Puts bytes into one queue, or into those that listen to an exchange.
    pub(super) async fn send(&self, to: &Destination, id: Option<Uuid>, body: &[u8]) -> Result<(), BusError> {
        let text = std::str::from_utf8(body).map_err(|_| BusError::Refused("the message is no text".into()))?;
        let queues = self.queues_at(to);
        if queues.is_empty() {
            return Err(BusError::Returned(to.to_string()));
        }
        let message_id = id.unwrap_or_else(|| id_of(body));
        let now = self.0.clock.now();
        let row = |queue: String| (store::new_row(&queue, message_id, text, now), queue);
        self.add(queues.into_iter().map(row).collect()).await
    }

    /// The rows of messages, each with its queue.
    fn rows_of(&self, messages: &[Envelope]) -> Result<Vec<(store::NewRow, String)>, BusError> {
        let mut rows = Vec::new();
        let now = self.0.clock.now();
        for message in messages {
            let queues = self.queues_of(message);
            if queues.is_empty() {
                continue;
            }
            let text = serde_json::to_string(message)?;
            for queue in queues {
                rows.push((store::new_row(&queue, message.message_id, &text, now), queue));
            }
        }
        Ok(rows)
    }

    async fn add(&self, rows: Vec<(store::NewRow, String)>) -> Result<(), BusError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (rows, queues): (Vec<_>, HashSet<String>) = rows.into_iter().unzip();
        self.0.db.in_group(|tx| Box::pin(store::insert(tx, rows))).await?;
        self.wake_all(queues);
        Ok(())
    }

    fn wake_all(&self, queues: HashSet<String>) {
        for queue in queues {
            self.wake(&queue).notify_one();
        }
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
                Some(()) = running.next() => {
                    // Those that were committed together are done together, and are replaced with one look.
                    while let Some(Some(())) = running.next().now_or_never() {}
                }
                () = wake.notified(), if !stopped => {}
                () = self.rest(&queue.name), if !stopped => {}
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

    /// Returns when a consumer that is not woken looks again. Whether anything waits is asked only when it was quiet for a while.
    async fn rest(&self, queue: &str) {
        tokio::time::sleep(POLL).await;
        // An error is told by the next look.
        if let Ok(true) = store::is_empty(self.0.db.reader(), queue).await {
            tokio::time::sleep(QUIET - POLL).await;
        }
    }

    async fn handle<H, F>(&self, queue: &QueueSpec, row: Row, handler: &H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        let _under_way = self.0.stats.begin(&queue.name, time_of(row.enqueued_at));
        let read = Envelope::read(row.envelope.as_bytes(), Some(row.message_id));
        let outcome = attempt::round(queue, &read, row.redelivery(), handler).await;
        while let Err(cause) = self.settle(queue, &row, &read, &outcome).await {
            tracing::warn!(queue = queue.name, %cause, "a handled message cannot be settled; trying again");
            tokio::time::sleep(POLL).await;
        }
        let done = matches!(outcome.verdict, Verdict::Done);
        self.0.stats.count(&queue.name, done, outcome.failures());
        metrics::counter!("loquat_bus_handled_total", "queue" => queue.name.clone(), "outcome" => outcome.name())
            .increment(1);
        if let Some(busy) = self.state().in_flight.get_mut(&queue.name) {
            busy.remove(&row.position);
        }
    }

    /// Notes what came of a message; that it failed is told in the same transaction.
    async fn settle(
        &self,
        queue: &QueueSpec,
        row: &Row,
        read: &Result<Envelope, serde_json::Error>,
        outcome: &Outcome,
    ) -> Result<(), BusError> {
        let position = row.position;
        if matches!(outcome.verdict, Verdict::Done) {
            return Ok(self.0.db.in_group(move |tx| Box::pin(store::delete(tx, position))).await?);
        }
        let (now, tries) = (self.0.clock.now(), outcome.tries);
        let mut told = Vec::new();
        if let Verdict::Failed { error } = &outcome.verdict {
            let (fault, to) = fault::fault(read, row.envelope.as_bytes(), error, now);
            told = match to {
                Some(to) => {
                    let text = serde_json::to_string(&fault)?;
                    let row = |queue: String| (store::new_row(&queue, fault.message_id, &text, now), queue);
                    self.queues_at(&to).into_iter().map(row).collect()
                }
                None => self.rows_of(&[fault])?,
            };
        }
        let (rows, queues): (Vec<_>, HashSet<String>) = told.into_iter().unzip();
        let tx = self.0.db.begin().await?;
        match &outcome.verdict {
            Verdict::Done => store::delete(&tx, position).await?,
            Verdict::Later { after, error } => store::delay(&tx, row, now + *after, tries, error).await?,
            Verdict::Failed { error } => store::fail(&tx, row, store::FAILED, now, tries, error).await?,
            Verdict::Skipped => store::fail(&tx, row, store::SKIPPED, now, tries, fault::SKIPPED).await?,
        }
        if !rows.is_empty() {
            store::insert(&tx, rows).await?;
        }
        tx.commit().await?;
        self.wake_all(queues);
        if let Verdict::Failed { error } = &outcome.verdict {
            tracing::error!(queue = queue.name, message = %row.message_id, error, "a message failed for good");
        }
        Ok(())
    }

    pub(super) async fn queues(&self) -> Result<Vec<QueueStatus>, BusError> {
        let declared = self.state().declared.clone();
        let mut queues = store::status(self.0.db.reader(), declared, self.0.clock.now()).await?;
        let state = self.state();
        for queue in &mut queues {
            let busy = state.in_flight.get(&queue.name).map_or(0, HashSet::len) as u64;
            queue.in_flight = busy;
            queue.ready = queue.ready.saturating_sub(busy);
            let counts = self.0.stats.of(&queue.name);
            (queue.handled, queue.failures) = (counts.handled, counts.failures);
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
        let more = crate::db::cut_page(&mut rows, size);
        let next = rows.last().filter(|_| more).map(|row| row.position.to_string()).unwrap_or_default();
        Ok((rows.into_iter().map(failed_message).collect(), next))
    }

    pub(super) async fn failed_one(&self, id: Uuid) -> Result<Option<FailedMessage>, BusError> {
        Ok(store::failed_one(self.0.db.reader(), id).await?.map(failed_message))
    }

    pub(super) async fn retry(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        let Some(row) = store::failed_one(self.0.db.reader(), id).await? else {
            return Ok(false);
        };
        let tx = self.0.db.begin().await?;
        if !store::revive(&tx, row.position, self.0.clock.now()).await? {
            return Ok(false);
        }
        noted(note, &row).write(&tx).await?;
        tx.commit().await?;
        self.wake(&row.queue).notify_one();
        Ok(true)
    }

    pub(super) async fn discard(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        let Some(row) = store::failed_one(self.0.db.reader(), id).await? else {
            return Ok(false);
        };
        let tx = self.0.db.begin().await?;
        if !store::throw_away(&tx, row.position).await? {
            return Ok(false);
        }
        noted(note, &row).write(&tx).await?;
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

    /// The queues at a place: the one of that name, or those that listen to the exchange.
    fn queues_at(&self, to: &Destination) -> Vec<String> {
        let state = self.state();
        let bound = |queue: &String| state.bindings.values().flatten().any(|bound| bound == queue);
        let known = |queue: &String| state.declared.contains(queue) || bound(queue);
        match to {
            Destination::Queue(queue) => Some(queue).filter(|queue| known(queue)).cloned().into_iter().collect(),
            // A queue has an exchange of its own name.
            Destination::Exchange(name) if known(name) => vec![name.clone()],
            Destination::Exchange(name) => {
                let bound = state.bindings.iter().filter(|(kind, _)| exchange_of(kind) == *name);
                bound.flat_map(|(_, queues)| queues.clone()).collect()
            }
        }
    }

    fn wake(&self, queue: &str) -> Arc<Notify> {
        self.state().wakes.entry(queue.to_owned()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is noted of a failed message.
fn noted(note: &Note, row: &Row) -> Note {
    note.with("queue", &row.queue).with("message", row.message_id)
}

fn failed_message(row: Row) -> FailedMessage {
    let (failed_at, attempts) = (time_of(row.due_at), u32::try_from(row.attempts).unwrap_or(0));
    let body = row.envelope.into_bytes();
    let read = Envelope::read(&body, Some(row.message_id));
    let reason = if row.state == store::SKIPPED { FailedReason::Skipped } else { FailedReason::Fault };
    let headers: BTreeMap<String, String> = match reason {
        FailedReason::Skipped => fault::skipped(failed_at).into_iter().collect(),
        FailedReason::Fault => {
            let queue = QueueSpec::new(&row.queue, []);
            fault::headers(&queue, &read, &row.error, attempts, failed_at).into_iter().collect()
        }
    };
    FailedMessage {
        id: row.id,
        queue: row.queue,
        reason,
        error: row.error,
        attempts,
        failed_at,
        envelope: read.ok(),
        body: body.into(),
        headers,
    }
}
