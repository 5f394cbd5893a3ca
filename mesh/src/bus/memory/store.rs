//! The rows of the in-process bus, in worker-svc's database.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};
use sea_orm_migration::{
    prelude::{Index, SchemaManager, Table},
    schema::{big_integer, integer, pk_auto, string, text, uuid},
};
use time::OffsetDateTime;

use super::super::QueueStatus;
use crate::{
    db::{micros, time_of},
    ids,
};

/// The message waits, for a consumer or for its time.
const WAITING: i32 = 0;
/// The message failed for good.
pub(super) const FAILED: i32 = 1;
/// The consumer does not understand the message.
pub(super) const SKIPPED: i32 = 2;

mod binding {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "bus_binding")]
    pub(super) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(super) queue: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(super) kind: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(super) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod message {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "bus_message")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub(crate) position: i64,
        pub(crate) id: Uuid,
        pub(crate) queue: String,
        pub(crate) message_id: Uuid,
        pub(crate) envelope: String,
        pub(crate) state: i32,
        pub(crate) enqueued_at: i64,
        /// When it may be handled; when it failed, if it did.
        pub(crate) due_at: i64,
        pub(crate) attempts: i32,
        pub(crate) redelivery: i32,
        pub(crate) error: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Model {
        /// How often it was delayed.
        pub(crate) fn redelivery(&self) -> u32 {
            u32::try_from(self.redelivery).unwrap_or(0)
        }
    }
}

use message::{ActiveModel, Column, Entity};
pub(super) use message::{ActiveModel as NewRow, Model as Row};

/// The queues of each kind.
pub(super) async fn bindings<C: ConnectionTrait>(db: &C) -> Result<HashMap<String, Vec<String>>, DbErr> {
    let mut bindings: HashMap<String, Vec<String>> = HashMap::new();
    for row in binding::Entity::find().all(db).await? {
        bindings.entry(row.kind).or_default().push(row.queue);
    }
    Ok(bindings)
}

