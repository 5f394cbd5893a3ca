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
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
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
static NOBODY: LazyLock<String> =
    LazyLock::new(|| Hasher::default().hash("nobody has this password").unwrap_or_default());

type Work = Box<dyn FnOnce(&mut Hasher) + Send>;

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

    /// Takes a place for one password. Whoever takes it first of all that a call does is refused at the cost of a counter, and
    /// with no try counted against the account, when there is a crowd.
    ///
    /// # Errors
    /// [`AuthError::HashingBusy`] when all are taken.
    pub(crate) fn admit(&self) -> Result<Admitted, AuthError> {
        let place = Place::take(&self.places, self.most).ok_or(AuthError::HashingBusy)?;
        Ok(Admitted { place, work: self.work.clone() })
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, AuthError> {
        self.admit()?.hash(password).await
    }
}

/// Has a place among those whose password is hashed.
pub(crate) struct Admitted {
    place: Place,
    work: mpsc::Sender<Work>,
}

impl Admitted {
    /// The hash to store.
    pub(crate) async fn hash(self, password: &str) -> Result<String, AuthError> {
        let password = password.to_owned();
        let hash = self.run(move |hasher| hasher.hash(&password)).await?;
        hash.map_err(|cause| AuthError::internal(anyhow::anyhow!("argon2: {cause}")))
    }

    /// Whether a password is right. Takes its time also when there is nothing to compare with.
    pub(crate) async fn verify(self, password: &str, stored: Option<String>) -> Result<bool, AuthError> {
        let password = password.to_owned();
        let matches = move |hasher: &mut Hasher| {
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| NOBODY.clone());
            let right = hasher.matches(&password, &stored).unwrap_or_default();
            right && known
        };
        self.run(matches).await
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Hasher) -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let Self { place, work: threads } = self;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |hasher: &mut Hasher| {
            // The place is given back when the work is done, whether anybody still waits for it or not.
            let _place = place;
            // Nothing is hashed for somebody who has gone.
            if !answer.is_closed() {
                let _ = answer.send(work(hasher));
            }
        });
        threads.try_send(work).map_err(|_| AuthError::HashingBusy)?;
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
    let mut hasher = Hasher::default();
    while let Some(next) = next(work, &mut hasher) {
        // A panic is answered by the end of its answer; the thread goes on.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| next(&mut hasher)));
    }
}

/// Waits for what is next; `None` when there is nothing more to come.
fn next(work: &Mutex<mpsc::Receiver<Work>>, hasher: &mut Hasher) -> Option<Work> {
    if let Ok(mut work) = work.try_lock()
        && let Ok(next) = work.try_recv()
    {
        return Some(next);
    }
    // Nobody waits, or another thread waits for who will.
    *hasher = Hasher::default();
    work.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// Hashes in memory that is used again: to have 19 MiB from the system for each password costs more than half of all page
/// faults of a crowd that signs in.
#[derive(Default)]
struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    /// The hash to store, with a salt of its own, in the PHC string format.
    fn hash(&mut self, password: &str) -> argon2::password_hash::Result<String> {
        let (algorithm, version, params) = (Algorithm::default(), Version::default(), Params::default());
        let salt = Salt::generate();
        let hash = self.output(password, &salt, Params::DEFAULT_OUTPUT_LEN, (algorithm, version, params.clone()))?;
        let params = ParamsString::try_from(params)?;
        let hash = PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params,
            salt: Some(salt),
            hash: Some(hash),
        };
        Ok(hash.to_string())
    }

    /// Whether `stored` is this password's hash, made with whichever parameters.
    fn matches(&mut self, password: &str, stored: &str) -> argon2::password_hash::Result<bool> {
        let stored = PasswordHash::new(stored)?;
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
            return Ok(false);
        };
        let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from)?;
        let params = Params::try_from(&stored)?;
        // Outputs compare in constant time.
        Ok(self.output(password, &salt, expected.len(), (algorithm, version, params))? == expected)
    }

    fn output(
        &mut self,
        password: &str,
        salt: &[u8],
        length: usize,
        (algorithm, version, params): (Algorithm, Version, Params),
    ) -> argon2::password_hash::Result<Output> {
        self.memory.resize(params.block_count(), Block::default());
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or(argon2::password_hash::Error::OutputSize)?;
        let argon2 = Argon2::new(algorithm, version, params);
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut self.memory)?;
        Ok(Output::new(output)?)
    }
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

    async fn verify(passwords: &Passwords, password: &str, stored: Option<String>) -> Result<bool, AuthError> {
        passwords.admit()?.verify(password, stored).await
    }

    #[tokio::test]
    async fn a_password_is_right_or_wrong() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&passwords, "correct horse", Some(stored.clone())).await.unwrap());
        assert!(!verify(&passwords, "wrong horse", Some(stored)).await.unwrap());
        assert!(!verify(&passwords, "nobody has this password", None).await.unwrap());
    }

    #[tokio::test]
    async fn memory_that_was_used_changes_no_hash() {
        // Made by the reference implementation, `argon2 somesalt -id -v 13 -t 2 -m 8 -p 1`, as in its own tests.
        let stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let mut hasher = Hasher::default();
        let own = hasher.hash("correct horse").unwrap();
        for _ in 0..2 {
            assert!(hasher.matches("password", stored).unwrap());
            assert!(hasher.matches("correct horse", &own).unwrap());
            assert!(!hasher.matches("passwort", stored).unwrap());
        }
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::new().unwrap();
        let crowd = (0..passwords.most + 20).map(|_| verify(&passwords, "x", None));
        let answers = futures::future::join_all(crowd).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(AuthError::HashingBusy))).count();
        assert!(busy >= 20, "{busy}");
        assert!(verify(&passwords, "x", None).await.is_ok(), "places are given back");
    }

    #[tokio::test]
    async fn threads_give_way() {
        let passwords = Passwords::new().unwrap();
        let niceness =
            passwords.admit().unwrap().run(|_| std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default());
        let stat = niceness.await.unwrap();
        // The 19th field; the second may have blanks in it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let niceness: Option<i32> = after_name.split_whitespace().nth(16).and_then(|field| field.parse().ok());
        assert!(niceness.is_none_or(|niceness| niceness >= NICENESS), "{niceness:?}");
    }
}
