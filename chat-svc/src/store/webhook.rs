//! `incoming_webhook`: what other programs may post as.

use proto::chat::v1::IncomingWebhook;
use sea_orm::{IntoActiveModel as _, QueryOrder as _, Set, entity::prelude::*};

use super::timestamp;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "incoming_webhook")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) room_id: Uuid,
    pub(crate) name: String,
    /// SHA-256 of its secret.
    pub(crate) hash: Vec<u8>,
    pub(crate) created_by: Uuid,
    pub(crate) created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// As the contracts have it.
    pub(crate) fn to_proto(&self) -> IncomingWebhook {
        IncomingWebhook {
            id: self.id.to_string(),
            room_id: self.room_id.to_string(),
            name: self.name.clone(),
            created_by: self.created_by.to_string(),
            created_at: Some(timestamp(self.created_at)),
        }
    }
}

/// A webhook of any room.
pub(crate) async fn by_id<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// A webhook of a room.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, room_id: Uuid, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::RoomId.eq(room_id)).one(db).await
}

/// Those of a room, the oldest first.
pub(crate) async fn of_room<C: ConnectionTrait>(db: &C, room_id: Uuid) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::RoomId.eq(room_id)).order_by_asc(Column::Id).all(db).await
}

/// How many a room has.
pub(crate) async fn count<C: ConnectionTrait>(db: &C, room_id: Uuid) -> Result<u64, DbErr> {
    Entity::find().filter(Column::RoomId.eq(room_id)).count(db).await
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model()).exec_without_returning(db).await?;
    Ok(())
}

pub(crate) async fn rename<C: ConnectionTrait>(db: &C, id: Uuid, name: &str) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(id), name: Set(name.to_owned()), ..Default::default() };
    Entity::update(row).exec(db).await?;
    Ok(())
}

pub(crate) async fn delete<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
