//! The envelope: MassTransit's JSON, read leniently and written fully.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// What stands before a kind in `messageType`.
const URN: &str = "urn:message:";
/// The version of MassTransit whose envelope this is.
const MASSTRANSIT: &str = "8.5.8";

/// A message and what surrounds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The message's id: consumers recognise a repetition by it.
    pub message_id: Uuid,
    /// Of a request, and of what answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// What the message belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// Shared by everything that follows from one first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<Uuid>,
    /// What the message belongs to that this one follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator_id: Option<Uuid>,
    /// Who sent it. The bus fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// Where it was sent. The bus fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_address: Option<String>,
    /// Where an answer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_address: Option<String>,
    /// Where it is told that it could not be handled, instead of to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_address: Option<String>,
    /// The types of the message as URNs, the most exact first.
    pub message_type: Vec<String>,
    /// The message itself.
    #[serde(rename = "message")]
    pub body: Value,
    /// When it is no longer of use.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<OffsetDateTime>,
    /// When it was sent first; not everybody says.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub sent_time: Option<OffsetDateTime>,
    /// Further entries, such as `traceparent`.
    pub headers: BTreeMap<String, Value>,
    /// The process that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Value>,
}

impl Envelope {
    /// A message of one kind that starts a conversation.
    pub fn new(message_id: Uuid, kind: impl AsRef<str>, body: Value, sent_time: OffsetDateTime) -> Self {
        Self {
            message_id,
            request_id: None,
            correlation_id: None,
            conversation_id: Some(message_id),
            initiator_id: None,
            source_address: None,
            destination_address: None,
            response_address: None,
            fault_address: None,
            message_type: vec![format!("{URN}{}", kind.as_ref())],
            body,
            expiration_time: None,
            sent_time: Some(sent_time),
            headers: BTreeMap::new(),
            host: Some(HOST.clone()),
        }
    }

    /// A message that follows from this one: it belongs to the same conversation, and to the same trace.
    #[must_use]
    pub fn followed_by(&self, message_id: Uuid, kind: impl AsRef<str>, body: Value, sent_time: OffsetDateTime) -> Self {
        let mut next = Self::new(message_id, kind, body, sent_time);
        next.conversation_id = self.conversation_id;
        next.initiator_id = self.correlation_id.or(self.request_id);
        let own = self.headers.iter().filter(|(name, _)| !name.starts_with("MT-"));
        next.headers = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        next
    }

    /// Says that the message is also of these kinds, from near to far.
    #[must_use]
    pub fn also<'k>(mut self, kinds: impl IntoIterator<Item = &'k str>) -> Self {
        self.message_type.extend(kinds.into_iter().map(|kind| format!("{URN}{kind}")));
        self
    }

    /// The kinds of the message, the most exact first: `Loquat.Chat.V1:MessagePosted`.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.message_type.iter().filter_map(|urn| urn.strip_prefix(URN))
    }

    /// A header that is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.as_str()
    }

    /// Reads what somebody wrote: names in any case, unknown ones skipped, everything but `messageType` absent or null. Without an
    /// id it gets `id`, or one made of its bytes, so that a repetition is known.
    ///
    /// # Errors
    /// When it is not JSON, has no type, or a part has the wrong form.
    pub fn read(bytes: &[u8], id: Option<Uuid>) -> Result<Self, serde_json::Error> {
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let parts: HashMap<String, Value> = serde_json::from_slice(text)?;
        let mut parts: HashMap<String, Value> =
            parts.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let mut parts = Parts(&mut parts);
        let message_type: Vec<String> = parts.take("messageType")?.unwrap_or_default();
        if message_type.is_empty() {
            return Err(serde_json::Error::custom("messageType is missing"));
        }
        Ok(Self {
            message_id: parts.take("messageId")?.or(id).unwrap_or_else(|| id_of(bytes)),
            request_id: parts.take("requestId")?,
            correlation_id: parts.take("correlationId")?,
            conversation_id: parts.take("conversationId")?,
            initiator_id: parts.take("initiatorId")?,
            source_address: parts.take("sourceAddress")?,
            destination_address: parts.take("destinationAddress")?,
            response_address: parts.take("responseAddress")?,
            fault_address: parts.take("faultAddress")?,
            message_type,
            body: parts.take("message")?.unwrap_or_default(),
            expiration_time: parts.time("expirationTime")?,
            sent_time: parts.time("sentTime")?,
            headers: parts.take("headers")?.unwrap_or_default(),
            host: parts.take("host")?,
        })
    }
}

