//! Bytes coming in: written to the staging area in pieces, hashed on the way, never held whole. An offset is told only when
//! everything below it is on disk.

mod check;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use mesh::{
    blobs::{Blobs, PART_BYTES},
    clock::Clock,
    db::Db,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub(crate) use self::check::Check;
use crate::{
    errors::FileError,
    quota,
    store::{
        self, trash,
        upload::{self, Model, part},
    },
    sweep::Trash,
    uploads::{self, Limits},
};

/// Running hashes that are kept between the requests of uploads. Others are made again from the pieces.
const HASHES: usize = 256;

/// Where bytes come in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    pub(crate) limits: Arc<Limits>,
    pub(crate) trash: Trash,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Uploads that somebody is sending bytes of.
    busy: HashSet<Uuid>,
    /// The hash up to an offset.
    hashes: HashMap<Uuid, (u64, Sha256)>,
}

/// How a stream begins and ends.
#[derive(Default)]
pub(crate) struct Sending {
    /// Where its first byte belongs.
    pub(crate) offset: u64,
    /// It brings the last bytes.
    pub(crate) last: bool,
    /// What the whole file must hash to; empty when the sender does not say.
    pub(crate) sha256: Bytes,
    /// What the bytes of this stream must hash to, if the sender says.
    pub(crate) check: Option<Check>,
}

impl Receiver {
    pub(crate) fn new(db: Db, blobs: Blobs, clock: Clock, limits: Arc<Limits>, trash: Trash) -> Self {
        Self { db, blobs, clock, limits, trash, state: Arc::default() }
    }

    /// Takes bytes of an upload until the stream ends, and returns where the upload stands then. Whether their sender may still
    /// bring them in is asked when they are the last ones.
    pub(crate) async fn receive<S>(
        &self,
        upload: Model,
        sending: Sending,
        chunks: S,
        allowed: impl Future<Output = Result<(), FileError>>,
    ) -> Result<Model, FileError>
    where
        S: Stream<Item = Result<Bytes, tonic::Status>> + Send,
    {
        let _busy = self.take(upload.id)?;
        // Read again now that nobody else writes.
        let upload = uploads::own(self.db.reader(), upload.id, upload.user_id).await?;
        if sending.offset != upload.stored() {
            return Err(FileError::OffsetMismatch { offset: upload.stored() });
        }
        if upload.bytes_received() {
            return Ok(upload);
        }
        let hash = self.hash_so_far(&upload).await?;
        let Sending { last, sha256, check, .. } = sending;
        let mut incoming = Incoming { receiver: self, upload, hash, piece: BytesMut::new(), held: Vec::new(), check };
        let outcome = incoming.take(chunks).await;
        incoming.settle(outcome).await?;
        incoming.end(last, &sha256, allowed).await
    }

    /// The right to write to an upload.
    pub(crate) fn take(&self, id: Uuid) -> Result<Busy<'_>, FileError> {
        if self.state().busy.insert(id) { Ok(Busy { receiver: self, id }) } else { Err(FileError::UploadBusy) }
    }

    /// The hash of what is stored: remembered, or made again from the pieces.
    pub(crate) async fn hash_so_far(&self, upload: &Model) -> Result<Sha256, FileError> {
        if let Some((offset, hash)) = self.state().hashes.remove(&upload.id)
            && offset == upload.stored()
        {
            return Ok(hash);
        }
        let mut hash = Sha256::new();
        for part in upload::parts(self.db.reader(), upload.id).await? {
            self.hash_blob(&mut hash, &part.key, store::unsigned(part.size)).await?;
        }
        Ok(hash)
    }

    /// Goes on hashing with a blob.
    pub(crate) async fn hash_blob(&self, hash: &mut Sha256, key: &str, size: u64) -> Result<(), FileError> {
        let mut bytes = self.blobs.get_range(key, 0..size).await?;
        while let Some(chunk) = bytes.try_next().await? {
            hash.update(&chunk);
        }
        Ok(())
    }

    /// Remembers a hash for the next request.
    fn remember(&self, id: Uuid, offset: u64, hash: Sha256) {
        let mut state = self.state();
        if state.hashes.len() < HASHES {
            state.hashes.insert(id, (offset, hash));
        }
    }

    /// Notes stored pieces; from then on they are kept and count.
    pub(crate) async fn record(&self, upload: &mut Model, parts: Vec<part::Model>) -> Result<(), FileError> {
        let Some(end) = parts.last().map(|part| part.start + part.size) else {
            return Ok(());
        };
        let tx = self.db.begin().await?;
        let found = uploads::own_locked(&tx, upload.id, upload.user_id).await?;
        let mut next = Model { offset: end, ..found };
        next.expires_at = store::micros(self.clock.now() + self.limits.life);
        next.charged = next.charged.max(end);
        upload::add_parts(&tx, &next, parts).await?;
        let more = store::unsigned(next.charged - found.charged);
        quota::charge(&tx, upload.user_id, more, self.limits.quotas).await?;
        tx.commit().await?;
        *upload = next;
        Ok(())
    }

    /// Completes the bytes half when everything is there, or remembers the hash for the next request. All uploads come to their
    /// end here, however their bytes came: one takes a while, and what its sender was allowed when it began may be no longer.
    pub(crate) async fn complete(
        &self,
        upload: Model,
        hash: Sha256,
        last: bool,
        sha256: &[u8],
        allowed: impl Future<Output = Result<(), FileError>>,
    ) -> Result<Model, FileError> {
        let stored = upload.stored();
        if !upload.total().map_or(last, |size| size == stored) {
            self.remember(upload.id, stored, hash);
            return Ok(upload);
        }
        match allowed.await {
            Ok(()) => {}
            // Nobody knows just now. What came is kept, and a request without bytes asks again.
            Err(cause @ FileError::AccessUnavailable(_)) => {
                self.remember(upload.id, stored, hash);
                return Err(cause);
            }
            Err(denied) => {
                self.drop_upload(&upload).await?;
                return Err(denied);
            }
        }
        let digest = hash.finalize().to_vec();
        if !sha256.is_empty() && sha256 != digest {
            self.drop_upload(&upload).await?;
            return Err(FileError::ChecksumMismatch);
        }
        let tx = self.db.begin().await?;
        let upload = uploads::own_locked(&tx, upload.id, upload.user_id).await?;
        let upload = uploads::finish_bytes(&tx, upload, stored, digest, &self.limits, self.clock.now()).await?;
        tx.commit().await?;
        self.trash.wake();
        Ok(upload)
    }

    /// Drops an upload that is not complete, with its pieces.
    pub(crate) async fn drop_upload(&self, upload: &Model) -> Result<(), FileError> {
        let now = self.clock.now();
        let tx = self.db.begin().await?;
        let Some(found) = upload::lock(&tx, upload.id).await? else {
            return Ok(());
        };
        if found.done {
            return Err(FileError::UploadComplete);
        }
        uploads::drop_parts(&tx, found.id, now).await?;
        upload::delete(&tx, found.id).await?;
        quota::refund(&tx, found.user_id, found.charged).await?;
        tx.commit().await?;
        self.state().hashes.remove(&upload.id);
        self.trash.wake();
        Ok(())
    }

    /// Lets pieces go that were stored and will not be noted.
    async fn discard(&self, parts: Vec<part::Model>) {
        let keys: Vec<String> = parts.into_iter().map(|part| part.key).collect();
        // What cannot be noted now is found by the sweep later.
        if let Err(cause) = trash::add(self.db.reader(), keys, store::micros(self.clock.now())).await {
            tracing::info!(%cause, "pieces of an upload are left to the sweep");
        }
        self.trash.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write to an upload; given back when it is dropped.
pub(crate) struct Busy<'r> {
    receiver: &'r Receiver,
    id: Uuid,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.receiver.state().busy.remove(&self.id);
    }
}

