//! Blobs: bytes by key, in a folder. Streamed both ways; what was put is on disk.

use std::{ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart, local::LocalFileSystem,
    path::Path as Key,
};

/// Parts of a streamed put; also what it holds in memory for each of the parts under way.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts under way at a time.
const PARTS_AT_ONCE: usize = 2;

/// A store of blobs. Cheap to clone.
#[derive(Clone)]
pub struct Blobs(Arc<dyn ObjectStore>);

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The URL names no store that this build can use.
    #[error("{0:?} is not supported; use file:PATH")]
    Url(String),
    /// The folder cannot be made.
    #[error("{0}: {1}")]
    Folder(String, std::io::Error),
    /// The store refused.
    #[error("{0}")]
    Store(#[from] object_store::Error),
    /// The bytes that were to be stored broke off.
    #[error("the bytes broke off: {0}")]
    Source(String),
}

impl BlobError {
    /// Whether there is no such blob.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

impl Blobs {
    /// Opens a store: `file:PATH`. Makes the folder when it is not there.
    ///
    /// # Errors
    /// When the URL is not supported or the folder cannot be made.
    pub fn open(url: &str) -> Result<Self, BlobError> {
        let folder = url.strip_prefix("file:").ok_or_else(|| BlobError::Url(url.into()))?;
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        std::fs::create_dir_all(Path::new(folder)).map_err(|cause| BlobError::Folder(folder.into(), cause))?;
        // Without fsync an acknowledged part could be gone after a power cut.
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self(Arc::new(store)))
    }

    /// Stores a blob, in place of one that was there.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.0.put(&Key::from(key), PutPayload::from(bytes)).await?;
        Ok(())
    }

    /// Stores a blob as it comes, and tells its size. Nothing is stored when the source breaks off.
    ///
    /// # Errors
    /// When the store refuses or the source breaks off.
    pub async fn put_stream<S, E>(&self, key: &str, source: S) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: std::fmt::Display,
    {
        let upload = self.0.put_multipart(&Key::from(key)).await?;
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
                    return Err(BlobError::Source(cause.to_string()));
                }
            }
        }
        writer.finish().await?;
        Ok(size)
    }

    /// A part of a blob as a stream.
    ///
    /// # Errors
    /// When there is no such blob, or the store refuses.
    pub async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.0.get_opts(&Key::from(key), options).await?;
        Ok(found.into_stream().map_err(BlobError::from).boxed())
    }

    /// The size of a blob; nothing when there is none.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, BlobError> {
        match self.0.head(&Key::from(key)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Deletes a blob; one that is not there is deleted already.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match self.0.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }
}
