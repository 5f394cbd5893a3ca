//! `op`: what every operation id was used for, for ever.

use bytes::Bytes;
use sea_orm::{Set, entity::prelude::*};

use crate::errors::ChatError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "op")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) op_id: Uuid,
    pub(crate) method: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a caller says an operation is.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) user_id: Uuid,
    pub(crate) op_id: Uuid,
    pub(crate) method: &'static str,
    /// SHA-256 of the request's fields in the order of the contract.
    pub(crate) hash: [u8; 32],
}

/// The first answer to an operation, if there was one.
pub(crate) async fn answered<C: ConnectionTrait>(db: &C, op: &Op) -> Result<Option<Bytes>, ChatError> {
    let Some(row) = Entity::find_by_id((op.user_id, op.op_id)).one(db).await? else {
        return Ok(None);
    };
    if row.method != op.method || row.hash != op.hash {
        return Err(ChatError::OpIdReused);
    }
    Ok(Some(row.response.into()))
}

/// Remembers answers. Fails when one of the operations was answered meanwhile by another process: the batch is then run
/// again and finds that answer.
pub(crate) async fn save<C: ConnectionTrait>(db: &C, answers: &[(Op, Bytes)]) -> Result<(), DbErr> {
    if answers.is_empty() {
        return Ok(());
    }
    let rows = answers.iter().map(|(op, response)| ActiveModel {
        user_id: Set(op.user_id),
        op_id: Set(op.op_id),
        method: Set(op.method.into()),
        hash: Set(op.hash.to_vec()),
        response: Set(response.to_vec()),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Replaces what some operations of a user are answered from now on: what the first answers held is gone.
pub(crate) async fn replace<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    op_ids: &[Uuid],
    response: &[u8],
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Response, Expr::value(response.to_vec()))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::OpId.is_in(op_ids.iter().copied()))
        .exec(db)
        .await?;
    Ok(())
}
