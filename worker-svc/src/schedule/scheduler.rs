//! The contracts by which messages are put off and taken back. Names may be of any case.

use mesh::{
    bus::{Delivery, Destination, Envelope, HandlerError, QueueSpec},
    db::micros,
    inbox,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::Schedule;
use crate::store::put_off::{self, Model};

/// The queue, under which handled messages are remembered as well.
const NAME: &str = "scheduler";
const PUT_OFF: &str = "MassTransit.Scheduling:ScheduleMessage";
const TAKE_BACK: &str = "MassTransit.Scheduling:CancelScheduledMessage";
/// What a message that was put off says of it.
const TOKEN: &str = "MT-Scheduling-TokenId";

/// The queue on which messages are put off and taken back.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new(NAME, [PUT_OFF, TAKE_BACK].map(str::to_owned))
}

/// Puts one off, or takes one back.
pub(crate) async fn handle(schedule: Schedule, delivery: Delivery) -> Result<(), HandlerError> {
    let envelope = &delivery.envelope;
    let retry = |cause: sea_orm::DbErr| HandlerError::Retry(cause.into());
    let row = match envelope.kinds().find(|kind| [PUT_OFF, TAKE_BACK].contains(kind)) {
        Some(PUT_OFF) => Change::PutOff(Box::new(row(envelope).map_err(poison)?)),
        _ => Change::TakeBack(id(&envelope.body, "tokenId").map_err(poison)?),
    };
    let (message_id, now) = (envelope.message_id, schedule.clock.now());
    let changed = schedule.db.in_group(move |tx| {
        Box::pin(async move {
            // Delivered again after it was taken back, it must not come to life.
            if inbox::claim(tx, NAME, message_id, now).await? {
                match row {
                    Change::PutOff(row) => put_off::save(tx, *row).await?,
                    Change::TakeBack(token) => _ = put_off::forget(tx, token).await?,
                }
            }
            Ok(())
        })
    });
    changed.await.map_err(retry)
}

enum Change {
    PutOff(Box<Model>),
    TakeBack(Uuid),
}

/// The message as it will be sent, and when.
fn row(asked: &Envelope) -> Result<Model, String> {
    let body = &asked.body;
    let token = id(body, "correlationId")?;
    let destination = text(body, "destination")?;
    Destination::parse(&destination).ok_or_else(|| format!("destination: {destination:?} is no address"))?;
    let at = text(body, "scheduledTime")?;
    let parsed = OffsetDateTime::parse(&at, &Rfc3339).or_else(|_| OffsetDateTime::parse(&format!("{at}Z"), &Rfc3339));
    let at = parsed.map_err(|cause| format!("scheduledTime: {cause}"))?;
    let types = member(body, "payloadType").and_then(Value::as_array).ok_or("payloadType is missing")?;
    let message_type: Vec<String> = types.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let kind = message_type.first().cloned().ok_or("payloadType is empty")?;
    let payload = member(body, "payload").cloned().ok_or("payload is missing")?;
    let mut envelope = asked.followed_by(sent_id(token), "", payload, at);
    envelope.message_type = message_type;
    envelope.correlation_id = asked.correlation_id.filter(|id| *id != token);
    envelope.headers.insert(TOKEN.into(), token.to_string().into());
    let envelope = serde_json::to_string(&envelope).map_err(|cause| cause.to_string())?;
    Ok(Model { token, kind, destination, envelope, due_at: micros(at), error: String::new() })
}

/// The id that the message will have, however often it is sent.
fn sent_id(token: Uuid) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::new().chain_update(NAME).chain_update(token).finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let mut members = value.as_object()?.iter();
    members.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    member(value, name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("{name} is missing"))
}

fn id(value: &Value, name: &str) -> Result<Uuid, String> {
    Uuid::try_parse(&text(value, name)?).map_err(|cause| format!("{name}: {cause}"))
}

fn poison(cause: String) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!(cause))
}
