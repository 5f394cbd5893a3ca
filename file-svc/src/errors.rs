//! Everything that can go wrong in file-svc, each with its code and its stable reason.

use std::{collections::HashMap, time::Duration};

use mesh::{
    blobs::{BlobError, Trouble},
    errors::{Describe, Violation},
    fields::Invalid,
};
use sea_orm::DbErr;
use tonic::Code;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Fields of the request are wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No such file, or one in a room that the caller may not see.
    #[error("There is no such file.")]
    FileNotFound,
    /// No such upload of the caller.
    #[error("There is no such upload.")]
    UploadNotFound,
    /// No such room, or one that the caller may not see.
    #[error("There is no such room.")]
    RoomNotFound,
    /// The caller may see the room but not do this there.
    #[error("Your role in this room does not allow that.")]
    RoleTooLow,
    /// The room can only be read.
    #[error("This room is archived: it can be read, and nothing else.")]
    RoomArchived,
    /// The operation id was used for another upload.
    #[error("This op_id was already used for another upload.")]
    OpIdReused,
    /// The metadata half came before, with other content.
    #[error("This upload has other metadata already.")]
    MetadataExists,
    /// The bytes do not belong where the upload stands.
    #[error("The upload stands at {offset}; go on from there.")]
    OffsetMismatch {
        /// Where it stands.
        offset: u64,
    },
    /// Somebody else is sending bytes of this upload just now.
    #[error("Another request is sending bytes of this upload.")]
    UploadBusy,
    /// All bytes are here already.
    #[error("This upload is complete.")]
    UploadComplete,
    /// More bytes than were announced.
    #[error("These are more bytes than the upload announced ({size}).")]
    SizeExceeded {
        /// What was announced.
        size: u64,
    },
    /// More than one user may keep.
    #[error("You may keep {limit} bytes of files here, and this would be more.")]
    UserQuotaExceeded {
        /// The limit.
        limit: u64,
    },
    /// More than all together may keep.
    #[error("All together may keep {limit} bytes of files here, and this would be more.")]
    WorkspaceQuotaExceeded {
        /// The limit.
        limit: u64,
    },
    /// Files of this type are not wanted here.
    #[error("Files of the type {0} are not taken here.")]
    TypeRefused(String),
    /// What came in one stream is not what its sender says.
    #[error("The bytes of this request are not those of its checksum; nothing of it was kept.")]
    StreamChecksumMismatch,
    /// Parts cannot be put directly.
    #[error("Direct uploads are not configured here.")]
    DirectUploadOff,
    /// A part that was to be there is not, or has another length.
    #[error("The part at {offset} is not there with {size} bytes.")]
    PartMissing {
        /// Where it belongs.
        offset: u64,
        /// What it should have.
        size: u64,
    },
    /// The worker has not checked it yet.
    #[error("This file is still being checked.")]
    FileNotReady,
    /// The worker could not take it.
    #[error("This file cannot be used: {0}")]
    FileBroken(String),
    /// More than the server takes.
    #[error("A file may have at most {max} bytes.")]
    FileTooLarge {
        /// The limit.
        max: u64,
    },
    /// The bytes are not those that were announced.
    #[error("The bytes do not have the SHA-256 that was announced; the upload is dropped.")]
    ChecksumMismatch,
    /// The range begins behind the end.
    #[error("The file has only {size} bytes.")]
    RangeNotSatisfiable {
        /// Its size.
        size: u64,
    },
    /// The sender went away; what came is kept.
    #[error("The bytes broke off; go on from where the upload stands.")]
    BrokenOff,
    /// The database did not answer.
    #[error("The file database is not available just now.")]
    StoreUnavailable(#[from] DbErr),
    /// The blob store did not answer, or refused.
    #[error("{}", trouble(.0))]
    BlobsUnavailable(#[from] BlobError),
    /// chat-svc did not answer.
    #[error("Whether you may do that cannot be checked just now.")]
    AccessUnavailable(#[source] Box<tonic::Status>),
    /// A bug, or data that should not be there.
    #[error("The server failed on this call.")]
    Internal(#[source] anyhow::Error),
}

/// What people can do about it, without a word about how the store is reached.
fn trouble(cause: &BlobError) -> &'static str {
    match cause.trouble() {
        Trouble::Away => "The file store is not available just now.",
        Trouble::Refused => "The file store does not let this server in: its keys, region or bucket are not right.",
        Trouble::Full => "The file store is full.",
    }
}

impl FileError {
    /// A bug, or data that should not be there.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(cause.into())
    }

    /// One field is wrong.
    pub(crate) fn invalid(field: &str, description: &str) -> Self {
        Self::Invalid(Invalid::one(field, description))
    }
}

impl Describe for FileError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::SizeExceeded { .. } => Code::InvalidArgument,
            Self::FileNotFound | Self::UploadNotFound | Self::RoomNotFound => Code::NotFound,
            Self::RoleTooLow => Code::PermissionDenied,
            Self::OpIdReused | Self::MetadataExists => Code::AlreadyExists,
            Self::OffsetMismatch { .. } | Self::UploadBusy | Self::BrokenOff => Code::Aborted,
            Self::UploadComplete
            | Self::ChecksumMismatch
            | Self::StreamChecksumMismatch
            | Self::TypeRefused(_)
            | Self::DirectUploadOff
            | Self::PartMissing { .. }
            | Self::FileNotReady
            | Self::RoomArchived
            | Self::FileBroken(_) => Code::FailedPrecondition,
            Self::FileTooLarge { .. } | Self::UserQuotaExceeded { .. } | Self::WorkspaceQuotaExceeded { .. } => {
                Code::ResourceExhausted
            }
            Self::RangeNotSatisfiable { .. } => Code::OutOfRange,
            Self::BlobsUnavailable(cause) if cause.trouble() == Trouble::Full => Code::ResourceExhausted,
            Self::StoreUnavailable(_) | Self::BlobsUnavailable(_) | Self::AccessUnavailable(_) => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::UploadNotFound => "UPLOAD_NOT_FOUND",
            Self::RoomNotFound => "ROOM_NOT_FOUND",
            Self::RoleTooLow => "ROLE_TOO_LOW",
            Self::RoomArchived => "ROOM_ARCHIVED",
            Self::OpIdReused => "OP_ID_REUSED",
            Self::MetadataExists => "METADATA_EXISTS",
            Self::OffsetMismatch { .. } => "OFFSET_MISMATCH",
            Self::UploadBusy => "UPLOAD_BUSY",
            Self::UploadComplete => "UPLOAD_COMPLETE",
            Self::SizeExceeded { .. } => "SIZE_EXCEEDED",
            Self::FileTooLarge { .. } => "FILE_TOO_LARGE",
            Self::ChecksumMismatch => "CHECKSUM_MISMATCH",
            Self::RangeNotSatisfiable { .. } => "RANGE_NOT_SATISFIABLE",
            Self::BrokenOff => "BROKEN_OFF",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::BlobsUnavailable(cause) => match cause.trouble() {
                Trouble::Away => "BLOBS_UNAVAILABLE",
                Trouble::Refused => "BLOBS_REFUSED",
                Trouble::Full => "BLOBS_FULL",
            },
            Self::UserQuotaExceeded { .. } => "USER_QUOTA_EXCEEDED",
            Self::WorkspaceQuotaExceeded { .. } => "WORKSPACE_QUOTA_EXCEEDED",
            Self::TypeRefused(_) => "TYPE_REFUSED",
            Self::StreamChecksumMismatch => "STREAM_CHECKSUM_MISMATCH",
            Self::DirectUploadOff => "DIRECT_UPLOAD_OFF",
            Self::PartMissing { .. } => "PART_MISSING",
            Self::FileNotReady => "FILE_NOT_READY",
            Self::FileBroken(_) => "FILE_BROKEN",
            Self::AccessUnavailable(_) => "ACCESS_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(Invalid(violations)) => violations.clone(),
            Self::FileNotFound => vec![Violation::new("file_id", "names no file that you can see")],
            Self::UploadNotFound => vec![Violation::new("upload_id", "names no upload of yours")],
            Self::RoomNotFound => vec![Violation::new("room_id", "names no room that you can see")],
            Self::OpIdReused => vec![Violation::new("op_id", "was already used for another upload")],
            Self::FileTooLarge { max } => vec![Violation::new("size", format!("must be at most {max}"))],
            Self::UserQuotaExceeded { .. } | Self::WorkspaceQuotaExceeded { .. } => {
                vec![Violation::new("size", "is more than is left of the quota")]
            }
            Self::TypeRefused(_) => vec![Violation::new("metadata.content_type", "is not taken here")],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let passing = matches!(
            self,
            Self::StoreUnavailable(_)
                | Self::BlobsUnavailable(_)
                | Self::AccessUnavailable(_)
                | Self::UploadBusy
                | Self::FileNotReady
        );
        passing.then_some(Duration::from_secs(1))
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::OffsetMismatch { offset } | Self::PartMissing { offset, .. } => {
                HashMap::from([("offset".into(), offset.to_string())])
            }
            _ => HashMap::new(),
        }
    }
}
