//! The append path: one writer takes whatever waits, runs it in one transaction, answers, and only then tells the world.
//!
//! Owns the order of events. There is no timer and no fixed batch size: while one transaction is being made durable, the next
//! batch gathers. What is taken in is finished even if its caller hangs up.

mod known;
mod work;
mod written;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mesh::{bus::Interest, clock::Clock, crash, db::Db, outbox::Wake};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::known::Known;
pub(crate) use self::work::{Told, Work};
use crate::{command::Command, errors::ChatError, live::Live, store::op::Op};

/// How many changes may wait; further callers wait in their own call, under its deadline.
const QUEUE: usize = 4096;
/// How many changes one transaction takes at most.
const BATCH: usize = 512;

/// For how many transactions operations are looked up before, once one was not new: where somebody tries again, others do.
const CAREFUL: u32 = 64;
/// For how many transactions counters are locked before, once another process had moved one: where it writes once, it writes again.
const CONTENDED: u32 = 16;

/// How long one transaction may take before its connection counts as lost.
const TRANSACTION: Duration = Duration::from_secs(6);
/// How long a caller waits for a database that may be away. The change may happen all the same: a retry with the same
/// operation id tells.
const PATIENCE: Duration = Duration::from_millis(1900);

type Answer = Result<Bytes, ChatError>;

struct Job {
    command: Command,
    answer: oneshot::Sender<Answer>,
}

/// A transaction that failed as a whole: none of its changes happened, or nobody knows.
struct Failed {
    cause: ChatError,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The database does not answer.
    Away,
    /// The database refused, or a rule went wrong.
    Refused,
    /// Nothing was tried: what is remembered is not enough to go by.
    Unproven,
    /// Another process has moved a feed.
    Contended,
}

impl Why {
    /// For how many transactions more is looked up before.
    const fn careful(self) -> u32 {
        match self {
            Self::Away | Self::Refused => CAREFUL,
            Self::Contended => CONTENDED,
            Self::Unproven => 0,
        }
    }
}

impl From<ChatError> for Failed {
    fn from(cause: ChatError) -> Self {
        Self { cause, why: Why::Refused }
    }
}

/// The way to the writer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Appender {
    jobs: mpsc::Sender<Job>,
    /// The database is another process, which may be away.
    impatient: bool,
}

/// The writer itself.
pub(crate) struct Writer {
    jobs: mpsc::Receiver<Job>,
    db: Db,
    clock: Clock,
    live: Arc<Live>,
    wake: Wake,
    interest: Interest,
    known: Known,
    /// For how many transactions operations are looked up before.
    careful: u32,
}

/// Makes the writer and the way to it.
pub(crate) fn appender(db: Db, clock: Clock, live: Arc<Live>, wake: Wake, interest: Interest) -> (Appender, Writer) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let appender = Appender { jobs: sender, impatient: db.is_shared() };
    (appender, Writer { jobs, db, clock, live, wake, interest, known: Known::default(), careful: CAREFUL })
}

impl Appender {
    /// Commits a change and returns the encoded response. OK means that it is on disk.
    pub(crate) async fn commit(&self, command: Command) -> Answer {
        if !self.impatient {
            return self.committed(command).await;
        }
        let late = |_| Err(ChatError::store("the database took too long"));
        tokio::time::timeout(PATIENCE, self.committed(command)).await.unwrap_or_else(late)
    }

