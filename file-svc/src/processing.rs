//! What the worker is told and what it reports.

use mesh::outbox;
use proto::file::{
    internal::v1::{FinishProcessingRequest, GetProcessingResponse, ProcessedFile, finish_processing_request::Outcome},
    v1::{FileReady, FileState, PreviewState, ScanState},
};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::FileError,
    life, quota,
    store::{
        self, blob,
        file::{self, thumbnail},
        trash, upload,
    },
    uploads::{self, Limits},
};

/// The longest text about a failure that is kept.
const MAX_FAILURE_CHARS: usize = 300;
const MAX_FOUND: usize = 32;
const MAX_FOUND_BYTES: usize = 1024;

/// The work that is left for a file.
pub(crate) async fn work<C: ConnectionTrait>(
    db: &C,
    id: Uuid,
    scanner: &str,
) -> Result<GetProcessingResponse, FileError> {
    let Some(row) = file::find(db, id).await?.filter(|row| row.state() == FileState::Processing) else {
        return Ok(GetProcessingResponse::default());
    };
    let staging_keys = upload::parts(db, id).await?.into_iter().map(|part| part.key).collect();
    Ok(GetProcessingResponse {
        needed: true,
        staging_keys,
        blob_key: row.own_key(),
        thumbnail_key_prefix: row.own_thumbnails(),
        content_type: row.metadata().content_type,
        size: store::unsigned(row.size),
        sha256: row.sha256.into(),
        scanner: scanner.to_owned(),
    })
}

/// Records what became of a file, and of all that stand on the same bytes, and announces each of them, once. Returns what
/// nobody needs any more.
pub(crate) async fn finish<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    request: FinishProcessingRequest,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<Vec<String>, FileError> {
    let FinishProcessingRequest { outcome, infected, .. } = request;
    let seen = file::find(tx, id).await?;
    let (Some(outcome), Some(blob_id)) = (outcome, seen.and_then(|row| row.blob_id)) else {
        return Ok(Vec::new());
    };
    let Some(blob) = blob::lock(tx, blob_id).await? else {
        return Ok(Vec::new());
    };
    let mut waiting = file::lock_waiting(tx, blob_id).await?;
    let Some(own) = waiting.iter().position(|row| row.id == id) else {
        // Another run, or the job of a file with the same bytes, was quicker.
        return spare(tx, id, &blob, &outcome, now).await;
    };
    match outcome {
        Outcome::Processed(report) => {
            let report = bounded(report);
            blob::ready(tx, blob_id, &waiting[own].own_key(), &report).await?;
            for mut row in waiting {
                let pictures = settle(tx, &mut row, &report, limits).await?;
                announce(tx, &row, pictures, now).await?;
            }
        }
        Outcome::Failure(why) => {
            // What was found in the bytes holds for all; what went wrong on the way only for this one.
            if !infected {
                waiting = vec![waiting.swap_remove(own)];
            }
            for mut row in waiting {
                fail(tx, &mut row, &why).await?;
                if infected {
                    row.scan = ScanState::Infected.into();
                }
                announce(tx, &row, Vec::new(), now).await?;
            }
            if infected {
                blob::forget_hash(tx, blob_id).await?;
            }
        }
    }
    life::leave(tx, blob_id, now).await?;
    uploads::drop_parts(tx, id, now).await
}

/// Lets go what a job stored that came too late.
async fn spare<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    blob: &blob::Model,
    outcome: &Outcome,
    now: OffsetDateTime,
) -> Result<Vec<String>, FileError> {
    let mut keys = uploads::drop_parts(tx, id, now).await?;
    if let Outcome::Processed(report) = outcome {
        let kept = blob.keys();
        let pictures = report.thumbnails.iter().map(|picture| picture.key.clone());
        let stored = std::iter::once(format!("files/{id}")).chain(pictures);
        let spare: Vec<String> = stored.filter(|key| !kept.contains(key)).collect();
        trash::add(tx, spare.clone(), store::micros(now)).await?;
        keys.extend(spare);
    }
    Ok(keys)
}

/// What was found out about the bytes decides what becomes of a file on them.
pub(crate) async fn settle<C: ConnectionTrait>(
    tx: &C,
    row: &mut file::Model,
    report: &ProcessedFile,
    limits: &Limits,
) -> Result<Vec<thumbnail::Model>, FileError> {
    let pictures = row.describe(report);
    if let Err(refused) = limits.refused.check(&row.content_type) {
        fail(tx, row, &refused.to_string()).await?;
        return Ok(Vec::new());
    }
    if row.scan == i32::from(ScanState::Pending) {
        row.scan = ScanState::Clean.into();
    }
    Ok(pictures)
}

/// A file that failed stands on nothing and counts for nobody.
async fn fail<C: ConnectionTrait>(tx: &C, row: &mut file::Model, why: &str) -> Result<(), FileError> {
    row.state = FileState::Failed.into();
    row.failure = why.chars().take(MAX_FAILURE_CHARS).collect();
    row.preview = PreviewState::None.into();
    row.blob_id = None;
    quota::refund(tx, row.uploader_id, row.charged).await?;
    row.charged = 0;
    Ok(())
}

async fn announce<C: ConnectionTrait>(
    tx: &C,
    row: &file::Model,
    pictures: Vec<thumbnail::Model>,
    now: OffsetDateTime,
) -> Result<(), FileError> {
    file::finish(tx, row, pictures.clone()).await?;
    let operation = upload::find(tx, row.id).await?.map_or_else(Uuid::nil, |upload| upload.op_id);
    let event = FileReady { file: Some(row.to_proto(&pictures)) };
    outbox::add(tx, &[uploads::message(&event, row.room_id, operation)?], now).await?;
    Ok(())
}

/// What a file's bytes say is somebody's text: it is kept short.
fn bounded(mut report: ProcessedFile) -> ProcessedFile {
    let cut =
        |text: String, most: usize| text.char_indices().take_while(|(at, _)| *at < most).map(|(_, c)| c).collect();
    report.preview_failure = cut(report.preview_failure, MAX_FAILURE_CHARS);
    let found = report.found.into_iter().take(MAX_FOUND);
    report.found = found.map(|(key, value)| (cut(key, 64), cut(value, MAX_FOUND_BYTES - 4))).collect();
    report
}
