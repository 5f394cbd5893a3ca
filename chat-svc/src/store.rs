//! Tables and queries. Everything takes a connection, so that a rule decides what belongs into one transaction.

pub(crate) mod beginning;
pub(crate) mod event;
pub(crate) mod feed;
pub(crate) mod file;
pub(crate) mod member;
pub(crate) mod message;
pub(crate) mod message_file;
pub(crate) mod meta;
pub(crate) mod op;
pub(crate) mod preview;
pub(crate) mod read_marker;
pub(crate) mod room;
pub(crate) mod scheduled;
pub(crate) mod shared_file;
pub(crate) mod webhook;

pub(crate) use mesh::db::{micros, portions, signed, unsigned};
pub(crate) use proto::timestamp;

/// What nearly every commit consists of.
pub(crate) static APPENDED: mesh::db::Together = mesh::db::Together::new(
    "appended",
    &[event::INSERT.shape(), message::INSERT.shape(), op::INSERT.shape(), feed::INSERT.shape()],
);

/// A database of its own, as new.
#[cfg(test)]
pub(crate) async fn database() -> (mesh::db::Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("chat.db").display());
    let config = mesh::db::DbConfig { url, ..Default::default() };
    let db = mesh::db::Db::open(&config).await.expect("a database");
    db.migrate::<crate::Migrator>().await.expect("its tables");
    (db, folder)
}
