//! Files: uploaded in two halves, checked by the worker, fetched by range. Owns the rows and keys of files and their staging
//! area.
//!
//! Asks chat-svc who may do what in a room and calls nobody else. Never holds a file whole.

mod avatars;
mod direct;
mod disposition;
mod errors;
mod fields;
mod files;
mod life;
mod migration;
mod processing;
mod quota;
mod receive;
mod released;
mod rpc;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod types;
mod uploads;

use std::{sync::Arc, time::Duration};

use mesh::{
    authn::MeshSecret,
    blobs::{Blobs, S3Config},
    bus::Bus,
    clock::Clock,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    outbox::{Relay, Wake},
    rpc::{Direct, Upstream},
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
    /// The blob store, which the worker uses as well: `file:PATH` or `s3://BUCKET`. Default: `blobs` in `data_dir`.
    pub blobs: String,
    /// How the bucket is reached, when `blobs` is on S3.
    pub s3: S3Config,
    /// On S3: downloads are answered with an address there that ends within a minute, instead of with the bytes. Default off.
    pub redirect: bool,
    /// On S3: clients may put parts there by signed addresses instead of through this server. Default off.
    pub direct: bool,
    /// The largest file, in bytes. Default 1 GiB.
    pub max_bytes: u64,
    /// Hours after which an upload that is not complete is dropped. Default 24.
    pub upload_hours: u32,
    /// The most bytes that one user may keep; 0 (the default) is no limit.
    pub user_quota_bytes: u64,
    /// The most bytes that all together may keep; 0 (the default) is no limit.
    pub workspace_quota_bytes: u64,
    /// Types that are not taken, such as `application/x-msdownload` or `video/*`. Default: none.
    pub refused_types: Vec<String>,
    /// A virus scanner that looks at every file before others can fetch it: `HOST:PORT` of a clamd. Empty (the default): none.
    pub clamd: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8083".into(),
            url: "http://127.0.0.1:8083".into(),
            db: DbConfig::default(),
            blobs: String::new(),
            s3: S3Config::default(),
            redirect: false,
            direct: false,
            max_bytes: 1024 * 1024 * 1024,
            upload_hours: 24,
            user_quota_bytes: 0,
            workspace_quota_bytes: 0,
            refused_types: Vec::new(),
            clamd: String::new(),
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
    /// A queue could not be declared.
    #[error("the file queues: {0}")]
    Bus(#[from] mesh::bus::BusError),
    /// What is configured needs a store that signs addresses.
    #[error("{0} needs file.blobs on S3; a folder cannot sign addresses")]
    Unsigned(&'static str),
}

/// The queues that file-svc handles.
pub fn queues() -> Vec<mesh::bus::QueueSpec> {
    vec![avatars::queue(), released::queue()]
}

/// Makes file-svc ready.
///
/// # Errors
/// When the database cannot be migrated.
pub async fn start(config: &Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { db, blobs, bus, clock, tasks, secret, chat } = deps;
    for (wanted, key) in [(config.redirect, "file.redirect"), (config.direct, "file.direct")] {
        if wanted && !blobs.signs() {
            return Err(StartError::Unsigned(key));
        }
    }
    db.migrate::<Migrator>().await?;
    let (queue, pictures) = (released::queue(), avatars::queue());
    bus.declare(&queue).await?;
    bus.declare(&pictures).await?;
    let limits = Arc::new(config.limits());
    let (wake, stop) = (Wake::default(), tasks.stopping());
    let trash = sweep::Trash::new(db.clone(), blobs.clone());
    let receiver = receive::Receiver::new(db.clone(), blobs.clone(), clock.clone(), limits.clone(), trash.clone());
    let released =
        released::Released { db: db.clone(), clock: clock.clone(), wake: wake.clone(), trash: trash.clone() };
    let consumer = {
        let (bus, stop) = (bus.clone(), stop.clone());
        async move { bus.consume(&queue, 1, stop, move |delivery| released.clone().handle(delivery)).await }
    };
    let avatars = {
        let (db, bus, stop) = (db.clone(), bus.clone(), stop.clone());
        async move { bus.consume(&pictures, 1, stop, move |delivery| avatars::handle(db.clone(), delivery)).await }
    };
    let relay = Relay::new(db.clone(), bus, wake.clone(), clock.clone()).run(stop.clone());
    let sweep = sweep::run(receiver.clone(), stop.clone());
    let access = AccessServiceClient::new(chat);
    let (scanner, redirect, direct) = (config.clamd.clone(), config.redirect, config.direct);
    let shared =
        rpc::Shared { db, blobs, clock, tasks, secret, wake, receiver, limits, access, scanner, redirect, direct };
    Ok(Service {
        routes: rpc::routes(shared),
        direct: Direct::default(),
        methods: METHODS,
        background: vec![
            ("file-relay", Box::pin(relay)),
            ("file-sweep", Box::pin(sweep)),
            ("file-trash", Box::pin(trash.run(stop))),
            ("file-released", Box::pin(consumer)),
            ("file-avatars", Box::pin(avatars)),
        ],
    })
}

impl Config {
    fn limits(&self) -> uploads::Limits {
        uploads::Limits {
            max_bytes: self.max_bytes,
            life: Duration::from_secs(u64::from(self.upload_hours) * 3600),
            quotas: quota::Quotas { user: self.user_quota_bytes, workspace: self.workspace_quota_bytes },
            refused: types::Refused::new(&self.refused_types),
            scanned: !self.clamd.is_empty(),
        }
    }
}
