//! One way to call a service, in this process or another, and the layers that every call passes.
//!
//! [`Upstream`] is a type-erased tower service: the `Routes` of a service in this process, or a `Channel` to another. The
//! layers are the same for both: [`protect`] on the side that answers (panic → INTERNAL, trace, authentication by the
//! table of methods, deadline, the end of what lasts when its caller's right ends), [`caller`] on the side that asks (deadline,
//! trace, service token).

mod client;
mod direct;
mod gathering;
mod guard;
mod lasting;
mod listen;
mod tls;

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tonic::Status;
use tower::{Service, util::BoxCloneSyncService};

pub use self::client::{Caller, caller, connect, connect_tls};
pub use self::direct::Direct;
pub use self::gathering::Gathering;
use self::guard::Local;
pub use self::guard::{Guard, Method, Offered, lazily, local, protect};
pub use self::listen::{Limits, Peer, Place, bind, serve, serve_tls};
pub use self::tls::{AUTHORITY, DOMAIN, Tls};

/// The body of requests and responses between services.
pub type Body = tonic::body::Body;

/// What a tower service may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What [`Upstream`] wraps. Its error is a status, such as UNAVAILABLE when the other process cannot be reached. (A boxed error would
/// do as well, but makes the futures of generated clients so general that the compiler does not accept them inside other futures.)
type Erased = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// A service to call, wherever it runs. Generated clients take it as it is: `RoomServiceClient::new(upstream)`.
#[derive(Clone)]
pub struct Upstream {
    service: Erased,
    local: Option<Local>,
}

impl Upstream {
    /// Calls go to this service.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Status>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self { service: BoxCloneSyncService::new(service), local: None }
    }

    /// A unary method, when its service is in this process and offers it to be called directly.
    pub fn direct(&self, path: &str) -> Option<Offered<'_>> {
        self.local.as_ref()?.direct(path)
    }
}

impl Service<http::Request<Body>> for Upstream {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = <Erased as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.service.call(request)
    }
}

/// What a unary call may take when the caller did not say.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The largest message that is accepted, in bytes, after decompression.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

tokio::task_local! {
    /// When the call that is being handled must be done; calls made on its behalf inherit it.
    static DEADLINE: tokio::time::Instant;
    /// The `traceparent` of the call that is being handled.
    static TRACEPARENT: String;
}

/// Goes on with the trace and the deadline of the call that is being handled, in a task of its own.
pub fn traced<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let deadline = DEADLINE.try_with(|deadline| *deadline).ok();
    let trace = traceparent();
    async move {
        let work = async move {
            match trace {
                Some(trace) => TRACEPARENT.scope(trace, work).await,
                None => work.await,
            }
        };
        match deadline {
            Some(deadline) => DEADLINE.scope(deadline, work).await,
            None => work.await,
        }
    }
}

/// The `traceparent` (W3C Trace Context) of the call that is being handled, if any: for events that it causes.
pub fn traceparent() -> Option<String> {
    TRACEPARENT.try_with(Clone::clone).ok()
}
