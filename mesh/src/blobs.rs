//! Blobs: bytes by key, in a folder or on S3. Streamed both ways; what was put is on disk.
//!
//! Nothing here relies on conditional puts or on lifecycle rules, which not every S3 server has: keys are written once, and
//! what was left behind is found and taken away by [`Blobs::drop_leftovers`].

mod folder;
mod s3;

use std::{io::ErrorKind, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path as Key,
};
use time::OffsetDateTime;

pub use self::s3::S3Config;

/// Parts of a streamed put; also what it holds in memory for each of the parts under way. S3 takes no smaller ones.
pub const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts under way at a time.
const PARTS_AT_ONCE: usize = 2;

/// A store of blobs. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Folder(Arc<folder::Folder>),
    S3(Arc<s3::S3>),
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The URL names no store that this build can use.
    #[error("{0:?} is not supported; use file:PATH or s3://BUCKET")]
    Url(String),
    /// The folder cannot be made.
    #[error("{0}: {1}")]
    Folder(String, std::io::Error),
    /// What is configured cannot work.
    #[error("{0}")]
    Config(String),
    /// The store refused.
    #[error("{}", told(.0))]
    Store(#[from] object_store::Error),
    /// The bucket cannot be made.
    #[error("the bucket cannot be made: {0}")]
    Bucket(String),
    /// The bytes that were to be stored broke off.
    #[error("the bytes broke off: {0}")]
    Source(String),
}

/// What kind of refusal it is, for a text that helps whoever runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer, or not as it should.
    Away,
    /// It knows neither these keys nor this region, or does not let them in.
    Refused,
    /// It has no space left.
    Full,
}

impl BlobError {
    /// Whether there is no such blob.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }

    /// What kind of refusal it is.
    pub fn trouble(&self) -> Trouble {
        let text = self.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let refused = matches!(
            self,
            Self::Store(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
        );
        let keys = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "AccessDenied"];
        if refused || says(&keys) {
            Trouble::Refused
        } else if self.is_full() || says(&["EntityTooLarge", "QuotaExceeded", "InsufficientStorage", "No space left"]) {
            Trouble::Full
        } else {
            Trouble::Away
        }
    }

    fn is_full(&self) -> bool {
        let mut cause: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The error with its causes: the first one alone rarely says what is wrong.
fn told(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A blob in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// When it was put, by the store's clock.
    pub at: OffsetDateTime,
}

impl Blobs {
    /// Opens a store: `file:PATH`, whose folder is made when it is not there, or `s3://BUCKET`, which is first asked when it is
    /// used.
    ///
    /// # Errors
    /// When the URL is not supported, the folder cannot be made, or what is configured for S3 cannot work.
    pub fn open(url: &str, s3: &S3Config) -> Result<Self, BlobError> {
        if let Some(bucket) = url.strip_prefix("s3://") {
            let s3 = Arc::new(s3::S3::open(bucket, s3)?);
            return Ok(Self { store: s3.store(), backend: Backend::S3(s3) });
        }
        let path = url.strip_prefix("file:").ok_or_else(|| BlobError::Url(url.into()))?;
        let folder = Arc::new(folder::Folder::open(path.strip_prefix("//").unwrap_or(path))?);
        Ok(Self { store: folder.store(), backend: Backend::Folder(folder) })
    }

    /// Whether URLs can be signed, by which others put and get without this server: on S3.
    pub const fn signs(&self) -> bool {
        matches!(self.backend, Backend::S3(_))
    }

    /// Stores a blob, in place of one that was there.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BlobError> {
        let key = Key::from(key);
        let put = || self.store.put(&key, PutPayload::from(bytes.clone()));
        match (put().await, &self.backend) {
            (Err(cause), Backend::S3(s3)) if s3.makes_bucket(&cause) => {
                s3.make_bucket().await?;
                put().await?;
            }
            (outcome, _) => drop(outcome?),
        }
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
        let source = source.map_err(|cause| BlobError::Source(cause.to_string()));
        match &self.backend {
            Backend::Folder(folder) => folder.put_stream(&Key::from(key), source).await,
            Backend::S3(s3) => s3.put_stream(self, key, source).await,
        }
    }

    /// A part of a blob as a stream. Once it is open, a blob in a folder may be deleted meanwhile.
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
        let found = self.store.get_opts(&Key::from(key), options).await?;
        let range = found.range.clone();
        match found.payload {
            GetResultPayload::File(file, _) => folder::read(file, range).await,
            GetResultPayload::Stream(bytes) => Ok(bytes.map_err(BlobError::from).boxed()),
        }
    }

    /// The size of a blob; nothing when there is none.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, BlobError> {
        match self.store.head(&Key::from(key)).await {
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
        match self.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }

    /// The blobs whose keys begin with the folder `prefix`, in no order that counts.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, BlobError>> {
        let listed = |found: object_store::ObjectMeta| Listed {
            key: found.location.to_string(),
            at: OffsetDateTime::from_unix_timestamp(found.last_modified.timestamp())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        };
        let listing = self.store.list(Some(&Key::from(prefix)));
        // A bucket that was not made yet has nothing in it.
        let listing = listing.filter(|found| {
            let missing = found.as_ref().is_err_and(|cause| told(cause).contains("NoSuchBucket"));
            futures::future::ready(!missing)
        });
        listing.map_ok(listed).map_err(BlobError::from).boxed()
    }

    /// Takes away what streamed puts left behind that were begun before a time and never ended, and tells how much it was.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn drop_leftovers(&self, before: OffsetDateTime) -> Result<usize, BlobError> {
        match &self.backend {
            Backend::Folder(folder) => folder.drop_leftovers(before).await,
            Backend::S3(s3) => s3.drop_leftovers(self, before).await,
        }
    }

    /// An address by which one blob can be fetched from outside for a while; nothing where URLs cannot be signed.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn url_to_get(
        &self,
        key: &str,
        content_type: &str,
        disposition: &str,
        life: Duration,
    ) -> Result<Option<String>, BlobError> {
        match &self.backend {
            Backend::Folder(_) => Ok(None),
            Backend::S3(s3) => s3.url_to_get(key, content_type, disposition, life).await.map(Some),
        }
    }

    /// An address by which one blob can be put from outside for a while; nothing where URLs cannot be signed. How large it is
    /// must be looked at afterwards.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn url_to_put(&self, key: &str, life: Duration) -> Result<Option<String>, BlobError> {
        match &self.backend {
            Backend::Folder(_) => Ok(None),
            Backend::S3(s3) => s3.url_to_put(key, life).await.map(Some),
        }
    }
}
