//! Messages that are sent later. They wait in the chat database and are sent by whichever process looks first: sent by two, they are one
//! message, for they have the `op_id` that their author gave them.
//!
//! They are sent as their author could send them then. What the author is in the workspace is asked of auth-svc when they are due; while
//! it does not answer, they wait.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use mesh::{authn::Rank, clock::Clock, db::Db, rpc::Upstream};
use prost::Message as _;
use proto::{
    auth::v1::{GetUsersRequest, User, user_service_client::UserServiceClient},
    chat::v1::{ScheduledMessage, SendMessageRequest},
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::Request;
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
/// So many are sent between two looks: no more than there may be authors in one question to auth-svc.
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

/// What sends messages that were put off.
pub(crate) struct Scheduled {
    pub(crate) db: Db,
    pub(crate) appender: Appender,
    /// Knows what authors are by now.
    pub(crate) users: UserServiceClient<Upstream>,
    pub(crate) clock: Clock,
}

impl Scheduled {
    /// Sends what is due, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(cause) = self.send_due(&stop).await {
                tracing::warn!(%cause, "scheduled messages cannot be sent; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn send_due(&self, stop: &CancellationToken) -> Result<(), ChatError> {
        let rows = scheduled::due(self.db.reader(), store::micros(self.clock.now()), PORTION).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let ranks = tokio::select! {
            ranks = self.ranks(&rows) => ranks?,
            () = stop.cancelled() => return Ok(()),
        };
        for row in rows {
            let refused = match self.send(&row, ranks.get(&row.user_id).copied()).await {
                Ok(()) => None,
                Err(cause @ (ChatError::StoreUnavailable(_) | ChatError::Internal(_))) => return Err(cause),
                Err(cause) => Some(cause.to_string()),
            };
            let tx = self.db.begin().await?;
            match refused {
                None => _ = scheduled::forget(&tx, row.user_id, row.op_id).await?,
                Some(why) => scheduled::failed(&tx, &row, &why).await?,
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// What the authors are in the workspace by now.
    async fn ranks(&self, rows: &[scheduled::Model]) -> Result<HashMap<Uuid, Rank>, ChatError> {
        let authors: HashSet<Uuid> = rows.iter().map(|row| row.user_id).collect();
        let request = Request::new(GetUsersRequest { user_ids: authors.iter().map(Uuid::to_string).collect() });
        let found = self.users.clone().get_users(request).await.map_err(ChatError::service)?;
        Ok(found.into_inner().users.iter().filter_map(active).collect())
    }

    /// Sends one as its author would send it now.
    async fn send(&self, row: &scheduled::Model, rank: Option<Rank>) -> Result<(), ChatError> {
        let actor = Actor { user_id: row.user_id, rank: rank.ok_or(ChatError::AuthorDisabled)? };
        let request = SendMessageRequest::decode(row.request.as_slice()).map_err(ChatError::internal)?;
        let room_id = Uuid::try_parse(&request.room_id).map_err(ChatError::internal)?;
        let action = Action::SendMessage { room_id, text: request.text.clone().into(), files: Vec::new() };
        let op = command::op(row.user_id, Some(row.op_id), "SendMessage", &request);
        self.appender.commit(Command { actor, op, action, place: Place::default() }).await.map(drop)
    }
}

/// Somebody's standing in the workspace; nothing of who can no longer sign in, and so can no longer send.
fn active(user: &User) -> Option<(Uuid, Rank)> {
    let id = Uuid::try_parse(&user.id).ok()?;
    (!user.disabled).then(|| (id, policy::rank_of(user.role())))
}
