//! Files: references that prove them, and their bytes by range.

use std::{ops::Range, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use mesh::{
    authn::MeshSecret,
    blobs::{BlobError, Blobs},
};
use prost::Message as _;
use proto::file::{
    internal::v1::FileReference,
    v1::{DownloadHeader, File, FileState},
};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;

use crate::{
    disposition,
    errors::FileError,
    store::{self, blob, file, upload},
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

/// How long a signed address counts. Short: whoever has it needs no other right.
const URL_LIFE: Duration = Duration::from_secs(45);

/// What somebody wants of a file.
pub(crate) struct Asked<'a> {
    /// Empty for the file itself.
    pub(crate) variant: &'a str,
    pub(crate) offset: u64,
    pub(crate) length: Option<u64>,
    /// A signed address will do instead.
    pub(crate) url: bool,
}

/// Opens a range of a file or of one of its pictures.
pub(crate) async fn download<C: ConnectionTrait>(
    db: &C,
    blobs: &Blobs,
    row: &file::Model,
    asked: &Asked<'_>,
) -> Result<Download, FileError> {
    if row.state() == FileState::Failed {
        return Err(FileError::FileBroken(row.failure.clone()));
    }
    let pictures = file::thumbnails(db, &[row.id]).await?;
    let shown = row.to_proto(&pictures);
    let (content_type, total, source) = if asked.variant.is_empty() {
        let content_type = disposition::content_type(&row.content_type, row.state()).to_owned();
        (content_type, store::unsigned(row.size), Source::of(db, row).await?)
    } else {
        let picture = pictures.into_iter().find(|picture| picture.variant == asked.variant);
        let picture = picture.ok_or(FileError::FileNotFound)?;
        (picture.content_type, store::unsigned(picture.size), Source::Blob(picture.key))
    };
    let offset = asked.offset;
    // The first byte of an empty file may be asked for; it is just not there.
    if offset > total || (offset == total && total > 0 && asked.length != Some(0)) {
        return Err(FileError::RangeNotSatisfiable { size: total });
    }
    let disposition = disposition::disposition(&content_type, &row.name);
    let url = match &source {
        Source::Blob(key) if asked.url => blobs.url_to_get(key, &content_type, &disposition, URL_LIFE).await?,
        _ => None,
    };
    let length = if url.is_some() { 0 } else { asked.length.unwrap_or(u64::MAX).min(total - offset) };
    let digest: String = row.sha256.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = if asked.variant.is_empty() { digest } else { format!("{digest}-{}", asked.variant) };
    let url = url.unwrap_or_default();
    let header =
        DownloadHeader { file: Some(shown), content_type, total_size: total, offset, length, etag, url, disposition };
    let bytes = source.open(blobs.clone(), offset, offset + length).await?;
    Ok(Download { header, bytes })
}

/// Where the bytes are.
enum Source {
    /// In one blob.
    Blob(String),
    /// Still in the staging area: keys, and where each begins and ends. The worker takes them away once the whole is in one blob.
    Pieces(Vec<(String, u64, u64)>, String),
}

impl Source {
    async fn of<C: ConnectionTrait>(db: &C, row: &file::Model) -> Result<Self, FileError> {
        if row.state() == FileState::Ready {
            let blob = match row.blob_id {
                Some(id) => blob::find(db, id).await?,
                None => None,
            };
            return Ok(Self::Blob(blob.ok_or(FileError::FileNotFound)?.key));
        }
        let parts = upload::parts(db, row.id).await?;
        if parts.is_empty() && row.size > 0 {
            // The worker came to its end between the two questions.
            return Err(FileError::FileNotReady);
        }
        let piece = |part: upload::part::Model| {
            let start = store::unsigned(part.start);
            (part.key, start, start + store::unsigned(part.size))
        };
        Ok(Self::Pieces(parts.into_iter().map(piece).collect(), row.own_key()))
    }

    /// The bytes. A store that is away is found out before a word is said to the client.
    async fn open(
        self,
        blobs: Blobs,
        from: u64,
        to: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, FileError>>, FileError> {
        let (pieces, whole) = match self {
            Self::Blob(key) => return Ok(blobs.get_range(&key, from..to).await?.map_err(FileError::from).boxed()),
            Self::Pieces(pieces, whole) => (pieces, whole),
        };
        let size = pieces.last().map_or(0, |(_, _, end)| *end);
        let touched = pieces.into_iter().filter(move |(_, start, end)| *start < to && *end > from);
        let part = move |(key, start, end): (String, u64, u64)| {
            let range = from.max(start)..to.min(end);
            let moved = (whole.clone(), range.clone());
            Part { key, range: range.start - start..range.end - start, moved, size }
        };
        let open = move |part: Part| {
            let blobs = blobs.clone();
            async move { Ok::<_, FileError>(part.open(&blobs).await?.map_err(FileError::from)) }
        };
        Ok(stream::iter(touched.map(part).collect::<Vec<_>>()).then(open).try_flatten().boxed())
    }
}

/// A part of a file in the staging area, and where the same bytes are once the worker took it away.
struct Part {
    key: String,
    range: Range<u64>,
    moved: (String, Range<u64>),
    /// The whole file's bytes. When the worker took something out, the whole is another one.
    size: u64,
}

impl Part {
    async fn open(self, blobs: &Blobs) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let (whole, range) = self.moved;
        match blobs.get_range(&self.key, self.range).await {
            Err(cause) if cause.is_missing() && blobs.size(&whole).await? == Some(self.size) => {
                blobs.get_range(&whole, range).await
            }
            found => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh::blobs::S3Config;

    use super::*;

    #[tokio::test]
    async fn a_download_goes_on_when_the_worker_takes_the_pieces_away() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&format!("file:{}", folder.path().display()), &S3Config::default()).unwrap();
        let whole: Vec<u8> = (0..200).collect();
        for (key, bytes) in [("staging/1", &whole[..80]), ("staging/2", &whole[80..]), ("files/whole", &whole)] {
            blobs.put(key, bytes.to_vec().into()).await.unwrap();
        }
        let pieces = || vec![("staging/1".to_owned(), 0, 80), ("staging/2".to_owned(), 80, 200)];
        let source = || Source::Pieces(pieces(), "files/whole".into());
        let read = async |from: u64, to: u64| -> Vec<u8> {
            let opened = source().open(blobs.clone(), from, to).await.unwrap();
            let chunks: Vec<Bytes> = opened.try_collect().await.unwrap();
            chunks.concat()
        };
        assert_eq!(read(10, 150).await, whole[10..150]);
        blobs.delete("staging/2").await.unwrap();
        assert_eq!(read(10, 150).await, whole[10..150], "one piece is gone");
        blobs.delete("staging/1").await.unwrap();
        assert_eq!(read(0, 200).await, whole, "and so is the other");
    }
}
