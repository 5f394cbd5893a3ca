//! Reads requests field by field and collects everything that is wrong, so that the caller learns it at once.

use mesh::errors::Violation;
use uuid::Uuid;

use crate::errors::ChatError;

/// The longest text of a message, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The most files on one message.
pub(crate) const MAX_FILES: usize = 10;
const MAX_NAME_CHARS: usize = 80;
const MAX_TOPIC_CHARS: usize = 1024;

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Fields(Vec<Violation>);

impl Fields {
    /// Notes that a field is wrong.
    pub(crate) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// A required id.
    pub(crate) fn id(&mut self, field: &str, text: &str) -> Uuid {
        match Uuid::try_parse(text) {
            Ok(id) => id,
            Err(_) if text.is_empty() => self.nil(field, "is required"),
            Err(_) => self.nil(field, "must be a UUID"),
        }
    }

    /// The operation id where one is required.
    pub(crate) fn op_id(&mut self, text: &str) -> Option<Uuid> {
        Some(self.id("op_id", text))
    }

    /// The operation id where it may stay empty.
    pub(crate) fn optional_op_id(&mut self, text: &str) -> Option<Uuid> {
        (!text.is_empty()).then(|| self.id("op_id", text))
    }

    /// A room's name, trimmed.
    pub(crate) fn room_name(&mut self, text: &str) -> String {
        let name = text.trim();
        let length = name.chars().count();
        if length == 0 || length > MAX_NAME_CHARS {
            self.wrong("name", format!("must have 1 to {MAX_NAME_CHARS} characters"));
        } else if name.chars().any(char::is_control) {
            self.wrong("name", "must be one line without control characters");
        }
        name.to_owned()
    }

    /// A room's topic, trimmed.
    pub(crate) fn topic(&mut self, text: &str) -> String {
        if text.chars().count() > MAX_TOPIC_CHARS {
            self.wrong("topic", format!("must have at most {MAX_TOPIC_CHARS} characters"));
        }
        text.trim().to_owned()
    }

    /// A message's text. May be empty only when something else is sent.
    pub(crate) fn text(&mut self, text: &str, may_be_empty: bool) -> String {
        if text.trim().is_empty() && !may_be_empty {
            self.wrong("text", "must not be empty");
        } else if text.len() > MAX_TEXT_BYTES {
            self.wrong("text", format!("has {} bytes, at most {MAX_TEXT_BYTES} are allowed", text.len()));
        } else if text.contains('\0') {
            self.wrong("text", "must not contain NUL");
        }
        text.to_owned()
    }

    /// A page's size within its limits.
    pub(crate) fn page_size(&mut self, asked: u32, default: u32, most: u32) -> u64 {
        if asked > most {
            self.wrong("page_size", format!("must be at most {most}"));
        }
        u64::from(if asked == 0 { default } else { asked.min(most) })
    }

    /// Goes on only when nothing is wrong.
    pub(crate) fn done(self) -> Result<(), ChatError> {
        if self.0.is_empty() { Ok(()) } else { Err(ChatError::Invalid(self.0)) }
    }

    fn nil(&mut self, field: &str, description: &str) -> Uuid {
        self.wrong(field, description);
        Uuid::nil()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_named_at_once() {
        let mut fields = Fields::default();
        fields.id("room_id", "x");
        fields.text(" \n", false);
        fields.op_id("");
        let Err(ChatError::Invalid(violations)) = fields.done() else { panic!("must be refused") };
        let named: Vec<&str> = violations.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(named, ["room_id", "text", "op_id"]);
    }

    #[test]
    fn the_longest_text_is_allowed_and_one_byte_more_is_not() {
        let mut fields = Fields::default();
        fields.text(&"x".repeat(MAX_TEXT_BYTES), false);
        assert!(fields.done().is_ok());
        let mut fields = Fields::default();
        fields.text(&"x".repeat(MAX_TEXT_BYTES + 1), false);
        assert!(fields.done().is_err());
    }
}
