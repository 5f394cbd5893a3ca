//! `audit_head`: the number and the hash of the newest entry. Its one row is what writers of entries wait for.

use sea_orm::{QuerySelect as _, Set, entity::prelude::*};

/// The one row.
pub(super) const ID: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i32,
    seq: i64,
    hash: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The newest entry; nobody else writes one before the transaction ends.
pub(super) async fn lock<C: ConnectionTrait>(tx: &C) -> Result<(i64, Vec<u8>), DbErr> {
    found(Entity::find_by_id(ID).lock_exclusive().one(tx).await?)
}

/// The newest entry.
pub(super) async fn read<C: ConnectionTrait>(db: &C) -> Result<(i64, Vec<u8>), DbErr> {
    found(Entity::find_by_id(ID).one(db).await?)
}

fn found(row: Option<Model>) -> Result<(i64, Vec<u8>), DbErr> {
    row.map(|row| (row.seq, row.hash)).ok_or_else(|| DbErr::RecordNotFound("audit_head".into()))
}

/// Notes the newest entry.
pub(super) async fn advance<C: ConnectionTrait>(tx: &C, seq: i64, hash: Vec<u8>) -> Result<(), DbErr> {
    let row = ActiveModel { id: Set(ID), seq: Set(seq), hash: Set(hash) };
    Entity::update(row).exec(tx).await?;
    Ok(())
}
