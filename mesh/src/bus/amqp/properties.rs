//! The properties and headers of messages.

use std::collections::{BTreeMap, HashMap};

use amqprs::{BasicProperties, FieldName, FieldTable, FieldValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::super::Envelope;

/// What MassTransit calls its envelope.
const CONTENT_TYPE: &str = "application/vnd.masstransit+json";
/// How often a message was delayed.
pub(super) const REDELIVERY: &str = "MT-Redelivery-Count";
/// How often a message was tried before it was delayed.
pub(super) const ATTEMPTS: &str = "Loquat-Attempts";

/// Of one of our messages.
pub(super) fn of(message: &Envelope) -> BasicProperties {
    let mut properties = foreign(Some(message.message_id));
    if let Some(id) = message.correlation_id {
        properties.with_correlation_id(&id.to_string());
    }
    let mut table = FieldTable::new();
    for (name, value) in &message.headers {
        if let Some(text) = value.as_str() {
            insert(&mut table, name, text);
        }
    }
    properties.with_headers(table);
    properties
}

/// Of a message that somebody else wrote.
pub(super) fn foreign(id: Option<Uuid>) -> BasicProperties {
    let mut properties = BasicProperties::default();
    properties.with_content_type(CONTENT_TYPE).with_persistence(true);
    if let Some(id) = id {
        properties.with_message_id(&id.to_string());
    }
    properties
}

/// The same with further headers, which take the place of those of the same name; without an end of its usefulness, and without what the
/// broker noted.
pub(super) fn with(properties: &BasicProperties, further: &[(String, String)]) -> BasicProperties {
    let mut table = FieldTable::new();
    for (name, value) in entries(properties) {
        let name = name.to_string();
        if !name.starts_with("x-") && !further.iter().any(|(new, _)| *new == name) {
            put(&mut table, &name, value.clone());
        }
    }
    for (name, value) in further {
        insert(&mut table, name, value);
    }
    rebuilt(properties, table)
}

/// The same as it came first: without what was noted when it failed.
pub(super) fn fresh(properties: &BasicProperties) -> BasicProperties {
    let mut table = FieldTable::new();
    let noted = |name: &str| {
        ["MT-Fault-", "MT-Host-", "MT-Reason", "x-", REDELIVERY, ATTEMPTS].iter().any(|start| name.starts_with(start))
    };
    for (name, value) in entries(properties) {
        if !noted(name.as_ref()) {
            put(&mut table, name.as_ref(), value.clone());
        }
    }
    rebuilt(properties, table)
}

fn rebuilt(from: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut properties = BasicProperties::default();
    properties.with_persistence(true).with_headers(headers);
    if let Some(text) = from.content_type() {
        properties.with_content_type(text);
    }
    if let Some(text) = from.content_encoding() {
        properties.with_content_encoding(text);
    }
    if let Some(text) = from.correlation_id() {
        properties.with_correlation_id(text);
    }
    if let Some(text) = from.reply_to() {
        properties.with_reply_to(text);
    }
    if let Some(text) = from.message_id() {
        properties.with_message_id(text);
    }
    if let Some(at) = from.timestamp() {
        properties.with_timestamp(at);
    }
    if let Some(text) = from.message_type() {
        properties.with_message_type(text);
    }
    if let Some(text) = from.app_id() {
        properties.with_app_id(text);
    }
    properties
}

/// The message's id, when it is said and is one.
pub(super) fn message_id(properties: &BasicProperties) -> Option<Uuid> {
    Uuid::try_parse(properties.message_id()?).ok()
}

fn entries(properties: &BasicProperties) -> impl Iterator<Item = (&FieldName, &FieldValue)> {
    let table: Option<&HashMap<FieldName, FieldValue>> = properties.headers().map(AsRef::as_ref);
    table.into_iter().flatten()
}

/// The headers as texts.
pub(super) fn texts(properties: &BasicProperties) -> BTreeMap<String, String> {
    entries(properties).map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// A header that is a number, in whatever form.
pub(super) fn number(properties: &BasicProperties, name: &str) -> u32 {
    texts(properties).get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A header that is a time.
pub(super) fn time(headers: &BTreeMap<String, String>, name: &str) -> Option<OffsetDateTime> {
    let text = headers.get(name)?;
    let seconds = || OffsetDateTime::from_unix_timestamp(text.parse().ok()?).ok();
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(seconds)
}

fn text(value: &FieldValue) -> String {
    match value {
        FieldValue::S(text) => text.as_ref().clone(),
        FieldValue::t(yes) => yes.to_string(),
        FieldValue::b(number) => number.to_string(),
        FieldValue::B(number) => number.to_string(),
        FieldValue::s(number) => number.to_string(),
        FieldValue::u(number) => number.to_string(),
        FieldValue::I(number) => number.to_string(),
        FieldValue::i(number) => number.to_string(),
        FieldValue::l(number) => number.to_string(),
        FieldValue::T(seconds) => seconds.to_string(),
        other => other.to_string(),
    }
}

fn insert(table: &mut FieldTable, name: &str, text: &str) {
    put(table, name, text.into());
}

/// Names are of at most 255 bytes in the protocol; a longer one is not carried.
fn put(table: &mut FieldTable, name: &str, value: FieldValue) {
    if let Ok(name) = name.try_into() {
        table.insert(name, value);
    }
}

/// Arguments of a queue.
pub(super) fn arguments<const N: usize>(entries: [(&str, FieldValue); N]) -> FieldTable {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        put(&mut table, name, value);
    }
    table
}
