//! Small transactions that are there at the same time are committed together: the disk is waited for once for all of them.
//!
//! Each is a savepoint in the common transaction, so that one that fails takes back nothing of the others. For effects of messages,
//! which need few statements each, ask nobody else in between, and come many at a time when a backlog is worked off.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{FutureExt as _, future::BoxFuture};
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait as _};
use tokio::sync::oneshot;

use super::Db;

/// How many are committed together at most. The first of them waits for the last.
const TOGETHER: usize = 64;

type Work = Box<dyn for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<(), DbErr>> + Send>;

/// Somebody's part of a common transaction.
struct Part {
    work: Work,
    done: oneshot::Sender<Result<(), DbErr>>,
}

/// What waits, and whether somebody works on it.
#[derive(Default)]
pub(super) struct Group(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    parts: VecDeque<Part>,
    worked_on: bool,
}

impl Group {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a part. True when nobody works on what waits: the caller sees to it that somebody does.
    fn add(&self, part: Part) -> bool {
        let mut waiting = self.waiting();
        waiting.parts.push_back(part);
        !std::mem::replace(&mut waiting.worked_on, true)
    }

    /// The next parts; nobody works on it any more when there are none.
    fn next(&self) -> Vec<Part> {
        let mut waiting = self.waiting();
        let count = waiting.parts.len().min(TOGETHER);
        waiting.worked_on = count > 0;
        waiting.parts.drain(..count).collect()
    }
}

impl Db {
    /// Does something in a transaction that others may have a part in, and returns when it is committed. It happens whole or not at
    /// all, whatever becomes of the others, and may have happened when the caller stops waiting. It must not wait for anything but
    /// the transaction: others wait for it.
    ///
    /// # Errors
    /// Those of `work`, and the database's when it refuses or cannot be reached.
    pub async fn in_group<T, W>(&self, work: W) -> Result<T, DbErr>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, DbErr>> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let kept = answer.clone();
        let work: Work = Box::new(move |tx| {
            let work = work(tx);
            Box::pin(async move {
                let answer = work.await?;
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                Ok(())
            })
        });
        let (done, committed) = oneshot::channel();
        if self.group.add(Part { work, done }) {
            // A task of its own: others' parts must not end with this caller. It ends as soon as nothing waits.
            #[allow(
                clippy::disallowed_methods,
                reason = "who stops a process waits for its callers, and they for this"
            )]
            tokio::spawn(work_on(self.clone()));
        }
        committed.await.unwrap_or_else(|_| Err(panicked()))?;
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.ok_or_else(panicked)
    }
}

async fn work_on(db: Db) {
    loop {
        let parts = db.group.next();
        if parts.is_empty() {
            return;
        }
        let (work, done): (Vec<Work>, Vec<_>) = parts.into_iter().map(|part| (part.work, part.done)).unzip();
        let count = work.len();
        let outcomes = commit(&db, work).await.unwrap_or_else(|cause| vec![Err(cause); count]);
        for (done, outcome) in done.into_iter().zip(outcomes) {
            // Whoever does not wait any more does not need to know.
            let _ = done.send(outcome);
        }
    }
}

/// Commits everything that does not fail, and says what came of each.
async fn commit(db: &Db, works: Vec<Work>) -> Result<Vec<Result<(), DbErr>>, DbErr> {
    let tx = db.begin().await?;
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        let part = tx.begin().await?;
        let outcome = AssertUnwindSafe(work(&part)).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
        match outcome {
            Ok(()) => part.commit().await?,
            Err(_) => part.rollback().await?,
        }
        outcomes.push(outcome);
    }
    tx.commit().await?;
    Ok(outcomes)
}

fn panicked() -> DbErr {
    DbErr::Custom("a part of a transaction panicked".into())
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use sea_orm::{ConnectionTrait as _, Statement};

    use super::*;
    use crate::db::tests::opened;

    async fn database(folder: &tempfile::TempDir) -> Db {
        let db = opened(folder).await;
        let tx = db.begin().await.unwrap();
        tx.execute_unprepared("CREATE TABLE t (a INTEGER PRIMARY KEY)").await.unwrap();
        tx.commit().await.unwrap();
        db
    }

    async fn add(db: &Db, number: i64, fails: bool) -> Result<i64, DbErr> {
        db.in_group(move |tx| {
            Box::pin(async move {
                tx.execute_unprepared(&format!("INSERT INTO t VALUES ({number})")).await?;
                assert!(number != 13, "out of luck");
                if fails { Err(DbErr::Custom("no".into())) } else { Ok(number) }
            })
        })
        .await
    }

    async fn all(db: &Db) -> Vec<i64> {
        let rows = Statement::from_string(db.backend(), "SELECT a FROM t ORDER BY a");
        let rows = db.reader().query_all_raw(rows).await.unwrap();
        rows.into_iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_part_happens_or_not_whatever_becomes_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let added = join_all((0..200).map(|number| add(&db, number, number % 10 == 0))).await;
        let right: Vec<i64> = (0..200).filter(|number| number % 10 != 0 && *number != 13).collect();
        assert_eq!(added.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), right);
        assert_eq!(all(&db).await, right);
        assert!(add(&db, 1, false).await.is_err(), "it is there already");
        assert_eq!(add(&db, 1000, false).await.unwrap(), 1000);
    }

    #[tokio::test]
    async fn who_stops_waiting_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        for number in 50..100 {
            let hurried = add(&db, number * 2, false);
            let _ = tokio::time::timeout(std::time::Duration::from_micros(300), hurried).await;
            add(&db, number * 2 + 1, false).await.unwrap();
        }
        assert_eq!(all(&db).await, (100..200).collect::<Vec<_>>());
    }
}
