//! Jobs that come back by a plan.

use sea_orm::{QueryOrder as _, Set, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "planned")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) next_at: i64,
    pub(crate) last_at: Option<i64>,
    pub(crate) last_error: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// By their next time.
pub(crate) async fn list<C: ConnectionTrait>(db: &C) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::NextAt).all(db).await
}

/// Writes a job down; one whose plan is the same keeps its next time.
pub(crate) async fn plan<C: ConnectionTrait>(db: &C, name: &str, cron: &str, next_at: i64) -> Result<(), DbErr> {
    let row = ActiveModel {
        name: Set(name.into()),
        cron: Set(cron.into()),
        next_at: Set(next_at),
        last_at: Set(None),
        last_error: Set(String::new()),
    };
    Entity::insert(row).on_conflict_do_nothing_on([Column::Name]).exec_without_returning(db).await?;
    let changed = ActiveModel { cron: Set(cron.into()), next_at: Set(next_at), ..Default::default() };
    let other = Column::Name.eq(name);
    Entity::update_many().set(changed).filter(other).filter(Column::Cron.ne(cron)).exec(db).await?;
    Ok(())
}

/// Takes a job whose time has come, for this process. False when another one was quicker.
pub(crate) async fn take<C: ConnectionTrait>(db: &C, row: &Model, next_at: i64, now: i64) -> Result<bool, DbErr> {
    let changed = ActiveModel { next_at: Set(next_at), last_at: Set(Some(now)), ..Default::default() };
    let mine = Column::Name.eq(row.name.as_str());
    let taken = Entity::update_many().set(changed).filter(mine).filter(Column::NextAt.eq(row.next_at)).exec(db).await?;
    Ok(taken.rows_affected > 0)
}

/// Lets it run now. False when there is none.
pub(crate) async fn hurry<C: ConnectionTrait>(db: &C, name: &str, now: i64) -> Result<bool, DbErr> {
    let changed = ActiveModel { next_at: Set(now), ..Default::default() };
    Ok(Entity::update_many().set(changed).filter(Column::Name.eq(name)).exec(db).await?.rows_affected > 0)
}

/// Notes how it ended.
pub(crate) async fn ended<C: ConnectionTrait>(db: &C, name: &str, error: &str) -> Result<(), DbErr> {
    let changed = ActiveModel { last_error: Set(error.into()), ..Default::default() };
    Entity::update_many().set(changed).filter(Column::Name.eq(name)).exec(db).await?;
    Ok(())
}
