//! `member`: who is in which room now.

use proto::chat::v1::{Member, RoomRole};
use sea_orm::{PaginatorTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Set, entity::prelude::*};

use super::{timestamp, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) room_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    pub(crate) role: i32,
    pub(crate) joined_at: i64,
    pub(crate) joined_seq: i64,
    pub(crate) first_visible_seq: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn role(&self) -> RoomRole {
        RoomRole::try_from(self.role).unwrap_or(RoomRole::Member)
    }

    /// As the contracts have it.
    pub(crate) fn to_proto(&self) -> Member {
        Member {
            user_id: self.user_id.to_string(),
            role: self.role,
            joined_at: Some(timestamp(self.joined_at)),
            joined_seq: unsigned(self.joined_seq),
        }
    }
}

/// Somebody's membership in a room.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, room_id: Uuid, user_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((room_id, user_id)).one(db).await
}

/// Everything that somebody is in.
pub(crate) async fn of_user<C: ConnectionTrait>(db: &C, user_id: Uuid) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::RoomId).all(db).await
}

/// A page of a room's members in the order of joining.
pub(crate) async fn of_room<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    after: i64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RoomId.eq(room_id))
        .filter(Column::JoinedSeq.gt(after))
        .order_by_asc(Column::JoinedSeq)
        .limit(rows)
        .all(db)
        .await
}

/// The ids of a room's members, rising.
pub(crate) async fn ids<C: ConnectionTrait>(db: &C, room_id: Uuid) -> Result<Vec<Uuid>, DbErr> {
    let found = Entity::find().select_only().column(Column::UserId).filter(Column::RoomId.eq(room_id));
    found.order_by_asc(Column::UserId).into_tuple().all(db).await
}

/// Those of these users who are in a room that somebody is in.
pub(crate) async fn sharing<C: ConnectionTrait>(db: &C, user_id: Uuid, users: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    companions(user_id).filter(Column::UserId.is_in(users.iter().copied())).into_tuple().all(db).await
}

/// A page of everybody who is in a room that somebody is in, that one included, by rising id.
pub(crate) async fn all_sharing<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    after: Option<Uuid>,
    rows: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let mut query = companions(user_id).order_by_asc(Column::UserId).limit(rows);
    if let Some(after) = after {
        query = query.filter(Column::UserId.gt(after));
    }
    query.into_tuple().all(db).await
}

fn companions(user_id: Uuid) -> Select<Entity> {
    let theirs = Entity::find().select_only().column(Column::RoomId).filter(Column::UserId.eq(user_id)).into_query();
    Entity::find().select_only().column(Column::UserId).distinct().filter(Column::RoomId.in_subquery(theirs))
}

/// How many owners a room has.
pub(crate) async fn owners<C: ConnectionTrait>(db: &C, room_id: Uuid) -> Result<u64, DbErr> {
    Entity::find().filter(Column::RoomId.eq(room_id)).filter(Column::Role.eq(RoomRole::Owner as i32)).count(db).await
}

/// Writes a new membership.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, member: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(member)).exec_without_returning(db).await?;
    Ok(())
}

/// Writes a role.
pub(crate) async fn set_role<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    user_id: Uuid,
    role: RoomRole,
) -> Result<(), DbErr> {
    let changed =
        ActiveModel { room_id: Set(room_id), user_id: Set(user_id), role: Set(role.into()), ..Default::default() };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Ends a membership.
pub(crate) async fn delete<C: ConnectionTrait>(db: &C, room_id: Uuid, user_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id((room_id, user_id)).exec(db).await?;
    Ok(())
}
