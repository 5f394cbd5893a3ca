//! Uploads: opened, given their metadata, completed, given up. The bytes themselves come in through `receive`.
//!
//! The two halves are recorded under one operation id in either order; whichever comes second completes the file, in one
//! transaction with the word to the worker. What counts towards quotas is counted in the transaction that keeps it.

use std::{collections::HashMap, time::Duration};

use mesh::outbox::{self, OutboxMessage};
use prost::Message as _;
use proto::file::v1::{FileMetadata, FileReady, FileState, FileUploaded, PreviewState, ScanState, Upload};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::FileError,
    files, life, processing,
    quota::{self, Quotas},
    store::{
        self, blob, file, trash,
        upload::{self, Model},
    },
    types::Refused,
};

/// What somebody wants to upload.
pub(crate) struct NewUpload {
    pub(crate) user_id: Uuid,
    pub(crate) op_id: Uuid,
    pub(crate) room_id: Uuid,
    pub(crate) size: Option<u64>,
    pub(crate) metadata: Option<FileMetadata>,
}

/// The limits of one upload.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) life: Duration,
    pub(crate) quotas: Quotas,
    pub(crate) refused: Refused,
    /// A virus scanner looks at every file.
    pub(crate) scanned: bool,
}

/// Opens an upload, or finds the one of the same operation.
pub(crate) async fn open<C: ConnectionTrait>(
    tx: &C,
    new: &NewUpload,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<Model, FileError> {
    if new.size.is_some_and(|size| size > limits.max_bytes) {
        return Err(FileError::FileTooLarge { max: limits.max_bytes });
    }
    if let Some(metadata) = &new.metadata {
        limits.refused.check(&metadata.content_type)?;
    }
    let row = Model {
        id: mesh::ids::new_id(),
        user_id: new.user_id,
        op_id: new.op_id,
        room_id: new.room_id,
        size: new.size.map_or(-1, store::signed),
        offset: 0,
        sha256: Vec::new(),
        metadata: Vec::new(),
        created_at: store::micros(now),
        expires_at: store::micros(now + limits.life),
        charged: 0,
        done: false,
    };
    let id = row.id;
    // Both halves may come at once: one makes the upload, the other waits here and finds it.
    upload::insert_once(tx, row).await?;
    let found = upload::lock_by_op(tx, new.user_id, new.op_id).await?.ok_or(FileError::UploadNotFound)?;
    let found = if found.id == id { found } else { join(tx, found, new).await? };
    let found = charge(tx, found, limits).await?;
    let with_metadata = match &new.metadata {
        Some(metadata) => put_metadata(tx, found, metadata).await?,
        None => found,
    };
    // An empty file has no bytes to wait for.
    if with_metadata.size == 0 && !with_metadata.bytes_received() {
        return finish_bytes(
            tx,
            with_metadata,
            0,
            sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new()).to_vec(),
            limits,
            now,
        )
        .await;
    }
    complete(tx, with_metadata, limits, now).await
}

/// Bytes that are announced count from the beginning, so that nobody sends what is refused in the end.
async fn charge<C: ConnectionTrait>(tx: &C, mut upload: Model, limits: &Limits) -> Result<Model, FileError> {
    let more = upload.size.max(upload.offset) - upload.charged;
    if !upload.done && more > 0 {
        quota::charge(tx, upload.user_id, store::unsigned(more), limits.quotas).await?;
        upload.charged += more;
        upload::set_charged(tx, upload.id, upload.charged).await?;
    }
    Ok(upload)
}

/// The other half of the same operation came first: the room must be the same, and a size that is known must stay.
async fn join<C: ConnectionTrait>(tx: &C, mut found: Model, new: &NewUpload) -> Result<Model, FileError> {
    if found.room_id != new.room_id {
        return Err(FileError::OpIdReused);
    }
    match (found.total(), new.size) {
        (Some(known), Some(size)) if known != size => return Err(FileError::OpIdReused),
        (None, Some(size)) if size < found.stored() => return Err(FileError::OpIdReused),
        (None, Some(size)) => {
            upload::set_size(tx, found.id, size).await?;
            found.size = store::signed(size);
        }
        _ => {}
    }
    Ok(found)
}

/// Records the metadata half.
async fn put_metadata<C: ConnectionTrait>(
    tx: &C,
    mut upload: Model,
    metadata: &FileMetadata,
) -> Result<Model, FileError> {
    if upload.metadata_received() {
        let known = FileMetadata::decode(upload.metadata.as_slice()).map_err(FileError::internal)?;
        return if known == *metadata { Ok(upload) } else { Err(FileError::MetadataExists) };
    }
    upload.metadata = metadata.encode_to_vec();
    upload::set_metadata(tx, upload.id, upload.metadata.clone()).await?;
    Ok(upload)
}

