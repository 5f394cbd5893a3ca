//! What comes of looking at a file, stored as it comes and gathered for the report.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use mesh::blobs::Blobs;
use proto::file::{
    internal::v1::{GetProcessingResponse, ProcessedFile, ProcessedThumbnail},
    v1::PreviewState,
};
use sha2::{Digest as _, Sha256};

use crate::{
    look::{Looked, Picture},
    sandbox::Take,
};

pub(super) struct Taking<'a> {
    blobs: &'a Blobs,
    work: &'a GetProcessingResponse,
    processed: ProcessedFile,
}

impl<'a> Taking<'a> {
    pub(super) const fn new(blobs: &'a Blobs, work: &'a GetProcessingResponse, processed: ProcessedFile) -> Self {
        Self { blobs, work, processed }
    }

    /// The report when looking came to its end.
    pub(super) fn with(self, looked: Looked) -> ProcessedFile {
        let mut processed = self.processed;
        processed.thumbnails.sort_by_key(|picture| picture.width);
        (processed.width, processed.height) = (looked.width, looked.height);
        processed.duration_ms = looked.duration_ms;
        processed.found = looked.found;
        processed
    }

    /// The report when it did not: the smaller pictures that were stored go; what was taken out of the file stays out.
    pub(super) async fn given_up(mut self) -> anyhow::Result<ProcessedFile> {
        for picture in std::mem::take(&mut self.processed.thumbnails) {
            self.blobs.delete(&picture.key).await?;
        }
        Ok(self.processed)
    }
}

impl Take for Taking<'_> {
    async fn picture(&mut self, picture: Picture, bytes: Bytes) -> anyhow::Result<()> {
        let short = picture.variant.len() <= 16 && picture.variant.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let known = matches!(picture.content_type.as_str(), "image/jpeg" | "image/png");
        anyhow::ensure!(short && known, "a smaller picture with an odd name or type");
        let key = format!("{}{}", self.work.thumbnail_key_prefix, picture.variant);
        let size = bytes.len() as u64;
        self.blobs.put(&key, bytes).await?;
        self.processed.set_preview(PreviewState::Made);
        self.processed.thumbnails.push(ProcessedThumbnail {
            variant: picture.variant,
            width: picture.width,
            height: picture.height,
            content_type: picture.content_type,
            size,
            key,
        });
        Ok(())
    }

    async fn cleaned<S>(&mut self, size: u64, bytes: S) -> anyhow::Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send,
    {
        let passed = Arc::new(Mutex::new((Sha256::new(), 0_u64)));
        let (passing, end) = (passed.clone(), passed.clone());
        let bytes = bytes.inspect_ok(move |chunk| {
            let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.0.update(chunk);
            passing.1 += chunk.len() as u64;
        });
        // A process that dies in the middle must not leave half a file.
        let whole = stream::once(async move {
            let passed = end.lock().unwrap_or_else(PoisonError::into_inner).1;
            if passed == size { Ok(Bytes::new()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
        });
        self.blobs.put_stream(&self.work.blob_key, bytes.chain(whole)).await?;
        self.processed.stored_size = size;
        let hash = passed.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        self.processed.stored_sha256 = hash.finalize().to_vec().into();
        Ok(())
    }
}
