//! `trash`: keys of blobs that nobody needs any more, written in the transaction that lets them go and emptied afterwards, so
//! that a crash between the two leaves nothing behind.

use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "trash")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key: String,
    pub(crate) added_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn add<C: ConnectionTrait>(tx: &C, keys: Vec<String>, now: i64) -> Result<(), DbErr> {
    if keys.is_empty() {
        return Ok(());
    }
    let rows = keys.into_iter().map(|key| ActiveModel { key: Set(key), added_at: Set(now) });
    Entity::insert_many(rows).on_conflict_do_nothing_on([Column::Key]).exec_without_returning(tx).await?;
    Ok(())
}

pub(crate) async fn some<C: ConnectionTrait>(db: &C, rows: u64) -> Result<Vec<String>, DbErr> {
    let found = Entity::find().order_by_asc(Column::AddedAt).limit(rows).all(db).await?;
    Ok(found.into_iter().map(|row| row.key).collect())
}

pub(crate) async fn forget<C: ConnectionTrait>(db: &C, keys: &[String]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Key.is_in(keys.iter().cloned())).exec(db).await?;
    Ok(())
}
