//! The hub: which clients of this gateway need which feeds, and the one stream from chat-svc that brings them.
//!
//! It knows feeds, numbers, users and bytes, and decodes no event. One task owns everything, so that joins, departures and
//! events of a feed have one order; each client's queue is bounded (`session`), and each client reads the log by itself when it
//! fell behind (`subscriber`). Nothing here is durable.

pub(crate) mod frame;
mod session;
mod state;
mod subscriber;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh::rpc::Upstream;
use proto::chat::internal::v1::{AttachRequest, feed_service_client::FeedServiceClient};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use uuid::Uuid;

pub(crate) use self::session::{Entry, Session};
use self::state::State;
pub(crate) use self::subscriber::{Batch, Subscriber};

/// How many orders may wait for the hub; further ones wait with their clients.
const ORDERS: usize = 1024;
/// Waited before the stream is opened again.
const REATTACH: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// How often clients are looked for that are gone without a word.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Over this time clients are told to come back after a drain, so that not everybody comes at once.
const GO_AWAY_WINDOW_MS: u64 = 3000;

/// What clients ask of the hub.
enum Order {
    /// A client is there.
    Register(Arc<Session>),
    /// A client is gone.
    Unregister(Arc<Session>),
    /// A client follows these feeds; answered when events of all of them are flowing.
    Follow { session: Arc<Session>, feeds: Vec<Uuid>, also_joined: bool, flowing: oneshot::Sender<()> },
    /// A client follows these feeds no longer.
    Unfollow { session: Arc<Session>, feeds: Vec<Uuid> },
    /// Sessions ended.
    Revoke { session_ids: Vec<Uuid>, user_ids: Vec<Uuid> },
    /// Which sessions are there?
    Sessions(oneshot::Sender<Vec<Uuid>>),
}

/// The way to the hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    orders: mpsc::Sender<Order>,
    next: Arc<AtomicU64>,
    feeds: FeedServiceClient<Upstream>,
}

/// The hub's own task.
pub(crate) struct HubTask {
    orders: mpsc::Receiver<Order>,
    feeds: FeedServiceClient<Upstream>,
}

/// Makes the hub; `chat` is chat-svc, called as `service:gateway`.
pub(crate) fn hub(chat: Upstream) -> (Hub, HubTask) {
    let (sender, orders) = mpsc::channel(ORDERS);
    let feeds = FeedServiceClient::new(chat).max_decoding_message_size(16 * 1024 * 1024);
    (Hub { orders: sender, next: Arc::default(), feeds: feeds.clone() }, HubTask { orders, feeds })
}

impl Hub {
    /// Says that a client is there. Dropping the guard says that it is gone.
    pub(crate) async fn register(&self, user_id: Uuid, session_id: Uuid) -> Registered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(id, user_id, session_id));
        self.order(Order::Register(session.clone())).await;
        Registered { hub: self.clone(), session }
    }

    /// Follows feeds; returns once their events are flowing. False when the hub has stopped.
    async fn follow(&self, session: &Arc<Session>, feeds: Vec<Uuid>, also_joined: bool) -> bool {
        let (flowing, done) = oneshot::channel();
        self.order(Order::Follow { session: session.clone(), feeds, also_joined, flowing }).await;
        done.await.is_ok()
    }

    async fn unfollow(&self, session: &Arc<Session>, feeds: Vec<Uuid>) {
        self.order(Order::Unfollow { session: session.clone(), feeds }).await;
    }

    /// Ends the streams of ended sessions.
    pub(crate) async fn revoke(&self, session_ids: Vec<Uuid>, user_ids: Vec<Uuid>) {
        self.order(Order::Revoke { session_ids, user_ids }).await;
    }

    /// The sessions of all clients.
    pub(crate) async fn sessions(&self) -> Vec<Uuid> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Sessions(answer)).await;
        answered.await.unwrap_or_default()
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
    /// What turns the queue and the log into frames.
    pub(crate) fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.hub.clone(), self.session.clone(), self.hub.feeds.clone())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.leave();
        // When the hub is too busy to hear it now, it finds out by its sweep.
        let _ = self.hub.orders.try_send(Order::Unregister(self.session.clone()));
    }
}

impl HubTask {
    /// Runs until `stop`; then tells every client to come back later.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut state = State::default();
        let mut failures = 0;
        while !stop.is_cancelled() {
            let (asks, asked) = mpsc::channel(ORDERS);
            let attached = self.feeds.attach(ReceiverStream::new(asked)).await;
            match attached {
                Ok(stream) => {
                    failures = 0;
                    state.attached(asks);
                    self.pump(&mut state, stream.into_inner(), &stop).await;
                    state.detached();
                }
                Err(cause) => {
                    tracing::warn!(code = ?cause.code(), "chat-svc cannot be attached to: {}", cause.message());
                }
            }
            self.wait(&mut state, REATTACH[failures.min(REATTACH.len() - 1)], &stop).await;
            failures += 1;
        }
        state.go_away(GO_AWAY_WINDOW_MS);
    }

    /// Passes items on and does what clients ask, until the stream ends.
    async fn pump(
        &mut self,
        state: &mut State,
        mut stream: Streaming<proto::chat::internal::v1::AttachResponse>,
        stop: &CancellationToken,
    ) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                _ = sweep.tick() => state.sweep(),
                item = stream.message() => match item {
                    Ok(Some(item)) => state.item(item),
                    Ok(None) => return,
                    Err(cause) => {
                        tracing::warn!(code = ?cause.code(), "the stream from chat-svc ended: {}", cause.message());
                        return;
                    }
                },
                order = self.orders.recv() => match order {
                    Some(order) => state.order(order),
                    None => return,
                },
                () = stop.cancelled() => return,
            }
            if !state.flush().await {
                return;
            }
        }
    }

    /// Waits before the next try, without letting clients wait.
    async fn wait(&mut self, state: &mut State, pause: Duration, stop: &CancellationToken) {
        let mut pause = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(order) => state.order(order),
                    None => return,
                },
            }
        }
    }
}

type Asks = mpsc::Sender<AttachRequest>;
