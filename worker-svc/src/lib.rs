//! Background work between services, and the operator's view of it. Owns the worker database, which also holds the queues of
//! the in-process bus.
//!
//! Reads and writes no other service's tables.

mod errors;
mod files;
mod jobs;
mod migration;
mod thumbnails;

use mesh::{
    blobs::Blobs,
    bus::{Bus, QueueSpec},
    db::{Db, DbConfig},
    lifecycle::Tasks,
    rpc::{Method, Upstream},
    service::Service,
};
use proto::{
    file::internal::v1::processing_service_client::ProcessingServiceClient,
    worker::v1::job_service_server::JobServiceServer,
};
use serde::{Deserialize, Serialize};
use tonic::service::Routes;

pub use self::{errors::WorkerError, migration::Migrator};

/// How many files are worked on at a time.
const PREFETCH: usize = 4;

/// Who may call what.
pub const METHODS: &[Method] = &[
    Method::user("/loquat.worker.v1.JobService/ListQueues"),
    Method::user("/loquat.worker.v1.JobService/ListFailedMessages"),
    Method::user("/loquat.worker.v1.JobService/GetFailedMessage"),
    Method::user("/loquat.worker.v1.JobService/RetryFailedMessage"),
    Method::user("/loquat.worker.v1.JobService/DiscardFailedMessage"),
    Method::user("/loquat.worker.v1.JobService/WatchQueues").streaming(),
    Method::user("/loquat.worker.v1.JobService/ListJobs"),
    Method::user("/loquat.worker.v1.JobService/RunJob"),
    Method::user("/loquat.worker.v1.JobService/CancelJob"),
    Method::user("/loquat.worker.v1.WebhookService/CreateWebhook"),
    Method::user("/loquat.worker.v1.WebhookService/ListWebhooks"),
    Method::user("/loquat.worker.v1.WebhookService/DeleteWebhook"),
    Method::user("/loquat.worker.v1.WebhookService/ListDeliveries"),
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
    /// The blob store that file-svc uses.
    pub blobs: Blobs,
    /// Where tasks run.
    pub tasks: Tasks,
    /// file-svc, called as `service:worker`.
    pub file: Upstream,
}

/// Why worker-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated.
    #[error("the worker database: {0}")]
    Db(#[from] mesh::db::DbError),
    /// A queue could not be declared.
    #[error("the worker queues: {0}")]
    Bus(#[from] mesh::bus::BusError),
}

/// The queues that worker-svc handles.
pub fn queues() -> Vec<QueueSpec> {
    vec![files::queue()]
}

/// Makes worker-svc ready.
///
/// # Errors
/// When the database cannot be migrated or the queues cannot be declared.
pub async fn start(deps: Deps) -> Result<Service, StartError> {
    let Deps { db, bus, blobs, tasks, file } = deps;
    db.migrate::<Migrator>().await?;
    let queue = files::queue();
    bus.declare(&queue).await?;
    let job = files::FileJob {
        blobs,
        processing: ProcessingServiceClient::new(file),
        thumbnailer: thumbnails::Thumbnailer::new(),
    };
    let consumer = {
        let (bus, stopping) = (bus.clone(), tasks.stopping());
        async move {
            bus.consume(&queue, PREFETCH, stopping, move |delivery| job.clone().handle(delivery)).await;
        }
    };
    let mut routes = Routes::builder();
    routes.add_service(JobServiceServer::new(jobs::Jobs { bus, stopping: tasks.stopping() }));
    Ok(Service { routes: routes.routes(), methods: METHODS, background: vec![("worker-files", Box::pin(consumer))] })
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