/// The members of an envelope by their names in lower case.
struct Parts<'p>(&'p mut HashMap<String, Value>);

impl Parts<'_> {
    fn take<T: for<'de> Deserialize<'de>>(&mut self, name: &str) -> Result<Option<T>, serde_json::Error> {
        let value = self.0.remove(&name.to_ascii_lowercase()).unwrap_or_default();
        serde_json::from_value(value).map_err(|cause| serde_json::Error::custom(format!("{name}: {cause}")))
    }

    /// A time. One without an offset is in UTC: .NET leaves it out when the value does not say.
    fn time(&mut self, name: &str) -> Result<Option<OffsetDateTime>, serde_json::Error> {
        let Some(text) = self.take::<String>(name)? else { return Ok(None) };
        let parsed = OffsetDateTime::parse(&text, &Rfc3339);
        let parsed = parsed.or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339));
        parsed.map(Some).map_err(|cause| serde_json::Error::custom(format!("{name}: {cause}")))
    }
}

/// An id that the same bytes always get.
pub(super) fn id_of(bytes: &[u8]) -> Uuid {
    derived_id(&[bytes])
}

/// An id that the same parts always get.
pub(super) fn derived_id(parts: &[&[u8]]) -> Uuid {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0]));
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// This process, as envelopes and error queues tell it.
pub(super) static HOST: LazyLock<Value> = LazyLock::new(|| {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = if machine.trim().is_empty() { "localhost" } else { machine.trim() };
    serde_json::json!({
        "machineName": machine,
        "processName": "loquat",
        "processId": std::process::id(),
        "assembly": "loquat",
        "assemblyVersion": env!("CARGO_PKG_VERSION"),
        "frameworkVersion": "8.0.0",
        "massTransitVersion": MASSTRANSIT,
        "operatingSystemVersion": std::env::consts::OS,
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_is_required() {
        let envelope = Envelope::read(br#"{"messageType":["urn:message:A.B:C"]}"#, None).unwrap();
        assert_eq!(envelope.kinds().collect::<Vec<_>>(), ["A.B:C"]);
        assert_eq!(
            envelope.message_id,
            Envelope::read(br#"{"messageType":["urn:message:A.B:C"]}"#, None).unwrap().message_id
        );
        for wrong in
            [r"{}", r"nonsense", r#"{"messageType":[]}"#, r#"{"messageType":["x"],"messageId":"y"}"#, "[]", "7", ""]
        {
            assert!(Envelope::read(wrong.as_bytes(), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_may_be_of_any_case_and_parts_null() {
        let text = "\u{feff}{\n  \"MessageId\": \"6d0f0000-5dd2-0015-9d11-08dc6a2f4c01\",\n  \"CorrelationId\": null,\n  \
                    \"MessageType\": [\n    \"urn:message:A.B:C\",\n    \"urn:message:A:Base\"\n  ],\n  \"Message\": {\"x\": 1},\n  \
                    \"SentTime\": \"2026-11-23T23:41:07.512034\", \"Headers\": {\"n\": 3}, \"Later\": {}\n}";
        let envelope = Envelope::read(text.as_bytes(), None).unwrap();
        assert_eq!(envelope.kinds().collect::<Vec<_>>(), ["A.B:C", "A:Base"]);
        assert_eq!(envelope.message_id.to_string(), "6d0f0000-5dd2-0015-9d11-08dc6a2f4c01");
        assert_eq!(envelope.sent_time.unwrap().unix_timestamp(), 1_795_477_267);
        assert_eq!((envelope.body["x"].as_u64(), envelope.headers["n"].as_u64()), (Some(1), Some(3)));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut envelope =
            Envelope::new(crate::ids::new_id(), "A.B:C", serde_json::json!({"x": 1}), OffsetDateTime::UNIX_EPOCH);
        envelope.headers.insert("traceparent".into(), "00-1".into());
        let written = serde_json::to_vec(&envelope).unwrap();
        assert_eq!(Envelope::read(&written, None).unwrap(), envelope);
    }
}
