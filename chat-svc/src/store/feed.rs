//! `feed`: the counters. One row a room and one a user; the row's lock is what puts a feed's events in order.

use std::collections::HashMap;

use mesh::db::{Counters, Insert, Rows};
use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) head: i64,
    pub(crate) ordinal: i64,
    pub(crate) changed: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a feed stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the newest event.
    pub(crate) seq: u64,
    /// The ordinal of the newest message.
    pub(crate) ordinal: u64,
    /// The number of the newest event that changed the room or its members: what was known of them at this number still holds.
    pub(crate) changed: u64,
}

impl From<Model> for Head {
    fn from(row: Model) -> Self {
        Self { seq: unsigned(row.head), ordinal: unsigned(row.ordinal), changed: unsigned(row.changed) }
    }
}

/// Where these feeds stand; those without events are left out.
pub(crate) async fn heads<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<HashMap<Uuid, Head>, DbErr> {
    let mut heads = HashMap::with_capacity(ids.len());
    for some in super::portions(ids) {
        let rows = Entity::find().filter(Column::Id.is_in(some.iter().copied())).all(db).await?;
        heads.extend(rows.into_iter().map(|row| (row.id, row.into())));
    }
    Ok(heads)
}

/// Gives a counter to those of these feeds, which must be sorted, that have none. Before anything is locked: who waits here
/// for another transaction's new counter holds nothing but new counters of lower ids.
pub(crate) async fn add<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<(), DbErr> {
    for some in super::portions(ids) {
        let new = some.iter().map(|id| ActiveModel { id: Set(*id), head: Set(0), ordinal: Set(0), changed: Set(0) });
        Entity::insert_many(new).on_conflict_do_nothing_on([Column::Id]).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Locks the counters of these feeds, which must be sorted and have one, and tells where they stand. Whoever else wants one of
/// them waits until the transaction ends; as everybody locks by rising id, nobody waits in a circle.
pub(crate) async fn lock<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<HashMap<Uuid, Head>, DbErr> {
    let mut heads = HashMap::with_capacity(ids.len());
    for some in super::portions(ids) {
        let rows = locked(db, some).await?;
        heads.extend(rows.into_iter().map(|row| (row.id, row.into())));
    }
    Ok(heads)
}

async fn locked<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    // SQLite has no row locks and needs none: one connection writes.
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).order_by_asc(Column::Id).lock_exclusive().all(db).await
}

/// Where one feed stands.
pub(crate) async fn head<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Head, DbErr> {
    Ok(Entity::find_by_id(id).one(db).await?.map_or_else(Head::default, Head::from))
}

/// The counters, for a commit that sees for itself whether somebody else moved them. No counter moves without its head.
pub(crate) static COUNTERS: Counters = Counters { table: "feed", id: "id", moves: ["head", "ordinal", "changed"] };

pub(super) static INSERT: Insert<4> = Insert::new(
    "feed",
    &["id", "head", "ordinal", "changed"],
    "ON CONFLICT (id) DO UPDATE SET head = excluded.head, ordinal = excluded.ordinal, changed = excluded.changed",
);

/// Moves counters on.
pub(crate) fn save(heads: &[(Uuid, Head)]) -> Rows {
    let row = |(id, head): &(Uuid, Head)| {
        [(*id).into(), signed(head.seq).into(), signed(head.ordinal).into(), signed(head.changed).into()]
    };
    INSERT.rows(heads.iter().map(row))
}