/// Makes a queue's bindings what they should be now.
pub(super) async fn bind<C: ConnectionTrait>(db: &C, queue: &str, kinds: &[String]) -> Result<(), DbErr> {
    binding::Entity::delete_many().filter(binding::Column::Queue.eq(queue)).exec(db).await?;
    if kinds.is_empty() {
        return Ok(());
    }
    let rows = kinds.iter().map(|kind| binding::ActiveModel { queue: Set(queue.into()), kind: Set(kind.clone()) });
    binding::Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// A message's row in one queue.
pub(super) fn new_row(queue: &str, message_id: Uuid, envelope: &str, now: OffsetDateTime) -> ActiveModel {
    ActiveModel {
        id: Set(ids::new_id()),
        queue: Set(queue.into()),
        message_id: Set(message_id),
        envelope: Set(envelope.into()),
        state: Set(WAITING),
        enqueued_at: Set(micros(now)),
        due_at: Set(micros(now)),
        attempts: Set(0),
        redelivery: Set(0),
        error: Set(String::new()),
        ..Default::default()
    }
}

/// Adds rows; a message that is in the queue already is left as it is.
pub(super) async fn insert<C: ConnectionTrait>(db: &C, rows: Vec<ActiveModel>) -> Result<(), DbErr> {
    let once = [Column::Queue, Column::MessageId];
    Entity::insert_many(rows).on_conflict_do_nothing_on(once).exec_without_returning(db).await?;
    Ok(())
}

/// The next messages of a queue that are due.
pub(super) async fn due<C: ConnectionTrait>(
    db: &C,
    queue: &str,
    now: OffsetDateTime,
    busy: &[i64],
    rows: usize,
) -> Result<Vec<Row>, DbErr> {
    Entity::find()
        .filter(Column::Queue.eq(queue))
        .filter(Column::State.eq(WAITING))
        .filter(Column::DueAt.lte(micros(now)))
        .filter(Column::Position.is_not_in(busy.iter().copied()))
        .order_by_asc(Column::Position)
        .limit(rows as u64)
        .all(db)
        .await
}

/// Whether nothing waits in a queue, not even for its time.
pub(super) async fn is_empty<C: ConnectionTrait>(db: &C, queue: &str) -> Result<bool, DbErr> {
    let waits = Entity::find().filter(Column::Queue.eq(queue)).filter(Column::State.eq(WAITING));
    let first: Option<i64> = waits.select_only().column(Column::Position).limit(1).into_tuple().one(db).await?;
    Ok(first.is_none())
}

pub(super) async fn delete<C: ConnectionTrait>(db: &C, position: i64) -> Result<(), DbErr> {
    Entity::delete_by_id(position).exec(db).await?;
    Ok(())
}

/// Puts a message off.
pub(super) async fn delay<C: ConnectionTrait>(
    db: &C,
    row: &Row,
    until: OffsetDateTime,
    tries: u32,
    error: &str,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        position: Set(row.position),
        due_at: Set(micros(until)),
        attempts: Set(row.attempts.saturating_add_unsigned(tries)),
        redelivery: Set(row.redelivery + 1),
        error: Set(error.into()),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Moves a message to an error queue.
pub(super) async fn fail<C: ConnectionTrait>(
    db: &C,
    row: &Row,
    state: i32,
    now: OffsetDateTime,
    tries: u32,
    error: &str,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        position: Set(row.position),
        state: Set(state),
        due_at: Set(micros(now)),
        attempts: Set(row.attempts.saturating_add_unsigned(tries)),
        error: Set(error.into()),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Puts a failed message back. False when somebody else was quicker.
pub(super) async fn revive<C: ConnectionTrait>(db: &C, position: i64, now: OffsetDateTime) -> Result<bool, DbErr> {
    let changed =
        ActiveModel { state: Set(WAITING), due_at: Set(micros(now)), redelivery: Set(0), ..Default::default() };
    let this = Entity::update_many().set(changed).filter(Column::Position.eq(position));
    Ok(this.filter(Column::State.is_in([FAILED, SKIPPED])).exec(db).await?.rows_affected > 0)
}

/// Throws a failed message away. False when somebody else was quicker.
pub(super) async fn throw_away<C: ConnectionTrait>(db: &C, position: i64) -> Result<bool, DbErr> {
    let this = Entity::delete_by_id(position).filter(Column::State.is_in([FAILED, SKIPPED]));
    Ok(this.exec(db).await?.rows_affected > 0)
}

/// A page of failed messages, newest first.
pub(super) async fn failed<C: ConnectionTrait>(db: &C, queue: &str, before: i64, rows: u64) -> Result<Vec<Row>, DbErr> {
    let mut query = Entity::find().filter(Column::State.is_in([FAILED, SKIPPED])).filter(Column::Position.lt(before));
    if !queue.is_empty() {
        query = query.filter(Column::Queue.eq(queue));
    }
    query.order_by_desc(Column::Position).limit(rows).all(db).await
}

pub(super) async fn failed_one<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Row>, DbErr> {
    Entity::find().filter(Column::State.is_in([FAILED, SKIPPED])).filter(Column::Id.eq(id)).one(db).await
}

/// Every queue with what is in it, by name: those that were declared, and those that take something.
pub(super) async fn status<C: ConnectionTrait>(
    db: &C,
    declared: BTreeSet<String>,
    now: OffsetDateTime,
) -> Result<Vec<QueueStatus>, DbErr> {
    let bound: Vec<String> =
        binding::Entity::find().select_only().column(binding::Column::Queue).distinct().into_tuple().all(db).await?;
    let mut names = declared;
    names.extend(bound);
    let mut queues = Vec::with_capacity(names.len());
    for name in names {
        let of = |state: i32| Entity::find().filter(Column::Queue.eq(name.as_str())).filter(Column::State.eq(state));
        let now = micros(now);
        let oldest = of(WAITING).order_by_asc(Column::EnqueuedAt).one(db).await?;
        queues.push(QueueStatus {
            ready: of(WAITING).filter(Column::DueAt.lte(now)).count(db).await?,
            in_flight: 0,
            delayed: of(WAITING).filter(Column::DueAt.gt(now)).count(db).await?,
            failed: of(FAILED).count(db).await?,
            skipped: of(SKIPPED).count(db).await?,
            oldest_at: oldest.map(|row| time_of(row.enqueued_at)),
            handled: 0,
            failures: 0,
            name,
        });
    }
    Ok(queues)
}

/// Makes the tables of the in-process bus.
pub fn migration() -> Box<dyn sea_orm_migration::MigrationTrait> {
    Box::new(Migration)
}

struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &'static str {
        "mesh_0001_bus"
    }
}

#[async_trait::async_trait]
impl sea_orm_migration::MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let bindings = Table::create()
            .table("bus_binding")
            .col(string("queue"))
            .col(string("kind"))
            .primary_key(Index::create().col("queue").col("kind"))
            .to_owned();
        manager.create_table(bindings).await?;
        let messages = Table::create()
            .table("bus_message")
            .col(pk_auto("position").big_integer())
            .col(uuid("id"))
            .col(string("queue"))
            .col(uuid("message_id"))
            .col(text("envelope"))
            .col(integer("state"))
            .col(big_integer("enqueued_at"))
            .col(big_integer("due_at"))
            .col(integer("attempts"))
            .col(integer("redelivery"))
            .col(text("error"))
            .to_owned();
        manager.create_table(messages).await?;
        let mut once = Index::create();
        once.name("bus_message_once").table("bus_message").col("queue").col("message_id").unique();
        manager.create_index(once).await?;
        let mut due = Index::create();
        due.name("bus_message_due").table("bus_message").col("queue").col("state").col("due_at");
        manager.create_index(due).await
    }
}
