//! The bus over RabbitMQ, or another broker that speaks AMQP 0-9-1 with its extensions: quorum queues, confirms, bindings between
//! exchanges.
//!
//! One connection publishes and another one consumes, so that a broker that is short of memory holds up the one and not the other.
//! Both come back by themselves, and bring everything back with them: queues, exchanges, confirms, consumers. The library does none of
//! that.

mod confirms;
mod connect;
mod consumer;
mod failed;
mod link;
mod looks;
mod properties;
mod publisher;
mod topology;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    connect::Address,
    link::Link,
    looks::Looks,
    publisher::{Order, Place, Post, Publisher},
};
use super::{BusError, Delivery, Destination, Envelope, HandlerError, Health, QueueSpec, exchange_of, stats::Stats};
use crate::{clock::Clock, lifecycle::Tasks};

/// How many messages may be published and not yet confirmed.
const WINDOW: usize = 256;
/// How long a start waits for the broker, before it goes on without.
const START_WITHIN: Duration = Duration::from_secs(3);

/// How queues are made on the broker. One that is there already is taken as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// On several nodes, with a limit of deliveries.
    #[default]
    Quorum,
    /// On one node.
    Classic,
}

/// Makes the events that are published beside one, for programs that know it by other names.
pub type Translate = Arc<dyn Fn(&Envelope) -> Vec<Envelope> + Send + Sync>;

