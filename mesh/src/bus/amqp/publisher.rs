//! The connection that publishes, and the one task that uses it: so that messages keep their order and their numbers.
//!
//! While there is no connection, everything is refused at once: whoever publishes has an outbox.

use std::{
    collections::HashSet,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use amqprs::{
    BasicProperties,
    channel::{BasicPublishArguments, Channel, ConfirmSelectArguments},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    super::{BusError, Health, QueueSpec},
    Shared,
    confirms::{Confirms, Hears, Waiting},
    connect::{ANSWER_WITHIN, Address, Connected, connect, pauses},
    topology::{Control, delay_queue, error_queue, skipped_queue},
};

/// The broker must confirm within this.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// The connection is looked at this often.
const LOOK: Duration = Duration::from_millis(250);
/// After so much silence a message to nobody is published, to see whether it is confirmed.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// The routing key of that message; no queue has this name.
const PROBE: &str = "loquat_probe";
/// How long the end waits for further messages of consumers that are finishing.
const LINGER: Duration = Duration::from_millis(300);

/// Where a message goes.
pub(super) enum Place {
    /// To everybody who listens to a kind, or to one of the kinds that it is as well.
    Event { exchange: String, bases: Vec<String> },
    /// To an exchange that must be there.
    Exchange(String),
    /// To one queue.
    Queue(String),
    /// To where a queue's messages wait.
    Delay { queue: String, after: Duration },
    /// To a queue's error queue.
    Error(String),
    /// To where a queue's messages go that nobody understands.
    Skipped(String),
}

/// A message on its way.
pub(super) struct Post {
    pub(super) place: Place,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    /// Whether it counts as lost when no queue takes it.
    pub(super) must_arrive: bool,
}

/// What the task does for others.
pub(super) enum Order {
    Publish { post: Box<Post>, room: OwnedSemaphorePermit, done: oneshot::Sender<Result<(), BusError>> },
    Declare { queue: QueueSpec, gone: Vec<String>, done: oneshot::Sender<Result<(), BusError>> },
}

impl Order {
    fn refuse(self, why: &str) {
        let (Self::Publish { done, .. } | Self::Declare { done, .. }) = self;
        // Nobody waits any more.
        let _ = done.send(Err(BusError::Away(why.to_owned())));
    }
}

/// The task.
pub(super) struct Publisher {
    address: Arc<Address>,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
}

impl Publisher {
    pub(super) fn new(address: Arc<Address>, shared: Arc<Shared>, orders: mpsc::Receiver<Order>) -> Self {
        Self { address, shared, orders }
    }

    /// Runs until `stop`, then until nothing comes any more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = pauses();
        while !stop.is_cancelled() {
            let (address, shared) = (self.address.clone(), self.shared.clone());
            let why = match self.refusing(Session::open(&address, &shared)).await {
                Ok(session) => {
                    pause = pauses();
                    match self.serve(session, &stop).await {
                        Some(why) => why,
                        None => return,
                    }
                }
                Err(cause) => Health::Away(cause.to_string()),
            };
            Shared::say(&self.shared.publishing, why);
            let rest = tokio::time::sleep(pause.next().unwrap_or(CONFIRM_WITHIN));
            let stopped = stop.clone();
            self.refusing(async move {
                tokio::select! {
                    () = rest => {}
                    () = stopped.cancelled() => {}
                }
            })
            .await;
        }
    }

    /// Awaits something without keeping anybody else waiting.
    async fn refusing<T>(&mut self, future: impl Future<Output = T>) -> T {
        tokio::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return done,
                Some(order) = self.orders.recv() => order.refuse("there is no connection"),
            }
        }
    }

    /// Publishes until the connection ends, and says why; or until the end.
    async fn serve(&mut self, mut session: Session, stop: &CancellationToken) -> Option<Health> {
        let (connected, confirms) = (session.connected.clone(), session.confirms.clone());
        let ended = connected.ended();
        tokio::pin!(ended);
        let why = loop {
            tokio::select! {
                biased;
                () = &mut ended => break Health::Away("the connection ended".into()),
                () = confirms.closed.notified() => break Health::Away("the channel was closed".into()),
                () = confirms.confirmed.notified() => Shared::say(&self.shared.publishing, Health::Good),
                order = self.orders.recv() => {
                    let Some(order) = order else { break Health::Good };
                    if let Err(cause) = session.handle(order).await {
                        break Health::Away(cause.to_string());
                    }
                    if session.control.is_worn() {
                        break Health::Away("too much was refused on this connection".into());
                    }
                }
                () = tokio::time::sleep(if stop.is_cancelled() { LINGER } else { LOOK }) => {
                    if stop.is_cancelled() && session.confirms.is_empty() {
                        break Health::Good;
                    }
                    if let Err(cause) = session.look().await {
                        break if self.shared.consumes() { Health::Blocked(cause.to_string()) } else { Health::Away(cause.to_string()) };
                    }
                }
            }
        };
        confirms.fail("the connection ended");
        connected.close().await;
        (why != Health::Good).then_some(why)
    }
}

/// One connection with its channel.
struct Session {
    connected: Connected,
    channel: Channel,
    confirms: Arc<Confirms>,
    control: Control,
    /// What was declared on this connection.
    ensured: HashSet<String>,
    tag: u64,
    published: Instant,
}

