//! Background work between services, and the operator's view of it. Owns the worker database, which also holds the queues of
//! the in-process bus.
//!
//! Reads and writes no other service's tables.

mod errors;
mod jobs;
mod migration;

use mesh::{
    bus::Bus,
    db::{Db, DbConfig},
    rpc::Method,
    service::Service,
};
use proto::worker::v1::job_service_server::JobServiceServer;
use serde::{Deserialize, Serialize};
use tonic::service::Routes;

pub use self::{errors::WorkerError, migration::Migrator};

/// Who may call what.
pub const METHODS: &[Method] = &[
    Method::user("/loquat.worker.v1.JobService/ListQueues"),
    Method::user("/loquat.worker.v1.JobService/ListFailedMessages"),
    Method::user("/loquat.worker.v1.JobService/GetFailedMessage"),
    Method::user("/loquat.worker.v1.JobService/RetryFailedMessage"),
    Method::user("/loquat.worker.v1.JobService/DiscardFailedMessage"),
];

/// The section `worker` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The role's own port when it runs apart. Default `127.0.0.1:8084`.
    pub listen: String,
    /// Where other processes reach the role. Default `http://127.0.0.1:8084`.
    pub url: String,
    /// The database. Default: `worker.db` in `data_dir`.
    pub db: DbConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8084".into(), url: "http://127.0.0.1:8084".into(), db: DbConfig::default() }
    }
}

/// What worker-svc needs.
pub struct Deps {
    /// Its database, open and not yet migrated.
    pub db: Db,
    /// Events between services.
    pub bus: Bus,
}

/// Why worker-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated.
    #[error("the worker database: {0}")]
    Db(#[from] mesh::db::DbError),
}

/// Makes worker-svc ready.
///
/// # Errors
/// When the database cannot be migrated.
pub async fn start(deps: Deps) -> Result<Service, StartError> {
    let Deps { db, bus } = deps;
    db.migrate::<Migrator>().await?;
    let mut routes = Routes::builder();
    routes.add_service(JobServiceServer::new(jobs::Jobs(bus)));
    Ok(Service { routes: routes.routes(), methods: METHODS, background: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        assert_eq!(listed, proto::method_paths(|package| package.starts_with("loquat.worker.")));
    }
}
