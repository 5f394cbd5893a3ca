//! `GET /ws`: the browser's connection. Calls and the live stream share one socket; its frames are `ClientFrame` and
//! `ServerFrame` (subprotocol `loquat.v1`).
//!
//! Signs in, in this order: Bearer at the upgrade; cookie with an exactly matching Origin; else the first frame `hello` within
//! five seconds, or close 4401.

mod calls;
mod io;
mod socket;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use mesh::{
    authn::{self, Origin},
    errors,
    rpc::{Body, Gathering, Place},
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{handshake::derive_accept_key, protocol::WebSocketConfig};
use tonic::{Code, Status};

use crate::{http::error_response, state::State};
use socket::{Guest, SignedIn};

/// The subprotocol.
const PROTOCOL: &str = "loquat.v1";
/// The largest message from a client, in bytes; also the largest frame.
pub(crate) const MAX_FRAME_BYTES: usize = 256 * 1024;

/// Answers the upgrade and serves the socket in a task of its own.
pub(crate) async fn upgrade(state: Arc<State>, mut request: Request<Incoming>) -> Response<Body> {
    let names_protocol = request.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let accept = match handshake(request.headers()) {
        Ok(accept) => accept,
        Err(refused) => return error_response(&refused),
    };
    let origin = state.origins.of(&request);
    let guest = match Box::pin(admit(&state, request.headers(), &origin)).await {
        Ok(guest) => guest,
        Err(refused) => return error_response(&refused),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let tasks = state.tasks.clone();
    // A socket counts as a connection until it ends.
    let place = request.extensions_mut().remove::<Place>();
    tasks.spawn("socket", async move {
        let _place = place;
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(cause) => return tracing::debug!(%cause, "an upgrade was not finished"),
        };
        match downcast::<TokioIo<Gathering<TcpStream>>>(upgraded) {
            Ok(parts) => {
                let socket = parts.io.into_inner().into_inner();
                socket::serve(state, socket, parts.read_buf, origin, guest).await;
            }
            Err(_) => tracing::error!("an upgraded connection that is no TCP stream"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if names_protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

/// What one socket may use. Without limits a peer could make the server hold any amount.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
        // One for each connection: what is larger is read in pieces.
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(64 * 1024)
}

/// Checks the upgrade (RFC 6455 section 4.2.1) and returns the answer to its key.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, Status> {
    let refused = |text: &str| errors::plain(Code::InvalidArgument, "INVALID_REQUEST", text);
    let lists = |name: header::HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    if !lists(header::UPGRADE, "websocket") || !lists(header::CONNECTION, "upgrade") {
        return Err(refused("This address is for WebSocket upgrades."));
    }
    if !lists(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(refused("Only version 13 of the WebSocket protocol is spoken."));
    }
    // A client that names no subprotocol takes what is spoken here; one that names others speaks something else.
    let names_some = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    if names_some && !lists(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(refused("Offer the subprotocol loquat.v1 in Sec-WebSocket-Protocol."));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| refused("Sec-WebSocket-Key is missing."))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| refused("Sec-WebSocket-Key is not valid."))
}

/// A place for who connects, and who that is as far as it is known.
async fn admit(state: &State, headers: &HeaderMap, origin: &Origin) -> Result<Guest, Status> {
    let network = state.limits.network(origin.address);
    state.limits.arrives(network.as_deref())?;
    let seat = state.limits.seat(network.clone()).await?;
    let guest = Guest { network, seat, signed_in: None };
    match sign_in(state, headers, origin).await? {
        Some(signed_in) => guest.is(state, signed_in).await,
        None => Ok(guest),
    }
}

/// Who connects; nothing when that is left to the first frame.
async fn sign_in(state: &State, headers: &HeaderMap, origin: &Origin) -> Result<Option<SignedIn>, Status> {
    if let Some(token) = authn::bearer(headers)? {
        let user = state.who(token, origin).await?;
        return Ok(Some(SignedIn::new(user, token)));
    }
    if !state.cookies.present(headers) {
        return Ok(None);
    }
    if !state.cookies.origin_allowed(headers) {
        let text = "A page of another origin cannot use the cookie of this one.";
        return Err(errors::plain(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED", text));
    }
    let resolved = state.cookies.resolve(headers).await?;
    let Some(resolved) = resolved else { return Ok(None) };
    let user = state.who(&resolved.access_token, origin).await?;
    Ok(Some(SignedIn::new(user, &resolved.access_token)))
}
