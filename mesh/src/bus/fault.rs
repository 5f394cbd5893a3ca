//! What is told and noted of a message that failed, as MassTransit does: a `Fault` to whoever listens, headers beside the message.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Destination, Envelope, QueueSpec, envelope::HOST};
use crate::ids;

/// The type of every exception that is told: which error it was is in its text.
const EXCEPTION: &str = "Loquat.HandlerFailed";
/// The longest text of an error that is noted.
const LONGEST: usize = 4000;

/// The message that tells that another could not be handled, and where it goes; to everybody who listens, if nowhere.
pub(super) fn fault(
    read: &Result<Envelope, serde_json::Error>,
    body: &[u8],
    error: &str,
    now: OffsetDateTime,
) -> (Envelope, Option<Destination>) {
    let exceptions = json!([{"exceptionType": EXCEPTION, "message": error, "source": "loquat", "stackTrace": ""}]);
    let at = now.format(&Rfc3339).unwrap_or_default();
    let id = ids::new_id();
    let Ok(failed) = read else {
        let told = json!({
            "faultId": id, "timestamp": at, "exceptions": exceptions, "host": *HOST,
            "contentType": "application/vnd.masstransit+json", "message": String::from_utf8_lossy(body),
        });
        return (Envelope::new(id, "MassTransit:ReceiveFault", told, now), None);
    };
    let told = json!({
        "faultId": id,
        "faultedMessageId": failed.message_id,
        "timestamp": at,
        "exceptions": exceptions,
        "host": *HOST,
        "faultMessageTypes": failed.message_type,
        "message": failed.body,
    });
    let kind = failed.kinds().next().unwrap_or("unknown");
    let fault = failed.followed_by(id, format!("MassTransit:Fault[[{kind}]]"), told, now);
    let mut fault = fault.also(["MassTransit:Fault"]);
    fault.request_id = failed.request_id;
    let to = failed.fault_address.as_deref().or(failed.response_address.as_deref());
    (fault, to.and_then(Destination::parse))
}

/// What is noted beside a message in the error queue.
pub(super) fn headers(
    queue: &QueueSpec,
    read: &Result<Envelope, serde_json::Error>,
    error: &str,
    attempts: u32,
    now: OffsetDateTime,
) -> Vec<(String, String)> {
    let kind = read.as_ref().ok().and_then(|failed| failed.message_type.first().cloned()).unwrap_or_default();
    let mut headers = vec![
        ("MT-Reason".to_owned(), "fault".to_owned()),
        ("MT-Fault-ExceptionType".to_owned(), EXCEPTION.to_owned()),
        ("MT-Fault-Message".to_owned(), shortened(error)),
        ("MT-Fault-Timestamp".to_owned(), now.format(&Rfc3339).unwrap_or_default()),
        ("MT-Fault-StackTrace".to_owned(), String::new()),
        ("MT-Fault-InputAddress".to_owned(), format!("queue:{}", queue.name)),
        ("MT-Fault-ConsumerType".to_owned(), queue.name.clone()),
        ("MT-Fault-MessageType".to_owned(), kind),
        ("MT-Fault-RetryCount".to_owned(), attempts.saturating_sub(1).to_string()),
    ];
    headers.extend(host());
    headers
}

/// What is noted beside a message that the consumer does not understand.
pub(super) fn skipped(now: OffsetDateTime) -> Vec<(String, String)> {
    let mut headers = vec![
        ("MT-Reason".to_owned(), "dead-letter".to_owned()),
        ("MT-Fault-Timestamp".to_owned(), now.format(&Rfc3339).unwrap_or_default()),
    ];
    headers.extend(host());
    headers
}

/// The error that is told of a message that the consumer does not understand.
pub(super) const SKIPPED: &str = "no consumer of this queue understands this type of message";

/// This process, as headers.
fn host() -> impl Iterator<Item = (String, String)> {
    let members = HOST.as_object().into_iter().flatten();
    members.map(|(name, value)| {
        let mut letters = name.chars();
        let name: String =
            letters.next().map_or(' ', |first| first.to_ascii_uppercase()).to_string() + letters.as_str();
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (format!("MT-Host-{name}"), value)
    })
}

/// A text that fits a header.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
