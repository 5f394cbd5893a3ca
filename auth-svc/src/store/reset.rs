//! `password_reset`: links that were sent out. One that is used is gone.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_reset")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) hash: Vec<u8>,
    pub(crate) expires_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, reset: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(reset)).exec_without_returning(db).await?;
    Ok(())
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// Takes one that is not over, so that nobody else does. False when it is over or was taken.
pub(crate) async fn take<C: ConnectionTrait>(db: &C, id: Uuid, now: i64) -> Result<bool, DbErr> {
    let taken = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::ExpiresAt.gt(now)).exec(db).await?;
    Ok(taken.rows_affected == 1)
}

/// Forgets those of an account, and those that are over.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, user_id: Uuid, now: i64) -> Result<(), DbErr> {
    let gone = sea_orm::Condition::any().add(Column::UserId.eq(user_id)).add(Column::ExpiresAt.lte(now));
    Entity::delete_many().filter(gone).exec(db).await?;
    Ok(())
}
