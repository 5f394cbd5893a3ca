//! The published keys, kept for as long as they are of use and fetched again when a token names one that is not known.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jsonwebtoken::DecodingKey;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tonic::Status;

use crate::{clock::Clock, errors};

/// A key is looked for at most this often, so that made-up key ids cost auth-svc nothing.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// An Ed25519 public key and the `kid` it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyKey {
    /// The `kid` of the tokens it verifies.
    pub kid: String,
    /// The 32 bytes of the key.
    pub ed25519: Vec<u8>,
}

/// Fetches the key set from whoever publishes it.
pub type FetchKeys = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<VerifyKey>, Status>> + Send + Sync>;

/// The keys that are known. Cheap to clone.
#[derive(Clone)]
pub struct KeyStore {
    fetch: FetchKeys,
    clock: Clock,
    known: Arc<std::sync::RwLock<HashMap<String, DecodingKey>>>,
    /// When keys were last fetched; held while fetching, so that one caller fetches for all.
    fetched: Arc<Mutex<Option<OffsetDateTime>>>,
}

impl KeyStore {
    /// Knows nothing yet and asks `fetch` when it must.
    pub fn new(fetch: FetchKeys, clock: Clock) -> Self {
        Self { fetch, clock, known: Arc::default(), fetched: Arc::default() }
    }

    /// The key of that name, or nothing when there is no such key.
    ///
    /// # Errors
    /// UNAVAILABLE when the keys cannot be fetched and this one is not known.
    pub async fn get(&self, kid: &str) -> Result<Option<DecodingKey>, Status> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let mut fetched = self.fetched.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let now = self.clock.now();
        if fetched.is_some_and(|last| now < last + FETCH_INTERVAL) {
            return Ok(None);
        }
        let keys = (self.fetch)().await.map_err(|cause| {
            tracing::warn!(%cause, "the token keys could not be fetched");
            errors::unavailable("KEYS_UNAVAILABLE", "Tokens cannot be verified just now.", Duration::from_secs(1))
        })?;
        *fetched = Some(now);
        self.replace(&keys);
        Ok(self.known(kid))
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(kid).cloned()
    }

    fn replace(&self, keys: &[VerifyKey]) {
        let keys = keys.iter().map(|key| (key.kid.clone(), DecodingKey::from_ed_der(&key.ed25519))).collect();
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) = keys;
    }
}
