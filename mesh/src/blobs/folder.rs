//! Blobs in a folder.

use std::{fs::File, io::Seek as _, ops::Range, path::Path, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, local::LocalFileSystem, path::Path as Key};
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{BlobError, PART_BYTES, PARTS_AT_ONCE};

/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A folder of blobs.
pub(super) struct Folder {
    path: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Folder {
    /// Makes the folder when it is not there.
    pub(super) fn open(path: &str) -> Result<Self, BlobError> {
        std::fs::create_dir_all(Path::new(path)).map_err(|cause| BlobError::Folder(path.into(), cause))?;
        // Without fsync an acknowledged part could be gone after a power cut.
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { path: path.into(), store: Arc::new(store) })
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    pub(super) async fn put_stream(
        &self,
        key: &Key,
        source: impl Stream<Item = Result<Bytes, BlobError>> + Send,
    ) -> Result<u64, BlobError> {
        let upload = self.store.put_multipart(key).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut size = 0;
        let mut source = std::pin::pin!(source);
        while let Some(chunk) = source.next().await {
            match chunk {
                Ok(chunk) => {
                    size += chunk.len() as u64;
                    writer.wait_for_capacity(PARTS_AT_ONCE).await?;
                    writer.put(chunk);
                }
                Err(cause) => {
                    writer.abort().await?;
                    return Err(cause);
                }
            }
        }
        writer.finish().await?;
        Ok(size)
    }

    /// Files that puts wrote beside their place (`NAME#NUMBER`) and never moved there.
    pub(super) async fn drop_leftovers(&self, before: OffsetDateTime) -> Result<usize, BlobError> {
        let path = self.path.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&path, before)).await;
        let failed = |cause| BlobError::Folder(self.path.display().to_string(), cause);
        swept.map_err(|cause| BlobError::Config(cause.to_string()))?.map_err(failed)
    }
}

fn sweep(folder: &Path, before: OffsetDateTime) -> std::io::Result<usize> {
    let mut dropped = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            dropped += sweep(&entry.path(), before)?;
        } else if is_leftover(&entry.file_name().to_string_lossy())
            && OffsetDateTime::from(entry.metadata()?.modified()?) < before
        {
            std::fs::remove_file(entry.path())?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The bytes of an open file, in larger steps than the store itself would read.
pub(super) async fn read(
    mut file: File,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
    let unreadable = |cause| BlobError::Folder("a blob cannot be read".into(), cause);
    file.seek(std::io::SeekFrom::Start(range.start)).map_err(unreadable)?;
    let file = tokio::fs::File::from_std(file).take(range.end - range.start);
    Ok(ReaderStream::with_capacity(file, READ_BYTES).map_err(unreadable).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_put_left_is_a_leftover() {
        for (name, leftover) in [("a#1", true), ("a#12", true), ("a", false), ("a#", false), ("a#b", false)] {
            assert_eq!(is_leftover(name), leftover, "{name}");
        }
    }
}
