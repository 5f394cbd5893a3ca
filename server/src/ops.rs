//! The ops port: health, metrics, and reflection of all services, internal ones included. On loopback by default.

use std::convert::Infallible;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh::{
    bus::{Bus, Health},
    db::Db,
    rpc::{Body, Upstream},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes};
use tower::ServiceExt as _;

/// What the ops port tells of.
#[derive(Clone)]
pub(crate) struct Ops {
    pub(crate) metrics: PrometheusHandle,
    /// Each must answer for the process to be ready.
    pub(crate) databases: Vec<(&'static str, Db)>,
    /// What is wrong with it is told; the process is ready all the same, for its outbox waits.
    pub(crate) bus: Option<Bus>,
    pub(crate) stopping: CancellationToken,
    pub(crate) reflection: Upstream,
}

/// Reflection of all services.
pub(crate) fn reflection() -> Upstream {
    mesh::rpc::lazily(|| {
        let builder = || {
            tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(proto::ALL_DESCRIPTORS)
        };
        let mut routes = Routes::builder();
        routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?);
        Ok::<_, tonic_reflection::server::Error>(routes.routes())
    })
}

impl Ops {
    /// Answers a request of the ops port.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let grpc = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if grpc {
            return Ok(self.reflection.oneshot(request.map(Body::new)).await.unwrap_or_else(Status::into_http));
        }
        Ok(match request.uri().path() {
            "/healthz" => plain(StatusCode::OK, "ok\n".into()),
            "/readyz" => self.ready().await,
            "/metrics" => plain(StatusCode::OK, self.metrics.render()),
            _ => plain(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics, or gRPC reflection\n".into()),
        })
    }

    async fn ready(&self) -> Response<Body> {
        if self.stopping.is_cancelled() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into());
        }
        for (name, db) in &self.databases {
            if let Err(cause) = db.ping().await {
                tracing::warn!(%cause, "the {name} database does not answer");
                return plain(StatusCode::SERVICE_UNAVAILABLE, format!("the {name} database does not answer\n"));
            }
        }
        let text = match self.bus.as_ref().map(Bus::health) {
            None | Some(Health::Good) => "ready\n".into(),
            Some(Health::Away(why)) => format!("ready\nbus: away: {why}; events wait\n"),
            Some(Health::Blocked(why)) => format!("ready\nbus: blocked: {why}; events wait\n"),
        };
        plain(StatusCode::OK, text)
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::new(bytes::Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
