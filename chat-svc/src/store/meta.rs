//! `meta`: facts about the database itself.

use sea_orm::{Set, entity::prelude::*};

/// Changes when the database is restored from a backup, so that old cursors are never silently continued.
const EPOCH: &str = "epoch";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "meta")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The epoch, made when it is first asked for.
pub(crate) async fn epoch<C: ConnectionTrait>(db: &C) -> Result<String, DbErr> {
    if let Some(row) = Entity::find_by_id(EPOCH.to_owned()).one(db).await? {
        return Ok(row.value);
    }
    let row = ActiveModel { name: Set(EPOCH.into()), value: Set(mesh::ids::new_id().to_string()) };
    Entity::insert(row).on_conflict_do_nothing_on([Column::Name]).exec_without_returning(db).await?;
    let row = Entity::find_by_id(EPOCH.to_owned()).one(db).await?;
    row.map(|row| row.value).ok_or_else(|| DbErr::RecordNotFound(EPOCH.into()))
}
