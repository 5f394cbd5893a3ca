//! Uploads: opened, given their metadata, completed, given up. The bytes themselves come in through `receive`.
//!
//! The two halves are recorded under one operation id in either order; whichever comes second completes the file, in one
//! transaction with the word to the worker.

use std::time::Duration;

use mesh::outbox::{self, OutboxMessage};
use prost::Message as _;
use proto::file::v1::{FileMetadata, FileState, FileUploaded, Upload};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::FileError,
    files,
    store::{
        self, file,
        upload::{self, Model},
    },
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) life: Duration,
}

/// Opens an upload, or finds the one of the same operation.
pub(crate) async fn open<C: ConnectionTrait>(
    tx: &C,
    new: &NewUpload,
    limits: Limits,
    now: OffsetDateTime,
) -> Result<Model, FileError> {
    if new.size.is_some_and(|size| size > limits.max_bytes) {
        return Err(FileError::FileTooLarge { max: limits.max_bytes });
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
    };
    let id = row.id;
    // Both halves may come at once: one makes the upload, the other waits here and finds it.
    upload::insert_once(tx, row).await?;
    let found = upload::lock_by_op(tx, new.user_id, new.op_id).await?.ok_or(FileError::UploadNotFound)?;
    let found = if found.id == id { found } else { join(tx, found, new).await? };
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
            now,
        )
        .await;
    }
    complete(tx, &with_metadata, now).await?;
    Ok(with_metadata)
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
    now: OffsetDateTime,
) -> Result<Model, FileError> {
    upload::set_bytes(tx, upload.id, size, sha256.clone()).await?;
    upload.size = store::signed(size);
    upload.sha256 = sha256;
    complete(tx, &upload, now).await?;
    Ok(upload)
}

/// Makes the file once both halves are here, and tells the worker. The second call finds the file and does nothing.
async fn complete<C: ConnectionTrait>(tx: &C, upload: &Model, now: OffsetDateTime) -> Result<(), FileError> {
    if !upload.bytes_received() || !upload.metadata_received() || file::find(tx, upload.id).await?.is_some() {
        return Ok(());
    }
    let metadata = FileMetadata::decode(upload.metadata.as_slice()).map_err(FileError::internal)?;
    let content_type =
        if metadata.content_type.is_empty() { "application/octet-stream" } else { &metadata.content_type };
    let row = file::Model {
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
    };
    file::insert(tx, row).await?;
    let event = FileUploaded {
        file_id: upload.id.to_string(),
        room_id: upload.room_id.to_string(),
        op_id: upload.op_id.to_string(),
        at: Some(store::timestamp(store::micros(now))),
    };
    outbox::add(tx, &[message(&event, upload.room_id, upload.op_id)?], now).await?;
    Ok(())
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
