//! `secret`: what was made on the first start and must stay: the signing key, the hash of the setup token.

use sea_orm::{Set, entity::prelude::*};

/// The seed of the Ed25519 key that signs access tokens.
pub(crate) const SIGNING_SEED: &str = "signing-seed";
/// The first account: only one of those that register at once is it.
pub(crate) const FIRST_ACCOUNT: &str = "first-account";
/// SHA-256 of the setup token that was printed.
pub(crate) const SETUP_TOKEN_HASH: &str = "setup-token-hash";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secret")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, name: &str) -> Result<Option<Vec<u8>>, DbErr> {
    Ok(Entity::find_by_id(name.to_owned()).one(db).await?.map(|row| row.value))
}

/// The value that is kept, which is `new` only if there was none.
pub(crate) async fn keep<C: ConnectionTrait>(db: &C, name: &str, new: Vec<u8>) -> Result<Vec<u8>, DbErr> {
    let row = ActiveModel { name: Set(name.into()), value: Set(new) };
    Entity::insert(row).on_conflict_do_nothing_on([Column::Name]).exec_without_returning(db).await?;
    find(db, name).await?.ok_or_else(|| DbErr::RecordNotFound(name.into()))
}

/// Keeps a value in place of what was there.
pub(crate) async fn replace<C: ConnectionTrait>(db: &C, name: &str, value: Vec<u8>) -> Result<(), DbErr> {
    let row = ActiveModel { name: Set(name.into()), value: Set(value) };
    let conflict = sea_orm::sea_query::OnConflict::column(Column::Name).update_column(Column::Value).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(db).await?;
    Ok(())
}
