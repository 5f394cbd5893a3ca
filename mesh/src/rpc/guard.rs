//! The layers on the side that answers.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Extensions, HeaderMap, Request, Response};
use metrics::Histogram;
use tonic::{Code, Status, service::Routes};
use tower::ServiceExt;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Body, DEADLINE, DEFAULT_DEADLINE, Direct, TRACEPARENT, Upstream, direct::Handler, lasting::Lasting};
use crate::{
    authn::{Access, Authn, Principal, Rank, UserPrincipal},
    errors, ids,
};

/// An entry of a service's table of methods. A method without one is refused.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it may take when the caller did not say; nothing for streams.
    pub deadline: Option<Duration>,
    /// What a limited token must be allowed to do. Without one, such tokens are refused: it is for sessions alone.
    pub scope: Option<&'static str>,
    /// The least standing of an account that calls it.
    pub least: Rank,
    /// The class of calls that the edge counts it in besides all calls; nothing for most.
    pub class: Option<&'static str>,
    /// It asks from where it is called, and the edge says so. Nothing that is called often does: saying it is proven with every call.
    pub asks_origin: bool,
}

impl Method {
    const fn new(path: &'static str, access: Access) -> Self {
        Self {
            path,
            access,
            deadline: Some(DEFAULT_DEADLINE),
            scope: None,
            least: Rank::Guest,
            class: None,
            asks_origin: false,
        }
    }

    /// Open to everybody.
    pub const fn public(path: &'static str) -> Self {
        Self::new(path, Access::Public)
    }

    /// For accounts.
    pub const fn user(path: &'static str) -> Self {
        Self::new(path, Access::User)
    }

    /// For accounts and other roles of the mesh.
    pub const fn user_or_service(path: &'static str) -> Self {
        Self::new(path, Access::UserOrService)
    }

    /// For other roles of the mesh.
    pub const fn service(path: &'static str) -> Self {
        Self::new(path, Access::Service)
    }

    /// Lets limited tokens call it that have this scope.
    #[must_use]
    pub const fn scope(mut self, scope: &'static str) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Only for accounts that stand at least so high.
    #[must_use]
    pub const fn least(mut self, rank: Rank) -> Self {
        self.least = rank;
        self
    }

    /// The edge counts it in a class of calls.
    #[must_use]
    pub const fn class(mut self, class: &'static str) -> Self {
        self.class = Some(class);
        self
    }

    /// The edge says from where it is called.
    #[must_use]
    pub const fn asks_origin(mut self) -> Self {
        self.asks_origin = true;
        self
    }

    /// A method with a stream, which may last: as long as its caller's session and rights do.
    #[must_use]
    pub const fn streaming(mut self) -> Self {
        self.deadline = None;
        self
    }
}

/// What [`protect`] needs to know.
#[derive(Clone)]
pub struct Guard {
    /// The role's name, for logs and metrics.
    pub role: &'static str,
    /// Verifies callers.
    pub authn: Authn,
    /// Every method that may be called.
    pub methods: &'static [Method],
}

struct Inner {
    role: &'static str,
    authn: Authn,
    methods: HashMap<&'static str, Known>,
    routes: Upstream,
}

/// A method that may be called.
struct Known {
    method: Method,
    /// The short way to it, if there is one.
    direct: Option<Handler>,
    /// How long calls took that went well: found anew for each of them, it would cost more than recording it.
    went_well: OnceLock<Histogram>,
}

impl Inner {
    /// What a call's time is recorded in. Made-up paths must not become labels.
    fn measure(&self, known: Option<&Known>, code: &'static str) -> Histogram {
        let method = known.map_or("unknown", |known| known.method.path);
        let find =
            || metrics::histogram!("loquat_rpc_seconds", "role" => self.role, "method" => method, "code" => code);
        match known {
            Some(known) if code == "ok" => known.went_well.get_or_init(find).clone(),
            _ => find(),
        }
    }
}

/// Wraps a service's methods in the layers that every call passes, whether it comes from this process or another.
pub fn protect(routes: Routes, mut direct: Direct, guard: Guard) -> Upstream {
    let methods = guard.methods.iter().map(|method| {
        let direct = direct.take(method.path);
        (method.path, Known { method: *method, direct, went_well: OnceLock::new() })
    });
    let inner =
        Arc::new(Inner { role: guard.role, authn: guard.authn, methods: methods.collect(), routes: local(routes) });
    debug_assert!(direct.paths().is_empty(), "not in the table of methods: {:?}", direct.paths());
    let here = inner.clone();
    let service = Upstream::new(tower::service_fn(move |request: Request<Body>| {
        let inner = inner.clone();
        async move { Ok(answer(&inner, request).await) }
    }));
    Upstream { local: Some(Local(here)), ..service }
}

/// A service in this process.
#[derive(Clone)]
pub(super) struct Local(Arc<Inner>);

impl Local {
    pub(super) fn direct(&self, path: &str) -> Option<Offered<'_>> {
        let known = self.0.methods.get(path)?;
        Some(Offered { inner: &self.0, known, handler: known.direct.as_ref()? })
    }
}

