//! Parts that a client puts directly into the store by signed addresses, and then says so. They are read once, to be hashed:
//! what a file is found by must not be what its sender claims.

use std::time::Duration;

use proto::file::v1::{PartUrl, UploadPart};

use crate::{
    errors::FileError,
    receive::Receiver,
    store::{
        self,
        upload::{Model, part},
    },
    uploads,
};

/// S3 takes no smaller parts, except as the last one.
pub(crate) const MIN_PART: u64 = mesh::blobs::PART_BYTES as u64;
/// A part is put again from its beginning when it breaks off, so it should not be larger.
pub(crate) const MAX_PART: u64 = 64 * 1024 * 1024;
/// Parts of one call.
pub(crate) const MAX_PARTS: usize = 100;
const URL_LIFE: Duration = Duration::from_secs(15 * 60);

/// Addresses to put parts to.
pub(crate) async fn urls(receiver: &Receiver, upload: &Model, parts: &[UploadPart]) -> Result<Vec<PartUrl>, FileError> {
    check(upload, parts)?;
    let expires_at = Some(store::timestamp(store::micros(receiver.clock.now() + URL_LIFE)));
    let mut urls = Vec::with_capacity(parts.len());
    for part in parts {
        let url = receiver.blobs.url_to_put(&key(upload, part), URL_LIFE).await?;
        let url = url.ok_or(FileError::DirectUploadOff)?;
        urls.push(PartUrl { part: Some(*part), url, expires_at });
    }
    Ok(urls)
}

/// Takes parts that were put into the upload. Whether their sender may still bring them in is asked when they are the last ones.
pub(crate) async fn commit(
    receiver: &Receiver,
    upload: Model,
    parts: &[UploadPart],
    allowed: impl Future<Output = Result<(), FileError>>,
) -> Result<Model, FileError> {
    check(&upload, parts)?;
    let _busy = receiver.take(upload.id)?;
    // Read again now that nobody else writes.
    let mut upload = uploads::own(receiver.db.reader(), upload.id, upload.user_id).await?;
    if upload.bytes_received() {
        return Ok(upload);
    }
    let mut hash = receiver.hash_so_far(&upload).await?;
    for part in parts {
        // Taken by an earlier call.
        if part.offset + part.size <= upload.stored() {
            continue;
        }
        if part.offset != upload.stored() {
            return Err(FileError::OffsetMismatch { offset: upload.stored() });
        }
        let key = key(&upload, part);
        if receiver.blobs.size(&key).await? != Some(part.size) {
            return Err(FileError::PartMissing { offset: part.offset, size: part.size });
        }
        receiver.hash_blob(&mut hash, &key, part.size).await?;
        let (start, size) = (store::signed(part.offset), store::signed(part.size));
        let put = part::Model { upload_id: upload.id, start, size, key };
        receiver.record(&mut upload, vec![put]).await?;
    }
    receiver.complete(upload, hash, false, &[], allowed).await
}

/// One key for one place: whoever puts it again before it is taken replaces it.
fn key(upload: &Model, part: &UploadPart) -> String {
    format!("staging/{}/direct-{:016x}-{}", upload.id, part.offset, part.size)
}

fn check(upload: &Model, parts: &[UploadPart]) -> Result<(), FileError> {
    let wrong = |text: &str| Err(FileError::invalid("parts", text));
    let Some(total) = upload.total() else {
        return Err(FileError::invalid("upload_id", "was opened without a size"));
    };
    if parts.is_empty() || parts.len() > MAX_PARTS {
        return wrong("must be 1 to 100");
    }
    for part in parts {
        let Some(end) = part.offset.checked_add(part.size).filter(|end| *end <= total) else {
            return wrong("must lie within the size of the upload");
        };
        if part.size == 0 || part.size > MAX_PART || (part.size < MIN_PART && end != total) {
            return wrong("must have 5 MiB to 64 MiB each, except for the last one");
        }
    }
    Ok(())
}
