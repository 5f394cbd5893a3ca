//! The connection that writes to a SQLite file, kept from one commit to the next.
//!
//! A pool asks a connection whether it still lives when it comes back, which wakes the connection's thread and whoever commits once
//! more for each commit. Whoever else wants the connection gets it as soon as the commit under way is done.

use std::sync::atomic::{AtomicUsize, Ordering};

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, Sqlite, SqlitePool, pool::PoolConnection},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
};

use super::ACQUIRE_TIMEOUT;

/// The place where it is kept.
#[derive(Default)]
pub(super) struct Kept {
    connection: Mutex<Option<PoolConnection<Sqlite>>>,
    /// How many want it for themselves, or wait for it in the pool.
    wanted: AtomicUsize,
}

/// Somebody wants the connection: it is not kept meanwhile.
pub(super) struct Wanted<'k>(&'k AtomicUsize);

/// The connection, for one commit.
pub(super) struct Held<'k> {
    place: MutexGuard<'k, Option<PoolConnection<Sqlite>>>,
    wanted: &'k AtomicUsize,
    connection: PoolConnection<Sqlite>,
}

impl Kept {
    /// Takes the connection, which nobody else can take before `Held` is gone.
    pub(super) async fn hold(&self, pool: &SqlitePool) -> Result<Held<'_>, DbErr> {
        let mut place = self.connection.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => pool.acquire().await.map_err(|cause| match cause {
                sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
                cause => DbErr::Conn(RuntimeErr::SqlxError(cause.into())),
            })?,
        };
        Ok(Held { place, wanted: &self.wanted, connection })
    }

    /// Has the connection back in its pool, and not kept again before the answer is gone.
    pub(super) async fn give_back(&self) -> Result<Wanted<'_>, DbErr> {
        self.wanted.fetch_add(1, Ordering::AcqRel);
        let wanted = Wanted(&self.wanted);
        let place = tokio::time::timeout(ACQUIRE_TIMEOUT, self.connection.lock()).await;
        // Dropped, it goes back to its pool.
        drop(place.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?.take());
        Ok(wanted)
    }
}

impl Held<'_> {
    pub(super) fn connection(&mut self) -> &mut PoolConnection<Sqlite> {
        &mut self.connection
    }

    /// Keeps the connection for the next commit, unless somebody wants it. Without this it goes back to its pool, which sees whether
    /// it still lives.
    pub(super) fn keep(mut self) {
        if self.wanted.load(Ordering::Acquire) == 0 {
            *self.place = Some(self.connection);
        }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A connection goes back to its pool by a task. Where there are none any more, the process is ending and takes it along.
        if let Some(connection) = self.connection.get_mut().take()
            && Handle::try_current().is_err()
        {
            std::mem::forget(connection);
        }
    }
}
