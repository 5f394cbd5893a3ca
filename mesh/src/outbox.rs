//! The outbox: events that were committed and must reach the bus, and the relay that brings them there.
//!
//! A row is written in the transaction of the change it speaks of and deleted only after the bus confirmed it, so a crash or
//! an outage delays an event, may repeat it (with the same id), and never loses it. Of several processes on one database one
//! relays at a time.

mod lease;
mod relay;

use std::sync::Arc;

use sea_orm::entity::prelude::*;
use sea_orm_migration::{
    prelude::{Index, SchemaManager, Table},
    schema::{big_integer, pk_auto, string, string_null, text, uuid, uuid_null},
};
use time::OffsetDateTime;
use tokio::sync::Notify;

pub use self::{lease::migration as lease_migration, relay::Relay};
use crate::db::{Insert, Rows, micros};

/// The header with an event's key, such as its room's id.
pub const KEY: &str = "Loquat-Key";

/// How rows are written.
static INSERT: Insert<7> =
    Insert::new("outbox", &["message_id", "kind", "body", "key", "correlation_id", "traceparent", "sent_at"], "");

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

/// The rows that bring events into the outbox, in this order: for a transaction that gathers what it writes.
pub fn rows(messages: &[OutboxMessage], now: OffsetDateTime) -> Rows {
    let row = |message: &OutboxMessage| {
        [
            message.id.into(),
            message.kind.clone().into(),
            message.body.to_string().into(),
            message.key.clone().into(),
            message.correlation_id.into(),
            message.traceparent.clone().into(),
            micros(now).into(),
        ]
    };
    INSERT.rows(messages.iter().map(row))
}

/// Writes events into the outbox, in the caller's transaction and in this order.
///
/// # Errors
/// When the database refuses.
pub async fn add<C: ConnectionTrait>(tx: &C, messages: &[OutboxMessage], now: OffsetDateTime) -> Result<(), DbErr> {
    for statement in rows(messages, now).statements(tx.get_database_backend()) {
        tx.execute_raw(statement).await?;
    }
    Ok(())
}

/// Makes the table `outbox`; a service with an outbox lists it and [`lease_migration`] among its migrations.
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
