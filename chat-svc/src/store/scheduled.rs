//! `scheduled_message`: messages that wait for their time.

use sea_orm::{IntoActiveModel as _, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduled_message")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) op_id: Uuid,
    /// The standing that the author had then, by its name. What counts is what they are when it is due.
    pub(crate) rank: String,
    /// The encoded request.
    pub(crate) request: Vec<u8>,
    pub(crate) send_at: i64,
    /// Why it could not be sent; it is not tried again then.
    pub(crate) error: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, user_id: Uuid, op_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((user_id, op_id)).one(db).await
}

pub(crate) async fn add<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

/// Somebody's own, by time.
pub(crate) async fn of<C: ConnectionTrait>(db: &C, user_id: Uuid) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::SendAt).all(db).await
}

/// Those whose time has come, the earliest first.
pub(crate) async fn due<C: ConnectionTrait>(db: &C, now: i64, rows: u64) -> Result<Vec<Model>, DbErr> {
    let due = Entity::find().filter(Column::SendAt.lte(now)).filter(Column::Error.eq(""));
    due.order_by_asc(Column::SendAt).limit(rows).all(db).await
}

/// Notes why one could not be sent.
pub(crate) async fn failed<C: ConnectionTrait>(db: &C, row: &Model, error: &str) -> Result<(), DbErr> {
    let failed = ActiveModel { error: Set(error.into()), ..Default::default() };
    let this = Entity::update_many().set(failed).filter(Column::UserId.eq(row.user_id));
    this.filter(Column::OpId.eq(row.op_id)).exec(db).await?;
    Ok(())
}

/// False when there is none.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, user_id: Uuid, op_id: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id((user_id, op_id)).exec(db).await?.rows_affected > 0)
}
