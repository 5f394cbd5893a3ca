//! `feed`: the counters. One row a room and one a user; the row's lock is what puts a feed's events in order.

use std::collections::HashMap;

use sea_orm::{Set, entity::prelude::*, sea_query::OnConflict};

use super::{signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) head: i64,
    pub(crate) ordinal: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a feed stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the newest event.
    pub(crate) seq: u64,
    /// The ordinal of the newest message.
    pub(crate) ordinal: u64,
}

/// Where these feeds stand; those without events are left out.
pub(crate) async fn heads<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<HashMap<Uuid, Head>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, Head { seq: unsigned(row.head), ordinal: unsigned(row.ordinal) })).collect())
}

/// Where one feed stands.
pub(crate) async fn head<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Head, DbErr> {
    let row = Entity::find_by_id(id).one(db).await?;
    Ok(row.map_or_else(Head::default, |row| Head { seq: unsigned(row.head), ordinal: unsigned(row.ordinal) }))
}

/// Moves counters on.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, heads: &[(Uuid, Head)]) -> Result<(), DbErr> {
    let rows = heads.iter().map(|(id, head)| ActiveModel {
        id: Set(*id),
        head: Set(signed(head.seq)),
        ordinal: Set(signed(head.ordinal)),
    });
    let conflict = OnConflict::column(Column::Id).update_columns([Column::Head, Column::Ordinal]).to_owned();
    Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}
