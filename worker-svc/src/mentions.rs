//! Mail for mentions while away: who is mentioned and may be sent mail has a round of their own, which gathers what mentions them until its
//! time comes. Then those who have neither read it nor are there get one mail.
//!
//! A round waits as a message that was put off, so that a restart loses none and the operator sees it. Asks auth-svc and chat-svc, and
//! knows neither addresses nor texts.

use std::time::Duration;

use mesh::{
    bus::{Bus, Delivery, Destination, Envelope, HandlerError, QueueSpec},
    clock::Clock,
    db::{Db, micros},
    ids, inbox,
    rpc::Upstream,
};
use proto::{
    auth::internal::v1::{
        FindRecipientsRequest, MentionedIn, SendMentionMailRequest, mail_service_client::MailServiceClient,
    },
    chat::{
        internal::v1::{CheckMentionsRequest, Mention, MentionState, mention_service_client::MentionServiceClient},
        v1::MembersMentioned,
    },
};
use sea_orm::{DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{mention, put_off};

/// The queue of messages that mention people, under which handled ones are remembered as well.
const MENTIONED: &str = "WorkerMembersMentioned";
/// The queue of rounds whose time has come.
const ROUNDS: &str = "WorkerMentionMail";
const ROUND: &str = "Loquat.Worker.V1:MentionMail";
/// How many are worked on at a time.
const PREFETCH: usize = 8;
/// A round that ends so soon takes nobody in: it may be on its way already.
const MARGIN: Duration = Duration::from_secs(5);
/// The most that one mail tells of; what came later is in the same room or the next mail.
const MOST: u64 = 100;
/// For how long what became of nothing is kept.
pub(crate) const KEPT: time::Duration = time::Duration::days(7);

/// The queues of mentions and of rounds.
pub(crate) fn queues() -> [QueueSpec; 2] {
    let mentioned = QueueSpec::new(MENTIONED, [proto::event_kind::<MembersMentioned>()]);
    // A mail server that refused a moment ago is not asked again at once, nor is who may be known to be online in some seconds.
    [mentioned, QueueSpec::new(ROUNDS, [ROUND.to_owned()]).never_at_once()]
}

/// What mail for mentions is made with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mentions {
    /// How long after the first mention a round ends; nothing when no mail is to be sent.
    pub(crate) after: Option<Duration>,
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) auth: MailServiceClient<Upstream>,
    pub(crate) chat: MentionServiceClient<Upstream>,
}

/// A round whose time has come.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    id: Uuid,
    user_id: Uuid,
}

fn poison(cause: impl Into<anyhow::Error>) -> HandlerError {
    HandlerError::Poison(cause.into())
}

fn retry(cause: impl Into<anyhow::Error>) -> HandlerError {
    HandlerError::Retry(cause.into())
}

impl Mentions {
    /// Handles both queues until `stop`.
    pub(crate) async fn run(self, bus: Bus, stop: CancellationToken) {
        let [mentioned, rounds] = queues();
        let gathering = bus.consume(&mentioned, PREFETCH, stop.clone(), |came| self.clone().gather(came));
        let mailing = bus.consume(&rounds, PREFETCH, stop, |came| self.clone().mail(came));
        futures::join!(gathering, mailing);
    }

    /// Takes a message's mentions into the rounds of those who are mentioned.
    async fn gather(mut self, came: Delivery) -> Result<(), HandlerError> {
        let Some(after) = self.after else { return Ok(()) };
        let mentioned: MembersMentioned = proto::from_json(&came.envelope.body).map_err(poison)?;
        let id = |text: &str| Uuid::try_parse(text).map_err(poison);
        let (room_id, message_id) = (id(&mentioned.room_id)?, id(&mentioned.message_id)?);
        let author_id = id(&mentioned.author_id)?;
        let asked = FindRecipientsRequest { usernames: mentioned.usernames };
        let found = self.auth.find_recipients(asked).await.map_err(retry)?.into_inner();
        let found: Vec<Uuid> = found.user_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        let row = |user_id: Uuid| mention::Model {
            round: Uuid::nil(),
            user_id,
            message_id,
            room_id,
            seq: mesh::db::signed(mentioned.seq),
            author_id,
            due_at: 0,
        };
        let rows: Vec<mention::Model> = found.into_iter().map(row).collect();
        let states = self.states(&rows).await?;
        let tx = self.db.begin().await.map_err(retry)?;
        if inbox::claim(&tx, MENTIONED, came.envelope.message_id, self.clock.now()).await.map_err(retry)? {
            for (row, _) in rows.into_iter().zip(states).filter(|(_, state)| state.unread) {
                self.join(&tx, &came.envelope, row, after).await.map_err(retry)?;
            }
        }
        tx.commit().await.map_err(retry)
    }

