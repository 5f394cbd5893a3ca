//! The job for a new file: lets a scanner look at it, checks its bytes, moves it from the staging area to its place, finds out
//! what it is, and reports. Every step may be repeated, so a redelivery or a crash between two steps ends the same.

mod taking;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use mesh::{
    blobs::{BlobError, Blobs},
    bus::{Delivery, HandlerError, QueueSpec},
    crash,
    rpc::Upstream,
};
use proto::file::{
    internal::v1::{
        FinishProcessingRequest, GetProcessingRequest, GetProcessingResponse, ProcessedFile,
        finish_processing_request::Outcome, processing_service_client::ProcessingServiceClient,
    },
    v1::{FileUploaded, PreviewState},
};
use sha2::{Digest as _, Sha256};

use self::taking::Taking;
use crate::{
    look::Kind,
    sandbox::{LookError, Sandbox, Subject},
    scan::{self, Verdict},
};

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
    pub(crate) sandbox: Sandbox,
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
        let scanned = self.scan(&work).await?;
        let infected = matches!(scanned, Some(Scanned::Infected(_)));
        let outcome = match scanned {
            Some(Scanned::Infected(why) | Scanned::Refused(why)) => Outcome::Failure(why),
            None => match self.place(&work).await? {
                Placed::Whole => Outcome::Processed(self.describe(&work).await?),
                Placed::Broken(why) => Outcome::Failure(why),
            },
        };
        crash::point("worker.placed");
        let request = FinishProcessingRequest { file_id, outcome: Some(outcome), infected };
        let done = self.processing.finish_processing(request).await?.into_inner();
        crash::point("worker.finished");
        for key in done.staging_keys {
            self.blobs.delete(&key).await?;
        }
        Ok(())
    }

    /// Lets the scanner look, if there is one. Nothing is what was found.
    async fn scan(&self, work: &GetProcessingResponse) -> anyhow::Result<Option<Scanned>> {
        if work.scanner.is_empty() {
            return Ok(None);
        }
        let bytes = pieces(self.blobs.clone(), work.staging_keys.clone()).map_err(std::io::Error::other);
        Ok(match scan::scan(&work.scanner, bytes).await? {
            Verdict::Clean => None,
            Verdict::Infected(name) => Some(Scanned::Infected(format!("The virus scanner found {name}."))),
            Verdict::Refused(why) => Some(Scanned::Refused(format!("The virus scanner will not look at it: {why}"))),
        })
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

    /// Finds out what a file is and what it says of itself.
    async fn describe(&self, work: &GetProcessingResponse) -> anyhow::Result<ProcessedFile> {
        let head = self.read(&work.blob_key, work.size.min(SNIFF_BYTES)).await?;
        let found = shown(&head, &work.content_type);
        let content_type = content_type(found.as_deref(), &work.content_type);
        let mut processed = ProcessedFile { content_type, ..ProcessedFile::default() };
        processed.set_preview(PreviewState::None);
        let Some((content_type, kind)) = found.and_then(|found| Kind::of(&found).map(|kind| (found, kind))) else {
            return Ok(processed);
        };
        if work.size > kind.most_bytes() {
            return Ok(without_preview(processed, "It is too large to be looked at."));
        }
        let subject = Subject { key: &work.blob_key, size: work.size, content_type: &content_type };
        let mut taking = Taking::new(&self.blobs, work, processed);
        match self.sandbox.look(&self.blobs, &subject, &mut taking).await {
            Ok(looked) => Ok(taking.with(looked)),
            // A file that cannot be looked at is a file without smaller pictures.
            Err(LookError::File(why)) => {
                tracing::info!(key = work.blob_key, why, "nothing is known of what is in this file");
                Ok(without_preview(taking.given_up().await?, &why))
            }
            Err(LookError::Passing(cause)) => Err(cause),
        }
    }

    async fn read(&self, key: &str, size: u64) -> Result<Bytes, BlobError> {
        let chunks: Vec<Bytes> = self.blobs.get_range(key, 0..size).await?.try_collect().await?;
        Ok(chunks.concat().into())
    }
}

fn without_preview(mut processed: ProcessedFile, why: &str) -> ProcessedFile {
    processed.set_preview(PreviewState::Failed);
    why.clone_into(&mut processed.preview_failure);
    processed
}

/// Why a file is not taken.
enum Scanned {
    Infected(String),
    Refused(String),
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

/// What the bytes show. Documents of office programs are archives whose first bytes do not always tell more than that: then it is
/// what their sender says, if it is one of these.
fn shown(head: &[u8], said: &str) -> Option<String> {
    let found = infer::get(head)?.mime_type();
    let narrower = found == "application/zip" && Kind::of(said) == Some(Kind::Office);
    Some(if narrower { said } else { found }.to_owned())
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
    fn an_archive_may_be_a_document_and_nothing_else() {
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let archive = b"PK\x03\x04\x14\0\0\0\0\0 some archive";
        assert_eq!(shown(archive, docx).as_deref(), Some(docx));
        assert_eq!(shown(archive, "image/png").as_deref(), Some("application/zip"));
        assert_eq!(shown(b"\x89PNG\r\n\x1a\n", docx).as_deref(), Some("image/png"));
        assert_eq!(shown(b"text", docx), None);
    }

    #[test]
    fn the_bytes_say_what_a_file_is() {
        assert_eq!(content_type(Some("image/png"), "text/html"), "image/png");
        assert_eq!(content_type(None, "text/plain"), "text/plain");
        assert_eq!(content_type(None, "image/png"), "application/octet-stream");
        assert_eq!(content_type(None, ""), "application/octet-stream");
    }
}
