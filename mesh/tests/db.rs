//! What every connection to PostgreSQL is told, and what happens to those that break.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use mesh::db::{Db, DbConfig, by_bytes};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait,
    prelude::{SchemaManager, Table},
    schema::string,
};
use tests::servers::{Postgres, fresh_database};

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
