//! What the clients of a drill share: who they are, where the doors are, whether there is load, and the ledger.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng};
use tokio::sync::watch;

use super::{account::Account, ledger::Ledger};

/// A room of a drill.
pub(super) struct Room {
    pub(super) id: String,
    /// Members see only what happened since they joined.
    pub(super) since_joined: bool,
    /// By number; the maker of all rooms is number 0 and in each of them.
    pub(super) members: Vec<usize>,
    /// The member who is put out and brought back.
    pub(super) churned: usize,
}

/// What is shared.
pub(super) struct Shared {
    /// One for each gateway.
    pub(super) doors: Vec<SocketAddr>,
    pub(super) people: Vec<Account>,
    pub(super) rooms: Vec<Room>,
    /// Whether new work is begun.
    pub(super) load: watch::Sender<bool>,
    /// How many have begun something and not finished it.
    busy: watch::Sender<usize>,
    /// Between two sends of one sender, in microseconds.
    pause: AtomicU64,
    ledger: Mutex<Ledger>,
    epoch: Mutex<String>,
    /// Files that were uploaded: the room and the file.
    files: Mutex<Vec<(usize, String)>>,
}

impl Shared {
    pub(super) fn new(doors: Vec<SocketAddr>, people: Vec<Account>, rooms: Vec<Room>, pause: Duration) -> Self {
        let ledger = Ledger::new(
            rooms.iter().map(|room| (room.id.clone(), room.since_joined)).collect(),
            people.iter().map(|account| account.user.id.clone()).collect(),
        );
        let shared = Self {
            doors,
            people,
            rooms,
            load: watch::Sender::new(false),
            busy: watch::Sender::new(0),
            pause: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
            epoch: Mutex::default(),
            files: Mutex::default(),
        };
        shared.set_pause(pause);
        shared
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epoch(&self) -> MutexGuard<'_, String> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Vec<(usize, String)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A door; whoever comes back tries the next one.
    pub(super) fn door(&self, turn: usize) -> SocketAddr {
        self.doors[turn % self.doors.len()]
    }

    /// Says that something was begun; dropping it says that it is finished.
    pub(super) fn begins(&self) -> Busy<'_> {
        self.busy.send_modify(|busy| *busy += 1);
        Busy(&self.busy)
    }

    /// Waits until nobody has anything under way.
    pub(super) async fn is_quiet(&self) {
        // An error would say that the sender is gone, which is in `self`.
        let _ = self.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }

    /// How long senders wait between two messages, on average.
    pub(super) fn set_pause(&self, pause: Duration) {
        self.pause.store(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits between two messages.
    pub(super) async fn pause(&self, random: &mut StdRng) {
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            tokio::time::sleep(Duration::from_micros(random.random_range(pause / 2..=pause * 3 / 2))).await;
        }
    }
}

/// Something is under way.
pub(super) struct Busy<'s>(&'s watch::Sender<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|busy| *busy -= 1);
    }
}

/// Waits before something is tried again: doubling, with jitter.
pub(super) struct Backoff {
    next: Duration,
    random: StdRng,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(super) fn new(random: StdRng) -> Self {
        Self { next: Self::FIRST, random }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    pub(super) async fn wait(&mut self) {
        let wait = self.next.mul_f64(self.random.random_range(0.5..1.5));
        self.next = (self.next * 2).min(Self::LONGEST);
        tokio::time::sleep(wait).await;
    }
}
