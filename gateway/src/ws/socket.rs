//! One socket: what comes in is done; what goes out is written by the hub and by answers, as far as the socket takes it, and
//! otherwise by the socket's own task. It ends with either half.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use mesh::{
    authn::{Origin, UserPrincipal},
    errors::{self, close},
};
use prost::Message as _;
use proto::edge::v1::{
    Call, ClientFrame, Error, Ping, Pong, Reply, SubscribeRequest, client_frame, server_frame::Frame as Content,
};
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, error::CapacityError, protocol::Role},
};
use tonic::{Code, Status};

use super::{calls, io::SharedSocket, limits};
use crate::{
    edge,
    hub::{
        self, Session, Word,
        frame::{self, Frame},
    },
    limits::{Class, Party, Seat},
    methods::Known,
    state::State,
};

/// How long the first frame may take when the upgrade did not sign in.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long nothing of the last frames may be taken, and how long the client may take to close its side.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// The same for a client that took nothing: it gets only what was begun and the reason, when it looks again.
const CLOSE_SLOW_WITHIN: Duration = Duration::from_secs(10);
/// How many calls may be unanswered.
const MAX_CALLS: usize = 64;

type Stream = WebSocketStream<SharedSocket>;

/// Where the WebSocket library writes.
pub(super) enum Writer {
    /// To the socket itself, while there is no session yet: only answers to pings and to a close, and lost when it is full.
    Socket,
    /// Among the frames of a session.
    Session(Arc<Session>),
    /// Nowhere any more: the last word was said.
    Nowhere,
}

impl Writer {
    pub(super) fn write(&self, socket: &TcpStream, bytes: &[u8]) {
        match self {
            Self::Socket => _ = socket.try_write(bytes),
            Self::Session(session) => session.send(Frame::of_wire(bytes)),
            Self::Nowhere => {}
        }
    }
}

/// Who a socket belongs to.
pub(super) struct SignedIn {
    user: Arc<UserPrincipal>,
    token: Mutex<Arc<str>>,
}

impl SignedIn {
    /// `token` is as the client sent it: a program's own is traded anew when that is needed.
    pub(super) fn new(user: Arc<UserPrincipal>, token: &str) -> Self {
        Self { user, token: Mutex::new(token.into()) }
    }

