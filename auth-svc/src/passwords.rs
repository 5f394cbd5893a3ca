//! Passwords: argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), a few at a time.
//!
//! They are hashed on threads of their own, which give way to all others where the system knows such a thing: what is being
//! said must not wait for who is signing in. How many threads there are bounds the memory that hashing takes.

use std::{
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::{mpsc, oneshot};

use crate::errors::AuthError;

/// How many callers may wait for each one that is hashing.
const WAITING_PER_THREAD: usize = 8;
/// How long a caller waits at most, hashing included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far the threads give way (0 to 19).
const NICENESS: i32 = 10;

/// Verified when there is no such account, so that it takes as long as when there is.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

type Work = Box<dyn FnOnce() + Send>;

/// Hashes and verifies, a few at a time. Cheap to clone. Its threads end with the last clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    work: mpsc::Sender<Work>,
    places: Arc<AtomicUsize>,
    most: usize,
}

impl Passwords {
    /// Uses half of the cores, and at least one.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).max(1);
        let most = threads * (1 + WAITING_PER_THREAD);
        let (sender, work) = mpsc::channel(most);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads {
            let work = work.clone();
            std::thread::Builder::new().name("passwords".into()).spawn(move || run(&work))?;
        }
        Ok(Self { work: sender, places: Arc::default(), most })
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
        let place = Place::take(&self.places, self.most).ok_or(AuthError::HashingBusy)?;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            // The place is given back when the work is done, whether anybody still waits for it or not.
            let _place = place;
            // Nothing is hashed for somebody who has gone.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        });
        self.work.try_send(work).map_err(|_| AuthError::HashingBusy)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(done) => done.map_err(AuthError::internal),
            Err(_) => Err(AuthError::HashingBusy),
        }
    }
}

/// One thread.
fn run(work: &Mutex<mpsc::Receiver<Work>>) {
    // On Linux this is about the thread that asks.
    if let Err(cause) = rustix::process::nice(NICENESS) {
        tracing::debug!(%cause, "threads that hash passwords do not give way");
    }
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(next) = next else { return };
        // A panic is answered by the end of its answer; the thread goes on.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(next));
    }
}

fn hash(password: &str) -> Result<String, AuthError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|cause| AuthError::internal(anyhow::anyhow!("argon2: {cause}")))
}

/// A place among those that wait or hash.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(places.clone());
        (places.fetch_add(1, Ordering::SeqCst) < most).then_some(place)
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
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse", Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse", Some(stored)).await.unwrap());
        assert!(!passwords.verify("nobody has this password", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::new().unwrap();
        let crowd = (0..passwords.most + 20).map(|_| passwords.verify("x", None));
        let answers = futures::future::join_all(crowd).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(AuthError::HashingBusy))).count();
        assert!(busy >= 20, "{busy}");
        assert!(passwords.verify("x", None).await.is_ok(), "places are given back");
    }

    #[tokio::test]
    async fn threads_give_way() {
        let passwords = Passwords::new().unwrap();
        let niceness = passwords.run(|| std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default());
        let stat = niceness.await.unwrap();
        // The 19th field; the second may have blanks in it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let niceness: Option<i32> = after_name.split_whitespace().nth(16).and_then(|field| field.parse().ok());
        assert!(niceness.is_none_or(|niceness| niceness >= NICENESS), "{niceness:?}");
    }
}
