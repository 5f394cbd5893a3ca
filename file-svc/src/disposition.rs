//! How a browser may treat a file: shown in place only when its bytes were checked to be a harmless kind, else only saved.

use proto::file::v1::FileState;

/// What a browser may show in place; everything else is only saved.
const INLINE: [&str; 16] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/x-flac",
    "audio/mp4",
    "audio/m4a",
    "audio/webm",
    "video/mp4",
    "video/webm",
    "video/ogg",
];

/// The type that bytes are served as. What is only saved is nothing in particular: a script or a style sheet would be taken
/// by its type, whatever the disposition says. So is what was not checked yet.
pub(crate) fn content_type(found: &str, state: FileState) -> &str {
    if state == FileState::Ready && INLINE.contains(&found) { found } else { "application/octet-stream" }
}

/// `Content-Disposition` after RFC 6266: a plain name for old clients, the whole one percent-encoded (RFC 8187).
pub(crate) fn disposition(content_type: &str, name: &str) -> String {
    let kind = if INLINE.contains(&content_type) { "inline" } else { "attachment" };
    let plain = |letter: char| letter.is_ascii_graphic() && !"\"\\%;".contains(letter) || letter == ' ';
    let simple: String = name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{kind}; filename=\"{simple}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_and_cannot_break_out_of_the_header() {
        for name in ["a\"b.txt", "naïve – file.png", "x\r\nSet-Cookie: a=b", "100%;.gif", "日本語.pdf", "\\"] {
            let text = disposition("text/plain", name);
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}");
            let encoded = text.rsplit("''").next().unwrap();
            let mut bytes = Vec::new();
            let mut rest = encoded.bytes();
            while let Some(byte) = rest.next() {
                if byte == b'%' {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                } else {
                    bytes.push(byte);
                }
            }
            assert_eq!(String::from_utf8(bytes).unwrap(), name);
        }
    }

    #[test]
    fn scripts_are_never_shown_in_place() {
        for kind in ["text/html", "image/svg+xml", "application/pdf", "application/xhtml+xml", "text/javascript"] {
            assert!(disposition(kind, "a").starts_with("attachment;"), "{kind}");
        }
        assert!(disposition("image/png", "a").starts_with("inline;"));
        assert_eq!(content_type("image/png", FileState::Processing), "application/octet-stream");
        assert_eq!(content_type("text/javascript", FileState::Ready), "application/octet-stream");
        assert_eq!(content_type("image/png", FileState::Ready), "image/png");
    }
}
