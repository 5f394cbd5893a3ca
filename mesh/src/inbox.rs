//! The inbox: which messages a consumer has handled. Written in the transaction of the effect, so that a message that is
//! delivered twice has its effect once.

use sea_orm::{Set, TryInsertResult, entity::prelude::*};
use sea_orm_migration::{
    prelude::{Index, SchemaManager, Table},
    schema::{big_integer, string, uuid},
};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "inbox")]
#[doc(hidden)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    consumer: String,
    #[sea_orm(primary_key, auto_increment = false)]
    message_id: Uuid,
    handled_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
#[doc(hidden)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Takes a message for a consumer. False when it was handled before: there is nothing left to do then.
///
/// # Errors
/// When the database refuses.
pub async fn claim<C: ConnectionTrait>(
    tx: &C,
    consumer: &str,
    message_id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        consumer: Set(consumer.into()),
        message_id: Set(message_id),
        handled_at: Set(now.unix_timestamp()),
    };
    let once = [Column::Consumer, Column::MessageId];
    let inserted = Entity::insert(row).on_conflict_do_nothing_on(once).exec_without_returning(tx).await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0))
}

/// Gives a message back that was claimed and could not be handled.
///
/// # Errors
/// When the database refuses.
pub async fn give_back<C: ConnectionTrait>(tx: &C, consumer: &str, message_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id((consumer.to_owned(), message_id)).exec(tx).await?;
    Ok(())
}

/// Forgets what was handled before a time.
///
/// # Errors
/// When the database refuses.
pub async fn forget(db: &crate::db::Db, before: OffsetDateTime) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    Entity::delete_many().filter(Column::HandledAt.lt(before.unix_timestamp())).exec(&tx).await?;
    tx.commit().await
}

/// Makes the table `inbox`; a service that consumes lists it among its migrations.
pub fn migration() -> Box<dyn sea_orm_migration::MigrationTrait> {
    Box::new(Migration)
}

struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &'static str {
        "mesh_0001_inbox"
    }
}

#[async_trait::async_trait]
impl sea_orm_migration::MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("inbox")
            .col(string("consumer"))
            .col(uuid("message_id"))
            .col(big_integer("handled_at"))
            .primary_key(Index::create().col("consumer").col("message_id"))
            .to_owned();
        manager.create_table(table).await
    }
}
