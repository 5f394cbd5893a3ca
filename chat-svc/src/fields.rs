//! What rooms and messages ask of the fields of a request, besides ids and pages.

use mesh::fields::Fields;
use uuid::Uuid;

use crate::retention::MAX_DAYS;

/// The longest text of a message, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The most files on one message.
pub(crate) const MAX_FILES: usize = 10;
const MAX_NAME_CHARS: usize = 80;
const MAX_TOPIC_CHARS: usize = 1024;

/// The operation id where one is required.
pub(crate) fn op_id(fields: &mut Fields, text: &str) -> Option<Uuid> {
    Some(fields.id("op_id", text))
}

/// The operation id where it may stay empty.
pub(crate) fn optional_op_id(fields: &mut Fields, text: &str) -> Option<Uuid> {
    fields.optional_id("op_id", text)
}

/// A room's name, trimmed.
pub(crate) fn room_name(fields: &mut Fields, text: &str) -> String {
    name(fields, text)
}

/// A webhook's name, trimmed: as long as a room's.
pub(crate) fn webhook_name(fields: &mut Fields, text: &str) -> String {
    name(fields, text)
}

fn name(fields: &mut Fields, text: &str) -> String {
    let name = text.trim();
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME_CHARS {
        fields.wrong("name", format!("must have 1 to {MAX_NAME_CHARS} characters"));
    } else if name.chars().any(char::is_control) {
        fields.wrong("name", "must be one line without control characters");
    }
    name.to_owned()
}

/// A room's topic, trimmed.
pub(crate) fn topic(fields: &mut Fields, text: &str) -> String {
    if text.chars().count() > MAX_TOPIC_CHARS {
        fields.wrong("topic", format!("must have at most {MAX_TOPIC_CHARS} characters"));
    }
    text.trim().to_owned()
}

/// Days that messages are kept.
pub(crate) fn retention_days(fields: &mut Fields, days: u32) -> u32 {
    if days > MAX_DAYS {
        fields.wrong("retention_days", format!("must be at most {MAX_DAYS}"));
    }
    days
}

/// A message's text. May be empty only when something else is sent.
pub(crate) fn text(fields: &mut Fields, text: &str, may_be_empty: bool) -> String {
    if text.trim().is_empty() && !may_be_empty {
        fields.wrong("text", "must not be empty");
    } else if text.len() > MAX_TEXT_BYTES {
        fields.wrong("text", format!("has {} bytes, at most {MAX_TEXT_BYTES} are allowed", text.len()));
    } else if text.contains('\0') {
        fields.wrong("text", "must not contain NUL");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_is_allowed_and_one_byte_more_is_not() {
        let mut fields = Fields::default();
        text(&mut fields, &"x".repeat(MAX_TEXT_BYTES), false);
        assert!(fields.done().is_ok());
        let mut fields = Fields::default();
        text(&mut fields, &"x".repeat(MAX_TEXT_BYTES + 1), false);
        assert!(fields.done().is_err());
    }
}
