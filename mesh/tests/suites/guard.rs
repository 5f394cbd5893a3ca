//! What a call gets whose handler breaks: an answer that tells nothing of what broke, while every other call goes on.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use mesh::{
    authn::{Authn, KeyStore, MeshSecret},
    clock::Clock,
    config::Secret,
    errors,
    rpc::{Body, Guard, Method, Upstream, protect},
};
use tokio::sync::Notify;
use tonic::{Code, Status, server::NamedService, service::Routes};
use tower::{Service, ServiceExt as _};

const DEADLINE: Duration = Duration::from_secs(20);
const BREAKS_AT_ONCE: &str = "/test.v1.Fragile/BreaksAtOnce";
const BREAKS_LATER: &str = "/test.v1.Fragile/BreaksLater";
const WAITS: &str = "/test.v1.Fragile/Waits";
const WORKS: &str = "/test.v1.Fragile/Works";
const METHODS: &[Method] =
    &[Method::public(BREAKS_AT_ONCE), Method::public(BREAKS_LATER), Method::public(WAITS), Method::public(WORKS)];
/// What handlers break with: everything that must not be told.
const SECRETS: [&str; 3] = ["SELECT password FROM account", "/var/lib/loquat/auth.db", "suites/guard.rs"];

/// A service that breaks in the ways that handlers can.
#[derive(Clone, Default)]
struct Fragile {
    waits: Arc<Notify>,
    goes_on: Arc<Notify>,
}

impl NamedService for Fragile {
    const NAME: &'static str = "test.v1.Fragile";
}

impl Service<Request<Body>> for Fragile {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (service, path) = (self.clone(), request.uri().path().to_owned());
        assert_ne!(path, BREAKS_AT_ONCE, "{} failed: {}", SECRETS[0], SECRETS[1]);
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert_ne!(path, BREAKS_LATER, "{} failed: {}", SECRETS[0], SECRETS[1]);
            if path == WAITS {
                service.waits.notify_one();
                service.goes_on.notified().await;
            }
            Ok(Response::new(Body::empty()))
        })
    }
}

/// The service behind the layers that every call passes.
fn guarded(service: Fragile) -> Upstream {
    let folder = tempfile::tempdir().unwrap();
    let secret = MeshSecret::open(&Secret::default(), &folder.path().join("mesh.secret")).unwrap();
    let clock = Clock::system();
    let keys = KeyStore::new(Arc::new(|| Box::pin(async { Ok(Vec::new()) })), clock.clone());
    let authn = Authn::new("loquat", keys, secret, clock);
    protect(Routes::new(service), Guard { role: "test", authn, methods: METHODS })
}

async fn calls(upstream: &Upstream, path: &str) -> Response<Body> {
    let request = Request::builder().method("POST").uri(path).body(Body::empty()).unwrap();
    upstream.clone().oneshot(request).await.expect("a call that was guarded always has an answer")
}

/// The answer says that the server failed, and nothing of why, neither in its headers, nor in its details, nor in a body.
async fn tells_nothing(response: Response<Body>) {
    let (parts, body) = response.into_parts();
    let status = Status::from_header_map(&parts.headers).expect("the answer has a status");
    assert_eq!((status.code(), errors::reason(&status).as_str()), (Code::Internal, "PANIC"));
    assert_eq!(status.message(), "The server failed on this call.");
    let body = body.collect().await.expect("the body ends").to_bytes();
    assert!(body.is_empty(), "{body:?}");
    let told = format!("{:?} {}", parts.headers, String::from_utf8_lossy(status.details()));
    for secret in SECRETS.into_iter().chain(["panicked", "assertion"]) {
        assert!(!told.contains(secret), "{secret:?} is told: {told}");
    }
}

#[tokio::test]
async fn a_handler_that_breaks_fails_its_own_call_and_tells_nothing() {
    let service = Fragile::default();
    let upstream = guarded(service.clone());
    for path in [BREAKS_AT_ONCE, BREAKS_LATER] {
        tells_nothing(calls(&upstream, path).await).await;
    }
    // A call that was under way before it, and one that comes after it, are answered as if nothing had been.
    let under_way = calls(&upstream, WAITS);
    let others = async {
        service.waits.notified().await;
        for path in [BREAKS_AT_ONCE, BREAKS_LATER] {
            tells_nothing(calls(&upstream, path).await).await;
            let after = calls(&upstream, WORKS).await;
            assert!(Status::from_header_map(after.headers()).is_none(), "{:?}", after.headers());
        }
        service.goes_on.notify_one();
    };
    let both = tokio::time::timeout(DEADLINE, async { tokio::join!(under_way, others) }).await;
    let (under_way, ()) = both.expect("both are answered");
    assert!(Status::from_header_map(under_way.headers()).is_none(), "{:?}", under_way.headers());
}
