//! Limits on tries to sign in: per account and altogether, in windows of a minute.

use std::time::Duration;

use mesh::cache::Cache;

use crate::errors::AuthError;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts a try. An account that is being guessed at answers more slowly; it is never locked for longer than the window.
pub(crate) async fn count(cache: &Cache, username: &str, per_account: u64, altogether: u64) -> Result<(), AuthError> {
    for (key, most) in [(format!("auth.tries.{username}"), per_account), ("auth.tries".into(), altogether)] {
        let tries = cache.increment(&key, WINDOW).await.map_err(AuthError::internal)?;
        if tries > most {
            return Err(AuthError::TooManyTries(WINDOW));
        }
    }
    Ok(())
}
