//! What the worker is told and what it reports.

use mesh::outbox;
use proto::file::{
    internal::v1::{GetProcessingResponse, ProcessedFile, finish_processing_request::Outcome},
    v1::{FileReady, FileState},
};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::FileError,
    store::{
        self,
        file::{self, thumbnail},
        upload,
    },
    uploads,
};

/// The longest text about a failure that is kept.
const MAX_FAILURE_CHARS: usize = 300;

/// The work that is left for a file.
pub(crate) async fn work<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<GetProcessingResponse, FileError> {
    let Some(row) = file::find(db, id).await?.filter(|row| row.state() == FileState::Processing) else {
        return Ok(GetProcessingResponse::default());
    };
    let staging_keys = upload::parts(db, id).await?.into_iter().map(|part| part.key).collect();
    Ok(GetProcessingResponse {
        needed: true,
        staging_keys,
        blob_key: row.blob_key(),
        thumbnail_key_prefix: format!("thumbnails/{id}/"),
        content_type: row.metadata().content_type,
        size: store::unsigned(row.size),
        sha256: row.sha256.into(),
    })
}

/// Records what became of a file and announces it, once. Returns the pieces that nobody needs any more.
pub(crate) async fn finish<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    outcome: Outcome,
    now: OffsetDateTime,
) -> Result<Vec<String>, FileError> {
    let mut row = file::lock(tx, id).await?.ok_or(FileError::FileNotFound)?;
    let staging_keys: Vec<String> = upload::parts(tx, id).await?.into_iter().map(|part| part.key).collect();
    if row.state() != FileState::Processing {
        return Ok(staging_keys);
    }
    let pictures = match outcome {
        Outcome::Processed(processed) => ready(&mut row, processed),
        Outcome::Failure(why) => {
            row.state = FileState::Failed.into();
            row.failure = why.chars().take(MAX_FAILURE_CHARS).collect();
            Vec::new()
        }
    };
    file::finish(tx, &row, pictures.clone()).await?;
    let operation = upload::find(tx, id).await?.map_or_else(Uuid::nil, |upload| upload.op_id);
    let event = FileReady { file: Some(row.to_proto(&pictures)) };
    outbox::add(tx, &[uploads::message(&event, row.room_id, operation)?], now).await?;
    Ok(staging_keys)
}

fn ready(row: &mut file::Model, processed: ProcessedFile) -> Vec<thumbnail::Model> {
    let pixels = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    row.state = FileState::Ready.into();
    if !processed.content_type.is_empty() {
        row.content_type = processed.content_type;
    }
    row.width = pixels(processed.width);
    row.height = pixels(processed.height);
    let picture = |made: proto::file::internal::v1::ProcessedThumbnail| thumbnail::Model {
        file_id: row.id,
        variant: made.variant,
        width: pixels(made.width),
        height: pixels(made.height),
        content_type: made.content_type,
        size: store::signed(made.size),
        key: made.key,
    };
    processed.thumbnails.into_iter().map(picture).collect()
}
