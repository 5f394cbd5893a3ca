//! The edge: what browsers and other programs speak, translated into RPCs of the services behind it, on one port.
//!
//! Owns connections and nothing that must last. Decides who is calling, never what they may do.

mod assets;
mod edge;
mod grpc;
mod http;
mod hub;
mod raw;
mod revocations;
mod session;
mod state;
mod ws;

use std::{convert::Infallible, sync::Arc};

use ::http::{Request, Response};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use mesh::{
    authn::Authn,
    lifecycle::Tasks,
    rpc::{Body, Upstream},
};
use serde::{Deserialize, Serialize};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::BoxCloneSyncService;

use self::state::State;
pub use self::state::Upstreams;

/// The section `gateway` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The public port. Default `127.0.0.1:8080`.
    pub listen: String,
    /// Connections at a time. Default 20,000.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into(), max_connections: 20_000 }
    }
}

/// What the gateway needs.
pub struct Deps {
    /// The services, for calls with the caller's own token.
    pub upstreams: Upstreams,
    /// auth-svc, called as `service:gateway`.
    pub auth: Upstream,
    /// chat-svc, called as `service:gateway`.
    pub chat: Upstream,
    /// Verifies callers.
    pub authn: Authn,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Where browsers find us; empty means wherever they ask, over http.
    pub public_url: String,
}

/// The gateway, ready to be served.
pub struct Gateway {
    /// Answers every request of the public port.
    pub service: BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>,
    /// What it does by itself, by name.
    pub background: Vec<(&'static str, BoxFuture<'static, ()>)>,
}

/// Makes the gateway ready.
///
/// # Errors
/// When the descriptors cannot be read, which a build rules out.
pub fn start(deps: Deps) -> Result<Gateway, String> {
    let Deps { upstreams, auth, chat, authn, tasks, public_url } = deps;
    let (hub, hub_task) = hub::hub(chat);
    let (own, health) = grpc::own()?;
    let stopping = tasks.stopping();
    let revocations = revocations::watch(hub.clone(), auth.clone(), stopping.clone());
    let health = serve_health(health, stopping.clone());
    let cookies = session::Cookies::new(&public_url, auth);
    let state = Arc::new(State { upstreams, authn, tasks, hub, cookies, own });
    let grpc = grpc::service(state.clone());
    let service = tower::service_fn(move |request| http::answer(state.clone(), grpc.clone(), request));
    Ok(Gateway {
        service: BoxCloneSyncService::new(service),
        background: vec![
            ("hub", Box::pin(hub_task.run(stopping))),
            ("revocations", Box::pin(revocations)),
            ("health", Box::pin(health)),
        ],
    })
}

/// Says that every public service is serving, and that none is once the process stops.
async fn serve_health(reporter: HealthReporter, stopping: tokio_util::sync::CancellationToken) {
    let pool = proto::descriptors();
    let public = pool.services().filter(|service| !service.package_name().contains(".internal."));
    let names: Vec<String> = public.map(|service| service.full_name().to_owned()).collect();
    for status in [ServingStatus::Serving, ServingStatus::NotServing] {
        for name in names.iter().map(String::as_str).chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        if status == ServingStatus::Serving {
            stopping.cancelled().await;
        }
    }
}
