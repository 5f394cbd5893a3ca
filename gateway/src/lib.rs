//! The edge: what browsers and other programs speak, translated into RPCs of the services behind it, on one port.
//!
//! Owns connections and nothing that must last. Decides who is calling, never what they may do.

mod assets;
mod edge;
mod grpc;
mod http;
mod hub;
mod limits;
mod methods;
mod origin;
mod programs;
mod raw;
mod revocations;
mod session;
mod state;
mod ws;

use std::{convert::Infallible, num::NonZeroU32, sync::Arc, time::Duration};

use ::http::{Request, Response};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use mesh::{
    authn::Authn,
    cache::Cache,
    lifecycle::Tasks,
    rpc::{Body, Caller, Method, Upstream},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::BoxCloneSyncService;

use self::{
    hub::{Admission, Hub, Patience},
    limits::Limits,
    methods::Methods,
    origin::Origins,
    programs::Programs,
    state::State,
};
pub use self::{limits::LimitsConfig, origin::TrustedProxies, state::Upstreams};

/// What the gateway answers itself, and who may call it.
pub const METHODS: &[Method] = &[edge::SUBSCRIBE];

/// The section `gateway` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The public port. Default `127.0.0.1:8080`.
    pub listen: String,
    /// Proxies in front of this server, as addresses or networks (`10.0.0.0/8`): only from them `X-Forwarded-For` is believed.
    /// Default: none.
    pub trusted_proxies: TrustedProxies,
    /// Connections at a time. Default 20,000.
    pub max_connections: usize,
    /// How many clients may begin a second without cursors; further ones wait for their turn. Default 2,000.
    pub sign_ons_per_second: NonZeroU32,
    /// How many clients may resume a second from cursors; further ones wait for their turn. Default 10,000.
    pub resumes_per_second: NonZeroU32,
    /// Over how many seconds clients are told to come back when the process stops. Default 2.
    pub drain_seconds: u64,
    /// A client hears something once in so many seconds, if only where its feeds stand. A socket that does not answer to two of
    /// these is closed. Default 30.
    pub heartbeat_seconds: NonZeroU32,
    /// A client that takes nothing for so many seconds although something waits is ended, and told to come back. Default 30.
    pub stuck_seconds: NonZeroU32,
    /// How much one account, one address and everybody together may ask for.
    pub limits: LimitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            trusted_proxies: TrustedProxies::default(),
            max_connections: 20_000,
            sign_ons_per_second: NonZeroU32::new(2000).unwrap_or(NonZeroU32::MIN),
            resumes_per_second: NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN),
            drain_seconds: 2,
            heartbeat_seconds: NonZeroU32::new(30).unwrap_or(NonZeroU32::MIN),
            stuck_seconds: NonZeroU32::new(30).unwrap_or(NonZeroU32::MIN),
            limits: LimitsConfig::default(),
        }
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
    /// Who the gateway is when it says from where a call comes.
    pub edge: Caller,
    /// Verifies callers.
    pub authn: Authn,
    /// What limits are shared through.
    pub cache: Cache,
    /// The tables of the services' methods.
    pub methods: Vec<Method>,
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
    /// How its clients are told to go.
    pub drain: Drain,
}

/// How long the hub may take to tell everybody that it is over.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Tells the clients of a gateway to go. Cheap to clone.
#[derive(Clone)]
pub struct Drain {
    hub: Hub,
    window: Duration,
    /// From the beginning on, nothing is serving any more as far as health checks are told.
    begun: CancellationToken,
}

impl Drain {
    /// Tells every client to come back, spread over the window, while events go on; ends those that are there when it is over.
    pub async fn run(&self) {
        self.begun.cancel();
        // That the time is over is an answer as well.
        let _ = tokio::time::timeout(self.window, self.hub.drain(self.window)).await;
        let _ = tokio::time::timeout(END_WITHIN, self.hub.end_all()).await;
    }
}

/// Makes the gateway ready.
///
/// # Errors
/// When a table of methods names a limit that is not there, which tests rule out.
pub fn start(config: &Config, deps: Deps) -> Result<Gateway, String> {
    let Deps { upstreams, auth, chat, edge, authn, cache, methods, tasks, public_url } = deps;
    let admission = Admission::new(config.sign_ons_per_second, config.resumes_per_second);
    let patience = Patience { heartbeat: config.heartbeat_seconds.get(), stuck: config.stuck_seconds.get() };
    let (hub, hub_task) = hub::hub(chat.clone(), admission, patience);
    let begun = CancellationToken::new();
    let drain = Drain { hub: hub.clone(), window: Duration::from_secs(config.drain_seconds), begun: begun.clone() };
    let (health, reporter) = grpc::health();
    let stopping = tasks.stopping();
    let programs = Programs::new(auth.clone(), authn.clone());
    let streams = revocations::Streams { hub: hub.clone(), programs: programs.clone() };
    let revocations = revocations::watch(streams, authn.clone(), auth.clone(), stopping.clone());
    let origins = Origins::new(config.trusted_proxies.clone(), edge);
    let reporting = serve_health(reporter, begun);
    let reflection = grpc::reflection();
    let cookies = session::Cookies::new(&public_url, auth, authn.clone());
    let (limits, methods) = (Limits::new(&config.limits, cache), Methods::new(&methods)?);
    let settling = limits::settle(limits.clone(), stopping.clone());
    let state = Arc::new(State {
        upstreams,
        chat,
        authn,
        tasks,
        hub,
        cookies,
        programs,
        origins,
        limits,
        methods,
        health,
        reflection,
    });
    let grpc = grpc::service(state.clone());
    let service = tower::service_fn(move |request| http::answer(state.clone(), grpc.clone(), request));
    Ok(Gateway {
        service: BoxCloneSyncService::new(service),
        background: vec![
            ("hub", Box::pin(hub_task.run(stopping))),
            ("ended-sessions", Box::pin(revocations)),
            ("health", Box::pin(reporting)),
            ("limits", Box::pin(settling)),
        ],
        drain,
    })
}

/// Says that every public service is serving, and that none is once the process stops.
async fn serve_health(reporter: HealthReporter, begun: CancellationToken) {
    for status in [ServingStatus::Serving, ServingStatus::NotServing] {
        let public = proto::SERVICES.iter().filter(|service| !service.package.contains(".internal."));
        for name in public.map(|service| service.name).chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        if status == ServingStatus::Serving {
            begun.cancelled().await;
        }
    }
}
