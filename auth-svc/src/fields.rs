//! Reads requests field by field and collects everything that is wrong.

use mesh::errors::Violation;
use uuid::Uuid;

use crate::errors::AuthError;

const MIN_PASSWORD_BYTES: usize = 8;
const MAX_PASSWORD_BYTES: usize = 1024;
const MAX_NAME_CHARS: usize = 64;
const MAX_DEVICE_CHARS: usize = 128;

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Fields(Vec<Violation>);

impl Fields {
    /// Notes that a field is wrong.
    pub(crate) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// A username, folded to lower case.
    pub(crate) fn username(&mut self, text: &str) -> String {
        let name = text.trim().to_lowercase();
        let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
        if !(2..=32).contains(&name.chars().count()) || !name.chars().all(allowed) {
            self.wrong("username", "must have 2 to 32 characters of a-z, 0-9, dot, underscore and hyphen");
        }
        name
    }

    /// A password that is to be set.
    pub(crate) fn new_password(&mut self, text: &str) {
        if !(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&text.len()) {
            self.wrong("password", format!("must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes"));
        }
    }

    /// A password that is to be checked: only its length is limited.
    pub(crate) fn password(&mut self, text: &str) {
        if text.len() > MAX_PASSWORD_BYTES {
            self.wrong("password", format!("must have at most {MAX_PASSWORD_BYTES} bytes"));
        }
    }

    /// A name for people; the username stands in for an empty one.
    pub(crate) fn display_name(&mut self, text: &str, username: &str) -> String {
        let name = text.trim();
        if name.is_empty() {
            return username.to_owned();
        }
        if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            self.wrong("display_name", format!("must have at most {MAX_NAME_CHARS} characters on one line"));
        }
        name.to_owned()
    }

    /// What a session is recognised by.
    pub(crate) fn device(&mut self, text: &str) -> String {
        if text.chars().count() > MAX_DEVICE_CHARS || text.chars().any(char::is_control) {
            self.wrong("device", format!("must have at most {MAX_DEVICE_CHARS} characters on one line"));
        }
        text.trim().to_owned()
    }

    /// Ids of a list.
    pub(crate) fn ids(&mut self, field: &str, texts: &[String], most: usize) -> Vec<Uuid> {
        if texts.len() > most {
            self.wrong(field, format!("must have at most {most} entries"));
        }
        let mut ids = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            match Uuid::try_parse(text) {
                Ok(id) => ids.push(id),
                Err(_) => self.wrong(&format!("{field}[{place}]"), "must be a UUID"),
            }
        }
        ids
    }

    /// A page's size within its limits.
    pub(crate) fn page_size(&mut self, asked: u32, default: u32, most: u32) -> u64 {
        if asked > most {
            self.wrong("page_size", format!("must be at most {most}"));
        }
        u64::from(if asked == 0 { default } else { asked.min(most) })
    }

    /// Goes on only when nothing is wrong.
    pub(crate) fn done(self) -> Result<(), AuthError> {
        if self.0.is_empty() { Ok(()) } else { Err(AuthError::Invalid(self.0)) }
    }
}
