//! `access_token`: how programs sign in. Of a token only a hash is kept.

use sea_orm::{PaginatorTrait as _, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "access_token")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) name: String,
    /// With blanks between.
    pub(crate) scopes: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) created_at: i64,
    /// 0 for never.
    pub(crate) expires_at: i64,
    /// 0 for never.
    pub(crate) last_used_at: i64,
    pub(crate) last_address: String,
    /// 0 while it is good.
    pub(crate) revoked_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether it is neither revoked nor over.
    pub(crate) const fn is_good(&self, now: i64) -> bool {
        self.revoked_at == 0 && (self.expires_at == 0 || self.expires_at > now)
    }
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, token: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(token)).exec_without_returning(db).await?;
    Ok(())
}

fn good_ones(user_id: Uuid, now: i64) -> sea_orm::Select<Entity> {
    let lasts = sea_orm::Condition::any().add(Column::ExpiresAt.eq(0)).add(Column::ExpiresAt.gt(now));
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::RevokedAt.eq(0)).filter(lasts)
}

/// An account's good tokens, the newest first.
pub(crate) async fn of_user<C: ConnectionTrait>(db: &C, user_id: Uuid, now: i64) -> Result<Vec<Model>, DbErr> {
    good_ones(user_id, now).order_by_desc(Column::Id).all(db).await
}

/// How many good tokens an account has.
pub(crate) async fn count<C: ConnectionTrait>(db: &C, user_id: Uuid, now: i64) -> Result<u64, DbErr> {
    good_ones(user_id, now).count(db).await
}

/// Notes that it is no longer good. False when that was so before.
pub(crate) async fn revoke<C: ConnectionTrait>(db: &C, id: Uuid, now: i64) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::RevokedAt.eq(0))
        .exec(db)
        .await?;
    Ok(changed.rows_affected > 0)
}

/// Notes that it was used.
pub(crate) async fn used<C: ConnectionTrait>(db: &C, id: Uuid, address: &str, now: i64) -> Result<(), DbErr> {
    let changed = ActiveModel {
        id: Set(id),
        last_used_at: Set(now),
        last_address: Set(address.to_owned()),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Tokens that were revoked since then.
pub(crate) async fn revoked_since<C: ConnectionTrait>(db: &C, since: i64) -> Result<Vec<Uuid>, DbErr> {
    Entity::find().select_only().column(Column::Id).filter(Column::RevokedAt.gt(since)).into_tuple().all(db).await
}

/// Those of these that are good and whose accounts can sign in.
pub(crate) async fn alive<C: ConnectionTrait>(db: &C, ids: &[Uuid], now: i64) -> Result<Vec<Uuid>, DbErr> {
    let mut alive = Vec::new();
    for some in ids.chunks(500) {
        let rows = Entity::find().filter(Column::Id.is_in(some.iter().copied())).all(db).await?;
        let users: Vec<Uuid> = rows.iter().map(|row| row.user_id).collect();
        let accounts = super::account::some(db, &users).await?;
        let signs_in = |id| accounts.iter().any(|account| account.id == id && !account.disabled);
        alive.extend(rows.into_iter().filter(|row| row.is_good(now) && signs_in(row.user_id)).map(|row| row.id));
    }
    Ok(alive)
}