/// A unary method of this process that can be called directly.
pub struct Offered<'a> {
    inner: &'a Inner,
    known: &'a Known,
    handler: &'a Handler,
}

impl Offered<'_> {
    /// Calls it with an encoded message, and returns the encoded answer.
    ///
    /// # Errors
    /// Those of the layers and of the method.
    pub async fn call(&self, headers: HeaderMap, message: Bytes) -> Result<Bytes, Status> {
        let Self { inner, known, handler } = *self;
        let traceparent = traceparent_of(&headers);
        let work = async {
            let mut extensions = Extensions::new();
            admitted(inner, &known.method, &headers, &mut extensions).await?;
            let timeout = timeout_of(&headers);
            timed(&known.method, timeout, handler(headers, extensions, message)).await
        };
        let code = |outcome: &Result<Bytes, Status>| outcome.as_ref().map_or_else(code_of_error, |_| "ok");
        observed(inner, Some(known), known.method.path, traceparent, work, code).await
    }
}

/// The routes of this process as a service to call.
pub fn local(routes: Routes) -> Upstream {
    let never = |cause: std::convert::Infallible| match cause {};
    Upstream::new(ServiceExt::<Request<Body>>::map_err(routes.prepare(), never))
}

/// Routes that are made when somebody first asks: for what few ask for and what takes much memory.
pub fn lazily<E: std::fmt::Display>(make: impl Fn() -> Result<Routes, E> + Send + Sync + 'static) -> Upstream {
    let made = Arc::new((OnceLock::new(), make));
    Upstream::new(tower::service_fn(move |request: Request<Body>| {
        let (routes, make) = &*made;
        let routes = routes.get_or_init(|| {
            make().map(local).map_err(|cause| {
                tracing::error!(%cause, "a service cannot be made");
                errors::plain(Code::Internal, "INTERNAL", "The server failed on this call.")
            })
        });
        let routes: Result<Upstream, Status> = routes.clone();
        async move { routes?.oneshot(request).await }
    }))
}

async fn answer(inner: &Inner, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let traceparent = traceparent_of(request.headers());
    let code = |outcome: &Result<Response<Body>, Status>| outcome.as_ref().map_or_else(code_of_error, code_of);
    let known = inner.methods.get(path.as_str());
    let work = async {
        let unknown = || format!("There is no method {path} here.");
        let known = known.ok_or_else(|| errors::plain(Code::Unimplemented, "UNKNOWN_METHOD", unknown()))?;
        guarded(inner, &known.method, request).await
    };
    let outcome = observed(inner, known, &path, traceparent, work, code).await;
    outcome.unwrap_or_else(Status::into_http)
}

/// What is around every call: its trace, what it took and how it ended, and that a handler that breaks fails nothing but its call.
async fn observed<T>(
    inner: &Inner,
    known: Option<&Known>,
    path: &str,
    traceparent: String,
    work: impl Future<Output = Result<T, Status>>,
    code: impl Fn(&Result<T, Status>) -> &'static str,
) -> Result<T, Status> {
    // At the usual level a span would cost more than what many a call does; a cause is logged with its trace instead.
    let span = tracing::debug_span!("rpc", role = inner.role, method = %path, trace = %traceparent);
    let started = tokio::time::Instant::now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let outcome = TRACEPARENT.scope(traceparent, work).instrument(span.clone()).await;
    let outcome =
        outcome.unwrap_or_else(|_| Err(errors::plain(Code::Internal, "PANIC", "The server failed on this call.")));
    let code = code(&outcome);
    inner.measure(known, code).record(started.elapsed().as_secs_f64());
    span.in_scope(|| tracing::debug!(code, "answered"));
    outcome
}

