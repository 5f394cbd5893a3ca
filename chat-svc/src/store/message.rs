//! `message`: where each message stands in the log. The content is in the events only: `current_seq` names the one that
//! holds it. `message_edit`: the events that a deletion must redact besides the posting.

use mesh::db::{Insert, Rows};
use sea_orm::{JoinType, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{event, signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) room_id: Uuid,
    pub(crate) seq: i64,
    pub(crate) ordinal: i64,
    pub(crate) author_id: Uuid,
    pub(crate) created_at: i64,
    /// The event that holds the content as it is now.
    pub(crate) current_seq: i64,
    /// When it was deleted; 0 if it was not.
    pub(crate) deleted_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    /// The event that posted it. Pages of a room go through the log's key, so that a message needs no index of its own.
    #[sea_orm(belongs_to = "super::event::Entity", from = "Column::Id", to = "super::event::Column::MessageId")]
    Posting,
}

impl ActiveModelBehavior for ActiveModel {}

/// One row an edit, and one each time that previews were set.
pub(crate) mod edit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "message_edit")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) message_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) seq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) static INSERT: Insert<8> = Insert::new(
    "message",
    &["id", "room_id", "seq", "ordinal", "author_id", "created_at", "current_seq", "deleted_at"],
    "",
);

/// Writes new messages.
pub(crate) fn insert(rows: &[Model]) -> Rows {
    let row = |row: &Model| {
        [
            row.id.into(),
            row.room_id.into(),
            row.seq.into(),
            row.ordinal.into(),
            row.author_id.into(),
            row.created_at.into(),
            row.current_seq.into(),
            row.deleted_at.into(),
        ]
    };
    INSERT.rows(rows.iter().map(row))
}

/// The postings of a room from a number on, joined with their messages.
fn postings(room_id: Uuid, first_visible: u64) -> Select<Entity> {
    Entity::find()
        .join(JoinType::InnerJoin, Relation::Posting.def())
        .filter(event::Column::FeedId.eq(room_id))
        .filter(event::Column::MessageId.is_not_null())
        .filter(event::Column::Seq.gte(signed(first_visible)))
}

/// A message of a room, deleted or not.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, room_id: Uuid, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::RoomId.eq(room_id)).one(db).await
}

/// A message of any room.
pub(crate) async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// A page below a number, by falling number.
pub(crate) async fn before<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    below: Option<u64>,
    first_visible: u64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = postings(room_id, first_visible);
    if let Some(below) = below {
        query = query.filter(event::Column::Seq.lt(signed(below)));
    }
    query.order_by_desc(event::Column::Seq).limit(rows).all(db).await
}

/// A page above a number, by rising number.
pub(crate) async fn after<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    above: u64,
    first_visible: u64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    postings(room_id, first_visible)
        .filter(event::Column::Seq.gt(signed(above)))
        .order_by_asc(event::Column::Seq)
        .limit(rows)
        .all(db)
        .await
}

/// The ordinal of the newest message up to a number.
pub(crate) async fn ordinal_at<C: ConnectionTrait>(db: &C, room_id: Uuid, seq: u64) -> Result<u64, DbErr> {
    let newest = postings(room_id, 1)
        .filter(event::Column::Seq.lte(signed(seq)))
        .order_by_desc(event::Column::Seq)
        .limit(1)
        .one(db)
        .await?;
    Ok(newest.map_or(0, |row| unsigned(row.ordinal)))
}

/// Notes an edit.
pub(crate) async fn edited<C: ConnectionTrait>(db: &C, id: Uuid, seq: u64) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(id), current_seq: Set(signed(seq)), ..Default::default() };
    Entity::update(row).exec(db).await?;
    holds_content(db, id, seq).await
}

/// Notes an event besides the posting that holds something of a message, and that its deletion must redact.
pub(crate) async fn holds_content<C: ConnectionTrait>(db: &C, id: Uuid, seq: u64) -> Result<(), DbErr> {
    let row = edit::ActiveModel { message_id: Set(id), seq: Set(signed(seq)) };
    edit::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Notes a deletion.
pub(crate) async fn deleted<C: ConnectionTrait>(db: &C, id: Uuid, at: i64) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(id), deleted_at: Set(at), ..Default::default() };
    Entity::update(row).exec(db).await?;
    Ok(())
}

/// Notes that messages are gone by retention. Their rows stay, so that ordinals and remembered answers still mean something.
pub(crate) async fn expired<C: ConnectionTrait>(db: &C, ids: &[Uuid], at: i64) -> Result<(), DbErr> {
    for some in super::portions(ids) {
        let gone = ActiveModel { deleted_at: Set(at), ..Default::default() };
        let these = Entity::update_many().set(gone).filter(Column::Id.is_in(some.iter().copied()));
        these.filter(Column::DeletedAt.eq(0)).exec(db).await?;
        edit::Entity::delete_many().filter(edit::Column::MessageId.is_in(some.iter().copied())).exec(db).await?;
    }
    Ok(())
}

/// The numbers of the events besides the postings that hold content of some messages.
pub(crate) async fn edits<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<i64>, DbErr> {
    let mut seqs = Vec::new();
    for some in super::portions(ids) {
        let rows = edit::Entity::find().filter(edit::Column::MessageId.is_in(some.iter().copied())).all(db).await?;
        seqs.extend(rows.into_iter().map(|row| row.seq));
    }
    Ok(seqs)
}

/// The numbers of the events that hold content of a message.
pub(crate) async fn content<C: ConnectionTrait>(db: &C, message: &Model) -> Result<Vec<i64>, DbErr> {
    let edits = edits(db, &[message.id]).await?;
    Ok(std::iter::once(message.seq).chain(edits).collect())
}
