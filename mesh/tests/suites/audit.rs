//! The log of what was done, on each database: it refuses to be changed, and shows when it was changed all the same.

use mesh::{
    audit::{self, Entry, Filter, append, list, verify},
    db::{Db, DbConfig},
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-01-01 0:00 UTC);

struct Tables;

#[async_trait::async_trait]
impl MigratorTrait for Tables {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![audit::migration()]
    }
}

/// A log in a database of its own.
struct Log {
    db: Db,
    _folder: tempfile::TempDir,
}

impl Log {
    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("audit.db").display());
        Self::open(folder, url).await
    }

    async fn on_postgres() -> Self {
        let url = tests::servers::fresh_database("audit").await;
        Self::open(tempfile::tempdir().unwrap(), url).await
    }

    async fn open(folder: tempfile::TempDir, url: String) -> Self {
        let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
        db.migrate::<Tables>().await.unwrap();
        Self { db, _folder: folder }
    }

    /// Writes so many times two entries.
    async fn notes(&self, times: u32) {
        for number in 0..times {
            let tx = self.db.begin().await.unwrap();
            let entry = Entry::new("thing.made", number).by(Uuid::nil()).from("192.0.2.1").with("how", "well");
            append(&tx, &[entry, Entry::new("other.done", "")], NOW).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    /// Takes away what refuses changes, as only somebody could who owns the database.
    async fn disarms<C: ConnectionTrait>(&self, tx: &C) {
        let on = if self.db.backend() == DbBackend::Postgres { " ON audit" } else { "" };
        for trigger in ["audit_no_update", "audit_no_delete"] {
            tx.execute_unprepared(&format!("DROP TRIGGER {trigger}{on}")).await.unwrap();
        }
    }
}

async fn a_log_that_nobody_touched_is_whole(log: Log) {
    log.notes(3).await;
    let verified = verify(log.db.reader()).await.unwrap();
    assert_eq!((verified.first_broken, verified.entries, verified.head_seq), (None, 6, 6));
    let filter = Filter { action: Some("thing.".into()), ..Filter::default() };
    let some = list(log.db.reader(), &filter, 2).await.unwrap();
    let seqs: Vec<u64> = some.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [5, 3]);
    assert_eq!((some[0].details["how"].as_str(), some[0].address.as_str()), ("well", "192.0.2.1"));
    assert_eq!(some[0].hash.len(), 32);
}

async fn a_change_that_is_rolled_back_leaves_no_entry(log: Log) {
    log.notes(1).await;
    let tx = log.db.begin().await.unwrap();
    append(&tx, &[Entry::new("thing.made", "")], NOW).await.unwrap();
    drop(tx);
    assert_eq!(verify(log.db.reader()).await.unwrap().head_seq, 2);
    log.notes(1).await;
    let verified = verify(log.db.reader()).await.unwrap();
    assert_eq!((verified.first_broken, verified.head_seq), (None, 4), "its number is given to the next one");
}

async fn those_who_write_at_the_same_time_leave_no_hole(log: Log) {
    futures::future::join_all((0..8).map(|_| log.notes(4))).await;
    let verified = verify(log.db.reader()).await.unwrap();
    assert_eq!((verified.first_broken, verified.entries, verified.head_seq), (None, 64, 64));
}

async fn the_database_itself_refuses_changes(log: Log) {
    log.notes(1).await;
    let mut refused = vec!["UPDATE audit SET subject = 'x'", "UPDATE audit SET seq = seq WHERE seq = 0 OR seq > 0"];
    refused.extend(["DELETE FROM audit", "DELETE FROM audit WHERE seq = 1"]);
    if log.db.backend() == DbBackend::Postgres {
        refused.extend([
            "TRUNCATE audit",
            "TRUNCATE audit, audit_head CASCADE",
            "INSERT INTO audit SELECT * FROM audit ON CONFLICT (seq) DO UPDATE SET subject = 'x'",
        ]);
    }
    for sql in refused {
        let tx = log.db.begin().await.unwrap();
        let cause: DbErr = tx.execute_unprepared(sql).await.expect_err(sql);
        assert!(cause.to_string().contains("audit is append-only"), "{sql}: {cause}");
        tx.rollback().await.unwrap();
    }
    assert_eq!(verify(log.db.reader()).await.unwrap().entries, 2);
}

async fn whatever_is_changed_shows(log: Log) {
    let tampering = [
        ("UPDATE audit SET subject = 'x' WHERE seq = 3", 3),
        ("UPDATE audit SET actor = NULL WHERE seq = 1", 1),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET details = '{}' WHERE seq = 5", 5),
        ("UPDATE audit SET address = '' WHERE seq = 5", 5),
        ("UPDATE audit SET hash = previous WHERE seq = 4", 4),
        ("UPDATE audit SET seq = 7 WHERE seq = 6", 6),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq > 4", 5),
        ("DELETE FROM audit", 1),
    ];
    log.notes(3).await;
    for (sql, broken) in tampering {
        let tx = log.db.begin().await.unwrap();
        log.disarms(&tx).await;
        tx.execute_unprepared(sql).await.unwrap();
        assert_eq!(verify(&tx).await.unwrap().first_broken, Some(broken), "{sql}");
        tx.rollback().await.unwrap();
    }
    assert_eq!(verify(log.db.reader()).await.unwrap().first_broken, None, "all of that was taken back");
}

async fn text_from_outside_stays_on_one_line(log: Log) {
    let tx = log.db.begin().await.unwrap();
    let entry = Entry::new("thing.made", "a\r\n1 root logged in").from("192.0.2.1\r\nx").with("name", "é".repeat(1000));
    append(&tx, &[entry.with("said", "one\r\ntwo\u{85}three")], NOW).await.unwrap();
    tx.commit().await.unwrap();
    let records = list(log.db.reader(), &Filter::default(), 10).await.unwrap();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.subject, "a\u{fffd}\u{fffd}1 root logged in");
    assert_eq!(record.address, "192.0.2.1\u{fffd}\u{fffd}x");
    assert_eq!(record.details["said"], "one\u{fffd}\u{fffd}two\u{fffd}three");
    assert_eq!(record.details["name"].len(), 512);
    assert_eq!(verify(log.db.reader()).await.unwrap().first_broken, None);
}

/// The cases, once for each database: a further one is a further line at the end of this file.
macro_rules! backend {
    ($backend:ident, $new:path) => {
        backend!(
            $backend, $new:
            a_log_that_nobody_touched_is_whole,
            a_change_that_is_rolled_back_leaves_no_entry,
            those_who_write_at_the_same_time_leave_no_hole,
            the_database_itself_refuses_changes,
            whatever_is_changed_shows,
            text_from_outside_stays_on_one_line
        );
    };
    ($backend:ident, $new:path: $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($new().await).await;
            })+
        }
    };
}

backend!(on_sqlite, super::Log::on_sqlite);
backend!(on_postgres, super::Log::on_postgres);
