//! The one port: which edge answers a request, by path and content type; and errors over HTTP.

pub(crate) mod files;
pub(crate) mod hooks;
pub(crate) mod session;

use std::convert::Infallible;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh::{
    errors,
    rpc::{Body, Upstream},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use crate::{assets, state::Shared, ws};

/// Answers any request.
pub(crate) async fn answer(
    state: Shared,
    grpc: Upstream,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    if is_grpc(&request) {
        return Ok(match grpc.oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(cause) => {
                tracing::error!(%cause, "the gRPC edge failed");
                errors::plain(Code::Internal, "INTERNAL", "The server failed on this call.").into_http()
            }
        });
    }
    // What is served from memory, and the upgrade, which counts itself, are not counted here.
    let (session, files) = (path.starts_with("/session/"), path == "/files" || path.starts_with("/files/"));
    let hooks = path.starts_with(hooks::PREFIX);
    let network = || state.limits.network(state.origins.address(&request));
    if (session || files || hooks)
        && let Err(refused) = state.limits.arrives(network().as_deref())
    {
        return Ok(error_response(&refused));
    }
    Ok(match path {
        "/ws" => ws::upgrade(state, request).await,
        "/healthz" => text(StatusCode::OK, "ok\n"),
        _ if session => session::answer(&state, request).await,
        _ if files => files::answer(&state, request).await,
        _ if hooks => hooks::answer(&state, request).await,
        _ if matches!(*request.method(), Method::GET | Method::HEAD) => assets::answer(&request),
        _ => error_response(&errors::plain(Code::NotFound, "NOT_FOUND", "There is nothing at this address.")),
    })
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// A plain text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, document: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(document.to_string().into_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that is there at once.
pub(crate) fn full(bytes: impl Into<bytes::Bytes>) -> Body {
    Body::new(http_body_util::Full::new(bytes.into()))
}

/// A status as HTTP and JSON: code, reason, text, the fields that are wrong, and when to try again.
pub(crate) fn error_response(status: &Status) -> Response<Body> {
    error_with(errors::http_status(status.code()), status)
}

/// The same with another HTTP status, where a protocol asks for one.
pub(crate) fn error_with(http: StatusCode, status: &Status) -> Response<Body> {
    error_from(http, status, &error_document(status))
}

/// What is told of a status.
pub(crate) fn error_document(status: &Status) -> serde_json::Value {
    let violations: Vec<_> = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default()
        .into_iter()
        .map(|wrong| serde_json::json!({"field": wrong.field, "description": wrong.description}))
        .collect();
    let mut document = serde_json::json!({
        "code": errors::connect_code(status.code()),
        "reason": errors::reason(status),
        "message": status.message(),
        "violations": violations,
    });
    if let Some(after) = retry_after(status) {
        document["retry_after_ms"] = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into();
    }
    document
}

fn retry_after(status: &Status) -> Option<std::time::Duration> {
    status.get_details_retry_info().and_then(|retry| retry.retry_delay)
}

/// A status as it is told in a document.
pub(crate) fn error_from(http: StatusCode, status: &Status, document: &serde_json::Value) -> Response<Body> {
    let mut response = json(http, document);
    if let Some(after) = retry_after(status) {
        response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
    }
    response
}