/// Records the bytes half.
pub(crate) async fn finish_bytes<C: ConnectionTrait>(
    tx: &C,
    mut upload: Model,
    size: u64,
    sha256: Vec<u8>,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<Model, FileError> {
    upload::set_bytes(tx, upload.id, size, sha256.clone()).await?;
    upload.size = store::signed(size);
    upload.sha256 = sha256;
    complete(tx, upload, limits, now).await
}

/// Makes the file once both halves are here, and tells the worker; or the room, when the same bytes were checked before. The
/// second call finds that it was done and does nothing.
async fn complete<C: ConnectionTrait>(
    tx: &C,
    mut upload: Model,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<Model, FileError> {
    if !upload.bytes_received() || !upload.metadata_received() || upload.done {
        return Ok(upload);
    }
    let metadata = FileMetadata::decode(upload.metadata.as_slice()).map_err(FileError::internal)?;
    let blob = blob::claim(tx, &upload.sha256, upload.size).await?;
    let mut row = new_file(&upload, &metadata, blob.id, limits, now);
    if blob.state == blob::READY {
        let pictures = processing::settle(tx, &mut row, &blob.report(), limits).await?;
        let ready = FileReady { file: Some(row.to_proto(&pictures)) };
        file::insert(tx, row, pictures).await?;
        life::leave(tx, blob.id, now).await?;
        drop_parts(tx, upload.id, now).await?;
        outbox::add(tx, &[message(&ready, upload.room_id, upload.op_id)?], now).await?;
    } else {
        file::insert(tx, row, Vec::new()).await?;
        let event = FileUploaded {
            file_id: upload.id.to_string(),
            room_id: upload.room_id.to_string(),
            op_id: upload.op_id.to_string(),
            at: Some(store::timestamp(store::micros(now))),
        };
        outbox::add(tx, &[message(&event, upload.room_id, upload.op_id)?], now).await?;
    }
    upload::set_done(tx, upload.id).await?;
    (upload.done, upload.charged) = (true, 0);
    Ok(upload)
}

/// The pieces of an upload are needed no longer.
pub(crate) async fn drop_parts<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Vec<String>, FileError> {
    let keys: Vec<String> = upload::parts(tx, id).await?.into_iter().map(|part| part.key).collect();
    upload::delete_parts(tx, id).await?;
    trash::add(tx, keys.clone(), store::micros(now)).await?;
    Ok(keys)
}

fn new_file(
    upload: &Model,
    metadata: &FileMetadata,
    blob_id: Uuid,
    limits: &Limits,
    now: OffsetDateTime,
) -> file::Model {
    let content_type =
        if metadata.content_type.is_empty() { "application/octet-stream" } else { &metadata.content_type };
    file::Model {
        id: upload.id,
        room_id: upload.room_id,
        uploader_id: upload.user_id,
        name: metadata.name.clone(),
        content_type: content_type.to_owned(),
        metadata: upload.metadata.clone(),
        size: upload.size,
        sha256: upload.sha256.clone(),
        created_at: store::micros(now),
        state: FileState::Processing.into(),
        failure: String::new(),
        width: 0,
        height: 0,
        blob_id: Some(blob_id),
        charged: upload.charged,
        search: file::search_text(metadata, &HashMap::new()),
        preview: PreviewState::Pending.into(),
        preview_failure: String::new(),
        scan: if limits.scanned { ScanState::Pending } else { ScanState::Off }.into(),
        duration_ms: 0,
        found: String::new(),
    }
}

/// An event for other services.
pub(crate) fn message<M: prost::Message + prost::Name>(
    event: &M,
    key: Uuid,
    operation: Uuid,
) -> Result<OutboxMessage, FileError> {
    let body = proto::to_json(event).map_err(FileError::internal)?;
    let message = OutboxMessage::new(proto::event_kind::<M>(), body, key);
    Ok(OutboxMessage { correlation_id: Some(operation), ..message })
}

/// An upload of this caller.
pub(crate) async fn own<C: ConnectionTrait>(db: &C, id: Uuid, user_id: Uuid) -> Result<Model, FileError> {
    let found = upload::find(db, id).await?;
    found.filter(|upload| upload.user_id == user_id).ok_or(FileError::UploadNotFound)
}

/// The same, and nobody else changes it before the transaction ends.
pub(crate) async fn own_locked<C: ConnectionTrait>(tx: &C, id: Uuid, user_id: Uuid) -> Result<Model, FileError> {
    let found = upload::lock(tx, id).await?;
    found.filter(|upload| upload.user_id == user_id).ok_or(FileError::UploadNotFound)
}

/// As the contracts have it, with the file once there is one.
pub(crate) async fn view<C: ConnectionTrait>(
    db: &C,
    upload: &Model,
    signing: &files::Signing<'_>,
) -> Result<Upload, FileError> {
    let file = match file::find(db, upload.id).await? {
        Some(row) => Some(signing.sign(row.to_proto(&file::thumbnails(db, &[row.id]).await?))),
        None => None,
    };
    Ok(Upload {
        id: upload.id.to_string(),
        op_id: upload.op_id.to_string(),
        room_id: upload.room_id.to_string(),
        size: upload.total(),
        offset: upload.stored(),
        bytes_received: upload.bytes_received(),
        metadata_received: upload.metadata_received(),
        expires_at: Some(store::timestamp(upload.expires_at)),
        file,
    })
}
