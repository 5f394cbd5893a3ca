//! The hub: which clients of this gateway need which feeds, and the one stream from chat-svc that brings them.
//!
//! It knows feeds, numbers, users and bytes, and decodes no event. One task owns everything, so that joins, departures and
//! events of a feed have one order. What several items bring to one socket is written with one call. Each client's frames are
//! bounded (`session`), and each client reads the log by itself when it fell behind (`subscriber`). Nothing here is durable.

pub(crate) mod admission;
pub(crate) mod frame;
mod looking;
mod pace;
mod session;
mod state;
mod subscriber;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use mesh::rpc::Upstream;
use proto::chat::internal::v1::{AttachRequest, AttachResponse, feed_service_client::FeedServiceClient};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use self::state::State;
pub(crate) use self::{
    admission::Admission,
    session::{End, Session, Word},
    state::Patience,
    subscriber::Subscriber,
};

/// How many orders may wait for the hub; further ones wait with their clients.
const ORDERS: usize = 1024;
/// How many items are passed on before sockets are written to.
const ITEMS_AT_ONCE: usize = 256;
/// Waited before the stream is opened again.
const REATTACH: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// The hub's clock: every client is looked at once a second, without a timer of its own; a part of them at each tick, so that
/// looking at thousands holds up no delivery.
const TICK: Duration = Duration::from_millis(1000 / state::PARTS as u64);

/// What clients ask of the hub.
enum Order {
    /// A client is there.
    Register(Arc<Session>),
    /// A client is gone.
    Unregister(u64),
    /// A client follows these feeds; answered when events of all of them are flowing.
    Follow { session: Arc<Session>, feeds: Vec<Uuid>, also_joined: bool, flowing: oneshot::Sender<()> },
    /// A client follows these feeds no longer.
    Unfollow { session: Arc<Session>, feeds: Vec<Uuid> },
    /// A client looks at these rooms, and at no others any more.
    Look { session: Arc<Session>, rooms: Vec<Uuid> },
    /// Sessions ended, and the rights of accounts changed.
    Revoke { session_ids: Vec<Uuid>, user_ids: Vec<Uuid> },
    /// Which sessions are there?
    Sessions(oneshot::Sender<Vec<Uuid>>),
    /// Tell everybody to come back, spread over this time; answered when they are gone.
    Drain { window: Duration, drained: oneshot::Sender<()> },
    /// End everybody.
    EndAll(oneshot::Sender<()>),
}

/// The way to the hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    orders: mpsc::Sender<Order>,
    next: Arc<AtomicU64>,
    /// Seconds since the hub began.
    now: Arc<AtomicU32>,
    feeds: FeedServiceClient<Upstream>,
    admission: Arc<Admission>,
}

/// The hub's own task.
pub(crate) struct HubTask {
    orders: mpsc::Receiver<Order>,
    now: Arc<AtomicU32>,
    feeds: FeedServiceClient<Upstream>,
    patience: Patience,
}

/// Makes the hub; `chat` is chat-svc, called as `service:gateway`.
pub(crate) fn hub(chat: Upstream, admission: Admission, patience: Patience) -> (Hub, HubTask) {
    let (sender, orders) = mpsc::channel(ORDERS);
    let feeds = FeedServiceClient::new(chat).max_decoding_message_size(16 * 1024 * 1024);
    let now = Arc::<AtomicU32>::default();
    let hub = Hub {
        orders: sender,
        next: Arc::default(),
        now: now.clone(),
        feeds: feeds.clone(),
        admission: Arc::new(admission),
    };
    (hub, HubTask { orders, now, feeds, patience })
}

impl Hub {
    /// Says that a client is there. Dropping the guard says that it is gone. Frames for a socket are written to it; any other
    /// transport takes them itself.
    pub(crate) async fn register(&self, user_id: Uuid, session_id: Uuid, socket: Option<Arc<TcpStream>>) -> Registered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(id, user_id, session_id, socket, self.now()));
        self.order(Order::Register(session.clone())).await;
        Registered { hub: self.clone(), session }
    }

    /// Seconds since the hub began.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Follows feeds; returns once their events are flowing. False when the hub has stopped.
    async fn follow(&self, session: &Arc<Session>, feeds: Vec<Uuid>, also_joined: bool) -> bool {
        let (flowing, done) = oneshot::channel();
        self.order(Order::Follow { session: session.clone(), feeds, also_joined, flowing }).await;
        done.await.is_ok()
    }

    async fn unfollow(&self, session: &Arc<Session>, feeds: Vec<Uuid>) {
        if !feeds.is_empty() {
            self.order(Order::Unfollow { session: session.clone(), feeds }).await;
        }
    }

    /// Says which rooms a client looks at, in place of others.
    async fn look(&self, session: &Arc<Session>, rooms: Vec<Uuid>) {
        self.order(Order::Look { session: session.clone(), rooms }).await;
    }

    /// Ends the streams of ended sessions, and those of accounts whose rights have changed: they are begun anew with new tokens.
    pub(crate) async fn revoke(&self, session_ids: Vec<Uuid>, user_ids: Vec<Uuid>) {
        self.order(Order::Revoke { session_ids, user_ids }).await;
    }

    /// The sessions of all clients.
    pub(crate) async fn sessions(&self) -> Vec<Uuid> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Sessions(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Tells every client to come back, spread over `window`, and returns when they are gone.
    pub(crate) async fn drain(&self, window: Duration) {
        let (drained, done) = oneshot::channel();
        self.order(Order::Drain { window, drained }).await;
        // An error means that the hub has stopped: there is nobody left.
        let _ = done.await;
    }

    /// Ends every client.
    pub(crate) async fn end_all(&self) {
        let (done, ended) = oneshot::channel();
        self.order(Order::EndAll(done)).await;
        let _ = ended.await;
    }

    async fn order(&self, order: Order) {
        // An error means that the process is stopping.
        let _ = self.orders.send(order).await;
    }
}

