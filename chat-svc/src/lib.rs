//! Rooms, messages, members and read markers; the log of everything that happens in them. Owns the chat database.
//!
//! Every change is an event with a number, committed together with its projection and its outbox row. Refuses to call
//! anybody on the way of a send.

mod append;
mod command;
mod errors;
mod feeds;
mod fields;
mod files;
mod invites;
mod live;
mod members;
mod mentions;
mod messages;
mod migration;
mod policy;
mod presence;
mod previews;
mod reads;
mod retention;
mod rooms;
mod rpc;
mod said;
mod scheduled;
mod store;
mod webhooks;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh::{
    authn::MeshSecret,
    bus::{Bus, Interest, QueueSpec},
    cache::Cache,
    clock::Clock,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    outbox::{Relay, Wake},
    rpc::Upstream,
    service::Service,
};
use proto::auth::v1::user_service_client::UserServiceClient;
use serde::{Deserialize, Serialize};

pub use self::{errors::ChatError, migration::Migrator, rpc::METHODS};
use self::{presence::Presence, scheduled::Scheduled, webhooks::posts::Posts};

/// How many announcements of other services are handled at a time.
const PREFETCH: usize = 16;

/// The section `chat` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The role's own port when it runs apart. Default `127.0.0.1:8082`.
    pub listen: String,
    /// Where other processes reach the role. Default `http://127.0.0.1:8082`.
    pub url: String,
    /// The database. Default: `chat.db` in `data_dir`.
    pub db: DbConfig,
    /// Who looks at a room hears who is online at most once in so many seconds. Default 5.
    pub presence_seconds: NonZeroU32,
    /// Days after which messages are deleted for good, with their files, in rooms that say nothing of it themselves; 0 (the
    /// default) keeps them for ever.
    pub retention_days: u32,
    /// How often one incoming webhook may post in a minute. Default 60.
    pub webhook_posts_per_minute: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8082".into(),
            url: "http://127.0.0.1:8082".into(),
            db: DbConfig::default(),
            presence_seconds: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
            retention_days: 0,
            webhook_posts_per_minute: NonZeroU32::new(60).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// What chat-svc needs.
pub struct Deps {
    /// Its database, open and not yet migrated.
    pub db: Db,
    /// Events between services; nothing in a process whose events another one brings there.
    pub bus: Option<Bus>,
    /// What limits are shared through.
    pub cache: Cache,
    /// There may be other processes on the same database, which are given hints over the cache.
    pub others: bool,
    /// The time.
    pub clock: Clock,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Checks file references.
    pub secret: MeshSecret,
    /// auth-svc, called as `service:chat`.
    pub auth: Upstream,
    /// Where browsers find us; empty when that is not known.
    pub public_url: String,
}

/// Why chat-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated or read.
    #[error("the chat database: {0}")]
    Db(#[from] mesh::db::DbError),
    /// The epoch could not be read.
    #[error("the chat database: {0}")]
    Query(#[from] sea_orm::DbErr),
    /// A queue could not be declared.
    #[error("the chat queues: {0}")]
    Bus(#[from] mesh::bus::BusError),
    /// A cache of this process could not be made.
    #[error("the cache of this process: {0}")]
    Cache(#[from] mesh::cache::CacheError),
}

/// The queues that chat-svc handles.
pub fn queues() -> Vec<QueueSpec> {
    vec![files::queue(), invites::queue()]
}

/// Makes chat-svc ready.
///
/// # Errors
/// When the database cannot be migrated or the queues cannot be declared.
pub async fn start(config: &Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { db, bus, cache, others, clock, tasks, secret, auth, public_url } = deps;
    let webhook_posts = Posts::new(cache.clone(), Cache::open("memory:", &tasks)?, config.webhook_posts_per_minute);
    let hints = others.then_some(cache);
    db.migrate::<Migrator>().await?;
    let tx = db.begin().await?;
    let epoch = store::meta::epoch(&tx).await?;
    tx.commit().await?;
    tracing::debug!(epoch, "the chat database is ready");

    let stopping = tasks.stopping();
    let wake = Wake::default();
    let presence = Arc::new(Presence::new(Duration::from_secs(config.presence_seconds.get().into())));
    let (live, work) = live::Live::new(hints.is_some(), presence.clone());
    let live = Arc::new(live);
    let interest = bus.as_ref().map_or_else(Interest::everything, Bus::interest);
    let (appender, writer) = append::appender(db.clone(), clock.clone(), live.clone(), wake.clone(), interest);
    // The writer runs from the start and outlives the soft stop: what was taken in is finished.
    tasks.spawn("chat-writer", writer.run(tasks.stopping()));

    let mut background: Vec<(&'static str, BoxFuture<'static, ()>)> = Vec::new();
    if let Some(bus) = bus {
        let (files, invites) = (files::queue(), invites::queue());
        bus.declare(&files).await?;
        bus.declare(&invites).await?;
        let relay = Relay::new(db.clone(), bus.clone(), wake, clock.clone()).run(stopping.clone());
        background.push(("chat-relay", Box::pin(relay)));
        let (to, stop, from) = (appender.clone(), stopping.clone(), bus.clone());
        let announcements = async move {
            from.consume(&files, PREFETCH, stop, move |delivery| files::announce(to.clone(), delivery)).await;
        };
        background.push(("chat-announcements", Box::pin(announcements)));
        let (to, stop) = (appender.clone(), stopping.clone());
        let accepted = async move {
            bus.consume(&invites, PREFETCH, stop, move |delivery| invites::accepted(to.clone(), delivery)).await;
        };
        background.push(("chat-invites", Box::pin(accepted)));
    }
    let users = UserServiceClient::new(auth);
    let scheduled =
        Scheduled { db: db.clone(), appender: appender.clone(), users: users.clone(), clock: clock.clone() };
    background.push(("chat-scheduled", Box::pin(scheduled.run(stopping.clone()))));
    let digests = presence::digest::run(presence.clone(), db.clone(), stopping.clone());
    background.push(("chat-presence", Box::pin(digests)));
    if let Some(cache) = hints {
        let origin = mesh::ids::new_id();
        let telling = presence::others::tell(presence.clone(), cache.clone(), origin, stopping.clone());
        background.push(("chat-presence-told", Box::pin(telling)));
        let hearing = presence::others::listen(presence.clone(), cache.clone(), origin, stopping.clone());
        background.push(("chat-presence-heard", Box::pin(hearing)));
        let sending = live::hints::send(cache.clone(), origin, work.hints, stopping.clone());
        background.push(("chat-hints", Box::pin(sending)));
        let listening = live::hints::listen(cache, origin, live.clone(), db.clone(), stopping.clone());
        background.push(("chat-hints-heard", Box::pin(listening)));
        let filling = live::fill::run(live.clone(), db.clone(), work.missing, stopping.clone());
        background.push(("chat-fill", Box::pin(filling)));
    }
    let retention_days = config.retention_days;
    let shared = rpc::Shared {
        db,
        appender,
        live,
        presence,
        secret,
        clock,
        users,
        stopping,
        epoch,
        retention_days,
        webhook_posts,
        public_url,
    };
    let (routes, direct) = rpc::routes(shared);
    Ok(Service { routes, direct, methods: METHODS, background })
}
