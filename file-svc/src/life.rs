//! How files go on and end: put into other rooms on the same bytes, taken out of their room, and their bytes deleted a day
//! after the last file on them. A blob's row is locked before that of any file on it.

use std::time::Duration;

use mesh::outbox;
use proto::file::v1::{FileDeleted, FileReady, FileState};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    errors::FileError,
    quota,
    store::{
        self, blob,
        file::{self, thumbnail},
        trash,
        upload::{self, Model as Upload},
    },
    uploads::{self, Limits},
};

/// How long bytes are kept on which no file stands any more.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What somebody wants to put into another room.
pub(crate) struct Share {
    pub(crate) user_id: Uuid,
    pub(crate) op_id: Uuid,
    pub(crate) file_id: Uuid,
    pub(crate) room_id: Uuid,
}

/// Makes a file in another room on the same bytes, or finds the one of the same operation.
pub(crate) async fn share<C: ConnectionTrait>(
    tx: &C,
    share: &Share,
    limits: &Limits,
    now: OffsetDateTime,
) -> Result<file::Model, FileError> {
    let source = file::find(tx, share.file_id).await?.ok_or(FileError::FileNotFound)?;
    match source.state() {
        FileState::Ready => {}
        FileState::Failed => return Err(FileError::FileBroken(source.failure)),
        _ => return Err(FileError::FileNotReady),
    }
    let id = mesh::ids::new_id();
    upload::insert_once(tx, operation(id, share, &source, now)).await?;
    let found = upload::lock_by_op(tx, share.user_id, share.op_id).await?.ok_or(FileError::UploadNotFound)?;
    if found.id != id {
        let same = found.room_id == share.room_id && found.metadata == source.metadata && found.sha256 == source.sha256;
        let made = file::find(tx, found.id).await?.filter(|_| same);
        return made.ok_or(FileError::OpIdReused);
    }
    let blob_id = source.blob_id.ok_or(FileError::FileNotFound)?;
    let blob = blob::lock(tx, blob_id).await?.ok_or(FileError::FileNotFound)?;
    // Read again now that nobody takes it away.
    let source = file::find(tx, share.file_id).await?.ok_or(FileError::FileNotFound)?;
    blob::hold(tx, blob).await?;
    quota::charge(tx, share.user_id, store::unsigned(source.size), limits.quotas).await?;
    let pictures = file::thumbnails(tx, &[source.id]).await?;
    let pictures = pictures.into_iter().map(|picture| thumbnail::Model { file_id: id, ..picture }).collect::<Vec<_>>();
    let (room_id, uploader_id) = (share.room_id, share.user_id);
    let created_at = store::micros(now);
    let shared = file::Model { id, room_id, uploader_id, created_at, charged: source.size, ..source };
    file::insert(tx, shared.clone(), pictures.clone()).await?;
    let ready = FileReady { file: Some(shared.to_proto(&pictures)) };
    outbox::add(tx, &[uploads::message(&ready, room_id, share.op_id)?], now).await?;
    Ok(shared)
}

/// Remembers the operation as an upload that needed no bytes.
fn operation(id: Uuid, share: &Share, source: &file::Model, now: OffsetDateTime) -> Upload {
    Upload {
        id,
        user_id: share.user_id,
        op_id: share.op_id,
        room_id: share.room_id,
        size: source.size,
        offset: source.size,
        sha256: source.sha256.clone(),
        metadata: source.metadata.clone(),
        created_at: store::micros(now),
        expires_at: store::micros(now),
        charged: 0,
        done: true,
    }
}

/// Takes a file out of its room, and tells the room. Nothing happens to one that is gone already.
pub(crate) async fn delete<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    actor: Uuid,
    now: OffsetDateTime,
) -> Result<bool, FileError> {
    let Some(seen) = file::find(tx, id).await? else {
        return Ok(false);
    };
    if let Some(blob_id) = seen.blob_id {
        blob::lock(tx, blob_id).await?;
    }
    let Some(row) = file::lock(tx, id).await? else {
        return Ok(false);
    };
    file::delete(tx, id).await?;
    // What the worker did not come to.
    uploads::drop_parts(tx, id, now).await?;
    if let Some(blob_id) = row.blob_id {
        leave(tx, blob_id, now).await?;
    }
    quota::refund(tx, row.uploader_id, row.charged).await?;
    let deleted =
        FileDeleted { file_id: id.to_string(), room_id: row.room_id.to_string(), actor_id: actor.to_string() };
    outbox::add(tx, &[uploads::message(&deleted, row.room_id, id)?], now).await?;
    Ok(true)
}

/// A locked blob was left by a file: the day begins when that was the last one.
pub(crate) async fn leave<C: ConnectionTrait>(tx: &C, blob_id: Uuid, now: OffsetDateTime) -> Result<(), FileError> {
    if file::on_blob(tx, blob_id).await? == 0 {
        blob::released(tx, blob_id, store::micros(now)).await?;
    }
    Ok(())
}

/// Lets a blob's bytes go when its day is over and still nobody stands on it.
pub(crate) async fn end<C: ConnectionTrait>(tx: &C, id: Uuid, now: OffsetDateTime) -> Result<bool, FileError> {
    let Some(blob) = blob::lock(tx, id).await? else {
        return Ok(false);
    };
    let over = blob.released_at > 0 && blob.released_at < store::micros(now - KEPT);
    if !over || file::on_blob(tx, id).await? > 0 {
        return Ok(false);
    }
    trash::add(tx, blob.keys(), store::micros(now)).await?;
    blob::delete(tx, id).await?;
    Ok(true)
}
