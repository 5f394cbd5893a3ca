//! What was taken away while tokens for it still live: ended sessions, and accounts whose older tokens no longer count.
//!
//! Kept in memory for as long as a token could live, fed from outside. Looked at without a lock as long as nothing was added
//! since a token was last looked at.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{ACCESS_TOKEN_LIFE, LEEWAY_SECONDS, UserPrincipal};
use crate::clock::Clock;

/// How many revocations may wait for one listener.
const WAITING: usize = 256;
/// The longest that a token of a revoked session could still be good.
const KEEP: Duration = Duration::from_secs(ACCESS_TOKEN_LIFE.as_secs() + LEEWAY_SECONDS.unsigned_abs());

/// Something was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// Sessions that ended.
    pub sessions: Vec<Uuid>,
    /// Accounts, and the lowest epoch of their tokens that counts.
    pub epochs: Vec<(Uuid, u64)>,
}

impl Revocation {
    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.epochs.is_empty()
    }
}

/// What was taken away lately. Cheap to clone; clones know the same.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Counts what was added.
    generation: AtomicU64,
    known: RwLock<Known>,
    listeners: broadcast::Sender<Revocation>,
}

#[derive(Default)]
struct Known {
    sessions: HashMap<Uuid, OffsetDateTime>,
    epochs: HashMap<Uuid, (u64, OffsetDateTime)>,
}

/// How a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    SessionEnded,
    Stale,
}

impl Revocations {
    pub(super) fn new(clock: Clock) -> Self {
        let inner = Inner {
            clock,
            generation: AtomicU64::new(1),
            known: RwLock::default(),
            listeners: broadcast::Sender::new(WAITING),
        };
        Self(Arc::new(inner))
    }

    /// Notes what was taken away, and tells those who listen if any of it is new.
    pub fn add(&self, revocation: &Revocation) {
        let now = self.0.clock.now();
        let mut fresh = Revocation::default();
        {
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            known.sessions.retain(|_, since| now < *since + KEEP);
            known.epochs.retain(|_, (_, since)| now < *since + KEEP);
            for session in &revocation.sessions {
                if known.sessions.insert(*session, now).is_none() {
                    fresh.sessions.push(*session);
                }
            }
            for (user, epoch) in &revocation.epochs {
                let (highest, since) = known.epochs.entry(*user).or_insert((0, now));
                if epoch > highest {
                    (*highest, *since) = (*epoch, now);
                    fresh.epochs.push((*user, *epoch));
                }
            }
        }
        if !fresh.is_empty() {
            self.0.generation.fetch_add(1, Ordering::Release);
            // An error says that nobody listens.
            let _ = self.0.listeners.send(fresh);
        }
    }

    /// Hears of everything that is added from now on.
    pub fn listen(&self) -> broadcast::Receiver<Revocation> {
        self.0.listeners.subscribe()
    }

    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    pub(super) fn standing(&self, user: &UserPrincipal) -> Standing {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.sessions.contains_key(&user.session_id) {
            Standing::SessionEnded
        } else if known.epochs.get(&user.user_id).is_some_and(|(lowest, _)| user.epoch < *lowest) {
            Standing::Stale
        } else {
            Standing::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(session_id: Uuid, user_id: Uuid, epoch: u64) -> UserPrincipal {
        let expires_at = OffsetDateTime::UNIX_EPOCH;
        UserPrincipal { user_id, session_id, role: "member".into(), expires_at, epoch, scopes: None }
    }

    #[test]
    fn what_was_taken_away_is_known_until_no_token_could_live() {
        let clock = Clock::manual(time::macros::datetime!(2026-01-01 0:00 UTC));
        let revoked = Revocations::new(clock.clone());
        let mut heard = revoked.listen();
        let (alice, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (laptop, phone) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let before = revoked.generation();
        let told = Revocation { sessions: vec![laptop], epochs: vec![(bob, 2)] };
        revoked.add(&told);
        assert_ne!(revoked.generation(), before);
        assert_eq!(heard.try_recv().unwrap(), told);
        let again = revoked.generation();
        revoked.add(&told);
        revoked.add(&Revocation { sessions: Vec::new(), epochs: vec![(bob, 1)] });
        assert_eq!(revoked.generation(), again, "nothing of it was new");
        assert_eq!(revoked.standing(&user(laptop, alice, 0)), Standing::SessionEnded);
        assert_eq!(revoked.standing(&user(phone, alice, 0)), Standing::Good);
        assert_eq!(revoked.standing(&user(phone, bob, 1)), Standing::Stale);
        assert_eq!(revoked.standing(&user(phone, bob, 2)), Standing::Good);
        clock.advance(KEEP);
        revoked.add(&Revocation::default());
        assert_eq!(revoked.standing(&user(laptop, alice, 0)), Standing::Good, "forgotten");
    }
}
