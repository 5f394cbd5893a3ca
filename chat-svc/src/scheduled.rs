//! Messages that are sent later. They wait in the chat database and are sent by whichever process looks first: sent by two, they are one
//! message, for they have the `op_id` that their author gave them.

use std::time::Duration;

use mesh::{authn::Rank, clock::Clock, db::Db};
use prost::Message as _;
use proto::chat::v1::{ScheduledMessage, SendMessageRequest};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    append::Appender,
    command::{self, Action, Actor, Command, Place},
    errors::ChatError,
    policy, rooms,
    store::{self, scheduled},
};

/// What is due is looked for this often.
const LOOK: Duration = Duration::from_secs(1);
/// So many are sent between two looks.
const PORTION: u64 = 100;
/// The most that one person may have waiting.
const MOST: usize = 100;

/// Puts a message off. The same operation again is answered as the first time.
pub(crate) async fn schedule(
    db: &Db,
    actor: Actor,
    room_id: Uuid,
    op_id: Uuid,
    request: &SendMessageRequest,
    send_at: OffsetDateTime,
) -> Result<ScheduledMessage, ChatError> {
    let row = scheduled::Model {
        user_id: actor.user_id,
        op_id,
        rank: actor.rank.name().to_owned(),
        request: request.encode_to_vec(),
        send_at: store::micros(send_at),
        error: String::new(),
    };
    let tx = db.begin().await?;
    if let Some(first) = scheduled::find(&tx, actor.user_id, op_id).await? {
        let same = first.request == row.request && first.send_at == row.send_at;
        return if same { Ok(shown(first)) } else { Err(ChatError::OpIdReused) };
    }
    rooms::open(&tx, room_id, actor, policy::Action::Post).await?;
    if scheduled::of(&tx, actor.user_id).await?.len() >= MOST {
        return Err(ChatError::TooManyScheduled);
    }
    scheduled::add(&tx, row.clone()).await?;
    tx.commit().await?;
    Ok(shown(row))
}

/// As the contract has it.
pub(crate) fn shown(row: scheduled::Model) -> ScheduledMessage {
    ScheduledMessage {
        id: row.op_id.to_string(),
        request: SendMessageRequest::decode(row.request.as_slice()).ok(),
        send_at: Some(store::timestamp(row.send_at)),
        error: row.error,
    }
}

/// Sends what is due, until `stop`.
pub(crate) async fn run(db: Db, appender: Appender, clock: Clock, stop: CancellationToken) {
    loop {
        if let Err(cause) = send_due(&db, &appender, clock.now()).await {
            tracing::warn!(%cause, "scheduled messages cannot be sent; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn send_due(db: &Db, appender: &Appender, now: OffsetDateTime) -> Result<(), ChatError> {
    for row in scheduled::due(db.reader(), store::micros(now), PORTION).await? {
        let refused = match send(appender, &row).await {
            Ok(()) => None,
            Err(cause @ (ChatError::StoreUnavailable(_) | ChatError::Internal(_))) => return Err(cause),
            Err(cause) => Some(cause.to_string()),
        };
        let tx = db.begin().await?;
        match refused {
            None => _ = scheduled::forget(&tx, row.user_id, row.op_id).await?,
            Some(why) => scheduled::failed(&tx, &row, &why).await?,
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Sends one as its author would send it now.
async fn send(appender: &Appender, row: &scheduled::Model) -> Result<(), ChatError> {
    let request = SendMessageRequest::decode(row.request.as_slice()).map_err(ChatError::internal)?;
    let room_id = Uuid::try_parse(&request.room_id).map_err(ChatError::internal)?;
    let action = Action::SendMessage { room_id, text: request.text.clone().into(), files: Vec::new() };
    let op = command::op(row.user_id, Some(row.op_id), "SendMessage", &request);
    let actor = Actor { user_id: row.user_id, rank: Rank::named(&row.rank) };
    appender.commit(Command { actor, op, action, place: Place::default() }).await.map(drop)
}
