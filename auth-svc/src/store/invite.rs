//! `invite` and `invite_use`: invitations, and who used them.

use proto::auth::v1::WorkspaceRole;
use sea_orm::{ExprTrait as _, QueryOrder as _, QuerySelect as _, Set, TryInsertResult, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invite")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) hash: Vec<u8>,
    pub(crate) created_by: Uuid,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    /// 0 for any number.
    pub(crate) max_uses: i64,
    pub(crate) uses: i64,
    pub(crate) role: i32,
    /// JSON: `[[ROOM_ID, ROOM_ROLE], …]`.
    pub(crate) rooms: String,
    pub(crate) note: String,
    /// 0 while it is good.
    pub(crate) revoked_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Whether it can be used.
    pub(crate) const fn is_good(&self, now: i64) -> bool {
        self.revoked_at == 0 && self.expires_at > now && (self.max_uses == 0 || self.uses < self.max_uses)
    }

    /// The role of whoever registers with it.
    pub(crate) fn role(&self) -> WorkspaceRole {
        WorkspaceRole::try_from(self.role).unwrap_or(WorkspaceRole::Guest)
    }
}

mod uses {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "invite_use")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub invite_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        pub used_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, invite: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(invite)).exec_without_returning(db).await?;
    Ok(())
}

/// A page of invitations, the newest first.
pub(crate) async fn page<C: ConnectionTrait>(db: &C, before: Option<Uuid>, rows: u64) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().order_by_desc(Column::Id).limit(rows);
    if let Some(before) = before {
        query = query.filter(Column::Id.lt(before));
    }
    query.all(db).await
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

/// Counts a use, if there is one left. The statement itself decides, so that however many come at once, no more get in.
pub(crate) async fn count_use<C: ConnectionTrait>(db: &C, id: Uuid, now: i64) -> Result<bool, DbErr> {
    let left = sea_orm::Condition::any()
        .add(Column::MaxUses.eq(0))
        .add(Expr::col(Column::Uses).lt(Expr::col(Column::MaxUses)));
    let changed = Entity::update_many()
        .col_expr(Column::Uses, Expr::col(Column::Uses).add(1))
        .filter(Column::Id.eq(id))
        .filter(Column::RevokedAt.eq(0))
        .filter(Column::ExpiresAt.gt(now))
        .filter(left)
        .exec(db)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Notes who used it. False when they did before.
pub(crate) async fn note_use<C: ConnectionTrait>(db: &C, id: Uuid, user_id: Uuid, now: i64) -> Result<bool, DbErr> {
    let row = uses::ActiveModel { invite_id: Set(id), user_id: Set(user_id), used_at: Set(now) };
    let once = [uses::Column::InviteId, uses::Column::UserId];
    let inserted = uses::Entity::insert(row).on_conflict_do_nothing_on(once).exec_without_returning(db).await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0))
}
