//! Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), a few at a time.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::errors::AuthError;

/// How many callers may wait for each one that is hashing.
const WAITING_PER_PERMIT: usize = 8;

/// Verified when there is no such account, so that it takes as long as when there is.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

/// Hashes and verifies, a few at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

impl Passwords {
    /// Uses half of the cores, and at least one.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = (cores / 2).max(1);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            waiting: Arc::default(),
            most_waiting: permits * WAITING_PER_PERMIT,
        }
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, AuthError> {
        let password = password.to_owned();
        self.run(move || hash(&password)).await?
    }

    /// Whether a password is right. Takes its time also when there is nothing to compare with.
    pub(crate) async fn verify(&self, password: &str, stored: Option<String>) -> Result<bool, AuthError> {
        let password = password.to_owned();
        let matches = move || {
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| NOBODY.clone());
            let parsed = PasswordHash::new(&stored);
            let right = parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            right && known
        };
        self.run(matches).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AuthError> {
        let _place = Place::take(&self.waiting, self.most_waiting).ok_or(AuthError::HashingBusy)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(AuthError::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(AuthError::internal)
    }
}

fn hash(password: &str) -> Result<String, AuthError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|cause| AuthError::internal(anyhow::anyhow!("argon2: {cause}")))
}

/// A place among those that wait or hash; given back when the caller is done or gone.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(waiting.clone());
        (waiting.fetch_add(1, Ordering::SeqCst) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_right_or_wrong() {
        let passwords = Passwords::new();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse", Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse", Some(stored)).await.unwrap());
        assert!(!passwords.verify("nobody has this password", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::new();
        let crowd = (0..passwords.most_waiting + 20).map(|_| passwords.verify("x", None));
        let answers = futures::future::join_all(crowd).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(AuthError::HashingBusy))).count();
        assert_eq!(busy, 20);
        assert!(passwords.verify("x", None).await.is_ok(), "places are given back");
    }
}
