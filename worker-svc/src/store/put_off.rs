//! Messages that wait for their time.

use sea_orm::{IntoActiveModel as _, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "put_off")]
pub(crate) struct Model {
    /// The token of whoever put it off.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) token: Uuid,
    /// Its most exact type.
    pub(crate) kind: String,
    pub(crate) destination: String,
    pub(crate) envelope: String,
    pub(crate) due_at: i64,
    /// Why it could not be sent when it was tried last.
    pub(crate) error: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Puts one off; one with the same token is replaced.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    forget(db, row.token).await?;
    Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

/// One that waits.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, token: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(token).one(db).await
}

/// Those whose time has come, the earliest first.
pub(crate) async fn due<C: ConnectionTrait>(db: &C, now: i64, rows: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::DueAt.lte(now)).order_by_asc(Column::DueAt).limit(rows).all(db).await
}

/// By their time.
pub(crate) async fn list<C: ConnectionTrait>(db: &C, rows: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::DueAt).limit(rows).all(db).await
}

/// Tries it again later.
pub(crate) async fn later<C: ConnectionTrait>(db: &C, token: Uuid, due_at: i64, error: &str) -> Result<(), DbErr> {
    let row = ActiveModel { token: Set(token), due_at: Set(due_at), error: Set(error.into()), ..Default::default() };
    // It may have been taken back meanwhile.
    Entity::update_many().set(row).filter(Column::Token.eq(token)).exec(db).await?;
    Ok(())
}

/// Forgets one. False when there is none.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, token: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(token).exec(db).await?.rows_affected > 0)
}
