//! What a file's bytes say of it: sizes, durations, titles, smaller pictures; and what its camera wrote into it, which is
//! taken out. Runs in a process of its own ([`crate::sandbox`]): the bytes are a stranger's, and so are the ways to decode
//! them.

mod document;
mod film;
mod office;
mod picture;
mod pieces;
mod private;
mod sound;

use std::{
    collections::HashMap,
    io::{BufReader, Read, Seek},
};

use serde::{Deserialize, Serialize};

use self::pieces::Pieces;

/// What was found out.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// Pixels, as it is meant to be seen; 0 if unknown.
    pub(crate) width: u32,
    /// Pixels; 0 if unknown.
    pub(crate) height: u32,
    /// 0 if unknown.
    pub(crate) duration_ms: u64,
    /// What it says of itself.
    pub(crate) found: HashMap<String, String>,
}

/// A smaller picture that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub(crate) variant: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) content_type: String,
}

/// Takes what comes of looking: the smaller pictures, and the file itself when something was taken out of it.
pub(crate) trait Results {
    fn picture(&mut self, picture: Picture, bytes: &[u8]) -> anyhow::Result<()>;
    fn cleaned(&mut self, bytes: &[u8]) -> anyhow::Result<()>;
}

/// The types of office programs that describe their documents.
const OFFICE: [&str; 6] = [
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
];

/// How a kind of file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Picture,
    Sound,
    /// MP4 and its like.
    Film,
    /// Matroska and WebM.
    Matroska,
    Document,
    /// What office programs write, which are archives.
    Office,
}

impl Kind {
    /// By the type that the bytes show.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        Some(match content_type {
            "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Self::Picture,
            "video/mp4" | "video/quicktime" | "video/x-m4v" => Self::Film,
            "video/webm" | "video/x-matroska" => Self::Matroska,
            "application/pdf" => Self::Document,
            office if OFFICE.contains(&office) => Self::Office,
            "audio/midi" => return None,
            sound if sound.starts_with("audio/") => Self::Sound,
            _ => return None,
        })
    }

    /// The most bytes of such a file that are looked at. Pictures and documents are read whole; of the others, a few pieces.
    pub(crate) const fn most_bytes(self) -> u64 {
        match self {
            Self::Picture | Self::Document => 64 * 1024 * 1024,
            Self::Sound | Self::Film | Self::Matroska | Self::Office => u64::MAX,
        }
    }
}

/// Looks at a file.
pub(crate) fn look(
    content_type: &str,
    size: u64,
    file: impl Read + Seek,
    results: &mut impl Results,
) -> anyhow::Result<Looked> {
    let kind = Kind::of(content_type);
    if kind == Some(Kind::Office) {
        return office::look(Pieces::new(file, size));
    }
    let mut file = BufReader::with_capacity(128 * 1024, file);
    match kind {
        Some(Kind::Picture) => picture::look(content_type, size, &mut file, results),
        Some(Kind::Sound) => sound::look(&mut file),
        Some(Kind::Film) => film::mp4(&mut file, size),
        Some(Kind::Matroska) => film::matroska(&mut file),
        Some(Kind::Document) => document::look(&mut file),
        Some(Kind::Office) | None => Ok(Looked::default()),
    }
}

/// Adds what a file says, if it says something.
fn note(found: &mut HashMap<String, String>, name: &str, value: Option<impl ToString>) {
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    let value: String = value.chars().filter(|letter| !letter.is_control()).take(1000).collect();
    if !value.trim().is_empty() {
        found.insert(name.to_owned(), value.trim().to_owned());
    }
}
