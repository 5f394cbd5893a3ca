//! `room`: what is known of each room.

use proto::chat::v1::{Room, RoomHistory, RoomKind};
use sea_orm::{Condition, ExprTrait as _, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{read_marker::Marker, signed, timestamp, unsigned};
use crate::policy::{Permissions, Rules};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "room")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// The name by which rooms are listed.
    pub(crate) sort_name: String,
    pub(crate) kind: i32,
    pub(crate) topic: String,
    pub(crate) history: i32,
    pub(crate) created_by: Uuid,
    pub(crate) created_at: i64,
    pub(crate) member_count: i32,
    /// What needs which role; see `policy`.
    pub(crate) permissions: i64,
    /// Since when it is archived; 0 when it is not.
    pub(crate) archived_at: i64,
    /// Days that messages are kept; 0 for what holds in every room.
    pub(crate) retention_days: i32,
    /// Messages up to this number are gone by retention.
    pub(crate) expired_seq: i64,
    /// The ordinal of the newest of them.
    pub(crate) expired_ordinal: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn kind(&self) -> RoomKind {
        kind_of(self.kind)
    }

    pub(crate) fn history(&self) -> RoomHistory {
        RoomHistory::try_from(self.history).unwrap_or(RoomHistory::SinceJoined)
    }

    pub(crate) const fn permissions(&self) -> Permissions {
        Permissions::from_bits(self.permissions)
    }

    /// What the policy asks about.
    pub(crate) fn rules(&self) -> Rules {
        Rules { kind: self.kind(), permissions: self.permissions(), archived: self.archived_at != 0 }
    }

    /// Up to where messages are gone by retention.
    pub(crate) fn expired(&self) -> Marker {
        Marker { seq: unsigned(self.expired_seq), ordinal: unsigned(self.expired_ordinal) }
    }

    /// As the contracts have it.
    pub(crate) fn to_proto(&self) -> Room {
        Room {
            id: self.id.to_string(),
            name: self.name.clone(),
            kind: self.kind,
            topic: self.topic.clone(),
            history: self.history,
            created_by: self.created_by.to_string(),
            created_at: Some(timestamp(self.created_at)),
            permissions: Some(self.permissions().to_proto(self.kind())),
            archived_at: (self.archived_at != 0).then(|| timestamp(self.archived_at)),
            retention_days: u32::try_from(self.retention_days).unwrap_or(0),
        }
    }
}

fn kind_of(kind: i32) -> RoomKind {
    RoomKind::try_from(kind).unwrap_or(RoomKind::Private)
}

/// One room.
pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// A page of the rooms `mine`, and of all public ones when `public` is set, by name.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    mine: &[Uuid],
    public: bool,
    after: Option<(String, Uuid)>,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut seen = Condition::any().add(Column::Id.is_in(mine.iter().copied()));
    if public {
        seen = seen.add(Column::Kind.eq(RoomKind::Public as i32));
    }
    let mut query = Entity::find().filter(seen);
    if let Some((name, id)) = after {
        let same = Condition::all().add(Column::SortName.eq(name.clone())).add(Column::Id.gt(id));
        query = query.filter(Condition::any().add(Column::SortName.gt(name)).add(same));
    }
    query.order_by_asc(Column::SortName).order_by_asc(Column::Id).limit(rows).all(db).await
}

/// Writes a new room.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, room: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(room)).exec_without_returning(db).await?;
    Ok(())
}

/// Writes what can be changed.
pub(crate) async fn update<C: ConnectionTrait>(db: &C, room: &Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(room.id),
        name: Set(room.name.clone()),
        sort_name: Set(room.sort_name.clone()),
        topic: Set(room.topic.clone()),
        history: Set(room.history),
        permissions: Set(room.permissions),
        archived_at: Set(room.archived_at),
        retention_days: Set(room.retention_days),
        ..Default::default()
    };
    Entity::update(row).exec(db).await?;
    Ok(())
}

/// Rooms that do not keep messages for ever, by id from one on: those that say so themselves, or all of them.
pub(crate) async fn forgetful<C: ConnectionTrait>(
    db: &C,
    all: bool,
    from: Uuid,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::Id.gte(from));
    if !all {
        query = query.filter(Column::RetentionDays.gt(0));
    }
    query.order_by_asc(Column::Id).limit(rows).all(db).await
}

/// Notes up to where messages are gone.
pub(crate) async fn expired<C: ConnectionTrait>(db: &C, id: Uuid, expired: Marker) -> Result<(), DbErr> {
    let (seq, ordinal) = (Set(signed(expired.seq)), Set(signed(expired.ordinal)));
    let row = ActiveModel { id: Set(id), expired_seq: seq, expired_ordinal: ordinal, ..Default::default() };
    Entity::update(row).exec(db).await?;
    Ok(())
}

/// Counts a member in or out.
pub(crate) async fn count_member<C: ConnectionTrait>(db: &C, id: Uuid, change: i32) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::MemberCount, Expr::col(Column::MemberCount).add(change))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}
