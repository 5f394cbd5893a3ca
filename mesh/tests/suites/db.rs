//! What every connection to PostgreSQL is told, and what happens to those that break.

use std::time::{Duration, Instant};

use mesh::db::{Counters, Db, DbConfig, Expected, Insert, Rows, by_bytes};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait,
    prelude::{SchemaManager, Table},
    schema::string,
};
use tests::servers::{Postgres, fresh_database};
use uuid::Uuid;

async fn opened(url: String) -> Db {
    Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap()
}

async fn ask<C: ConnectionTrait>(db: &C, statement: &str) -> Result<String, DbErr> {
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, statement)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(statement.into()))?.try_get_by_index(0)
}

#[tokio::test]
async fn every_connection_makes_commits_durable_and_waits_for_nothing_for_ever() {
    let url = fresh_database("settings").await;
    let name = url.rsplit('/').next().unwrap().to_owned();
    let db = opened(url.clone()).await;
    db.reader().execute_unprepared(&format!("ALTER DATABASE \"{name}\" SET synchronous_commit = off")).await.unwrap();
    db.close().await.unwrap();
    let db = opened(url).await;
    let tx = db.begin().await.unwrap();
    for (setting, wanted) in [
        ("synchronous_commit", "on"),
        ("statement_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "loquat"),
    ] {
        assert_eq!(ask(&tx, &format!("SHOW {setting}")).await.unwrap(), wanted);
        assert_eq!(ask(db.reader(), &format!("SHOW {setting}")).await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_database_that_is_away_keeps_nobody_from_starting_and_refuses_in_time() {
    let mut postgres = Postgres::start().await;
    postgres.kill();
    let db = opened(postgres.url()).await;
    for frozen in [false, true] {
        let started = Instant::now();
        assert!(db.begin().await.is_err());
        assert!(db.ping().await.is_err());
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "frozen: {frozen}, both took {took:?}");
        if frozen {
            postgres.cont();
        } else {
            postgres.restart().await;
            // Connections that are there and broken, or there and silent, are replaced.
            let tx = db.begin().await.unwrap();
            db.ping().await.unwrap();
            tx.commit().await.unwrap();
            postgres.restart().await;
            db.begin().await.unwrap();
            postgres.stop();
        }
    }
    let tx = db.begin().await.unwrap();
    assert_eq!(ask(&tx, "SELECT 'back'").await.unwrap(), "back");
}

#[tokio::test]
async fn a_reading_that_does_not_end_is_given_up() {
    let db = opened(fresh_database("slow").await).await;
    let started = Instant::now();
    assert!(db.within(ask(db.reader(), "SELECT pg_sleep(4)::text")).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(db.within(ask(db.reader(), "SELECT 'next'")).await.unwrap(), "next");
}

struct Names;

#[async_trait::async_trait]
impl MigratorTrait for Names {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Names)]
    }
}

impl MigrationName for Names {
    fn name(&self) -> &'static str {
        "names"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Names {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = by_bytes(string("name"), manager.get_database_backend());
        manager.create_table(Table::create().table("names").col(name).to_owned()).await
    }
}

#[tokio::test]
async fn names_compare_by_bytes_whatever_the_language_of_the_database() {
    let url = fresh_database("language").await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let french = format!("{name}_fr");
    let make = format!("CREATE DATABASE \"{french}\" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'fr'");
    opened(url.clone()).await.reader().execute_unprepared(&make).await.unwrap();
    let db = opened(format!("{server}/{french}")).await;
    db.migrate::<Names>().await.unwrap();
    // A second process finds it done.
    db.migrate::<Names>().await.unwrap();
    let tx = db.begin().await.unwrap();
    tx.execute_unprepared("INSERT INTO names VALUES ('a'), ('B'), ('é'), ('f'), ('_')").await.unwrap();
    tx.commit().await.unwrap();
    let order = "SELECT string_agg(name, '' ORDER BY name) FROM names";
    assert_eq!(ask(db.reader(), order).await.unwrap(), "B_afé");
    let language = "SELECT string_agg(name, '' ORDER BY name COLLATE \"default\") FROM names";
    assert_ne!(ask(db.reader(), language).await.unwrap(), "B_afé", "the database has a language");
}

static COUNTERS: Counters = Counters { table: "counter", id: "id", moves: ["head", "second", "third"] };
static LINES: Insert<4> = Insert::new("line", &["id", "number", "text", "bytes"], "");

fn line(number: i64, text: Option<&str>) -> Rows {
    let row = [Uuid::from_u128(7).into(), number.into(), text.map(str::to_owned).into(), None::<Vec<u8>>.into()];
    LINES.rows([row])
}

async fn with_counters(ids: &[Uuid]) -> Db {
    let db = opened(fresh_database("counters").await).await;
    let tx = db.begin().await.unwrap();
    for statement in [
        "CREATE TABLE counter (id uuid PRIMARY KEY, head bigint, second bigint, third bigint)",
        "CREATE TABLE line (id uuid, number bigint PRIMARY KEY, text text, bytes bytea)",
    ] {
        tx.execute_unprepared(statement).await.unwrap();
    }
    for id in ids {
        tx.execute_unprepared(&format!("INSERT INTO counter VALUES ('{id}', 0, 0, 0)")).await.unwrap();
    }
    tx.commit().await.unwrap();
    db
}

const STATE: &str = "SELECT (SELECT string_agg(head || '/' || second || '/' || third, ' ' ORDER BY id) FROM counter) || ': ' \
                     || (SELECT coalesce(string_agg(number || coalesce(text, '-'), ' ' ORDER BY number), '') FROM line)";

#[tokio::test]
async fn a_commit_by_what_is_believed_happens_whole_or_not_at_all() {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let db = with_counters(&[one, two]).await;
    let at = |id, version, then| Expected { id, version, then };
    let lines = |numbers: [i64; 2]| vec![line(numbers[0], Some("a")), LINES.rows([]), line(numbers[1], None)];
    let both = [at(two, 0, [2, 1, 0]), at(one, 0, [1, 1, 1])];
    assert!(db.commit_if(&COUNTERS, &both, lines([1, 2])).await.unwrap());
    assert_eq!(ask(db.reader(), STATE).await.unwrap(), "1/1/1 2/1/0: 1a 2-");
    // One of them has moved; one is not there at all; a row is there already.
    let stale = [at(one, 1, [5, 5, 5]), at(two, 1, [5, 5, 5])];
    assert!(!db.commit_if(&COUNTERS, &stale, lines([3, 4])).await.unwrap());
    let unknown = [at(one, 1, [5, 5, 5]), at(Uuid::from_u128(3), 0, [5, 5, 5])];
    assert!(!db.commit_if(&COUNTERS, &unknown, lines([3, 4])).await.unwrap());
    assert!(db.commit_if(&COUNTERS, &[at(one, 1, [5, 5, 5])], lines([3, 1])).await.is_err());
    assert_eq!(ask(db.reader(), STATE).await.unwrap(), "1/1/1 2/1/0: 1a 2-");
    assert!(db.commit_if(&COUNTERS, &[at(one, 1, [2, 2, 2]), at(two, 2, [2, 1, 0])], lines([3, 4])).await.unwrap());
    assert_eq!(ask(db.reader(), STATE).await.unwrap(), "2/2/2 2/1/0: 1a 2- 3a 4-");
}

#[tokio::test]
async fn whoever_moves_a_counter_at_the_same_time_is_noticed() {
    const EACH: i64 = 100;
    let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
    let db = with_counters(&ids).await;
    // Each wants all three counters, named in another order.
    let moves = |place: usize| {
        let (db, mut ids) = (db.clone(), ids.clone());
        ids.rotate_left(place);
        async move {
            let (mut moved, mut version) = (0, 0);
            while moved < EACH {
                let number = version + 1;
                let all: Vec<Expected> =
                    ids.iter().map(|id| Expected { id: *id, version, then: [number; 3] }).collect();
                if db.commit_if(&COUNTERS, &all, vec![line(number, Some("x"))]).await.unwrap() {
                    (moved, version) = (moved + 1, number);
                } else {
                    version = ask(db.reader(), "SELECT max(head)::text FROM counter").await.unwrap().parse().unwrap();
                }
            }
        }
    };
    tokio::join!(moves(0), moves(1), moves(2));
    let state =
        ask(db.reader(), "SELECT (SELECT string_agg(head::text, ' ') FROM counter) || ' ' || count(*) FROM line");
    let total = 3 * EACH;
    assert_eq!(state.await.unwrap(), format!("{total} {total} {total} {total}"));
}
