//! `EdgeService`: the live stream over gRPC. The same frames as on the WebSocket, from the same subscriber.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use mesh::{
    authn::Principal,
    errors,
    rpc::{Body, Method, Upstream},
};
use proto::edge::v1::{Look, SubscribeRequest};
use tonic::{Code, Request, Response, Status, server::ServerStreamingService};
use uuid::Uuid;

use crate::{
    hub::{End, Registered, Subscriber, Word, frame::Frame},
    limits::Seat,
    raw::FramesCodec,
    state::State,
};

/// The one method, with what it needs; a socket needs the same to subscribe.
pub(crate) const SUBSCRIBE: Method =
    Method::user("/loquat.edge.v1.EdgeService/Subscribe").scope("messages:read").streaming();
/// The most cursors that one client may bring.
pub(crate) const MAX_CURSORS: usize = 10_000;
/// The most rooms that one client may look at.
const MAX_LOOKED_AT: usize = 20;

/// Answers `/loquat.edge.v1.EdgeService/*`.
pub(crate) fn service(state: Arc<State>) -> Upstream {
    Upstream::new(tower::service_fn(move |request: http::Request<Body>| {
        let state = state.clone();
        async move { Ok::<_, Status>(answer(state, request).await.unwrap_or_else(Status::into_http)) }
    }))
}

async fn answer(state: Arc<State>, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
    if request.uri().path() != SUBSCRIBE.path {
        return Err(errors::plain(Code::Unimplemented, "UNKNOWN_METHOD", "There is no such method here."));
    }
    let principal = state.authn.check(SUBSCRIBE.access, request.headers()).await?;
    let mut seat = None;
    if let Principal::User(user) = &principal {
        user.allows(SUBSCRIBE.scope)?;
        let limits = &state.limits;
        let place = limits.seat(limits.network(state.origins.address(&request))).await?;
        seat = Some(place.belongs_to(limits.account(user.user_id)).await?);
    }
    let mut grpc = tonic::server::Grpc::new(FramesCodec::<SubscribeRequest>::default());
    Ok(grpc.server_streaming(Subscribe { state, principal, seat }, request).await)
}

/// Refuses what cannot be subscribed to.
pub(crate) fn check(request: &SubscribeRequest) -> Result<(), Status> {
    check_length("cursors", request.cursors.len(), MAX_CURSORS)?;
    check_length("look_at", request.look_at.len(), MAX_LOOKED_AT)
}

/// Refuses to look at too much.
pub(crate) fn check_look(look: &Look) -> Result<(), Status> {
    check_length("room_ids", look.room_ids.len(), MAX_LOOKED_AT)
}

fn check_length(field: &str, length: usize, most: usize) -> Result<(), Status> {
    if length <= most {
        return Ok(());
    }
    let text = format!("The request is not valid: {field} has more than {most} entries.");
    Err(errors::plain(Code::InvalidArgument, "INVALID_REQUEST", text))
}

/// Rooms that a client names, each once. What is no id is passed over like a room that does not exist.
pub(crate) fn room_ids(texts: &[String]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

struct Subscribe {
    state: Arc<State>,
    principal: Principal,
    /// The place of the one stream that it answers with.
    seat: Option<Seat>,
}

type Frames = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl ServerStreamingService<SubscribeRequest> for Subscribe {
    type Response = Bytes;
    type ResponseStream = Frames;
    type Future = std::future::Ready<Result<Response<Frames>, Status>>;

    fn call(&mut self, request: Request<SubscribeRequest>) -> Self::Future {
        let Principal::User(user) = self.principal.clone() else {
            return std::future::ready(Err(errors::plain(Code::Unauthenticated, "TOKEN_MISSING", "Sign in first.")));
        };
        let request = request.into_inner();
        if let Err(refused) = check(&request) {
            return std::future::ready(Err(refused));
        }
        let state = self.state.clone();
        let seat = self.seat.take();
        let start = async move {
            let registered = state.hub.register(user.user_id, user.session_id, None).await;
            // What was taken away before the hub knew of the stream was not heard there.
            if state.authn.recheck(&user).is_err() {
                registered.session.end(End::Revoked);
            }
            registered.session.tell(Word::Subscribe(request));
            let subscriber = registered.subscriber();
            Live { registered, subscriber, _seat: seat, waiting: Vec::new().into_iter(), ended: false }
        };
        let frames = stream::StreamExt::flatten(stream::once(async move { stream::unfold(start.await, Live::next) }));
        std::future::ready(Ok(Response::new(Box::pin(frames))))
    }
}

/// A stream under way.
struct Live {
    #[allow(dead_code, reason = "held so that the hub knows that the client is there")]
    registered: Registered,
    subscriber: Subscriber,
    _seat: Option<Seat>,
    waiting: std::vec::IntoIter<Frame>,
    ended: bool,
}

impl Live {
    /// One frame at a time, as gRPC has it; many become one write below.
    async fn next(mut self) -> Option<(Result<Bytes, Status>, Self)> {
        loop {
            if let Some(frame) = self.waiting.next() {
                return Some((Ok(frame.body()), self));
            }
            if self.ended {
                return None;
            }
            match self.subscriber.next().await {
                Ok(frames) => self.waiting = frames.into_iter(),
                Err(end) => {
                    self.ended = true;
                    return Some((Err(status_of(end)), self));
                }
            }
        }
    }
}

fn status_of(end: End) -> Status {
    let again = std::time::Duration::from_secs(1);
    match end {
        End::GoingAway => errors::unavailable("GOING_AWAY", "The server is going away.", again),
        End::TooSlow | End::Silent => errors::unavailable("TOO_SLOW", "Too slow; subscribe again and resume.", again),
        End::Revoked => errors::plain(Code::Unauthenticated, "SESSION_ENDED", "The session has ended."),
        End::Stale => {
            let text = "The account's rights have changed; refresh the access token and subscribe again.";
            errors::plain(Code::Unauthenticated, "TOKEN_EXPIRED", text)
        }
    }
}
