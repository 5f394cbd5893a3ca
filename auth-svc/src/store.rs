//! Tables and queries.

pub(crate) mod access_token;
pub(crate) mod account;
pub(crate) mod invite;
pub(crate) mod reset;
pub(crate) mod secret;
pub(crate) mod session;

pub(crate) use mesh::db::{micros, time_of};
pub(crate) use proto::timestamp;

/// A database of its own, as new.
#[cfg(test)]
pub(crate) async fn database() -> (mesh::db::Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("auth.db").display());
    let config = mesh::db::DbConfig { url, ..Default::default() };
    let db = mesh::db::Db::open(&config).await.expect("a database");
    db.migrate::<crate::migration::Migrator>().await.expect("its tables");
    (db, folder)
}
