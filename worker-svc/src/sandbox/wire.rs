//! What the two processes say to each other: a line of JSON, and bytes where the line announces them.

use serde::{Deserialize, Serialize};

use crate::look::{Looked, Picture};

/// The most bytes of one read.
pub(super) const MAX_READ: u32 = 1024 * 1024;

/// The first line, to the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Bytes of the file.
    pub(super) size: u64,
    /// What the file is.
    pub(super) content_type: String,
}

/// Every line from the process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Wants bytes of the file. The answer is their number in four bytes, and they.
    Read { offset: u64, length: u32 },
    /// A smaller picture; so many bytes follow.
    Picture { picture: Picture, length: u64 },
    /// The file without what was private; so many bytes follow.
    Cleaned { length: u64 },
    /// The end: what was found out.
    Done { looked: Looked },
    /// The end: why nothing was.
    Failed { why: String },
}
