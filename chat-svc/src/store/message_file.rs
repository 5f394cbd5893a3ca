//! `message_file`: which messages refer to which files. Rows of deleted messages stay, and say who brought a file.

use std::collections::HashSet;

use mesh::db::{Insert, Rows};
use sea_orm::{JoinType, QuerySelect as _, entity::prelude::*};

use super::message;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message_file")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) message_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) file_id: Uuid,
    pub(crate) room_id: Uuid,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(belongs_to = "super::message::Entity", from = "Column::MessageId", to = "super::message::Column::Id")]
    Message,
}

impl ActiveModelBehavior for ActiveModel {}

static INSERT: Insert<3> =
    Insert::new("message_file", &["message_id", "file_id", "room_id"], "ON CONFLICT (message_id, file_id) DO NOTHING");

/// Notes files of new messages.
pub(crate) fn insert(rows: &[Model]) -> Rows {
    INSERT.rows(rows.iter().map(|row| [row.message_id.into(), row.file_id.into(), row.room_id.into()]))
}

/// The files that some messages refer to.
pub(crate) async fn of<C: ConnectionTrait>(db: &C, messages: &[Uuid]) -> Result<HashSet<Uuid>, DbErr> {
    let mut files = HashSet::new();
    for some in super::portions(messages) {
        let rows = Entity::find().filter(Column::MessageId.is_in(some.iter().copied())).all(db).await?;
        files.extend(rows.into_iter().map(|row| row.file_id));
    }
    Ok(files)
}

/// Those of some files of a room that a message which is not deleted refers to.
pub(crate) async fn held<C: ConnectionTrait>(db: &C, room_id: Uuid, files: &[Uuid]) -> Result<HashSet<Uuid>, DbErr> {
    let mut held = HashSet::new();
    for some in super::portions(files) {
        let rows: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::FileId)
            .join(JoinType::InnerJoin, Relation::Message.def())
            .filter(Column::FileId.is_in(some.iter().copied()))
            .filter(Column::RoomId.eq(room_id))
            .filter(message::Column::DeletedAt.eq(0))
            .into_tuple()
            .all(db)
            .await?;
        held.extend(rows);
    }
    Ok(held)
}

/// Who referred to some files of a room in messages, deleted ones included: the file and the author.
pub(crate) async fn brought<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    files: &[Uuid],
) -> Result<HashSet<(Uuid, Uuid)>, DbErr> {
    let mut brought = HashSet::new();
    for some in super::portions(files) {
        let rows: Vec<(Uuid, Uuid)> = Entity::find()
            .select_only()
            .column(Column::FileId)
            .column(message::Column::AuthorId)
            .join(JoinType::InnerJoin, Relation::Message.def())
            .filter(Column::FileId.is_in(some.iter().copied()))
            .filter(Column::RoomId.eq(room_id))
            .into_tuple()
            .all(db)
            .await?;
        brought.extend(rows);
    }
    Ok(brought)
}

/// Forgets what some messages refer to.
pub(crate) async fn forget<C: ConnectionTrait>(db: &C, messages: &[Uuid]) -> Result<(), DbErr> {
    for some in super::portions(messages) {
        Entity::delete_many().filter(Column::MessageId.is_in(some.iter().copied())).exec(db).await?;
    }
    Ok(())
}
