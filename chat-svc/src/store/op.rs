//! `op`: what every operation id was used for, for ever.
//!
//! The answer to a send or an edit is the message as the event has it, so only the event is named: when it is redacted, a
//! repeated call is answered with what is left, and nothing has to be hunted down.

use bytes::Bytes;
use mesh::db::{Insert, Rows};
use sea_orm::{Condition, entity::prelude::*};

use super::signed;
use crate::errors::ChatError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "op")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) op_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    pub(crate) hash: Vec<u8>,
    /// The first answer; nothing when it is an event's message.
    pub(crate) response: Option<Vec<u8>>,
    pub(crate) message_id: Option<Uuid>,
    /// The event with the message as it was answered.
    pub(crate) seq: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a caller says an operation is.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) user_id: Uuid,
    pub(crate) op_id: Uuid,
    /// SHA-256 of the method and the request's fields in the order of the contract.
    pub(crate) hash: [u8; 32],
}

/// How an operation was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) op: Op,
    pub(crate) response: Bytes,
    /// The message that the answer consists of, and the event that holds it.
    pub(crate) message: Option<(Uuid, u64)>,
}

/// Those of some operations that were answered before.
pub(crate) async fn some<C: ConnectionTrait>(db: &C, ops: &[&Op]) -> Result<Vec<Model>, DbErr> {
    let mut known = Vec::new();
    for some in super::portions(ops) {
        let ids = some.iter().map(|op| op.op_id);
        let users = some.iter().map(|op| op.user_id);
        let these = Condition::all().add(Column::OpId.is_in(ids)).add(Column::UserId.is_in(users));
        known.extend(Entity::find().filter(these).all(db).await?);
    }
    Ok(known)
}

impl Model {
    /// Refuses an operation that is another one under the same id.
    pub(crate) fn check(&self, op: &Op) -> Result<(), ChatError> {
        if self.hash == op.hash { Ok(()) } else { Err(ChatError::OpIdReused) }
    }
}

pub(super) static INSERT: Insert<6> =
    Insert::new("op", &["op_id", "user_id", "hash", "response", "message_id", "seq"], "");

/// Remembers answers. Fails when one of the operations was answered before: the batch is then run again and finds that answer.
pub(crate) fn save(answers: &[Answered]) -> Rows {
    let row = |answered: &Answered| {
        let (message_id, seq) = answered.message.unzip();
        [
            answered.op.op_id.into(),
            answered.op.user_id.into(),
            answered.op.hash.to_vec().into(),
            answered.message.is_none().then(|| answered.response.to_vec()).into(),
            message_id.into(),
            seq.map(signed).into(),
        ]
    };
    INSERT.rows(answers.iter().map(row))
}