/// Whether the caller may call a method. Says in the extensions who they are and from where they call; returns the account.
async fn admitted(
    inner: &Inner,
    method: &Method,
    headers: &HeaderMap,
    extensions: &mut Extensions,
) -> Result<Option<Arc<UserPrincipal>>, Status> {
    let principal: Principal = inner.authn.check(method.access, headers).await?;
    if let (Principal::User(user), Access::User | Access::UserOrService) = (&principal, method.access) {
        method.least.check(user)?;
        user.allows(method.scope)?;
    }
    if let Some(origin) = inner.authn.origin(headers) {
        extensions.insert(origin);
    }
    let user = match &principal {
        Principal::User(user) => Some(user.clone()),
        _ => None,
    };
    extensions.insert(principal);
    Ok(user)
}

async fn guarded(inner: &Inner, method: &Method, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let user = admitted(inner, method, &parts.headers, &mut parts.extensions).await?;
    let timeout = timeout_of(&parts.headers);
    let request = Request::from_parts(parts, body);
    let lasting = user.filter(|_| method.deadline.is_none()).map(|user| Lasting::of(&inner.authn, user));
    let Some(lasting) = lasting else {
        return timed(method, timeout, call(inner, request)).await;
    };
    let request = lasting.asks(request);
    // Boxed, so that calls that do not last need not carry it.
    Box::pin(lasting.answers(timed(method, timeout, call(inner, request)))).await
}

/// Calls the method, for as long as it may take.
async fn timed<T>(
    method: &Method,
    asked: Option<Duration>,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(allowed) = shorter(asked, method.deadline) else {
        return call.await;
    };
    let deadline = tokio::time::Instant::now() + allowed;
    match tokio::time::timeout_at(deadline, DEADLINE.scope(deadline, call)).await {
        Ok(result) => result,
        Err(_) => Err(errors::plain(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "The call took too long.")),
    }
}

async fn call(inner: &Inner, request: Request<Body>) -> Result<Response<Body>, Status> {
    inner.routes.clone().oneshot(request).await
}

fn shorter(asked: Option<Duration>, default: Option<Duration>) -> Option<Duration> {
    match (asked, default) {
        (Some(asked), Some(default)) => Some(asked.min(default.max(super::DEFAULT_DEADLINE))),
        (asked, default) => asked.or(default),
    }
}

/// The caller's `grpc-timeout`; what cannot be understood counts as absent, as in tonic.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The caller's trace, or a new one.
fn traceparent_of(headers: &HeaderMap) -> String {
    headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|text| text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
        .map_or_else(new_traceparent, str::to_owned)
}

/// Every call has one, so it is put together by hand: formatting it was felt in a profile.
fn new_traceparent() -> String {
    let mut buffer = Uuid::encode_buffer();
    let trace: &str = ids::new_id().simple().encode_lower(&mut buffer);
    // The second half is another one for each call by itself, and names the span.
    ["00-", trace, "-", &trace[16..], "-01"].concat()
}

fn code_of_error(status: &Status) -> &'static str {
    errors::connect_code(status.code())
}

/// The code as far as the headers tell; a handler's error always does.
fn code_of(response: &Response<Body>) -> &'static str {
    response.headers().get("grpc-status").map_or("ok", |value| errors::connect_code(Code::from_bytes(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_timeouts_count_as_absent() {
        let timeout = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout_of(&headers)
        };
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for junk in ["", "S", "1", "-1S", "999999999S", "1x", "1.5S", "é"] {
            assert!(http::HeaderValue::from_str(junk).is_err() || timeout(junk).is_none(), "{junk}");
        }
    }

    #[test]
    fn a_new_trace_is_well_formed() {
        let traces = [new_traceparent(), new_traceparent()];
        for trace in &traces {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", trace.parse().unwrap());
            assert_eq!(traceparent_of(&headers), *trace, "it is taken over");
            let parts: Vec<&str> = trace.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        }
        assert_ne!(traces[0], traces[1]);
    }
}
