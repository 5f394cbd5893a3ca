//! Files: references that prove them, and their bytes by range.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use mesh::{authn::MeshSecret, blobs::Blobs};
use prost::Message as _;
use proto::file::{
    internal::v1::FileReference,
    v1::{DownloadHeader, File, FileState},
};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;

use crate::{
    errors::FileError,
    store::{self, file, upload},
};

/// What references are signed for; chat-svc verifies the same.
const PURPOSE: &str = "file-reference";
/// How long a reference counts.
const REFERENCE_LIFE: Duration = Duration::from_secs(86_400);

/// Signs references.
pub(crate) struct Signing<'s> {
    pub(crate) secret: &'s MeshSecret,
    pub(crate) now: OffsetDateTime,
}

impl Signing<'_> {
    /// Adds the reference by which the uploader may attach the file to a message.
    pub(crate) fn sign(&self, file: File) -> File {
        let expires_at = (self.now + REFERENCE_LIFE).unix_timestamp();
        let bytes = FileReference { file: file.encode_to_vec().into(), expires_at }.encode_to_vec();
        let reference = format!("{}.{}", BASE64.encode(&bytes), BASE64.encode(self.secret.sign(PURPOSE, &bytes)));
        File { reference, ..file }
    }
}

/// A file with its smaller pictures.
pub(crate) async fn view<C: ConnectionTrait>(db: &C, row: &file::Model) -> Result<File, FileError> {
    Ok(row.to_proto(&file::thumbnails(db, &[row.id]).await?))
}

/// Bytes to be sent.
pub(crate) struct Download {
    pub(crate) header: DownloadHeader,
    pub(crate) bytes: BoxStream<'static, Result<Bytes, FileError>>,
}

/// Opens a range of a file or of one of its pictures.
pub(crate) async fn download<C: ConnectionTrait>(
    db: &C,
    blobs: &Blobs,
    row: &file::Model,
    variant: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<Download, FileError> {
    let pictures = file::thumbnails(db, &[row.id]).await?;
    let shown = row.to_proto(&pictures);
    let (content_type, total, source) = if variant.is_empty() {
        (row.content_type.clone(), store::unsigned(row.size), Source::of(db, row).await?)
    } else {
        let picture = pictures.into_iter().find(|picture| picture.variant == variant).ok_or(FileError::FileNotFound)?;
        (picture.content_type, store::unsigned(picture.size), Source::Blob(picture.key))
    };
    // The first byte of an empty file may be asked for; it is just not there.
    if offset > total || (offset == total && total > 0 && length != Some(0)) {
        return Err(FileError::RangeNotSatisfiable { size: total });
    }
    let length = length.unwrap_or(u64::MAX).min(total - offset);
    let digest: String = row.sha256.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = if variant.is_empty() { digest } else { format!("{digest}-{variant}") };
    let header = DownloadHeader { file: Some(shown), content_type, total_size: total, offset, length, etag };
    Ok(Download { header, bytes: source.open(blobs.clone(), offset, offset + length) })
}

/// Where the bytes are.
enum Source {
    /// In one blob.
    Blob(String),
    /// Still in the staging area: keys, and where each begins and ends.
    Pieces(Vec<(String, u64, u64)>),
}

impl Source {
    async fn of<C: ConnectionTrait>(db: &C, row: &file::Model) -> Result<Self, FileError> {
        if row.state() == FileState::Ready {
            return Ok(Self::Blob(row.blob_key()));
        }
        let parts = upload::parts(db, row.id).await?.into_iter();
        let piece = |part: upload::part::Model| {
            let start = store::unsigned(part.start);
            (part.key, start, start + store::unsigned(part.size))
        };
        Ok(Self::Pieces(parts.map(piece).collect()))
    }

    fn open(self, blobs: Blobs, from: u64, to: u64) -> BoxStream<'static, Result<Bytes, FileError>> {
        let ranges: Vec<(String, u64, u64)> = match self {
            Self::Blob(key) => vec![(key, from, to)],
            Self::Pieces(pieces) => {
                let touched = pieces.into_iter().filter(|(_, start, end)| *start < to && *end > from);
                touched.map(|(key, start, end)| (key, from.max(start) - start, to.min(end) - start)).collect()
            }
        };
        let open = move |(key, from, to): (String, u64, u64)| {
            let blobs = blobs.clone();
            async move { Ok::<_, FileError>(blobs.get_range(&key, from..to).await?.map_err(FileError::from)) }
        };
        stream::iter(ranges).then(open).try_flatten().boxed()
    }
}
