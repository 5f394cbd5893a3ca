//! The job for a new file: checks its bytes, moves it from the staging area to its place, makes smaller pictures of it, and
//! reports. Every step may be repeated, so a redelivery or a crash between two steps ends the same.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use mesh::{
    blobs::{BlobError, Blobs},
    bus::{Delivery, HandlerError, QueueSpec},
    rpc::Upstream,
};
use proto::file::{
    internal::v1::{
        FinishProcessingRequest, GetProcessingRequest, GetProcessingResponse, ProcessedFile, ProcessedThumbnail,
        finish_processing_request::Outcome, processing_service_client::ProcessingServiceClient,
    },
    v1::FileUploaded,
};
use sha2::{Digest as _, Sha256};

use crate::thumbnails::{self, Picture, Thumbnailer};

/// The most bytes of a picture that is decoded.
const MAX_PICTURE_BYTES: u64 = 64 * 1024 * 1024;
/// How many bytes tell what a file is.
const SNIFF_BYTES: u64 = 8 * 1024;

/// The queue of new files.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new("WorkerFileUploaded", [proto::event_kind::<FileUploaded>()])
}

/// What the job works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FileJob {
    pub(crate) blobs: Blobs,
    pub(crate) processing: ProcessingServiceClient<Upstream>,
    pub(crate) thumbnailer: Thumbnailer,
}

impl FileJob {
    /// Handles one announcement.
    pub(crate) async fn handle(self, delivery: Delivery) -> Result<(), HandlerError> {
        let uploaded: FileUploaded =
            proto::from_json(&delivery.envelope.body).map_err(|cause| HandlerError::Poison(cause.into()))?;
        self.process(uploaded.file_id).await.map_err(HandlerError::Retry)
    }

    async fn process(mut self, file_id: String) -> anyhow::Result<()> {
        let request = GetProcessingRequest { file_id: file_id.clone() };
        let work = self.processing.get_processing(request).await?.into_inner();
        if !work.needed {
            return Ok(());
        }
        let outcome = match self.place(&work).await? {
            Placed::Whole => Outcome::Processed(self.describe(&work).await?),
            Placed::Broken(why) => Outcome::Failure(why),
        };
        let request = FinishProcessingRequest { file_id, outcome: Some(outcome), infected: false };
        let done = self.processing.finish_processing(request).await?.into_inner();
        for key in done.staging_keys {
            self.blobs.delete(&key).await?;
        }
        Ok(())
    }

    /// Copies the pieces to one blob, and checks size and hash on the way.
    async fn place(&self, work: &GetProcessingResponse) -> anyhow::Result<Placed> {
        // Placed before, by a run that did not come to its end.
        if self.blobs.size(&work.blob_key).await? == Some(work.size)
            && self.hash(&work.blob_key, work.size).await? == work.sha256
        {
            return Ok(Placed::Whole);
        }
        let mut hash = Sha256::new();
        let pieces = pieces(self.blobs.clone(), work.staging_keys.clone()).inspect_ok(|chunk| hash.update(chunk));
        let size = self.blobs.put_stream(&work.blob_key, pieces).await?;
        if size == work.size && work.sha256 == hash.finalize().to_vec() {
            return Ok(Placed::Whole);
        }
        self.blobs.delete(&work.blob_key).await?;
        Ok(Placed::Broken("What is stored is not what was uploaded; please upload it again.".into()))
    }

    async fn hash(&self, key: &str, size: u64) -> anyhow::Result<Vec<u8>> {
        let mut hash = Sha256::new();
        let mut bytes = self.blobs.get_range(key, 0..size).await?;
        while let Some(chunk) = bytes.try_next().await? {
            hash.update(&chunk);
        }
        Ok(hash.finalize().to_vec())
    }

    /// Finds out what a file is, and makes smaller pictures when it is one.
    async fn describe(&self, work: &GetProcessingResponse) -> anyhow::Result<ProcessedFile> {
        let head = self.read(&work.blob_key, work.size.min(SNIFF_BYTES)).await?;
        let found = infer::get(&head).map(|kind| kind.mime_type().to_owned());
        let content_type = content_type(found.as_deref(), &work.content_type);
        let mut processed = ProcessedFile { content_type, ..ProcessedFile::default() };
        let is_picture = found.is_some_and(|kind| thumbnails::KINDS.contains(&kind.as_str()));
        if !is_picture || work.size > MAX_PICTURE_BYTES {
            return Ok(processed);
        }
        let bytes = self.read(&work.blob_key, work.size).await?;
        // A picture that cannot be decoded is a file without smaller pictures.
        match self.thumbnailer.make(bytes).await {
            Ok(made) => {
                (processed.width, processed.height) = (made.width, made.height);
                for picture in made.pictures {
                    processed.thumbnails.push(self.store(&work.thumbnail_key_prefix, picture).await?);
                }
            }
            Err(cause) => tracing::info!(key = work.blob_key, %cause, "no smaller pictures of this file"),
        }
        Ok(processed)
    }

    async fn store(&self, prefix: &str, picture: Picture) -> Result<ProcessedThumbnail, BlobError> {
        let key = format!("{prefix}{}", picture.variant);
        let size = picture.bytes.len() as u64;
        self.blobs.put(&key, picture.bytes).await?;
        Ok(ProcessedThumbnail {
            variant: picture.variant.into(),
            width: picture.width,
            height: picture.height,
            content_type: picture.content_type.into(),
            size,
            key,
        })
    }

    async fn read(&self, key: &str, size: u64) -> Result<Bytes, BlobError> {
        let chunks: Vec<Bytes> = self.blobs.get_range(key, 0..size).await?.try_collect().await?;
        Ok(chunks.concat().into())
    }
}

/// Whether the file is where it belongs.
enum Placed {
    Whole,
    Broken(String),
}

/// The pieces of the staging area as one stream.
fn pieces(blobs: Blobs, keys: Vec<String>) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
    let open = move |key: String| {
        let blobs = blobs.clone();
        async move {
            let size = blobs.size(&key).await?.unwrap_or(0);
            blobs.get_range(&key, 0..size).await
        }
    };
    stream::iter(keys).then(open).try_flatten()
}

/// What the bytes tell wins; without it, what the uploader said.
fn content_type(found: Option<&str>, said: &str) -> String {
    match (found, said) {
        (Some(found), _) => found.to_owned(),
        (None, "") => "application/octet-stream".to_owned(),
        // Only bytes prove a picture, a sound or a film.
        (None, said)
            if ["image/", "audio/", "video/"].iter().any(|kind| said.starts_with(kind)) && said != "image/svg+xml" =>
        {
            "application/octet-stream".to_owned()
        }
        (None, said) => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_say_what_a_file_is() {
        assert_eq!(content_type(Some("image/png"), "text/html"), "image/png");
        assert_eq!(content_type(None, "text/plain"), "text/plain");
        assert_eq!(content_type(None, "image/png"), "application/octet-stream");
        assert_eq!(content_type(None, ""), "application/octet-stream");
    }
}