/// One stream under way.
struct Incoming<'r> {
    receiver: &'r Receiver,
    upload: Model,
    hash: Sha256,
    piece: BytesMut,
    /// Stored and not noted yet: where the stream has a checksum, all of it waits for that.
    held: Vec<part::Model>,
    check: Option<Check>,
}

impl Incoming<'_> {
    async fn take<S>(&mut self, chunks: S) -> Result<(), FileError>
    where
        S: Stream<Item = Result<Bytes, tonic::Status>> + Send,
    {
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| FileError::BrokenOff)?;
            let after = self.end_of_held() + (self.piece.len() + chunk.len()) as u64;
            if let Some(size) = self.upload.total().filter(|size| after > *size) {
                return Err(FileError::SizeExceeded { size });
            }
            if after > self.receiver.limits.max_bytes {
                return Err(FileError::FileTooLarge { max: self.receiver.limits.max_bytes });
            }
            self.hash.update(&chunk);
            if let Some(check) = &mut self.check {
                check.update(&chunk);
            }
            self.piece.extend_from_slice(&chunk);
            if self.piece.len() >= PART_BYTES {
                self.store_piece().await?;
            }
        }
        Ok(())
    }

    fn end_of_held(&self) -> u64 {
        self.held.last().map_or(self.upload.stored(), |part| store::unsigned(part.start + part.size))
    }

    /// Puts what has gathered on disk, then moves the offset unless a checksum has to be seen first.
    async fn store_piece(&mut self) -> Result<(), FileError> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let bytes = self.piece.split().freeze();
        let (start, size) = (self.end_of_held(), store::signed(bytes.len() as u64));
        // Never the same key twice: what was let go may still be waiting to be deleted.
        let key = format!("staging/{}/{start:016x}-{}", self.upload.id, mesh::ids::new_id());
        self.receiver.blobs.put(&key, bytes).await?;
        self.held.push(part::Model { upload_id: self.upload.id, start: store::signed(start), size, key });
        if self.check.is_none() { self.note().await } else { Ok(()) }
    }

    async fn note(&mut self) -> Result<(), FileError> {
        let parts = std::mem::take(&mut self.held);
        let noted = self.receiver.record(&mut self.upload, parts.clone()).await;
        if noted.is_err() {
            self.receiver.discard(parts).await;
        }
        noted
    }

    /// What came is kept, however the stream ended; except that nothing is kept of one whose checksum cannot be right.
    async fn settle(&mut self, outcome: Result<(), FileError>) -> Result<(), FileError> {
        let Some(check) = self.check.take() else {
            self.store_piece().await?;
            return outcome;
        };
        let outcome = outcome.and_then(|()| if check.fits() { Ok(()) } else { Err(FileError::StreamChecksumMismatch) });
        if outcome.is_err() {
            self.receiver.discard(std::mem::take(&mut self.held)).await;
            return outcome;
        }
        self.store_piece().await?;
        self.note().await
    }

    async fn end(
        self,
        last: bool,
        sha256: &[u8],
        allowed: impl Future<Output = Result<(), FileError>>,
    ) -> Result<Model, FileError> {
        self.receiver.complete(self.upload, self.hash, last, sha256, allowed).await
    }
}
