//! Files: uploaded in two halves, checked by the worker, fetched by range. Owns the rows and keys of files and their staging
//! area.
//!
//! Asks chat-svc who may do what in a room and calls nobody else. Never holds a file whole.

mod errors;
mod fields;
mod files;
mod migration;
mod processing;
mod receive;
mod rpc;
mod store;
mod sweep;
mod uploads;

use std::time::Duration;

use mesh::{
    authn::MeshSecret,
    blobs::Blobs,
    bus::Bus,
    clock::Clock,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    outbox::{Relay, Wake},
    rpc::Upstream,
    service::Service,
};
use proto::chat::internal::v1::access_service_client::AccessServiceClient;
use serde::{Deserialize, Serialize};

pub use self::{errors::FileError, migration::Migrator, rpc::METHODS};

/// The section `file` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The role's own port when it runs apart. Default `127.0.0.1:8083`.
    pub listen: String,
    /// Where other processes reach the role. Default `http://127.0.0.1:8083`.
    pub url: String,
    /// The database. Default: `file.db` in `data_dir`.
    pub db: DbConfig,
    /// The blob store, which the worker uses as well: `file:PATH`. Default: `blobs` in `data_dir`.
    pub blobs: String,
    /// The largest file, in bytes. Default 1 GiB.
    pub max_bytes: u64,
    /// Hours after which an upload that is not complete is dropped. Default 24.
    pub upload_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8083".into(),
            url: "http://127.0.0.1:8083".into(),
            db: DbConfig::default(),
            blobs: String::new(),
            max_bytes: 1024 * 1024 * 1024,
            upload_hours: 24,
        }
    }
}

/// What file-svc needs.
pub struct Deps {
    /// Its database, open and not yet migrated.
    pub db: Db,
    /// The blob store.
    pub blobs: Blobs,
    /// Events between services.
    pub bus: Bus,
    /// The time.
    pub clock: Clock,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Signs file references.
    pub secret: MeshSecret,
    /// chat-svc, called as `service:file`.
    pub chat: Upstream,
}

/// Why file-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated.
    #[error("the file database: {0}")]
    Db(#[from] mesh::db::DbError),
}

/// Makes file-svc ready.
///
/// # Errors
/// When the database cannot be migrated.
pub async fn start(config: &Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { db, blobs, bus, clock, tasks, secret, chat } = deps;
    db.migrate::<Migrator>().await?;
    let limits = uploads::Limits {
        max_bytes: config.max_bytes,
        life: Duration::from_secs(u64::from(config.upload_hours) * 3600),
    };
    let wake = Wake::default();
    let receiver = receive::Receiver::new(db.clone(), blobs.clone(), clock.clone(), limits);
    let relay = Relay::new(db.clone(), bus, wake.clone(), clock.clone()).run(tasks.stopping());
    let sweep = sweep::run(db.clone(), receiver.clone(), clock.clone(), tasks.stopping());
    let access = AccessServiceClient::new(chat);
    let routes = rpc::routes(rpc::Shared { db, blobs, clock, tasks, secret, wake, receiver, limits, access });
    Ok(Service {
        routes,
        methods: METHODS,
        background: vec![("file-relay", Box::pin(relay)), ("file-sweep", Box::pin(sweep))],
    })
}
