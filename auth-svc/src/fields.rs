//! What accounts ask of the fields of a request, besides ids and pages.

use mesh::fields::Fields;

const MIN_PASSWORD_BYTES: usize = 8;
const MAX_PASSWORD_BYTES: usize = 1024;
const MAX_NAME_CHARS: usize = 64;
const MAX_DEVICE_CHARS: usize = 128;

/// A username, folded to lower case.
pub(crate) fn username(fields: &mut Fields, text: &str) -> String {
    let name = text.trim().to_lowercase();
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
    if !(2..=32).contains(&name.chars().count()) || !name.chars().all(allowed) {
        fields.wrong("username", "must have 2 to 32 characters of a-z, 0-9, dot, underscore and hyphen");
    }
    name
}

/// A password that is to be set.
pub(crate) fn new_password(fields: &mut Fields, text: &str) {
    if !(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&text.len()) {
        fields.wrong("password", format!("must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes"));
    }
}

/// A password that is to be checked: only its length is limited.
pub(crate) fn password(fields: &mut Fields, text: &str) {
    if text.len() > MAX_PASSWORD_BYTES {
        fields.wrong("password", format!("must have at most {MAX_PASSWORD_BYTES} bytes"));
    }
}

/// A name for people; the username stands in for an empty one.
pub(crate) fn display_name(fields: &mut Fields, text: &str, username: &str) -> String {
    let name = text.trim();
    if name.is_empty() {
        return username.to_owned();
    }
    if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        fields.wrong("display_name", format!("must have at most {MAX_NAME_CHARS} characters on one line"));
    }
    name.to_owned()
}

/// What a session is recognised by.
pub(crate) fn device(fields: &mut Fields, text: &str) -> String {
    if text.chars().count() > MAX_DEVICE_CHARS || text.chars().any(char::is_control) {
        fields.wrong("device", format!("must have at most {MAX_DEVICE_CHARS} characters on one line"));
    }
    text.trim().to_owned()
}
