//! One socket: what comes in is done, what waits in its queue goes out. Both halves run in one task; the socket ends with
//! either.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, stream::SplitSink, stream::SplitStream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mesh::errors::{self, close};
use prost::Message as _;
use proto::edge::v1::{Call, ClientFrame, Error, Pong, Reply, client_frame, server_frame::Frame};
use tokio::task::AbortHandle;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        error::CapacityError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::calls;
use crate::{
    edge,
    hub::{Batch, Entry, Registered, Session, Subscriber, frame},
    state::State,
};

/// How long the first frame may take when the upgrade did not sign in.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// A client that sends nothing for so long, not even an answer to a ping, is gone.
const SILENCE: Duration = Duration::from_secs(75);
/// How often a client that is only listening is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long one write may take before the client counts as stuck.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// How many calls may be unanswered.
const MAX_CALLS: usize = 64;

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// Who a socket belongs to.
pub(super) struct SignedIn {
    user_id: Uuid,
    session_id: Uuid,
    token: Mutex<Arc<str>>,
}

impl SignedIn {
    pub(super) fn new(user_id: Uuid, session_id: Uuid, token: String) -> Self {
        Self { user_id, session_id, token: Mutex::new(token.into()) }
    }

    fn token(&self) -> MutexGuard<'_, Arc<str>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a socket ends.
struct End {
    code: u16,
    reason: &'static str,
}

const fn end(code: u16, reason: &'static str) -> End {
    End { code, reason }
}

/// Serves a socket until it ends.
pub(super) async fn serve(state: Arc<State>, mut stream: Stream, signed_in: Option<SignedIn>) {
    let signed_in = match signed_in {
        Some(signed_in) => signed_in,
        None => match hello(&state, &mut stream).await {
            Some(signed_in) => signed_in,
            None => return finish(stream, end(close::UNAUTHENTICATED, "sign in first")).await,
        },
    };
    let registered = state.hub.register(signed_in.user_id, signed_in.session_id).await;
    let (mut sink, source) = stream.split();
    let connection =
        Arc::new(Connection { state, signed_in, session: registered.session.clone(), calls: Mutex::default() });
    let ended = {
        let read = pin!(read(connection.clone(), source));
        let write = pin!(write(registered.subscriber(), &mut sink));
        match futures::future::select(read, write).await {
            futures::future::Either::Left((ended, _)) | futures::future::Either::Right((ended, _)) => ended,
        }
    };
    connection.abort_calls();
    drop::<Registered>(registered);
    if let Some(End { code, reason }) = ended {
        let close = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let _ = tokio::time::timeout(Duration::from_secs(2), sink.send(Message::Close(Some(close)))).await;
    }
}

async fn finish(mut stream: Stream, End { code, reason }: End) {
    let close = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.close(Some(close))).await;
}

/// Waits for `hello`.
async fn hello(state: &State, stream: &mut Stream) -> Option<SignedIn> {
    let first = tokio::time::timeout(HELLO_WITHIN, stream.next()).await.ok()??.ok()?;
    let Message::Binary(bytes) = first else { return None };
    let Some(client_frame::Frame::Hello(hello)) = ClientFrame::decode(bytes).ok()?.frame else {
        return None;
    };
    let user = state.authn.verify(&hello.access_token).await.ok()?;
    Some(SignedIn::new(user.user_id, user.session_id, hello.access_token))
}

/// Sends what waits, many frames in one write, and asks quiet clients whether they are there.
async fn write(mut subscriber: Subscriber, sink: &mut SplitSink<Stream, Message>) -> Option<End> {
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let batch = {
            let mut next = pin!(subscriber.next());
            loop {
                tokio::select! {
                    batch = &mut next => break batch,
                    _ = ping.tick() => {
                        let sent = tokio::time::timeout(WRITE_WITHIN, sink.send(Message::Ping(Bytes::new()))).await;
                        if !matches!(sent, Ok(Ok(()))) {
                            return None;
                        }
                    }
                }
            }
        };
        let (frames, ended) = match batch {
            Batch::Frames(frames) => (frames, None),
            Batch::GoAway(frames) => (frames, Some(end(close::GOING_AWAY, "the server is going away"))),
            Batch::Revoked => (Vec::new(), Some(end(close::UNAUTHENTICATED, "the session has ended"))),
        };
        match tokio::time::timeout(WRITE_WITHIN, send_all(sink, frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return None,
            Err(_) => return Some(end(close::TOO_SLOW, "too slow; connect again and resume")),
        }
        if ended.is_some() {
            return ended;
        }
    }
}

async fn send_all(sink: &mut SplitSink<Stream, Message>, frames: Vec<Bytes>) -> Result<(), tungstenite::Error> {
    for frame in frames {
        sink.feed(Message::Binary(frame)).await?;
    }
    sink.flush().await
}

