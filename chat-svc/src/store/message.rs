//! `message`: where each message stands in the log. The content is in the events only: `current_seq` names the one that
//! holds it. `message_edit`: the events that a deletion must redact besides the posting.

use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{signed, unsigned};

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
    /// The operation that posted it; nil if it had no id.
    pub(crate) op_id: Uuid,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One row an edit.
pub(crate) mod edit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "message_edit")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) message_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) seq: i64,
        /// The operation that made it; nil if it had no id.
        pub(crate) op_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Rows of one statement: SQLite takes 32,766 parameters, nine a row.
const ROWS_PER_INSERT: usize = 3600;

/// Writes new messages.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, rows: Vec<Model>) -> Result<(), DbErr> {
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let rows = chunk.iter().cloned().map(ActiveModel::from);
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// A message of a room, deleted or not.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, room_id: Uuid, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::RoomId.eq(room_id)).one(db).await
}

/// A page below a number, by falling number.
pub(crate) async fn before<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    below: Option<u64>,
    first_visible: u64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::RoomId.eq(room_id)).filter(Column::Seq.gte(signed(first_visible)));
    if let Some(below) = below {
        query = query.filter(Column::Seq.lt(signed(below)));
    }
    query.order_by_desc(Column::Seq).limit(rows).all(db).await
}

/// A page above a number, by rising number.
pub(crate) async fn after<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    above: u64,
    first_visible: u64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RoomId.eq(room_id))
        .filter(Column::Seq.gte(signed(first_visible)))
        .filter(Column::Seq.gt(signed(above)))
        .order_by_asc(Column::Seq)
        .limit(rows)
        .all(db)
        .await
}

/// The ordinal of the newest message up to a number.
pub(crate) async fn ordinal_at<C: ConnectionTrait>(db: &C, room_id: Uuid, seq: u64) -> Result<u64, DbErr> {
    let newest = Entity::find()
        .filter(Column::RoomId.eq(room_id))
        .filter(Column::Seq.lte(signed(seq)))
        .order_by_desc(Column::Seq)
        .one(db)
        .await?;
    Ok(newest.map_or(0, |row| unsigned(row.ordinal)))
}

/// Notes an edit.
pub(crate) async fn edited<C: ConnectionTrait>(db: &C, id: Uuid, seq: u64, op_id: Uuid) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(id), current_seq: Set(signed(seq)), ..Default::default() };
    Entity::update(row).exec(db).await?;
    let edit = edit::ActiveModel { message_id: Set(id), seq: Set(signed(seq)), op_id: Set(op_id) };
    edit::Entity::insert(edit).exec_without_returning(db).await?;
    Ok(())
}

/// Notes a deletion.
pub(crate) async fn deleted<C: ConnectionTrait>(db: &C, id: Uuid, at: i64) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(id), deleted_at: Set(at), ..Default::default() };
    Entity::update(row).exec(db).await?;
    Ok(())
}

/// Where the content of a message is kept besides its row.
pub(crate) struct Content {
    /// The numbers of the events that hold it.
    pub(crate) seqs: Vec<i64>,
    /// The operations of its author whose answers hold it.
    pub(crate) op_ids: Vec<Uuid>,
}

/// Everywhere that content of a message is kept.
pub(crate) async fn content<C: ConnectionTrait>(db: &C, message: &Model) -> Result<Content, DbErr> {
    let edits = edit::Entity::find().filter(edit::Column::MessageId.eq(message.id)).all(db).await?;
    let (mut seqs, mut op_ids) = (vec![message.seq], vec![message.op_id]);
    for edit in edits {
        seqs.push(edit.seq);
        op_ids.push(edit.op_id);
    }
    Ok(Content { seqs, op_ids })
}
