//! `session`: who is signed in where. Of refresh tokens only hashes are kept.

use sea_orm::{QuerySelect as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) device: String,
    /// Goes into every successor of a refresh token.
    pub(crate) key: Vec<u8>,
    pub(crate) current_hash: Vec<u8>,
    pub(crate) previous_hash: Vec<u8>,
    pub(crate) created_at: i64,
    /// When the refresh token was last changed: the session counts as idle from then.
    pub(crate) rotated_at: i64,
    /// 0 while it is alive.
    pub(crate) ended_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The session, which nobody else changes before the transaction ends.
pub(crate) async fn lock<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(tx).await
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, session: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(session)).exec_without_returning(db).await?;
    Ok(())
}

/// Notes that the refresh token was changed.
pub(crate) async fn rotate<C: ConnectionTrait>(
    db: &C,
    session: &Model,
    successor: Vec<u8>,
    now: i64,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        id: Set(session.id),
        previous_hash: Set(session.current_hash.clone()),
        current_hash: Set(successor),
        rotated_at: Set(now),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Ends a session.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, id: Uuid, now: i64) -> Result<(), DbErr> {
    let changed = ActiveModel { id: Set(id), ended_at: Set(now), ..Default::default() };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Those of these sessions that are alive.
pub(crate) async fn alive<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let mut alive = Vec::new();
    for some in ids.chunks(500) {
        let rows =
            Entity::find().filter(Column::Id.is_in(some.iter().copied())).filter(Column::EndedAt.eq(0)).all(db).await?;
        alive.extend(rows.into_iter().map(|row| row.id));
    }
    Ok(alive)
}
