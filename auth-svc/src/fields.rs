//! What accounts ask of the fields of a request, besides ids and pages.

use mesh::fields::Fields;
use proto::auth::v1::WorkspaceRole;
use uuid::Uuid;

const MIN_PASSWORD_BYTES: usize = 8;
const MAX_PASSWORD_BYTES: usize = 1024;
const MAX_NAME_CHARS: usize = 64;
const MAX_DEVICE_CHARS: usize = 128;
const MAX_ABOUT_CHARS: usize = 500;
const MAX_EMAIL_BYTES: usize = 254;
const MAX_TOKEN_DAYS: u32 = 3650;
/// What a personal access token can be limited to, each a part of what methods ask for in the tables of methods.
pub const SCOPES: [&str; 10] = [
    "admin:read",
    "admin:write",
    "files:read",
    "files:write",
    "messages:read",
    "messages:write",
    "rooms:read",
    "rooms:write",
    "users:read",
    "users:write",
];

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
pub(crate) fn new_password(fields: &mut Fields, field: &str, text: &str) {
    if !(MIN_PASSWORD_BYTES..=MAX_PASSWORD_BYTES).contains(&text.len()) {
        fields.wrong(field, format!("must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes"));
    }
}

/// A password that is to be checked: only its length is limited.
pub(crate) fn password(fields: &mut Fields, field: &str, text: &str) {
    if text.len() > MAX_PASSWORD_BYTES {
        fields.wrong(field, format!("must have at most {MAX_PASSWORD_BYTES} bytes"));
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

/// What a session is recognised by; the user agent stands in for nothing.
pub(crate) fn device(fields: &mut Fields, text: &str, agent: &str) -> String {
    let device = one_line(fields, "device", text, MAX_DEVICE_CHARS);
    if device.is_empty() { agent.chars().take(MAX_DEVICE_CHARS).collect() } else { device }
}

/// Text on one line, which may be empty.
pub(crate) fn one_line(fields: &mut Fields, field: &str, text: &str, most: usize) -> String {
    if text.chars().count() > most || text.chars().any(char::is_control) {
        fields.wrong(field, format!("must have at most {most} characters on one line"));
    }
    text.trim().to_owned()
}

/// What somebody says about themselves.
pub(crate) fn about(fields: &mut Fields, text: &str) -> String {
    let unwanted = |letter: char| letter.is_control() && letter != '\n';
    if text.chars().count() > MAX_ABOUT_CHARS || text.chars().any(unwanted) {
        fields.wrong("about", format!("must have at most {MAX_ABOUT_CHARS} characters"));
    }
    text.trim().to_owned()
}

/// An address for mail, or nothing.
pub(crate) fn email(fields: &mut Fields, text: &str) -> String {
    let address = text.trim();
    if !address.is_empty() && (address.len() > MAX_EMAIL_BYTES || address.parse::<lettre::Address>().is_err()) {
        fields.wrong("email", format!("must be an address of at most {MAX_EMAIL_BYTES} bytes, such as a@example.org"));
    }
    address.to_lowercase()
}

/// What a token is called.
pub(crate) fn token_name(fields: &mut Fields, text: &str) -> String {
    let name = one_line(fields, "name", text, MAX_NAME_CHARS);
    if name.is_empty() {
        fields.wrong("name", "is required");
    }
    name
}

/// What a token may do, sorted, each once.
pub(crate) fn scopes(fields: &mut Fields, asked: &[String]) -> String {
    if asked.is_empty() {
        fields.wrong("scopes", format!("must have at least one of {}", SCOPES.join(", ")));
    }
    for (place, scope) in asked.iter().enumerate().filter(|(_, scope)| !SCOPES.contains(&scope.as_str())).take(10) {
        let scope: String = scope.chars().take(32).collect();
        fields.wrong(&format!("scopes[{place}]"), format!("{scope:?} is not one of {}", SCOPES.join(", ")));
    }
    let known = SCOPES.into_iter().filter(|scope| asked.iter().any(|one| one == scope));
    known.collect::<Vec<_>>().join(" ")
}

/// Days that a token lives; 0 for ever.
pub(crate) fn token_days(fields: &mut Fields, days: u32) -> u32 {
    if days > MAX_TOKEN_DAYS {
        fields.wrong("expires_in_days", format!("must be at most {MAX_TOKEN_DAYS}"));
    }
    days
}

/// A role that is given; `default` when none is named.
pub(crate) fn role(fields: &mut Fields, role: i32, default: WorkspaceRole) -> WorkspaceRole {
    match WorkspaceRole::try_from(role) {
        Ok(WorkspaceRole::Unspecified) if default != WorkspaceRole::Unspecified => default,
        Ok(WorkspaceRole::Unspecified) => {
            fields.wrong("role", "is required");
            default
        }
        Ok(role) => role,
        Err(_) => {
            fields.wrong("role", "is not a role");
            default
        }
    }
}

/// A file's id, or nothing.
pub(crate) fn file_id(fields: &mut Fields, field: &str, text: &str) -> String {
    if !text.is_empty() && Uuid::try_parse(text).is_err() {
        fields.wrong(field, "must be a file's id or empty");
    }
    text.to_owned()
}
