//! The layers on the side that asks, and the way to a service in another process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt;

use super::{Body, DEADLINE, DEFAULT_DEADLINE, Gathering, TRACEPARENT, Tls, Upstream};
use crate::{authn::MeshSecret, clock::Clock};

/// Left for the answer's way back when a deadline is passed on.
const HEADROOM: Duration = Duration::from_millis(50);
/// A service token lives for five minutes and is made anew every minute.
const TOKEN_REUSE: Duration = Duration::from_secs(60);

/// A channel to a service in another process. Connects when it is first used, and again when the connection is lost.
///
/// # Errors
/// When the URL cannot be understood.
pub fn connect(url: &str) -> Result<Upstream, String> {
    let connector =
        tower::service_fn(async |to: http::Uri| dial(&to, 80).await.map(|stream| TokioIo::new(Gathering::new(stream))));
    Ok(upstream(endpoint(url)?.connect_with_connector_lazy(connector)))
}

/// The same over TLS, to the role of that name, whose certificate is asked for and who asks for ours.
///
/// # Errors
/// When the URL cannot be understood.
pub fn connect_tls(url: &str, role: &str, tls: Tls) -> Result<Upstream, String> {
    // What the connection is made with decides, not the scheme.
    let plain = url.strip_prefix("https://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
    let role = role.to_owned();
    let connector = tower::service_fn(move |to: http::Uri| {
        let (tls, role) = (tls.clone(), role.clone());
        async move {
            let stream = tls.connect(dial(&to, 443).await?, role).await?;
            Ok::<_, std::io::Error>(TokioIo::new(Gathering::new(stream)))
        }
    });
    Ok(upstream(endpoint(&plain)?.connect_with_connector_lazy(connector)))
}

async fn dial(to: &http::Uri, port: u16) -> std::io::Result<TcpStream> {
    let address = format!("{}:{}", to.host().unwrap_or_default(), to.port_u16().unwrap_or(port));
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn endpoint(url: &str) -> Result<Endpoint, String> {
    Ok(Endpoint::from_shared(url.to_owned())
        .map_err(|cause| format!("{url}: {cause}"))?
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024))
}

fn upstream(channel: Channel) -> Upstream {
    let unreachable = |cause: tonic::transport::Error| Status::from_error(Box::new(cause));
    Upstream::new(ServiceExt::<Request<Body>>::map_err(channel, unreachable))
}

/// Who a role is when it calls another.
#[derive(Clone)]
pub struct Caller {
    role: &'static str,
    secret: MeshSecret,
    clock: Clock,
    token: Arc<Mutex<Option<(HeaderValue, OffsetDateTime)>>>,
}

impl Caller {
    /// Calls as `role`.
    pub fn new(role: &'static str, secret: MeshSecret, clock: Clock) -> Self {
        Self { role, secret, clock, token: Arc::default() }
    }

    /// A service token that is fresh enough, by itself.
    pub fn token(&self) -> Option<HeaderValue> {
        let bearer = self.authorization()?;
        let mut token = HeaderValue::from_bytes(bearer.as_bytes().strip_prefix(b"Bearer ")?).ok()?;
        token.set_sensitive(true);
        Some(token)
    }

    /// `Bearer` with a service token that is fresh enough.
    fn authorization(&self) -> Option<HeaderValue> {
        let now = self.clock.now();
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, made)) = kept.as_ref()
            && now < *made + TOKEN_REUSE
            && now >= *made
        {
            return Some(value.clone());
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", self.secret.service_token(self.role, &self.clock))).ok()?;
        value.set_sensitive(true);
        *kept = Some((value.clone(), now));
        Some(value)
    }
}

/// Wraps a service so that calls to it carry what is left of the current deadline, the trace, and (unless the call already
/// carries somebody's token) the role's service token.
pub fn caller(upstream: Upstream, caller: Caller) -> Upstream {
    Upstream::new(tower::service_fn(move |mut request: Request<Body>| {
        let upstream = upstream.clone();
        let headers = request.headers_mut();
        if !headers.contains_key(AUTHORIZATION)
            && let Some(value) = caller.authorization()
        {
            headers.insert(AUTHORIZATION, value);
        }
        if let Ok(Ok(value)) = TRACEPARENT.try_with(|text| HeaderValue::from_str(text)) {
            headers.entry("traceparent").or_insert(value);
        }
        if let Some(value) = remaining() {
            headers.entry("grpc-timeout").or_insert(value);
        }
        upstream.oneshot(request)
    }))
}

/// What is left of the current call's deadline, as `grpc-timeout`.
fn remaining() -> Option<HeaderValue> {
    let deadline = DEADLINE.try_with(|deadline| *deadline).ok()?;
    let left = deadline.saturating_duration_since(tokio::time::Instant::now()).saturating_sub(HEADROOM);
    let millis = left.min(DEFAULT_DEADLINE).as_millis();
    HeaderValue::from_str(&format!("{millis}m")).ok()
}
