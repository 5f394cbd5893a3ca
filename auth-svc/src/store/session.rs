//! `session`: who is signed in where. Of refresh tokens only hashes are kept.

use std::collections::HashMap;

use sea_orm::{FromQueryResult, QueryOrder as _, QuerySelect as _, QueryTrait as _, Set, entity::prelude::*};

use super::account;

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
    /// From where it was last used; may be empty.
    pub(crate) address: String,
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
    address: String,
    now: i64,
) -> Result<(), DbErr> {
    let address = if address.is_empty() { session.address.clone() } else { address };
    let changed = ActiveModel {
        id: Set(session.id),
        address: Set(address),
        previous_hash: Set(session.current_hash.clone()),
        current_hash: Set(successor),
        rotated_at: Set(now),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Ends sessions.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, ids: &[Uuid], now: i64) -> Result<(), DbErr> {
    for some in ids.chunks(500) {
        Entity::update_many()
            .col_expr(Column::EndedAt, Expr::value(now))
            .filter(Column::Id.is_in(some.iter().copied()))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// An account's living sessions that were used since then, the one used last first.
pub(crate) async fn of_user<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    since: i64,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndedAt.eq(0))
        .filter(Column::RotatedAt.gt(since))
        .order_by_desc(Column::RotatedAt)
        .limit(rows)
        .all(db)
        .await
}

/// From where living sessions of the account of this name, or of those with this address, were last used, the latest first. One
/// statement whether there is such an account or not.
pub(crate) async fn places<C: ConnectionTrait>(
    db: &C,
    account: &str,
    since: i64,
    rows: u64,
) -> Result<Vec<String>, DbErr> {
    let named = if account.contains('@') { account::Column::Email } else { account::Column::Username };
    let theirs =
        account::Entity::find().select_only().column(account::Column::Id).filter(named.eq(account)).into_query();
    Entity::find()
        .select_only()
        .column(Column::Address)
        .filter(Column::UserId.in_subquery(theirs))
        .filter(Column::EndedAt.eq(0))
        .filter(Column::RotatedAt.gt(since))
        .order_by_desc(Column::RotatedAt)
        .limit(rows)
        .into_tuple()
        .all(db)
        .await
}

/// The ids of all sessions of an account that were not ended, which nobody else changes before the transaction ends.
pub(crate) async fn lock_of_user<C: ConnectionTrait>(tx: &C, user_id: Uuid) -> Result<Vec<Uuid>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndedAt.eq(0))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Sessions that ended since then.
pub(crate) async fn ended_since<C: ConnectionTrait>(db: &C, since: i64) -> Result<Vec<Uuid>, DbErr> {
    Entity::find().select_only().column(Column::Id).filter(Column::EndedAt.gt(since)).into_tuple().all(db).await
}

/// How many living sessions an account has, and when one of them was last used.
#[derive(Clone, Copy, Debug, FromQueryResult)]
pub(crate) struct Activity {
    user_id: Uuid,
    pub(crate) sessions: i64,
    pub(crate) last_used_at: i64,
}

/// Of these accounts, those that have living sessions used since then.
pub(crate) async fn activity<C: ConnectionTrait>(
    db: &C,
    users: &[Uuid],
    since: i64,
) -> Result<HashMap<Uuid, Activity>, DbErr> {
    let rows: Vec<Activity> = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column_as(Column::Id.count(), "sessions")
        .column_as(Column::RotatedAt.max(), "last_used_at")
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::EndedAt.eq(0))
        .filter(Column::RotatedAt.gt(since))
        .group_by(Column::UserId)
        .into_model()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row)).collect())
}

/// Those of these sessions that are alive.
pub(crate) async fn alive<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let mut alive = Vec::new();
    for some in ids.chunks(500) {
        // Whether they have ended is not asked in the query: SQLite would go through all that have not.
        let these = Entity::find().filter(Column::Id.is_in(some.iter().copied()));
        let columns = these.select_only().columns([Column::Id, Column::EndedAt]);
        let rows: Vec<(Uuid, i64)> = columns.into_tuple().all(db).await?;
        alive.extend(rows.into_iter().filter(|(_, ended_at)| *ended_at == 0).map(|(id, _)| id));
    }
    Ok(alive)
}