    fn token(&self) -> MutexGuard<'_, Arc<str>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who connects.
pub(super) struct Guest {
    /// From where, if that counts.
    pub(super) network: Option<Arc<Party>>,
    /// The place of the socket.
    pub(super) seat: Seat,
    /// Nothing when that is left to the first frame.
    pub(super) signed_in: Option<(SignedIn, Arc<Party>)>,
}

impl Guest {
    /// It is known who it is.
    pub(super) async fn is(self, state: &State, signed_in: SignedIn) -> Result<Self, Status> {
        let account = state.limits.account(signed_in.user.user_id);
        let seat = self.seat.belongs_to(account.clone()).await?;
        Ok(Self { seat, signed_in: Some((signed_in, account)), ..self })
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

impl From<hub::End> for End {
    fn from(ended: hub::End) -> Self {
        match ended {
            hub::End::GoingAway => end(close::GOING_AWAY, "the server is going away"),
            hub::End::Stale => end(close::RIGHTS_CHANGED, "rights have changed; connect again with a new token"),
            hub::End::Revoked => end(close::UNAUTHENTICATED, "the session has ended"),
            hub::End::TooSlow => end(close::TOO_SLOW, "too slow; connect again after 1000 ms and resume"),
            hub::End::Silent => end(close::TOO_SLOW, "nothing was heard"),
        }
    }
}

/// Serves a socket until it ends. `before` is what came in together with the upgrade.
pub(super) async fn serve(state: Arc<State>, socket: TcpStream, before: Bytes, origin: Origin, guest: Guest) {
    let socket = Arc::new(socket);
    // A copy, which is usually empty: else the whole buffer of the upgrade would be kept for as long as the socket.
    let copy = Bytes::copy_from_slice(&before);
    drop(before);
    let shared = SharedSocket::new(socket.clone(), copy, Writer::Socket);
    let mut stream = WebSocketStream::from_raw_socket(shared, Role::Server, Some(limits())).await;
    let Guest { network, seat: _seat, signed_in } = match Box::pin(greet(&state, &mut stream, &origin, guest)).await {
        Ok(guest) => guest,
        Err(End { code, reason }) => {
            let _ = socket.try_write(frame::close(code, reason).wire());
            stream.get_mut().write_to(Writer::Nowhere);
            let _ = tokio::time::timeout(CLOSE_WITHIN, until_closed(&mut stream)).await;
            return;
        }
    };
    // Whoever was greeted is signed in.
    let Some((signed_in, account)) = signed_in else { return };
    let registered = state.hub.register(signed_in.user.user_id, signed_in.user.session_id, Some(socket)).await;
    let session = registered.session.clone();
    // What was taken away before the hub knew of the socket was not heard there.
    if state.authn.recheck(&signed_in.user).is_err() {
        session.end(hub::End::Revoked);
    }
    stream.get_mut().write_to(Writer::Session(session.clone()));
    let connection = Arc::new(Connection {
        state,
        signed_in,
        network,
        account,
        origin: Origin { address: origin.address, agent: String::new() },
        session: session.clone(),
        calls: Mutex::default(),
    });
    let ended = {
        let read = pin!(read(connection.clone(), &mut stream));
        let work = pin!(registered.subscriber().run());
        match futures::future::select(read, work).await {
            futures::future::Either::Left((ended, _)) => ended,
            futures::future::Either::Right((ended, _)) => Some(ended.into()),
        }
    };
    connection.abort_calls();
    drop(registered);
    if let Some(End { code, reason }) = ended {
        let within = if code == close::TOO_SLOW { CLOSE_SLOW_WITHIN } else { CLOSE_WITHIN };
        session.send(frame::close(code, reason));
        stream.get_mut().write_to(Writer::Nowhere);
        // Each piece that it takes earns it more time: what is left is little, and pieces are large.
        while !session.is_flushed() {
            if tokio::time::timeout(within, session.unblock()).await.is_err() {
                return;
            }
        }
        let _ = tokio::time::timeout(within, until_closed(&mut stream)).await;
    }
}

/// Reads on until the client has closed its side as well. A socket that is given up with something unread in it is reset by the
/// kernel, and what the client has not read yet is lost, the reason why it was closed included.
async fn until_closed(stream: &mut Stream) {
    while let Some(Ok(message)) = stream.next().await {
        if message.is_close() {
            return;
        }
    }
}

/// Waits until it is known who connects.
async fn greet(state: &State, stream: &mut Stream, origin: &Origin, guest: Guest) -> Result<Guest, End> {
    if guest.signed_in.is_some() {
        return Ok(guest);
    }
    let nobody = || end(close::UNAUTHENTICATED, "sign in first");
    let signed_in = hello(state, stream, origin).await.ok_or_else(nobody)?;
    let too_many = |_| end(close::TOO_MANY, "SOCKETS_PER_ACCOUNT: too many are open; connect again after 5000 ms");
    guest.is(state, signed_in).await.map_err(too_many)
}

/// Waits for `hello`.
async fn hello(state: &State, stream: &mut Stream, origin: &Origin) -> Option<SignedIn> {
    let first = tokio::time::timeout(HELLO_WITHIN, stream.next()).await.ok()??.ok()?;
    let Message::Binary(bytes) = first else { return None };
    let Some(client_frame::Frame::Hello(hello)) = ClientFrame::decode(bytes).ok()?.frame else {
        return None;
    };
    let user = state.who(&hello.access_token, origin).await.ok()?;
    Some(SignedIn::new(user, &hello.access_token))
}

/// Does what the client asks.
async fn read(connection: Arc<Connection>, stream: &mut Stream) -> Option<End> {
    loop {
        connection.session.room_for_answers().await;
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(cause)) => return refusal(&cause),
            None => return None,
        };
        connection.session.heard(connection.state.hub.now());
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(_) => return Some(end(close::UNSUPPORTED, "frames are binary")),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let Ok(ClientFrame { frame }) = ClientFrame::decode(bytes) else {
            return Some(end(close::UNSUPPORTED, "not a ClientFrame"));
        };
        if let Some(ended) = Box::pin(connection.handle(frame)).await {
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
    network: Option<Arc<Party>>,
    account: Arc<Party>,
    /// Without the agent, which need not be kept with every socket.
    origin: Origin,
    session: Arc<Session>,
    calls: Mutex<HashMap<u64, AbortHandle>>,
}

impl Connection {
    async fn handle(self: &Arc<Self>, frame: Option<client_frame::Frame>) -> Option<End> {
        let (id, known) = match &frame {
            Some(client_frame::Frame::Call(call)) => (call.id, self.state.methods.of(&call.method)),
            _ => (0, Known::default()),
        };
        // Everything that is asked for counts as a call, but giving one up.
        let counts = !matches!(frame, Some(client_frame::Frame::Cancel(_)));
        if counts && let Err(refused) = self.counted(known.class) {
            self.fail(id, refused);
            return None;
        }
        match frame {
            Some(client_frame::Frame::Call(call)) => self.call(call, known.asks_origin),
            Some(client_frame::Frame::Cancel(cancel)) => {
                if let Some(call) = self.calls().remove(&cancel.id) {
                    call.abort();
                }
            }
            Some(client_frame::Frame::Subscribe(request)) => match self.may_subscribe(&request) {
                Ok(()) => self.session.tell(Word::Subscribe(request)),
                Err(refused) => self.fail(0, refused),
            },
            Some(client_frame::Frame::Look(look)) => match edge::check_look(&look) {
                Ok(()) => self.session.tell(Word::Look(edge::room_ids(&look.room_ids))),
                Err(refused) => self.fail(0, refused),
            },
            Some(client_frame::Frame::Renew(renew)) => return self.renew(&renew.access_token).await,
            Some(client_frame::Frame::Ping(Ping { nonce, cursors })) => {
                if !cursors.is_empty() {
                    self.session.tell(Word::Holds(cursors));
                }
                self.send(Content::Pong(Pong { nonce, cursors: Vec::new() }));
            }
            // A client that was signed in at the upgrade may say hello all the same.
            Some(client_frame::Frame::Hello(hello)) => return self.renew(&hello.access_token).await,
            None => {
                self.fail(0, errors::plain(Code::InvalidArgument, "UNKNOWN_FRAME", "This frame is not known here."));
            }
        }
        None
    }

    fn counted(&self, class: Option<Class>) -> Result<(), Status> {
        let limits = &self.state.limits;
        limits.arrives(self.network.as_deref())?;
        limits.calls(&self.account, class)
    }

    /// A program's token must be good for it, as with a call.
    fn may_subscribe(&self, request: &SubscribeRequest) -> Result<(), Status> {
        self.signed_in.user.allows(edge::SUBSCRIBE.scope)?;
        edge::check(request)
    }

    /// Starts a call in a task of its own; its answer waits in the queue like everything else.
    fn call(self: &Arc<Self>, call: Call, asks_origin: bool) {
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
            let Connection { state, origin, .. } = &*connection;
            let answer = calls::unary(state, &token, origin, &method, asks_origin, payload).await;
            // Only a call that nobody gave up is answered.
            if connection.calls().remove(&id).is_some() {
                match answer {
                    Ok(payload) => connection.send(Content::Reply(Reply { id, payload })),
                    Err(status) => connection.fail(id, status),
                }
            }
        });
        calls.insert(id, task.abort_handle());
    }

    /// Takes a newer token of the same session.
    async fn renew(&self, token: &str) -> Option<End> {
        match self.state.who(token, &self.origin).await {
            Ok(user) if user.session_id == self.signed_in.user.session_id => {
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
        self.send(Content::Error(Error { id, status: Some(status) }));
    }

    fn send(&self, content: Content) {
        self.session.send(frame::encode(content));
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
