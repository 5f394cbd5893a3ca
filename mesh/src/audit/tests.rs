use sea_orm::{ConnectionTrait as _, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use super::*;
use crate::db::{Db, DbConfig};

struct Tables;

#[async_trait::async_trait]
impl MigratorTrait for Tables {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![migration()]
    }
}

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-01 0:00 UTC);

async fn log(folder: &tempfile::TempDir, entries: u32) -> Db {
    let url = format!("sqlite:{}", folder.path().join("audit.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<Tables>().await.unwrap();
    for number in 0..entries {
        let tx = db.begin().await.unwrap();
        let entry = Entry::new("thing.made", number).by(Uuid::nil()).from("192.0.2.1").with("how", "well");
        append(&tx, &[entry.clone(), Entry::new("other.done", "")], NOW).await.unwrap();
        tx.commit().await.unwrap();
    }
    db
}

async fn run(db: &Db, sql: &str) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    tx.execute_raw(Statement::from_string(db.backend(), sql.to_owned())).await?;
    tx.commit().await
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let db = log(&folder, 3).await;
    let verified = verify(db.reader()).await.unwrap();
    assert_eq!((verified.first_broken, verified.entries, verified.head_seq), (None, 6, 6));
    let some = list(db.reader(), &Filter { action: Some("thing.".into()), ..Filter::default() }, 2).await.unwrap();
    let seqs: Vec<u64> = some.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [5, 3]);
    assert_eq!((some[0].details["how"].as_str(), some[0].address.as_str()), ("well", "192.0.2.1"));
    assert_eq!(some[0].hash.len(), 32);
}

#[tokio::test]
async fn a_change_that_is_rolled_back_leaves_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let db = log(&folder, 1).await;
    let tx = db.begin().await.unwrap();
    append(&tx, &[Entry::new("thing.made", "")], NOW).await.unwrap();
    drop(tx);
    assert_eq!(verify(db.reader()).await.unwrap().head_seq, 2);
}

#[tokio::test]
async fn the_database_itself_refuses_changes() {
    let folder = tempfile::tempdir().unwrap();
    let db = log(&folder, 1).await;
    assert!(run(&db, "UPDATE audit SET subject = 'x'").await.is_err());
    assert!(run(&db, "DELETE FROM audit").await.is_err());
}

#[tokio::test]
async fn whatever_is_changed_shows() {
    let tampering = [
        ("UPDATE audit SET subject = 'x' WHERE seq = 3", 3),
        ("UPDATE audit SET actor = NULL WHERE seq = 1", 1),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET details = '{}' WHERE seq = 5", 5),
        ("UPDATE audit SET hash = previous WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq > 4", 5),
        ("DELETE FROM audit", 1),
    ];
    for (sql, broken) in tampering {
        let folder = tempfile::tempdir().unwrap();
        let db = log(&folder, 3).await;
        for trigger in ["audit_no_update", "audit_no_delete"] {
            run(&db, &format!("DROP TRIGGER {trigger}")).await.unwrap();
        }
        run(&db, sql).await.unwrap();
        assert_eq!(verify(db.reader()).await.unwrap().first_broken, Some(broken), "{sql}");
    }
}

#[tokio::test]
async fn text_from_outside_stays_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let db = log(&folder, 0).await;
    let tx = db.begin().await.unwrap();
    let entry = Entry::new("thing.made", "a\r\n1 root logged in").with("name", "é".repeat(1000));
    append(&tx, &[entry], NOW).await.unwrap();
    tx.commit().await.unwrap();
    let record = list(db.reader(), &Filter::default(), 1).await.unwrap().remove(0);
    assert!(!record.subject.contains(['\r', '\n']), "{:?}", record.subject);
    assert_eq!(record.details["name"].len(), 512);
    assert_eq!(verify(db.reader()).await.unwrap().first_broken, None);
}