/// A client that is known to the hub.
pub(crate) struct Registered {
    hub: Hub,
    /// What waits for it.
    pub(crate) session: Arc<Session>,
}

impl Registered {
    /// What follows feeds for it and reads the log.
    pub(crate) fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.hub.clone(), self.session.clone())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.leave();
        // When the hub is too busy to hear it now, it finds out at its next tick.
        let _ = self.hub.orders.try_send(Order::Unregister(self.session.id));
    }
}

impl HubTask {
    /// Runs until `stop`; then ends every client.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut state = State::new(self.patience);
        let mut failures = 0;
        while !stop.is_cancelled() {
            let (asks, asked) = mpsc::channel(ORDERS);
            let attached = self.feeds.attach(ReceiverStream::new(asked)).await;
            match attached {
                Ok(stream) => {
                    failures = 0;
                    state.attached(asks);
                    self.pump(&mut state, Some(stream.into_inner()), Duration::MAX, &stop).await;
                    state.flush_clients();
                    state.detached();
                }
                Err(cause) => {
                    tracing::warn!(code = ?cause.code(), "chat-svc cannot be attached to: {}", cause.message());
                }
            }
            let pause = REATTACH[failures.min(REATTACH.len() - 1)];
            self.pump(&mut state, None, pause, &stop).await;
            state.flush_clients();
            failures += 1;
        }
        state.end_all();
    }

    /// Passes items on and does what clients ask: until the stream ends, or without one until the time is over.
    async fn pump(
        &mut self,
        state: &mut State,
        mut stream: Option<Streaming<AttachResponse>>,
        time: Duration,
        stop: &CancellationToken,
    ) {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut over = std::pin::pin!(tokio::time::sleep(time.min(Duration::from_secs(86_400 * 365))));
        let mut rest = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut rests = false;
        let mut ticks = 0;
        loop {
            let crowded = state.crowded();
            tokio::select! {
                item = next(&mut stream) => match item {
                    Ok(Some(item)) => {
                        state.item(item);
                        if let Some(stream) = &mut stream {
                            drain_ready(stream, state);
                        }
                    }
                    Ok(None) => return,
                    Err(cause) => {
                        tracing::warn!(code = ?cause.code(), "the stream from chat-svc ended: {}", cause.message());
                        return;
                    }
                },
                order = self.orders.recv() => match order {
                    Some(order) => {
                        state.order(order);
                        // Many at once become one request to chat-svc.
                        while let Ok(order) = self.orders.try_recv() {
                            state.order(order);
                        }
                    }
                    None => return,
                },
                _ = tick.tick() => {
                    ticks += 1;
                    let part = ticks % state::PARTS;
                    if part == 0 {
                        self.now.fetch_add(1, Ordering::Relaxed);
                    }
                    state.tick(self.now.load(Ordering::Relaxed), part);
                }
                () = &mut rest, if rests => {}
                () = room_on(&crowded), if crowded.is_some() => {}
                () = &mut over => return,
                () = stop.cancelled() => return,
            }
            let until = state.rests_until();
            match until {
                Some(until) if !rests => rest.as_mut().reset(until),
                Some(_) => {}
                None => state.flush_clients(),
            }
            rests = until.is_some();
            if stream.is_some() && !state.flush_asks() {
                return;
            }
        }
    }
}

/// The next item; never without a stream.
async fn next(stream: &mut Option<Streaming<AttachResponse>>) -> Result<Option<AttachResponse>, Status> {
    match stream {
        Some(stream) => stream.message().await,
        None => std::future::pending().await,
    }
}

/// Waits until a stream takes another request, or has ended.
async fn room_on(crowded: &Option<Asks>) {
    if let Some(asks) = crowded {
        // An error says that it has ended, which the next request shows.
        let _ = asks.reserve().await;
    }
}

/// Passes on what is there already, so that a socket gets it with one write. The end of the stream shows at the next item.
fn drain_ready(stream: &mut Streaming<AttachResponse>, state: &mut State) {
    for _ in 0..ITEMS_AT_ONCE {
        match stream.message().now_or_never() {
            Some(Ok(Some(item))) => state.item(item),
            _ => return,
        }
    }
}

type Asks = mpsc::Sender<AttachRequest>;
