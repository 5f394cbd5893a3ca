//! The process: picks roles, wires them, runs them. The production builder; tests start servers with it as well.
//!
//! Binds first and runs later, so that whoever is told an address can connect; stops softly, then hard.

pub mod certs;
mod compat;
pub mod config;
mod ops;
mod revocations;
mod wiring;

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use mesh::{
    bus::Bus,
    clock::Clock,
    lifecycle::Tasks,
    rpc::{Body, Limits, Method, Tls, Upstream, serve, serve_tls},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use self::config::{Config, Role, Roles};
pub use self::wiring::broker;

/// How long the databases may take to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A running process (or, in a test, one of several).
pub struct Server {
    /// Where the public port listens, when there is a gateway.
    pub public: Option<SocketAddr>,
    /// Where the ops port listens.
    pub ops: SocketAddr,
    /// Where each role listens that other processes can reach.
    pub services: BTreeMap<Role, SocketAddr>,
    /// The services of this process, with every layer that a call passes.
    pub local: BTreeMap<Role, Upstream>,
    /// The bus of this process; nothing where it has none.
    pub bus: Option<Bus>,
    tasks: Tasks,
    databases: Vec<(&'static str, mesh::db::Db)>,
    drain: Option<gateway::Drain>,
    /// Not ready from the beginning of a stop on.
    draining: CancellationToken,
    stop_within: Duration,
}

/// Every method of every service, and the role that answers it.
pub fn methods() -> impl Iterator<Item = (Role, &'static Method)> {
    let tables = [
        (Role::Gateway, gateway::METHODS),
        (Role::Auth, auth_svc::METHODS),
        (Role::Chat, chat_svc::METHODS),
        (Role::File, file_svc::METHODS),
        (Role::Worker, worker_svc::METHODS),
    ];
    tables.into_iter().flat_map(|(role, table)| table.iter().map(move |method| (role, method)))
}

/// Why a process cannot start. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl StartError {
    fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// Ports that are bound and not yet served.
struct Bound {
    public: Option<TcpListener>,
    services: Vec<(Role, TcpListener)>,
    ops: TcpListener,
}

impl Server {
    /// Starts these roles. When it returns, every port is served.
    ///
    /// # Errors
    /// When the configuration cannot work, a port is taken, or a database cannot be used.
    pub async fn start(config: Config, roles: &Roles) -> Result<Self, StartError> {
        Self::start_by(Clock::system(), config, roles).await
    }

    /// The same by another clock, for tests of what takes days.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub async fn start_by(clock: Clock, config: Config, roles: &Roles) -> Result<Self, StartError> {
        let config = config.complete();
        config.check(roles).map_err(StartError::new)?;
        let bound = bind(&config, roles).await?;
        let tasks = Tasks::new();
        let draining = CancellationToken::new();
        let public = bound.public.as_ref().and_then(|listener| listener.local_addr().ok());
        let ops_address = bound.ops.local_addr().map_err(StartError::new)?;
        let address = |(role, listener): &(Role, TcpListener)| Some((*role, listener.local_addr().ok()?));
        let services = bound.services.iter().filter_map(address).collect();
        let wired = wiring::wire(&config, roles, &tasks, &bound.services, clock).await?;

        let ops = ops::Ops {
            metrics: mesh::telemetry::start_metrics(),
            databases: wired.databases.clone(),
            bus: wired.bus.clone(),
            stopping: draining.clone(),
            reflection: ops::reflection(),
        };
        let ops = BoxCloneSyncService::new(tower::service_fn(move |request| ops.clone().answer(request)));
        spawn_listener(&tasks, "ops-listener", bound.ops, None, ops, Limits { connections: 100, streams: 100 });
        for (role, listener) in bound.services {
            if let Some(service) = wired.services.get(&role) {
                let tls = config.mesh.tls(role).map_err(StartError)?;
                spawn_listener(
                    &tasks,
                    "service-listener",
                    listener,
                    tls,
                    over_http(service.clone()),
                    Limits::default(),
                );
            }
        }
        for (name, future) in wired.background {
            tasks.spawn(name, future);
        }
        let mut drain = None;
        if let (Some(listener), Some(gateway)) = (bound.public, wired.gateway) {
            drain = Some(gateway.drain);
            for (name, future) in gateway.background {
                tasks.spawn(name, future);
            }
            let limits = Limits { connections: config.gateway.max_connections, ..Limits::default() };
            let serving = serve(listener, gateway.service, limits, tasks.clone(), draining.clone());
            tasks.spawn("public-listener", serving);
        }
        let stop_within = Duration::from_secs(config.mesh.stop_seconds);
        let (local, databases, bus) = (wired.services, wired.databases, wired.bus);
        Ok(Self { public, ops: ops_address, services, local, bus, tasks, databases, drain, draining, stop_within })
    }

    /// Stops: is no longer ready, accepts no more clients, tells those that are there to come back elsewhere or later while
    /// everything still works for them, finishes what is under way, and ends the rest after `mesh.stop_seconds`.
    pub async fn stop(self) {
        self.draining.cancel();
        if let Some(drain) = &self.drain {
            drain.run().await;
        }
        let aborted = self.tasks.stop(self.stop_within).await;
        if !aborted.is_empty() {
            tracing::warn!(?aborted, "these did not stop in time");
        }
        let close = async |(name, db): (&'static str, mesh::db::Db)| {
            if let Ok(Err(cause)) = tokio::time::timeout(CLOSE_WITHIN, db.close()).await {
                tracing::warn!(%cause, "the {name} database was not closed well");
            }
        };
        futures::future::join_all(self.databases.into_iter().map(close)).await;
    }
}

async fn bind(config: &Config, roles: &Roles) -> Result<Bound, StartError> {
    let mut services = Vec::new();
    if config.apart(roles) {
        for role in roles {
            let listen = match role {
                Role::Gateway => continue,
                Role::Auth => &config.auth.listen,
                Role::Chat => &config.chat.listen,
                Role::File => &config.file.listen,
                Role::Worker => &config.worker.listen,
            };
            services.push((*role, listen_on(&format!("{role}.listen"), listen).await?));
        }
    }
    let public = match roles.contains(&Role::Gateway) {
        true => Some(listen_on("gateway.listen", &config.gateway.listen).await?),
        false => None,
    };
    let ops = listen_on("ops.listen", &config.ops_listen(roles)).await?;
    Ok(Bound { public, services, ops })
}

async fn listen_on(key: &str, address: &str) -> Result<TcpListener, StartError> {
    mesh::rpc::bind(address).await.map_err(|cause| StartError(format!("{key}: cannot listen on {address}: {cause}")))
}

type OverHttp = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

fn spawn_listener(
    tasks: &Tasks,
    name: &'static str,
    listener: TcpListener,
    tls: Option<Tls>,
    service: OverHttp,
    limits: Limits,
) {
    let serving = serve_tls(listener, tls, service, limits, tasks.clone(), tasks.stopping());
    tasks.spawn(name, serving);
}

/// A service of this process for callers from others.
fn over_http(service: Upstream) -> OverHttp {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move { Ok(service.oneshot(request.map(Body::new)).await.unwrap_or_else(Status::into_http)) }
    }))
}
