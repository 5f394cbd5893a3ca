//! What pages said of themselves, for a day.

use mesh::db::{Db, micros};
use sea_orm::{IntoActiveModel as _, entity::prelude::*, sea_query::OnConflict};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "link_preview")]
pub(crate) struct Model {
    /// SHA-256 of the link.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) link: Vec<u8>,
    /// The encoded preview; empty when there is none.
    pub(crate) preview: Vec<u8>,
    pub(crate) fetched_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a page said after a time.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, link: &[u8], since: i64) -> Result<Option<Vec<u8>>, DbErr> {
    let found = Entity::find_by_id(link.to_vec()).filter(Column::FetchedAt.gt(since)).one(db).await?;
    Ok(found.map(|row| row.preview))
}

/// Remembers what a page says.
pub(crate) async fn save<C: ConnectionTrait>(
    db: &C,
    link: Vec<u8>,
    preview: Vec<u8>,
    fetched_at: i64,
) -> Result<(), DbErr> {
    let row = Model { link, preview, fetched_at }.into_active_model();
    let conflict = OnConflict::column(Column::Link).update_columns([Column::Preview, Column::FetchedAt]).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}

/// Forgets what was fetched before a time.
pub(crate) async fn forget_before(db: &Db, at: OffsetDateTime) -> Result<(), DbErr> {
    let (at, tx) = (micros(at), db.begin().await?);
    Entity::delete_many().filter(Column::FetchedAt.lt(at)).exec(&tx).await?;
    tx.commit().await
}
