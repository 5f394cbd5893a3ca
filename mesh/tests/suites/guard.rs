//! What a call gets whose handler breaks: an answer that tells nothing of what broke, while every other call goes on.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use mesh::{
    authn::{Authn, KeyStore, MeshSecret},
    clock::Clock,
    config::Secret,
    errors,
    rpc::{Body, Direct, Guard, MAX_MESSAGE_BYTES, Method, Upstream, protect},
};
use prost::Message as _;
use tokio::sync::Notify;
use tonic::{Code, Request, Response as Answer, Status, server::NamedService, service::Routes};
use tower::{Service, ServiceExt as _};

const DEADLINE: Duration = Duration::from_secs(20);
const BREAKS_AT_ONCE: &str = "/test.v1.Fragile/BreaksAtOnce";
const BREAKS_LATER: &str = "/test.v1.Fragile/BreaksLater";
const WAITS: &str = "/test.v1.Fragile/Waits";
const WORKS: &str = "/test.v1.Fragile/Works";
const FOR_ACCOUNTS: &str = "/test.v1.Fragile/ForAccounts";
const METHODS: &[Method] = &[
    Method::public(BREAKS_AT_ONCE),
    Method::public(BREAKS_LATER),
    Method::public(WAITS),
    Method::public(WORKS),
    Method::user(FOR_ACCOUNTS),
];
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

impl Service<http::Request<Body>> for Fragile {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
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
    let says = async |text: Request<String>| Ok(Answer::new(format!("{}!", text.into_inner())));
    let breaks = async |text: String| -> Result<Answer<String>, Status> {
        panic!("{} failed: {text}", SECRETS[0]);
    };
    let direct = Direct::default()
        .unary(WORKS, &service, move |_, request| says(request))
        .unary(FOR_ACCOUNTS, &service, move |_, request| says(request))
        .unary(BREAKS_LATER, &service, move |_, request: Request<String>| breaks(request.into_inner()))
        .unary(WAITS, &service, |service: Fragile, request: Request<String>| async move {
            service.goes_on.notified().await;
            Ok(Answer::new(request.into_inner()))
        });
    protect(Routes::new(service), direct, Guard { role: "test", authn, methods: METHODS })
}

async fn calls(upstream: &Upstream, path: &str) -> Response<Body> {
    let request = http::Request::builder().method("POST").uri(path).body(Body::empty()).unwrap();
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

/// Calls directly with a text.
async fn directly(upstream: &Upstream, path: &str, headers: HeaderMap, text: &str) -> Result<String, Status> {
    let offered = upstream.direct(path).expect("it is offered");
    let answer = offered.call(headers, text.to_owned().encode_to_vec().into()).await?;
    Ok(String::decode(answer).expect("the answer is encoded"))
}

#[tokio::test]
async fn what_is_called_directly_passes_the_same_layers() {
    let upstream = guarded(Fragile::default());
    assert!(upstream.direct(BREAKS_AT_ONCE).is_none(), "it is not offered");
    assert_eq!(directly(&upstream, WORKS, HeaderMap::new(), "heard").await.unwrap(), "heard!");
    let refused = async |path, headers| {
        let status = directly(&upstream, path, headers, "no").await.unwrap_err();
        (status.code(), errors::reason(&status))
    };
    let nobody = HeaderMap::new;
    assert_eq!(refused(FOR_ACCOUNTS, nobody()).await, (Code::Unauthenticated, "TOKEN_MISSING".into()));
    let mut hurried = HeaderMap::new();
    hurried.insert("grpc-timeout", "20m".parse().unwrap());
    assert_eq!(refused(WAITS, hurried).await, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    let broken = directly(&upstream, BREAKS_LATER, HeaderMap::new(), SECRETS[1]).await.unwrap_err();
    tells_nothing(broken.into_http()).await;
    let offered = upstream.direct(WORKS).expect("it is offered");
    let junk = offered.call(HeaderMap::new(), vec![0x0a, 0xff].into()).await.unwrap_err();
    assert_eq!(junk.code(), Code::Internal, "as tonic has it");
    let too_long = offered.call(HeaderMap::new(), vec![0; MAX_MESSAGE_BYTES + 1].into()).await.unwrap_err();
    assert_eq!(too_long.code(), Code::OutOfRange, "as tonic has it");
}
