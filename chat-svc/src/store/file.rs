//! `room_file`: the files that were announced in each room, as file-svc last described them.

use std::collections::HashMap;

use prost::Message as _;
use proto::file::v1::File;
use sea_orm::{Set, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "room_file")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) room_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) file_id: Uuid,
    pub(crate) file: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is known of these files in a room.
pub(crate) async fn some<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, File>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Entity::find()
        .filter(Column::RoomId.eq(room_id))
        .filter(Column::FileId.is_in(ids.iter().copied()))
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.file_id, File::decode(row.file.as_slice()).ok()?))).collect())
}

/// Remembers what was announced.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, room_id: Uuid, file_id: Uuid, file: &File) -> Result<(), DbErr> {
    let row = ActiveModel { room_id: Set(room_id), file_id: Set(file_id), file: Set(file.encode_to_vec()) };
    let conflict = OnConflict::columns([Column::RoomId, Column::FileId]).update_column(Column::File).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}

/// Forgets files, and tells whether any of them was known.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, room_id: Uuid, ids: &[Uuid]) -> Result<bool, DbErr> {
    let mut known = false;
    for some in super::portions(ids) {
        let these = Column::FileId.is_in(some.iter().copied());
        let gone = Entity::delete_many().filter(Column::RoomId.eq(room_id)).filter(these).exec(db).await?;
        known |= gone.rows_affected > 0;
    }
    Ok(known)
}
