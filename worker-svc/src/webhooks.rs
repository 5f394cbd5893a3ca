//! Webhooks: events on the bus become signed requests to other programs.
//!
//! An event becomes one message for each webhook that wants it, and each of those is tried by itself: one that does not answer holds
//! up nobody else, and what it missed is among the failed messages. While nobody wants an event, nobody listens to it.

mod rpc;
mod sign;

use std::time::Instant;

use mesh::{
    bus::{Bus, BusError, Delivery, Destination, HandlerError, QueueSpec},
    clock::Clock,
    db::{Db, micros},
    ids,
    outbound::Outbound,
    outbox::KEY,
};
use proto::chat::v1::{MessageDeleted, MessageEdited, MessagePosted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub(crate) use self::rpc::WebhookRpc;
use crate::store::{delivery, webhook};

/// The queue of events that somebody wants.
const EVENTS: &str = "WorkerWebhookEvents";
/// The queue of requests to be made.
const REQUESTS: &str = "WorkerWebhookRequests";
const REQUEST: &str = "Loquat.Worker.V1:WebhookRequest";
/// The longest error that is logged.
const LONGEST_ERROR: usize = 500;

/// The events that can be told, and their kinds on the bus.
fn known() -> [(&'static str, String); 3] {
    [
        ("message_posted", proto::event_kind::<MessagePosted>()),
        ("message_edited", proto::event_kind::<MessageEdited>()),
        ("message_deleted", proto::event_kind::<MessageDeleted>()),
    ]
}

/// The queue of events with every kind that there may be in it.
pub(crate) fn events() -> QueueSpec {
    QueueSpec::new(EVENTS, known().map(|(_, kind)| kind))
}

/// The queue of events without those that nobody wants yet.
pub(crate) fn idle_events() -> QueueSpec {
    QueueSpec::new(EVENTS, [])
}

/// The queue of requests.
pub(crate) fn requests() -> QueueSpec {
    QueueSpec::new(REQUESTS, [REQUEST.to_owned()])
}

/// What webhooks work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) clock: Clock,
    pub(crate) outbound: Outbound,
}

/// A request to be made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    webhook_id: Uuid,
    event: String,
    /// What is sent, as it is sent.
    body: String,
}

impl Webhooks {
    /// Listens to the events that somebody wants, and to no other.
    pub(crate) async fn listen(&self) -> Result<(), BusError> {
        let webhooks = webhook::list(self.db.reader()).await?;
        let wanted = |event: &str| webhooks.iter().any(|webhook| webhook.events().any(|known| known == event));
        let kinds = known().into_iter().filter(|(event, _)| wanted(event)).map(|(_, kind)| kind);
        self.bus.declare(&QueueSpec::new(EVENTS, kinds)).await
    }

    /// Makes the messages of an event, one for each webhook that wants it. Made twice, they have the same ids.
    pub(crate) async fn spread(self, came: Delivery) -> Result<(), HandlerError> {
        let envelope = &came.envelope;
        let event = known().into_iter().find(|(_, kind)| envelope.kinds().any(|known| known == kind));
        let Some((event, _)) = event else { return Ok(()) };
        let room = envelope.header(KEY).and_then(|key| Uuid::try_parse(key).ok());
        let webhooks = webhook::list(self.db.reader()).await.map_err(|cause| HandlerError::Retry(cause.into()))?;
        let now = self.clock.now();
        for webhook in webhooks {
            let here = webhook.room_id.is_none() || webhook.room_id == room;
            if !here || !webhook.events().any(|known| known == event) {
                continue;
            }
            let id = request_id(envelope.message_id, webhook.id);
            let at = envelope.sent_time.unwrap_or(now).format(&Rfc3339).unwrap_or_default();
            let mut told = json!({"id": id, "type": event, "at": at, "data": envelope.body});
            if let Some(room) = room {
                told["roomId"] = Value::String(room.to_string());
            }
            let asked = Asked { webhook_id: webhook.id, event: event.to_owned(), body: told.to_string() };
            let asked = serde_json::to_value(asked).map_err(|cause| HandlerError::Poison(cause.into()))?;
            let request = envelope.followed_by(id, REQUEST, asked, now);
            let sent = self.bus.send(&Destination::Queue(REQUESTS.to_owned()), &request).await;
            sent.map_err(|cause| HandlerError::Retry(cause.into()))?;
        }
        Ok(())
    }

    /// Makes one request and logs what came of it.
    pub(crate) async fn request(self, came: Delivery) -> Result<(), HandlerError> {
        let asked: Asked =
            serde_json::from_value(came.envelope.body).map_err(|cause| HandlerError::Poison(cause.into()))?;
        let retry = |cause: sea_orm::DbErr| HandlerError::Retry(cause.into());
        let Some(webhook) = webhook::find(self.db.reader(), asked.webhook_id).await.map_err(retry)? else {
            // It was deleted meanwhile.
            return Ok(());
        };
        let (id, now, started) = (came.envelope.message_id, self.clock.now(), Instant::now());
        let headers = sign::headers(&webhook.secret, id, now, asked.body.as_bytes());
        let answer = self.outbound.post(&webhook.url, &headers, asked.body.into()).await;
        let (status, error) = match answer {
            Ok(answer) if answer.status().is_success() => (answer.status().as_u16(), String::new()),
            Ok(answer) => (answer.status().as_u16(), format!("answered {}", answer.status())),
            Err(cause) => (0, cause.to_string()),
        };
        let row = delivery::Model {
            id: ids::new_id(),
            webhook_id: webhook.id,
            message_id: id,
            event: asked.event,
            at: micros(now),
            status: status.into(),
            error: error.chars().take(LONGEST_ERROR).collect(),
            duration_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        };
        let tx = self.db.begin().await.map_err(retry)?;
        delivery::add(&tx, row).await.map_err(retry)?;
        tx.commit().await.map_err(retry)?;
        if error.is_empty() { Ok(()) } else { Err(HandlerError::Retry(anyhow::anyhow!("{}: {error}", webhook.url))) }
    }
}

/// The id of an event for one webhook, the same for every try.
fn request_id(event: Uuid, webhook: Uuid) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::new().chain_update(event).chain_update(webhook).finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
