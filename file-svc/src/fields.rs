//! What files ask of the fields of a request, besides ids and pages.

use mesh::fields::Fields;
use proto::file::v1::FileMetadata;

const MAX_NAME_BYTES: usize = 255;
const MAX_TYPE_BYTES: usize = 127;
const MAX_ATTRIBUTES: usize = 32;
const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

/// The metadata half, with its name made harmless.
pub(crate) fn metadata(fields: &mut Fields, metadata: &FileMetadata) -> FileMetadata {
    let name = clean_name(&metadata.name);
    if name.is_empty() {
        fields.wrong("metadata.name", "must not be empty");
    }
    let content_type = metadata.content_type.trim().to_lowercase();
    if !content_type.is_empty() && !is_content_type(&content_type) {
        fields.wrong("metadata.content_type", "must look like image/png");
    }
    if metadata.attributes.len() > MAX_ATTRIBUTES {
        fields.wrong("metadata.attributes", format!("must have at most {MAX_ATTRIBUTES} entries"));
    }
    for (key, value) in &metadata.attributes {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            fields.wrong("metadata.attributes", format!("has an entry that is too long or without a name: {key:.20}"));
        }
    }
    FileMetadata { name, content_type, attributes: metadata.attributes.clone() }
}

/// The last part of a path, without characters that mislead: controls, and those that turn the direction of text.
fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let misleads = |letter: char| {
        letter.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&letter)
            || ('\u{2066}'..='\u{2069}').contains(&letter)
            || matches!(letter, '\u{200e}' | '\u{200f}')
    };
    let mut clean: String = last.chars().filter(|letter| !misleads(*letter)).collect();
    clean = clean.trim().to_owned();
    if matches!(clean.as_str(), "." | "..") {
        return String::new();
    }
    while clean.len() > MAX_NAME_BYTES {
        clean.pop();
    }
    clean
}

/// `type/subtype` of the characters that RFC 9110 allows; parameters are not kept.
fn is_content_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    text.len() <= MAX_TYPE_BYTES && text.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_misleads_and_keep_the_rest() {
        for (name, clean) in [
            ("photo.png", "photo.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.txt", "a.txt"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("exe\u{202e}gpj.png", "exegpj.png"),
            ("naïve – 日本語.pdf", "naïve – 日本語.pdf"),
            ("..", ""),
            ("/", ""),
            ("  ", ""),
        ] {
            assert_eq!(clean_name(name), clean, "{name:?}");
        }
        assert!(clean_name(&"é".repeat(400)).len() <= MAX_NAME_BYTES);
    }

    #[test]
    fn content_types_look_like_content_types() {
        assert!(is_content_type("image/svg+xml"));
        for wrong in ["image", "/", "a/", "text/html; charset=x", "text/html\r\nx: y", ""] {
            assert!(!is_content_type(wrong), "{wrong:?}");
        }
    }
}
