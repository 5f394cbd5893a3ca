//! A drill: servers, clients, rounds of faults, and what came of them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};

use super::{
    audit,
    fault::{Kinds, Plan},
    ledger::Counts,
    setup,
    shared::Shared,
    world::{Shape, World},
};

/// Everybody must have caught up so soon after a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);
/// Load goes on for so long after a fault has ended.
const AFTER: Duration = Duration::from_millis(500);

/// What a drill is to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the servers run.
    pub shape: Shape,
    /// Everything random follows from it.
    pub seed: u64,
    /// Which faults there are.
    pub kinds: Kinds,
    /// How long processes are frozen at most.
    pub frozen: Duration,
    /// Between two sends of one sender, on average.
    pub pause: Duration,
    /// The servers log nothing.
    pub quiet: bool,
}

/// Servers under load.
pub struct Drill {
    /// The servers.
    pub world: World,
    shared: Arc<Shared>,
    random: StdRng,
    options: Options,
    /// What clients do; it ends with the drill.
    actors: JoinSet<()>,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened.
    pub what: String,
    /// From the end of the fault until everybody had caught up.
    pub recovered: Duration,
    /// The counts of the drill so far.
    pub counts: Counts,
    /// What is wrong, in words; the first few.
    pub notes: Vec<String>,
}

impl Drill {
    /// Starts the servers and the clients. There is no load yet.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(options: Options) -> Self {
        let mut random = StdRng::seed_from_u64(options.seed);
        let mut world = World::prepare(options.shape, options.quiet).await;
        let shared = setup::shared(&mut world, options.pause).await;
        let actors = setup::actors(&shared, &mut random);
        let mut drill = Self { world, shared, random, options, actors };
        let outcome = drill.ends("start".to_owned(), Instant::now()).await;
        assert!(outcome.counts.is_clean(), "before any fault: {outcome}\n{}", outcome.notes.join("\n"));
        drill
    }

    /// One round with a random fault.
    pub async fn round(&mut self) -> Outcome {
        // Every round has its own, so that what clients do by chance does not change the next fault.
        let mut random = StdRng::seed_from_u64(self.random.random());
        let plan = Plan::random(&mut random, &self.world, self.options.kinds, self.options.frozen);
        self.runs(&plan).await
    }

    /// One round with this fault.
    pub async fn runs(&mut self, plan: &Plan) -> Outcome {
        let what = plan.describe(&self.world);
        self.shared.load.send_replace(true);
        tokio::time::sleep(plan.before).await;
        plan.fault.begin(&mut self.world).await;
        tokio::time::sleep(plan.lasts).await;
        plan.fault.end(&mut self.world).await;
        let healed = Instant::now();
        tokio::time::sleep(AFTER).await;
        self.ends(what, healed).await
    }

    /// Load for some time, without a fault.
    pub async fn works(&mut self, time: Duration) -> Outcome {
        self.shared.load.send_replace(true);
        tokio::time::sleep(time).await;
        self.ends("no fault".to_owned(), Instant::now()).await
    }

    /// Begins load, for a caller that lets something happen itself.
    pub fn begins(&self) {
        self.shared.load.send_replace(true);
    }

    /// How many senders there are.
    pub fn senders(&self) -> usize {
        setup::senders(&self.shared)
    }

    /// Between two sends of one sender, on average, from now on.
    pub fn set_pause(&self, pause: Duration) {
        self.shared.set_pause(pause);
    }

    /// Ends the load, waits until everybody has caught up, and compares everything.
    pub async fn ends(&mut self, what: String, healed: Instant) -> Outcome {
        self.shared.load.send_replace(false);
        let heads: Vec<u64> = (0..self.shared.rooms.len()).map(|room| self.shared.ledger().head(room)).collect();
        let left = RECOVERY.saturating_sub(healed.elapsed());
        if timeout(left, settled(&self.shared)).await.is_err() {
            self.tell_who_is_late();
        }
        let recovered = healed.elapsed();
        self.compares(&heads).await;
        for account in &self.shared.people {
            account.renew(self.shared.door(0)).await;
        }
        assert!(self.actors.try_join_next().is_none(), "a client has ended");
        let ledger = self.shared.ledger();
        Outcome { what, recovered, counts: ledger.counts().clone(), notes: ledger.notes().to_vec() }
    }

    async fn compares(&self, heads: &[u64]) {
        for (room, head) in heads.iter().enumerate() {
            audit::compare_pages(&self.shared, room, *head).await;
        }
        for (room, file) in self.shared.files().drain(..) {
            let announced = self.shared.ledger().announced(room, &file);
            if announced != 1 {
                let note = format!("file {file} was announced {announced} times");
                let mut ledger = self.shared.ledger();
                match announced {
                    0 => ledger.wrong(|counts| &mut counts.tally.lost, note),
                    _ => ledger.wrong(|counts| &mut counts.tally.duplicated, note),
                }
            }
        }
        let ranges = self.shared.ledger().check();
        for (member, range) in ranges {
            audit::verify(&self.shared, member, &range).await;
        }
    }

    fn tell_who_is_late(&self) {
        let mut ledger = self.shared.ledger();
        for (member, room, cursor, head) in ledger.behind() {
            let note = format!("after {RECOVERY:?} member {member} holds {cursor:?} of {head} in room {room}");
            ledger.wrong(|counts| &mut counts.late, note);
        }
        let note = format!("not everything was done {RECOVERY:?} after the fault");
        ledger.wrong(|counts| &mut counts.late, note);
    }
}

/// Waits until every send is answered, every member holds everything, and every file is announced.
async fn settled(shared: &Shared) {
    shared.is_quiet().await;
    loop {
        // A server that is not back yet is asked again.
        if audit::read(shared).await.is_ok() {
            let ledger = shared.ledger();
            let announced = shared.files().iter().all(|(room, file)| ledger.announced(*room, file) > 0);
            if announced && ledger.behind().is_empty() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { tally, refused, reordered, not_stored, digests, late } = &self.counts;
        write!(
            formatter,
            "{}; all caught up {:.1} s after. attempted {} acknowledged {} refused {refused} lost {} duplicated {} recovered {} unexpected {} \
             reordered {reordered} holes {} disagreements {} violations {} failed {} not stored {not_stored} digests {digests} \
             late {late}",
            self.what,
            self.recovered.as_secs_f64(),
            tally.attempted,
            tally.acknowledged,
            tally.lost,
            tally.duplicated,
            tally.recovered,
            tally.unexpected,
            tally.holes,
            tally.disagreeing_rooms,
            tally.violations,
            tally.failed,
        )
    }
}
