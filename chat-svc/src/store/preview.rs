//! `message_preview`: where each message's previews are in the log, and of which text of it they are.

use std::collections::HashMap;

use sea_orm::{IntoActiveModel as _, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message_preview")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) message_id: Uuid,
    /// The event that held the message's content when they were set: after an edit they count no longer.
    pub(crate) content_seq: i64,
    /// The event that holds them, or that took them away; 0 when there is none.
    pub(crate) seq: i64,
    /// Somebody removed them, and none come any more.
    pub(crate) removed: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Of one message.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, message_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(message_id).one(db).await
}

/// Of some messages, by message.
pub(crate) async fn some<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<HashMap<Uuid, Model>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Entity::find().filter(Column::MessageId.is_in(ids.iter().copied())).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.message_id, row)).collect())
}

/// Writes where they are now.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    let conflict = OnConflict::column(Column::MessageId)
        .update_columns([Column::ContentSeq, Column::Seq, Column::Removed])
        .to_owned();
    Entity::insert(row.into_active_model()).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}
