//! `quota_usage`: how much everybody keeps, and, under the nil id, all together. Changed by single statements in the
//! transaction of what is kept or let go, always the user's row before that of all.

use sea_orm::{
    QueryOrder as _, QuerySelect as _, Set,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota_usage")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) owner: Uuid,
    pub(crate) bytes: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Adds bytes (or takes them off) unless they would then be more than `limit`, and tells whether it did. 0 is no limit.
pub(crate) async fn add<C: ConnectionTrait>(tx: &C, owner: Uuid, bytes: i64, limit: i64) -> Result<bool, DbErr> {
    let none = ActiveModel { owner: Set(owner), bytes: Set(0) };
    Entity::insert(none).on_conflict_do_nothing_on([Column::Owner]).exec_without_returning(tx).await?;
    let mut update = Entity::update_many()
        .col_expr(Column::Bytes, Expr::col(Column::Bytes).add(bytes))
        .filter(Column::Owner.eq(owner));
    if limit > 0 && bytes > 0 {
        update = update.filter(Expr::col(Column::Bytes).add(bytes).lte(limit));
    }
    Ok(update.exec(tx).await?.rows_affected == 1)
}

pub(crate) async fn of<C: ConnectionTrait>(db: &C, owner: Uuid) -> Result<i64, DbErr> {
    Ok(Entity::find_by_id(owner).one(db).await?.map_or(0, |row| row.bytes))
}

/// Users by what they keep, most first, after a row.
pub(crate) async fn most<C: ConnectionTrait>(
    db: &C,
    after: Option<(i64, Uuid)>,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::Owner.ne(Uuid::nil())).filter(Column::Bytes.gt(0));
    if let Some((bytes, owner)) = after {
        let same = Column::Bytes.eq(bytes).and(Column::Owner.gt(owner));
        query = query.filter(Column::Bytes.lt(bytes).or(same));
    }
    query.order_by_desc(Column::Bytes).order_by_asc(Column::Owner).limit(rows).all(db).await
}