    /// Takes one mention into the round of who is mentioned, and begins one if there is none.
    async fn join(
        &self,
        tx: &DatabaseTransaction,
        from: &Envelope,
        row: mention::Model,
        after: Duration,
    ) -> Result<(), DbErr> {
        let now = self.clock.now();
        // Held until the end of the transaction, so that two messages do not begin a round each.
        let open = mention::lock_round(tx, row.user_id).await?;
        let late = micros(now + MARGIN.min(after / 2));
        // The operator may have taken it back.
        let joined = match open.filter(|open| open.due_at > late) {
            Some(open) if put_off::find(tx, open.round).await?.is_some() => Some(open),
            _ => None,
        };
        let (round, due_at) = match joined {
            Some(open) => (open.round, open.due_at),
            None => {
                let (round, due) = (ids::new_id(), now + after);
                let json = |cause: serde_json::Error| DbErr::Json(cause.to_string());
                let body = serde_json::to_value(Round { id: round, user_id: row.user_id }).map_err(json)?;
                let envelope = serde_json::to_string(&from.followed_by(round, ROUND, body, due)).map_err(json)?;
                let (kind, destination) = (ROUND.to_owned(), Destination::Queue(ROUNDS.into()).to_string());
                let due_at = micros(due);
                put_off::save(
                    tx,
                    put_off::Model { token: round, kind, destination, envelope, due_at, error: String::new() },
                )
                .await?;
                mention::begin_round(tx, row.user_id, round, due_at).await?;
                (round, due_at)
            }
        };
        mention::add(tx, mention::Model { round, due_at, ..row }).await
    }

    /// Sends one mail about what is still to be read, if who is mentioned is not there.
    async fn mail(mut self, came: Delivery) -> Result<(), HandlerError> {
        let Round { id, user_id } = serde_json::from_value(came.envelope.body).map_err(poison)?;
        let rows = mention::of_round(self.db.reader(), id, MOST).await.map_err(retry)?;
        let states = self.states(&rows).await?;
        let unread: Vec<(&mention::Model, &MentionState)> =
            rows.iter().zip(&states).filter(|(_, state)| state.unread).collect();
        let online = unread.first().map(|(_, state)| state.online);
        match online {
            Some(None) => return Err(retry(anyhow::anyhow!("it is not known yet who is online"))),
            Some(Some(false)) if self.after.is_some() => {
                let mentioned = |(row, state): &(&mention::Model, &MentionState)| MentionedIn {
                    author_id: row.author_id.to_string(),
                    room_id: row.room_id.to_string(),
                    room_name: state.room_name.clone(),
                };
                let mentions = unread.iter().map(mentioned).collect();
                let request =
                    SendMentionMailRequest { mail_id: id.to_string(), user_id: user_id.to_string(), mentions };
                self.auth.send_mention_mail(request).await.map_err(retry)?;
            }
            _ => {}
        }
        let tx = self.db.begin().await.map_err(retry)?;
        mention::forget_round(&tx, user_id, id).await.map_err(retry)?;
        tx.commit().await.map_err(retry)
    }

    /// Where people stand with mentions of them, in the same order.
    async fn states(&mut self, rows: &[mention::Model]) -> Result<Vec<MentionState>, HandlerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let asked = |row: &mention::Model| Mention {
            user_id: row.user_id.to_string(),
            room_id: row.room_id.to_string(),
            message_id: row.message_id.to_string(),
            seq: mesh::db::unsigned(row.seq),
        };
        let request = CheckMentionsRequest { mentions: rows.iter().map(asked).collect() };
        let states = self.chat.check_mentions(request).await.map_err(retry)?.into_inner().states;
        if states.len() == rows.len() { Ok(states) } else { Err(retry(anyhow::anyhow!("an answer too few"))) }
    }
}

#[cfg(test)]
mod tests;