impl Session {
    /// Connects, declares everything, and switches confirms on.
    async fn open(address: &Address, shared: &Shared) -> Result<Self, BusError> {
        let connected = connect(address, "loquat publishes").await?;
        let away = |cause: amqprs::error::Error| BusError::Away(cause.to_string());
        let mut control = Control::new(connected.connection.clone(), shared.queue_type);
        for queue in shared.all() {
            match control.queue(&queue, &[]).await {
                Err(BusError::Refused(cause)) => {
                    tracing::error!(queue = queue.name, cause, "a queue cannot be declared as it should be");
                }
                declared => declared?,
            }
        }
        let confirms = Arc::new(Confirms::default());
        let opened = async {
            let channel = connected.connection.open_channel(None).await?;
            // Before confirms are switched on: none of them may be missed.
            channel.register_callback(Hears(confirms.clone())).await?;
            channel.confirm_select(ConfirmSelectArguments::new(false)).await?;
            Ok(channel)
        };
        let opened = tokio::time::timeout(ANSWER_WITHIN, opened).await;
        let channel = opened.map_err(|_| BusError::Away("it does not answer".into()))?.map_err(away)?;
        let (ensured, published) = (HashSet::new(), Instant::now());
        let mut session = Self { connected, channel, confirms, control, ensured, tag: 0, published };
        // The first confirm says that the broker takes messages.
        session.probe().await?;
        Ok(session)
    }

    /// An error ends the connection.
    async fn handle(&mut self, order: Order) -> Result<(), BusError> {
        let (post, room, done) = match order {
            Order::Publish { post, room, done } => (post, room, done),
            Order::Declare { queue, gone, done } => {
                let declared = self.control.queue(&queue, &gone).await;
                let lost = matches!(declared, Err(BusError::Away(_)));
                // Nobody waits any more.
                let _ = done.send(declared);
                return if lost { Err(BusError::Away("it does not answer".into())) } else { Ok(()) };
            }
        };
        let (exchange, key) = match self.ensure(&post.place).await {
            Ok(place) => place,
            Err(cause) => {
                let lost = matches!(cause, BusError::Away(_));
                let _ = done.send(Err(cause));
                return if lost { Err(BusError::Away("it does not answer".into())) } else { Ok(()) };
            }
        };
        let Post { properties, body, must_arrive, .. } = *post;
        let message_id = properties.message_id().cloned();
        let since = Instant::now();
        let (done, room) = (Some(done), Some(room));
        let waiting = Waiting { exchange, key, message_id, must_arrive, returned: false, since, done, _room: room };
        self.publish(waiting, properties, body).await
    }

    async fn publish(&mut self, waiting: Waiting, properties: BasicProperties, body: Vec<u8>) -> Result<(), BusError> {
        let arguments = BasicPublishArguments::new(&waiting.exchange, &waiting.key).mandatory(true).finish();
        self.tag += 1;
        self.published = Instant::now();
        self.confirms.add(self.tag, waiting);
        let sent = tokio::time::timeout(ANSWER_WITHIN, self.channel.basic_publish(properties, body, arguments)).await;
        let sent = sent.map_err(|_| BusError::Unconfirmed("it takes nothing".into()))?;
        sent.map_err(|cause| BusError::Unconfirmed(cause.to_string()))
    }

    async fn probe(&mut self) -> Result<(), BusError> {
        let waiting = Waiting {
            exchange: String::new(),
            key: PROBE.into(),
            message_id: None,
            must_arrive: false,
            returned: false,
            since: Instant::now(),
            done: None,
            _room: None,
        };
        self.publish(waiting, BasicProperties::default(), Vec::new()).await
    }

    /// Whether the broker still confirms.
    async fn look(&mut self) -> Result<(), BusError> {
        match self.confirms.oldest() {
            Some(waited) if waited > CONFIRM_WITHIN => {
                Err(BusError::Unconfirmed("it confirms nothing; it may be short of memory or disk".into()))
            }
            None if self.published.elapsed() > PROBE_AFTER => self.probe().await,
            _ => Ok(()),
        }
    }

    /// Declares a place if this connection has not yet. Returns its exchange and routing key.
    async fn ensure(&mut self, place: &Place) -> Result<(String, String), BusError> {
        let by_exchange = |name: &str| (name.to_owned(), String::new());
        let by_queue = |name: String| (String::new(), name);
        match place {
            Place::Event { exchange, bases } => {
                let known = format!("{exchange} {}", bases.join(" "));
                if !self.ensured.contains(&known) {
                    self.control.exchange(exchange).await?;
                    for base in bases {
                        self.control.exchange(base).await?;
                        self.control.bind(base, exchange).await?;
                    }
                    self.ensured.insert(known);
                }
                Ok(by_exchange(exchange))
            }
            Place::Exchange(exchange) => match self.control.has_exchange(exchange).await? {
                true => Ok(by_exchange(exchange)),
                false => Err(BusError::Returned(exchange.clone())),
            },
            Place::Queue(queue) => Ok(by_queue(queue.clone())),
            Place::Delay { queue, after } => {
                let name = delay_queue(queue, *after);
                if !self.ensured.contains(&name) {
                    self.control.delays(queue, *after).await?;
                    self.ensured.insert(name.clone());
                }
                Ok(by_queue(name))
            }
            Place::Error(queue) => self.ensure_plain(error_queue(queue)).await,
            Place::Skipped(queue) => self.ensure_plain(skipped_queue(queue)).await,
        }
    }

    async fn ensure_plain(&mut self, name: String) -> Result<(String, String), BusError> {
        if !self.ensured.contains(&name) {
            self.control.plain_queue(&name).await?;
            self.ensured.insert(name.clone());
        }
        Ok((name, String::new()))
    }
}
