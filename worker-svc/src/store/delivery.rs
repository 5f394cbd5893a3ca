//! The log of what was sent to webhooks: a row for every try.

use mesh::db::{Db, micros};
use sea_orm::{IntoActiveModel as _, QueryOrder as _, QuerySelect as _, entity::prelude::*};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) webhook_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) event: String,
    pub(crate) at: i64,
    /// 0 without an answer.
    pub(crate) status: i32,
    pub(crate) error: String,
    pub(crate) duration_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn add<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

/// Newest first, below an id.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    webhook: Uuid,
    below: Option<Uuid>,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::WebhookId.eq(webhook));
    if let Some(below) = below {
        query = query.filter(Column::Id.lt(below));
    }
    query.order_by_desc(Column::Id).limit(rows).all(db).await
}

/// Forgets those of a webhook.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, webhook: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::WebhookId.eq(webhook)).exec(db).await?;
    Ok(())
}

/// Forgets those before a time.
pub(crate) async fn forget_before(db: &Db, at: OffsetDateTime) -> Result<(), DbErr> {
    let (at, tx) = (micros(at), db.begin().await?);
    Entity::delete_many().filter(Column::At.lt(at)).exec(&tx).await?;
    tx.commit().await
}
