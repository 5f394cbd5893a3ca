//! The checksum of one stream, as tus and gRPC senders give it.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A checksum that is being made, and what it must become.
pub(crate) enum Check {
    Sha1(Sha1, Vec<u8>),
    Sha256(Sha256, Vec<u8>),
}

impl Check {
    pub(crate) fn sha1(wanted: &[u8]) -> Self {
        Self::Sha1(Sha1::new(), wanted.to_vec())
    }

    pub(crate) fn sha256(wanted: &[u8]) -> Self {
        Self::Sha256(Sha256::new(), wanted.to_vec())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash, _) => hash.update(bytes),
            Self::Sha256(hash, _) => hash.update(bytes),
        }
    }

    pub(crate) fn fits(self) -> bool {
        match self {
            Self::Sha1(hash, wanted) => hash.finalize()[..] == wanted[..],
            Self::Sha256(hash, wanted) => hash.finalize()[..] == wanted[..],
        }
    }
}