    async fn committed(&self, command: Command) -> Answer {
        let (answer, answered) = oneshot::channel();
        let gone = || ChatError::store("the writer has stopped");
        self.jobs.send(Job { command, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Writer {
    /// Runs until `stop`, then finishes what was already taken in.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.jobs.recv_many(&mut batch, BATCH) => taken,
                () = stop.cancelled() => {
                    self.jobs.close();
                    self.jobs.recv_many(&mut batch, BATCH).await
                }
            };
            if taken == 0 {
                return;
            }
            metrics::histogram!("loquat_chat_batch_size").record(f64::from(u32::try_from(taken).unwrap_or(u32::MAX)));
            self.handle(std::mem::take(&mut batch)).await;
        }
    }

    /// One transaction for all; if the database refuses it as a whole, one for each, so that what makes one fail does not
    /// fail the others. A change whose first transaction was committed all the same is found by its operation. Callers are
    /// answered first, and then the world is told.
    async fn handle(&mut self, jobs: Vec<Job>) {
        let commands: Vec<&Command> = jobs.iter().map(|job| &job.command).collect();
        let mut failed = match self.transact(&commands).await {
            Ok((answers, told)) => {
                jobs.into_iter().zip(answers).for_each(|(job, answer)| reply(job, answer));
                return self.tell(told);
            }
            Err(failed) => failed,
        };
        tracing::warn!(cause = %failed.cause, "a batch failed");
        for job in jobs {
            // A database that is away is not waited for once more by each of them.
            if failed.why != Why::Away {
                match self.transact(&[&job.command]).await {
                    Ok((mut answers, told)) => {
                        let missing = || Err(ChatError::internal("a change without an answer"));
                        reply(job, answers.pop().unwrap_or_else(missing));
                        self.tell(told);
                        continue;
                    }
                    Err(again) => failed = again,
                }
            }
            reply(job, Err(failed.cause.clone()));
        }
    }

    /// Runs changes in one transaction. Operations are new but for a few, and looking them up costs as much as committing them: so
    /// they are looked up only for a while after one was not new. Where other processes write as well, counters are locked only for
    /// a while after one of them did, and for changes that read something.
    async fn transact(&mut self, commands: &[&Command]) -> Result<(Vec<Answer>, Told), Failed> {
        if self.careful == 0 && (!self.db.is_shared() || goes_by_memory(commands)) {
            let tried = self.attempt(commands, false).await;
            let Err(failed) = &tried else { return tried };
            self.careful = failed.why.careful();
            if failed.why == Why::Away {
                return tried;
            }
        }
        self.careful = self.careful.saturating_sub(1);
        self.attempt(commands, true).await
    }

    async fn attempt(&mut self, commands: &[&Command], careful: bool) -> Result<(Vec<Answer>, Told), Failed> {
        let db = self.db.clone();
        let committed = match tokio::time::timeout(TRANSACTION, self.commit(commands, careful)).await {
            Ok(committed) => committed,
            Err(_) => {
                db.renew().await;
                let cause = ChatError::store("a transaction did not end; the connections are made anew");
                Err(Failed { cause, why: Why::Away })
            }
        };
        match committed.as_ref().map_err(|failed| failed.why) {
            // What may never have been true.
            Err(Why::Away | Why::Refused) => self.known.forget(),
            // What else another process changed is noticed by its number.
            Err(Why::Contended) => self.known.forget_heads(),
            Err(Why::Unproven) | Ok(_) => {}
        }
        committed
    }

    /// Tells the world what was committed and answered.
    fn tell(&self, told: Told) {
        crash::point("chat.answered");
        self.live.tell(told.events);
        crash::point("chat.told");
        if told.outbox {
            self.wake.now();
        }
    }

    async fn commit(&mut self, commands: &[&Command], careful: bool) -> Result<(Vec<Answer>, Told), Failed> {
        let mut feeds: Vec<_> = commands.iter().flat_map(|command| command.feeds()).collect();
        feeds.sort_unstable();
        feeds.dedup();
        let ops: Vec<&Op> = commands.iter().filter_map(|command| command.op.as_ref()).collect();
        let ops = careful.then_some(ops.as_slice());
        let unproven = !careful && self.db.is_shared();
        let begun = Work::begin(&self.db, self.clock.now(), &feeds, ops, &mut self.known, &self.interest).await;
        let why = if unproven { Why::Unproven } else { Why::Away };
        let mut work = begun.map_err(|cause| Failed { cause, why })?;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(match run(&mut work, command).await {
                // A refusal is for certain only when nobody else can have changed anything.
                Ok(Err(cause)) | Err(cause) if unproven => return Err(Failed { cause, why: Why::Unproven }),
                answer => answer?,
            });
        }
        let contended = || ChatError::store("another process writes to these rooms");
        let told = work.finish().await?.ok_or_else(|| Failed { cause: contended(), why: Why::Contended })?;
        crash::point("chat.committed");
        Ok((answers, told))
    }
}

/// Whether changes can be tried with what is remembered. A crash point needs a transaction of several steps.
fn goes_by_memory(commands: &[&Command]) -> bool {
    commands.iter().all(|command| command.only_appends()) && !crash::is_armed("chat.inserted")
}

fn reply(job: Job, answer: Answer) {
    // Nobody waits any more when the caller hung up; the change has happened all the same.
    let _ = job.answer.send(answer);
}

/// Runs one change. The inner error is its own and leaves no trace; the outer one spoils the whole transaction.
async fn run(work: &mut Work<'_>, command: &Command) -> Result<Answer, ChatError> {
    if let Some(op) = &command.op {
        match work.answered(op).await {
            Ok(Some(first)) => return Ok(Ok(first)),
            Ok(None) => {}
            Err(reused @ ChatError::OpIdReused) => return Ok(Err(reused)),
            Err(cause) => return Err(cause),
        }
    }
    let before = work.mark();
    work.place.clone_from(&command.place);
    match command.run(work).await {
        Ok(response) => {
            work.remember(command.op.as_ref(), &response);
            Ok(Ok(response))
        }
        Err(cause @ (ChatError::StoreUnavailable(_) | ChatError::Internal(_))) => Err(cause),
        Err(refusal) if work.mark() == before => refused(work, command, refusal).await,
        Err(refusal) => Err(ChatError::internal(format!("a refusal after a change: {refusal}"))),
    }
}

/// An operation that was done before is answered as it was then, whatever its author may do now.
async fn refused(work: &mut Work<'_>, command: &Command, refusal: ChatError) -> Result<Answer, ChatError> {
    let Some(op) = &command.op else { return Ok(Err(refusal)) };
    match work.answered_before(op).await {
        Ok(first) => Ok(first.ok_or(refusal)),
        Err(reused @ ChatError::OpIdReused) => Ok(Err(reused)),
        Err(cause) => Err(cause),
    }
}
