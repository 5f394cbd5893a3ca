//! Mentions that wait for a mail, and the round in which each person's are gathered.

use mesh::db::{Db, micros};
use sea_orm::{
    IntoActiveModel as _, QueryOrder as _, QuerySelect as _, Set, entity::prelude::*, sea_query::OnConflict,
};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mention")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) round: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) message_id: Uuid,
    /// Who is mentioned.
    pub(crate) user_id: Uuid,
    pub(crate) room_id: Uuid,
    /// The event that mentions them.
    pub(crate) seq: i64,
    pub(crate) author_id: Uuid,
    pub(crate) due_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The newest round of each person.
pub(crate) mod round {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mention_round")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) user_id: Uuid,
        pub(crate) round: Uuid,
        pub(crate) due_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A person's newest round, which nobody else changes before the transaction ends. One that ended long ago when there was none.
pub(crate) async fn lock_round<C: ConnectionTrait>(tx: &C, user_id: Uuid) -> Result<Option<round::Model>, DbErr> {
    let none = round::ActiveModel { user_id: Set(user_id), round: Set(Uuid::nil()), due_at: Set(0) };
    let insert = round::Entity::insert(none).on_conflict_do_nothing_on([round::Column::UserId]);
    insert.exec_without_returning(tx).await?;
    round::Entity::find_by_id(user_id).lock_exclusive().one(tx).await
}

/// Begins a round of somebody whose rounds are locked.
pub(crate) async fn begin_round<C: ConnectionTrait>(
    tx: &C,
    user_id: Uuid,
    round: Uuid,
    due_at: i64,
) -> Result<(), DbErr> {
    let row = round::ActiveModel { user_id: Set(user_id), round: Set(round), due_at: Set(due_at) };
    round::Entity::update(row).exec(tx).await?;
    Ok(())
}

/// Takes a mention into a round, once.
pub(crate) async fn add<C: ConnectionTrait>(db: &C, row: Model) -> Result<(), DbErr> {
    let once = OnConflict::columns([Column::Round, Column::MessageId]).update_column(Column::Seq).to_owned();
    Entity::insert(row.into_active_model()).on_conflict(once).exec_without_returning(db).await?;
    Ok(())
}

/// A round's mentions, in the order in which the messages were posted.
pub(crate) async fn of_round<C: ConnectionTrait>(db: &C, round: Uuid, most: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Round.eq(round)).order_by_asc(Column::MessageId).limit(most).all(db).await
}

/// Forgets a round that has ended.
pub(crate) async fn forget_round<C: ConnectionTrait>(db: &C, user_id: Uuid, id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Round.eq(id)).exec(db).await?;
    let newest = round::Entity::delete_many().filter(round::Column::UserId.eq(user_id));
    newest.filter(round::Column::Round.eq(id)).exec(db).await?;
    Ok(())
}

/// Forgets what should have ended before a time.
pub(crate) async fn forget_before(db: &Db, at: OffsetDateTime) -> Result<(), DbErr> {
    let (at, tx) = (micros(at), db.begin().await?);
    Entity::delete_many().filter(Column::DueAt.lt(at)).exec(&tx).await?;
    round::Entity::delete_many().filter(round::Column::DueAt.lt(at)).exec(&tx).await?;
    tx.commit().await
}
