//! The envelope: MassTransit's JSON, read leniently and written fully.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// What stands before a kind in `messageType`.
const URN: &str = "urn:message:";

/// A message and what surrounds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The message's id: consumers recognise a repetition by it.
    pub message_id: Uuid,
    /// Shared by everything that follows from one first message.
    #[serde(default)]
    pub conversation_id: Option<Uuid>,
    /// What the message belongs to.
    #[serde(default)]
    pub correlation_id: Option<Uuid>,
    /// The types of the message as URNs, the most exact first.
    pub message_type: Vec<String>,
    /// The message itself.
    #[serde(rename = "message")]
    pub body: serde_json::Value,
    /// When it was sent first.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_time: OffsetDateTime,
    /// Further entries, such as `traceparent`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

impl Envelope {
    /// A message of one kind that starts a conversation.
    pub fn new(message_id: Uuid, kind: impl AsRef<str>, body: serde_json::Value, sent_time: OffsetDateTime) -> Self {
        Self {
            message_id,
            conversation_id: Some(message_id),
            correlation_id: None,
            message_type: vec![format!("{URN}{}", kind.as_ref())],
            body,
            sent_time,
            headers: BTreeMap::new(),
        }
    }

    /// The kinds of the message, the most exact first: `Loquat.Chat.V1:MessagePosted`.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.message_type.iter().filter_map(|urn| urn.strip_prefix(URN))
    }

    /// The message that tells that another could not be handled.
    pub(super) fn fault(&self, error: &str, now: OffsetDateTime) -> Self {
        let kind = self.kinds().next().unwrap_or("unknown");
        let at = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        let body = serde_json::json!({
            "faultId": crate::ids::new_id(),
            "faultedMessageId": self.message_id,
            "timestamp": at,
            "exceptions": [{"exceptionType": "Loquat.HandlerFailed", "message": error}],
            "faultMessageTypes": self.message_type,
            "message": self.body,
        });
        let mut fault = Self::new(crate::ids::new_id(), format!("MassTransit:Fault--{kind}--"), body, now);
        fault.message_type = vec![format!("{URN}MassTransit:Fault[[{kind}]]"), format!("{URN}MassTransit:Fault")];
        fault.conversation_id = self.conversation_id;
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_without_the_optional_parts_is_read() {
        let id = crate::ids::new_id();
        let text = format!(
            r#"{{"messageId":"{id}","messageType":["urn:message:A.B:C","urn:message:A:Base"],"message":{{"x":1}},
                "sentTime":"2026-11-23T23:41:07.512034Z","host":{{"machineName":"m"}}}}"#
        );
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(envelope.kinds().collect::<Vec<_>>(), ["A.B:C", "A:Base"]);
        assert_eq!(envelope.body["x"], 1);
    }
}
