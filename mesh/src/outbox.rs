//! The outbox: events that were committed and must reach the bus, and the relay that brings them there.
//!
//! A row is written in the transaction of the change it speaks of and deleted only after the bus confirmed it, so a crash or
//! an outage delays an event, may repeat it (with the same id), and never loses it.

use std::{sync::Arc, time::Duration};

use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};
use sea_orm_migration::{
    prelude::{Index, SchemaManager, Table},
    schema::{big_integer, pk_auto, string, string_null, text, uuid, uuid_null},
};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Bus, Envelope},
    clock::Clock,
    db::{micros, time_of},
};

/// How many events one publish takes at most.
const WINDOW: u64 = 256;
/// The relay looks by itself this often, in case it was not woken.
const POLL: Duration = Duration::from_secs(1);
/// Waited after the bus refused, doubling up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// An event on its way to the bus.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxMessage {
    /// The message's id: consumers recognise a repetition by it.
    pub id: Uuid,
    /// `Loquat.Chat.V1:MessagePosted`: the exchange; behind `urn:message:` the type.
    pub kind: String,
    /// The event as JSON.
    pub body: serde_json::Value,
    /// Events with the same key stay in order, such as a room's id.
    pub key: String,
    /// What the event belongs to, for tracing a flow through services.
    pub correlation_id: Option<Uuid>,
    /// The W3C trace of the call that caused it.
    pub traceparent: Option<String>,
}

impl OutboxMessage {
    /// An event that belongs to the call that is being handled.
    pub fn new(kind: String, body: serde_json::Value, key: Uuid) -> Self {
        Self {
            id: crate::ids::new_id(),
            kind,
            body,
            key: key.to_string(),
            correlation_id: None,
            traceparent: crate::rpc::traceparent(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
#[doc(hidden)]
pub struct Model {
    #[sea_orm(primary_key)]
    position: i64,
    message_id: Uuid,
    kind: String,
    body: String,
    key: String,
    correlation_id: Option<Uuid>,
    traceparent: Option<String>,
    sent_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
#[doc(hidden)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Writes events into the outbox, in the caller's transaction and in this order.
///
/// # Errors
/// When the database refuses.
pub async fn add<C: ConnectionTrait>(tx: &C, messages: &[OutboxMessage], now: OffsetDateTime) -> Result<(), DbErr> {
    let rows = messages.iter().map(|message| ActiveModel {
        message_id: Set(message.id),
        kind: Set(message.kind.clone()),
        body: Set(message.body.to_string()),
        key: Set(message.key.clone()),
        correlation_id: Set(message.correlation_id),
        traceparent: Set(message.traceparent.clone()),
        sent_at: Set(micros(now)),
        ..Default::default()
    });
    Entity::insert_many(rows).exec_without_returning(tx).await?;
    Ok(())
}

/// Makes the table `outbox`; a service with an outbox lists it among its migrations.
pub fn migration() -> Box<dyn sea_orm_migration::MigrationTrait> {
    Box::new(Migration)
}

struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &'static str {
        "mesh_0001_outbox"
    }
}

#[async_trait::async_trait]
impl sea_orm_migration::MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("outbox")
            .col(pk_auto("position").big_integer())
            .col(uuid("message_id"))
            .col(string("kind"))
            .col(text("body"))
            .col(string("key"))
            .col(uuid_null("correlation_id"))
            .col(string_null("traceparent"))
            .col(big_integer("sent_at"))
            .to_owned();
        manager.create_table(table).await?;
        let unique = Index::create().name("outbox_message").table("outbox").col("message_id").unique().to_owned();
        manager.create_index(unique).await
    }
}

/// Wakes the relay after a commit.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There is something to do.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Brings events from the outbox to the bus, in order.
pub struct Relay {
    db: crate::db::Db,
    bus: Bus,
    wake: Wake,
    clock: Clock,
}

impl Relay {
    /// A relay for one database.
    pub fn new(db: crate::db::Db, bus: Bus, wake: Wake, clock: Clock) -> Self {
        Self { db, bus, wake, clock }
    }

    /// Runs until `stop`. A bus or a database that refuses is tried again for ever; nothing is skipped.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let rest = match self.once().await {
                Ok(0) => POLL,
                Ok(_) => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(cause) => {
                    tracing::warn!(%cause, "the outbox could not be relayed; trying again");
                    pause = (pause * 2).min(MAX_PAUSE);
                    pause
                }
            };
            tokio::select! {
                () = self.wake.0.notified(), if rest == POLL => {}
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Publishes one window and forgets it once it is confirmed. Returns how many events it had.
    async fn once(&self) -> Result<usize, RelayError> {
        let rows = Entity::find().order_by_asc(Column::Position).limit(WINDOW).all(self.db.reader()).await?;
        let Some(last) = rows.last().map(|row| row.position) else {
            return Ok(0);
        };
        let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
        let age = rows.first().map_or(0, |row| row.sent_at);
        let now = micros(self.clock.now());
        metrics::histogram!("loquat_outbox_lag_seconds")
            .record(std::time::Duration::from_micros(u64::try_from(now - age).unwrap_or(0)));
        let count = rows.len();
        self.bus.publish(rows.into_iter().map(envelope).collect::<Result<_, _>>()?).await?;
        crate::crash::point("outbox.published");
        let tx = self.db.begin().await?;
        // Rows below `last` that were committed meanwhile were not published: only what was read is forgotten.
        Entity::delete_many()
            .filter(Column::Position.lte(last))
            .filter(Column::Position.is_in(positions))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        crate::crash::point("outbox.forgotten");
        Ok(count)
    }
}

fn envelope(row: Model) -> Result<Envelope, RelayError> {
    let mut envelope = Envelope::new(row.message_id, row.kind, serde_json::from_str(&row.body)?, time_of(row.sent_at));
    envelope.correlation_id = row.correlation_id;
    if let Some(traceparent) = row.traceparent {
        envelope.headers.insert("traceparent".into(), traceparent);
    }
    Ok(envelope)
}

/// Why a window could not be relayed.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the database: {0}")]
    Db(#[from] DbErr),
    #[error("the bus: {0}")]
    Bus(#[from] crate::bus::BusError),
    #[error("an event that is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}
