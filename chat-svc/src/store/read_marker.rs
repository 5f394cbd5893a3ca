//! `read_marker`: how far each user has read each room.

use std::collections::HashMap;

use sea_orm::{Set, entity::prelude::*, sea_query::OnConflict};

use super::{signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "read_marker")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) room_id: Uuid,
    pub(crate) seq: i64,
    pub(crate) ordinal: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A marker: everything up to `seq` is read, and `ordinal` messages with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) seq: u64,
    pub(crate) ordinal: u64,
}

/// A user's marker in a room.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, user_id: Uuid, room_id: Uuid) -> Result<Marker, DbErr> {
    let row = Entity::find_by_id((user_id, room_id)).one(db).await?;
    Ok(row.map_or_else(Marker::default, |row| Marker { seq: unsigned(row.seq), ordinal: unsigned(row.ordinal) }))
}

/// All of a user's markers.
pub(crate) async fn of_user<C: ConnectionTrait>(db: &C, user_id: Uuid) -> Result<HashMap<Uuid, Marker>, DbErr> {
    let rows = Entity::find().filter(Column::UserId.eq(user_id)).all(db).await?;
    let marker = |row: Model| (row.room_id, Marker { seq: unsigned(row.seq), ordinal: unsigned(row.ordinal) });
    Ok(rows.into_iter().map(marker).collect())
}

/// Sets a marker.
pub(crate) async fn save<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    room_id: Uuid,
    marker: Marker,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id),
        room_id: Set(room_id),
        seq: Set(signed(marker.seq)),
        ordinal: Set(signed(marker.ordinal)),
    };
    let conflict =
        OnConflict::columns([Column::UserId, Column::RoomId]).update_columns([Column::Seq, Column::Ordinal]).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}