/// How a broker is used.
#[derive(Clone)]
pub struct AmqpConfig {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`.
    pub url: String,
    /// How queues are made.
    pub queue_type: QueueType,
    /// The queues of every service: each process declares all of them, so that nothing is published before there is a queue for it.
    pub queues: Vec<QueueSpec>,
    /// What is published beside.
    pub translate: Option<Translate>,
}

/// The bus over a broker. Cheap to clone.
#[derive(Clone)]
pub(super) struct AmqpBus(Arc<Inner>);

struct Inner {
    address: Arc<Address>,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    window: Arc<Semaphore>,
    link: Link,
    looks: Looks,
    clock: Clock,
    stats: Stats,
    translate: Option<Translate>,
    /// Since when a queue was not seen empty.
    busy_since: Mutex<HashMap<String, OffsetDateTime>>,
}

/// What both connections know.
pub(super) struct Shared {
    queue_type: QueueType,
    queues: Mutex<BTreeMap<String, QueueSpec>>,
    publishing: Mutex<Health>,
    consuming: Mutex<Health>,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, QueueSpec>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every queue as it should be.
    fn all(&self) -> Vec<QueueSpec> {
        self.queues().values().cloned().collect()
    }

    fn say(place: &Mutex<Health>, health: Health) {
        let mut said = place.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != health {
            match &health {
                Health::Good => tracing::info!("the broker takes messages"),
                Health::Away(why) => tracing::warn!(why, "the broker is away; looking for it"),
                Health::Blocked(why) => tracing::warn!(why, "the broker takes no messages"),
            }
            *said = health;
        }
    }

    fn consumes(&self) -> bool {
        *self.consuming.lock().unwrap_or_else(PoisonError::into_inner) == Health::Good
    }
}

impl AmqpBus {
    pub(super) async fn open(config: AmqpConfig, clock: Clock, tasks: &Tasks) -> Result<Self, BusError> {
        let AmqpConfig { url, queue_type, queues, translate } = config;
        let address = Arc::new(Address::parse(&url)?);
        let away = || Mutex::new(Health::Away("not yet connected".into()));
        let queues = Mutex::new(queues.into_iter().map(|queue| (queue.name.clone(), queue)).collect());
        let shared = Arc::new(Shared { queue_type, queues, publishing: away(), consuming: away() });
        let (orders, ordered) = mpsc::channel(WINDOW);
        let publisher = Publisher::new(address.clone(), shared.clone(), ordered);
        tasks.spawn("bus-publisher", publisher.run(tasks.stopping()));
        let (link, linking) = link::link(address.clone(), shared.clone());
        tasks.spawn("bus-consumers", linking.run(tasks.stopping()));
        let bus = Self(Arc::new(Inner {
            looks: Looks::new(address.clone(), queue_type),
            address,
            shared,
            orders,
            window: Arc::new(Semaphore::new(WINDOW)),
            link,
            clock,
            stats: Stats::default(),
            translate,
            busy_since: Mutex::default(),
        }));
        let ready = async {
            while bus.health() != Health::Good {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(START_WITHIN, ready).await.is_err() {
            tracing::warn!(health = ?bus.health(), "starting without the broker");
        }
        Ok(bus)
    }

    pub(super) fn health(&self) -> Health {
        let of = |place: &Mutex<Health>| place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match of(&self.0.shared.publishing) {
            Health::Good => of(&self.0.shared.consuming),
            other => other,
        }
    }

    pub(super) async fn declare(&self, queue: &QueueSpec) -> Result<(), BusError> {
        let before = self.0.shared.queues().insert(queue.name.clone(), queue.clone());
        let gone: Vec<String> =
            before.into_iter().flat_map(|before| before.kinds).filter(|kind| !queue.kinds.contains(kind)).collect();
        let (done, declared) = oneshot::channel();
        let order = Order::Declare { queue: queue.clone(), gone, done };
        if self.0.orders.send(order).await.is_err() {
            return Ok(());
        }
        match declared.await {
            // It is declared as soon as there is a connection.
            Ok(Err(BusError::Away(_) | BusError::Unconfirmed(_))) | Err(_) => Ok(()),
            Ok(outcome) => outcome,
        }
    }

    pub(super) async fn publish(&self, messages: Vec<Envelope>) -> Result<(), BusError> {
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let beside = self.0.translate.as_ref().map(|translate| translate(&message)).unwrap_or_default();
            for message in std::iter::once(message).chain(beside) {
                confirms.push(self.order(self.event(message)?).await?);
            }
        }
        for confirm in confirms {
            confirmed(confirm).await?;
        }
        Ok(())
    }

    /// A message for everybody who listens to its kinds.
    fn event(&self, mut message: Envelope) -> Result<Post, BusError> {
        let exchanges: Vec<String> = message.kinds().map(exchange_of).collect();
        let (exchange, bases) =
            exchanges.split_first().ok_or_else(|| BusError::Refused("a message of no kind".into()))?;
        message.source_address.get_or_insert_with(|| self.0.address.of("loquat_bus?temporary=true"));
        message.destination_address.get_or_insert_with(|| self.0.address.of(exchange));
        // Where one of our queues listens, a message that arrives nowhere is lost; elsewhere nobody may be listening.
        let must_arrive = self.0.shared.queues().values().any(|queue| queue.takes(&message));
        Ok(Post {
            place: Place::Event { exchange: exchange.clone(), bases: bases.to_vec() },
            properties: properties::of(&message),
            body: serde_json::to_vec(&message)?,
            must_arrive,
        })
    }

    pub(super) async fn send(&self, to: &Destination, id: Option<Uuid>, body: Bytes) -> Result<(), BusError> {
        let place = match to {
            Destination::Queue(queue) => Place::Queue(queue.clone()),
            Destination::Exchange(exchange) => Place::Exchange(exchange.clone()),
        };
        let post = Post { place, properties: properties::foreign(id), body: body.into(), must_arrive: true };
        self.post(post).await
    }

    pub(super) async fn consume<H, F>(&self, queue: &QueueSpec, prefetch: usize, stop: CancellationToken, handler: H)
    where
        H: Fn(Delivery) -> F + Send + Sync,
        F: Future<Output = Result<(), HandlerError>> + Send,
    {
        consumer::Consumer { bus: self, queue, prefetch, stop, handler: &handler }.run().await;
    }

    /// Publishes and waits for the confirm.
    async fn post(&self, post: Post) -> Result<(), BusError> {
        confirmed(self.order(post).await?).await
    }

    /// Publishes as soon as there is room in the window.
    async fn order(&self, post: Post) -> Result<oneshot::Receiver<Result<(), BusError>>, BusError> {
        let gone = || BusError::Away("the bus has stopped".into());
        let room = self.0.window.clone().acquire_owned().await.map_err(|_| gone())?;
        let (done, confirm) = oneshot::channel();
        self.0.orders.send(Order::Publish { post: Box::new(post), room, done }).await.map_err(|_| gone())?;
        Ok(confirm)
    }
}

async fn confirmed(confirm: oneshot::Receiver<Result<(), BusError>>) -> Result<(), BusError> {
    confirm.await.unwrap_or_else(|_| Err(BusError::Unconfirmed("the connection ended".into())))
}
