//! `shared_file`: the newest event of each room that brings a file, so that who reads a room only from a number on may read the
//! files that appear there from then on.

use std::collections::HashMap;

use mesh::db::{Insert, Rows};
use sea_orm::{QuerySelect as _, entity::prelude::*};

use super::signed;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shared_file")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) room_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) file_id: Uuid,
    pub(crate) seq: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

static INSERT: Insert<3> = Insert::new(
    "shared_file",
    &["room_id", "file_id", "seq"],
    "ON CONFLICT (room_id, file_id) DO UPDATE SET seq = excluded.seq",
);

/// Notes files that appear in rooms, by rising numbers.
pub(crate) fn save(shared: &[(Uuid, Uuid, u64)]) -> Rows {
    // One statement must not name a row twice.
    let newest: HashMap<(Uuid, Uuid), u64> = shared.iter().map(|(room, file, seq)| ((*room, *file), *seq)).collect();
    let mut rows: Vec<((Uuid, Uuid), u64)> = newest.into_iter().collect();
    rows.sort_unstable();
    let row = |((room, file), seq): ((Uuid, Uuid), u64)| [room.into(), file.into(), signed(seq).into()];
    INSERT.rows(rows.into_iter().map(row))
}

/// Those of these files that appear in a room from a number on.
pub(crate) async fn since<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    first: u64,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::FileId)
        .filter(Column::RoomId.eq(room_id))
        .filter(Column::FileId.is_in(ids.iter().copied()))
        .filter(Column::Seq.gte(signed(first)))
        .into_tuple()
        .all(db)
        .await
}

/// Forgets where a file appeared, and tells whether it had.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, room_id: Uuid, file_id: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id((room_id, file_id)).exec(db).await?.rows_affected > 0)
}
