//! Reads requests field by field and collects everything that is wrong, so that a caller learns it at once.
//!
//! Owns what every service asks of ids and pages; what a name or a text must be is each service's own.

use uuid::Uuid;

use crate::errors::Violation;

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Fields(Vec<Violation>);

impl Fields {
    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// A required id. The nil id stands in for one that is wrong.
    pub fn id(&mut self, field: &str, text: &str) -> Uuid {
        Uuid::try_parse(text).unwrap_or_else(|_| {
            self.wrong(field, if text.is_empty() { "is required" } else { "must be a UUID" });
            Uuid::nil()
        })
    }

    /// An id that may stay empty.
    pub fn optional_id(&mut self, field: &str, text: &str) -> Option<Uuid> {
        (!text.is_empty()).then(|| self.id(field, text))
    }

    /// Ids of a list that may be so long.
    pub fn ids(&mut self, field: &str, texts: &[String], most: usize) -> Vec<Uuid> {
        if texts.len() > most {
            self.wrong(field, format!("must have at most {most} entries"));
        }
        texts.iter().enumerate().map(|(place, text)| self.id(&format!("{field}[{place}]"), text)).collect()
    }

    /// A page's size: `default` for 0, and at most `most`.
    pub fn page_size(&mut self, asked: u32, default: u32, most: u32) -> u64 {
        if asked > most {
            self.wrong("page_size", format!("must be at most {most}"));
        }
        u64::from(if asked == 0 { default } else { asked.min(most) })
    }

    /// Goes on only when nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong, in the order in which it was found.
    pub fn done(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid(self.0)) }
    }
}

/// A request that is not valid: every field that is wrong, and how. Part of each service's enum of errors.
#[derive(Clone, Debug, thiserror::Error)]
#[error("The request is not valid: {}.", describe(.0))]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// One field is wrong.
    pub fn one(field: &str, description: impl Into<String>) -> Self {
        Self(vec![Violation::new(field, description)])
    }
}

fn describe(violations: &[Violation]) -> String {
    let parts: Vec<String> = violations.iter().map(|wrong| format!("{} {}", wrong.field, wrong.description)).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_named_at_once() {
        let mut fields = Fields::default();
        fields.id("room_id", "x");
        fields.id("user_id", "");
        fields.ids("user_ids", &["y".into()], 1);
        assert_eq!(fields.page_size(0, 50, 200), 50);
        fields.page_size(201, 50, 200);
        assert!(fields.optional_id("op_id", "").is_none());
        let Invalid(violations) = fields.done().unwrap_err();
        let named: Vec<&str> = violations.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(named, ["room_id", "user_id", "user_ids[0]", "page_size"]);
    }
}