/// Does what the client asks.
async fn read(connection: Arc<Connection>, mut source: SplitStream<Stream>) -> Option<End> {
    loop {
        connection.session.room_for_answers().await;
        let message = match tokio::time::timeout(SILENCE, source.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(cause))) => return refusal(&cause),
            Ok(None) => return None,
            Err(_) => return Some(end(close::TOO_SLOW, "nothing was heard")),
        };
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(_) => return Some(end(close::UNSUPPORTED, "frames are binary")),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Ok(ClientFrame { frame }) = ClientFrame::decode(bytes) else {
            return Some(end(close::UNSUPPORTED, "not a ClientFrame"));
        };
        if let Some(ended) = connection.handle(frame).await {
            return Some(ended);
        }
    }
}

/// What a peer that breaks the protocol is told.
fn refusal(cause: &tungstenite::Error) -> Option<End> {
    match cause {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(end(close::TOO_BIG, "the frame is too big"))
        }
        tungstenite::Error::Protocol(_) => Some(end(1002, "not the WebSocket protocol")),
        tungstenite::Error::Utf8(_) => Some(end(1007, "not UTF-8")),
        _ => None,
    }
}

/// What the reading half works with.
struct Connection {
    state: Arc<State>,
    signed_in: SignedIn,
    session: Arc<Session>,
    calls: Mutex<HashMap<u64, AbortHandle>>,
}

impl Connection {
    async fn handle(self: &Arc<Self>, frame: Option<client_frame::Frame>) -> Option<End> {
        match frame {
            Some(client_frame::Frame::Call(call)) => self.call(call),
            Some(client_frame::Frame::Cancel(cancel)) => {
                if let Some(call) = self.calls().remove(&cancel.id) {
                    call.abort();
                }
            }
            Some(client_frame::Frame::Subscribe(request)) => match edge::check(&request) {
                Ok(()) => self.session.push(Entry::Subscribe(request)),
                Err(refused) => self.fail(0, refused),
            },
            Some(client_frame::Frame::Renew(renew)) => return self.renew(&renew.access_token).await,
            Some(client_frame::Frame::Ping(ping)) => self.send(Frame::Pong(Pong { nonce: ping.nonce })),
            // A client that was signed in at the upgrade may say hello all the same.
            Some(client_frame::Frame::Hello(hello)) => return self.renew(&hello.access_token).await,
            None => {
                self.fail(0, errors::plain(Code::InvalidArgument, "UNKNOWN_FRAME", "This frame is not known here."));
            }
        }
        None
    }

    /// Starts a call in a task of its own; its answer waits in the queue like everything else.
    fn call(self: &Arc<Self>, call: Call) {
        let Call { id, method, payload } = call;
        let mut calls = self.calls();
        if id == 0 || calls.contains_key(&id) {
            return self.fail(
                id,
                errors::plain(Code::InvalidArgument, "CALL_ID_REUSED", "The id of a call must be new and not 0."),
            );
        }
        if calls.len() >= MAX_CALLS {
            let text = format!("At most {MAX_CALLS} calls may be unanswered.");
            return self.fail(id, errors::plain(Code::ResourceExhausted, "TOO_MANY_CALLS", text));
        }
        let connection = self.clone();
        let token = self.signed_in.token().clone();
        let task = self.state.tasks.spawn("call", async move {
            let answer = calls::unary(&connection.state, &token, &method, payload).await;
            // Only a call that nobody gave up is answered.
            if connection.calls().remove(&id).is_some() {
                match answer {
                    Ok(payload) => connection.send(Frame::Reply(Reply { id, payload })),
                    Err(status) => connection.fail(id, status),
                }
            }
        });
        calls.insert(id, task.abort_handle());
    }

    /// Takes a newer token of the same session.
    async fn renew(&self, token: &str) -> Option<End> {
        match self.state.authn.verify(token).await {
            Ok(user) if user.session_id == self.signed_in.session_id => {
                *self.signed_in.token() = token.into();
                None
            }
            Ok(_) => Some(end(close::UNAUTHENTICATED, "the token is of another session")),
            Err(refused) if refused.code() == Code::Unavailable => {
                self.fail(0, refused);
                None
            }
            Err(_) => Some(end(close::UNAUTHENTICATED, "the token is not valid")),
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "a status is used up by telling it")]
    fn fail(&self, id: u64, status: Status) {
        // The details of a status are a whole `google.rpc.Status`; one without details decodes to an empty one.
        let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
        let status =
            tonic_types::pb::Status { code: status.code().into(), message: status.message().to_owned(), details };
        self.send(Frame::Error(Error { id, status: Some(status) }));
    }

    fn send(&self, content: Frame) {
        self.session.push(Entry::Frame(frame::encode(content)));
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abort_calls(&self) {
        for (_, call) in self.calls().drain() {
            call.abort();
        }
    }
}
