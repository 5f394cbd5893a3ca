//! Bytes coming in: written to the staging area in pieces, hashed on the way, never held whole. An offset is told only when
//! everything below it is on disk.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use mesh::{blobs::Blobs, clock::Clock, db::Db};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    errors::FileError,
    store::{
        self,
        upload::{self, Model, part},
    },
    uploads::{self, Limits},
};

/// A piece of the staging area; also what one upload holds in memory.
const PIECE: usize = 4 * 1024 * 1024;
/// Running hashes that are kept between the requests of uploads. Others are made again from the pieces.
const HASHES: usize = 256;

/// Where bytes come in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receiver {
    db: Db,
    blobs: Blobs,
    clock: Clock,
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Uploads that somebody is sending bytes of.
    busy: HashSet<Uuid>,
    /// The hash up to an offset.
    hashes: HashMap<Uuid, (u64, Sha256)>,
}

/// How a stream ends.
pub(crate) struct Sending {
    /// Where its first byte belongs.
    pub(crate) offset: u64,
    /// It brings the last bytes.
    pub(crate) last: bool,
    /// What the whole file must hash to; empty when the sender does not say.
    pub(crate) sha256: Bytes,
}

impl Receiver {
    pub(crate) fn new(db: Db, blobs: Blobs, clock: Clock, limits: Limits) -> Self {
        Self { db, blobs, clock, limits, state: Arc::default() }
    }

    /// Takes bytes of an upload until the stream ends, and returns where the upload stands then.
    pub(crate) async fn receive<S>(&self, upload: Model, sending: &Sending, chunks: S) -> Result<Model, FileError>
    where
        S: Stream<Item = Result<Bytes, tonic::Status>> + Send,
    {
        let _busy = Busy::take(self, upload.id)?;
        // Read again now that nobody else writes.
        let upload = uploads::own(self.db.reader(), upload.id, upload.user_id).await?;
        if sending.offset != upload.stored() {
            return Err(FileError::OffsetMismatch { offset: upload.stored() });
        }
        if upload.bytes_received() {
            return Ok(upload);
        }
        let hash = self.hash_so_far(&upload).await?;
        let mut incoming = Incoming { receiver: self, upload, hash, piece: BytesMut::new() };
        let outcome = incoming.take(chunks).await;
        // What came is kept, however the stream ended.
        incoming.store_piece().await?;
        outcome?;
        incoming.end(sending).await
    }

    /// The hash of what is stored: remembered, or made again from the pieces.
    async fn hash_so_far(&self, upload: &Model) -> Result<Sha256, FileError> {
        if let Some((offset, hash)) = self.state().hashes.remove(&upload.id)
            && offset == upload.stored()
        {
            return Ok(hash);
        }
        let mut hash = Sha256::new();
        for part in upload::parts(self.db.reader(), upload.id).await? {
            let mut bytes = self.blobs.get_range(&part.key, 0..store::unsigned(part.size)).await?;
            while let Some(chunk) = bytes.try_next().await? {
                hash.update(&chunk);
            }
        }
        Ok(hash)
    }

    /// Drops an upload that is not complete, with its pieces.
    pub(crate) async fn drop_upload(&self, upload: &Model) -> Result<(), FileError> {
        let parts = upload::parts(self.db.reader(), upload.id).await?;
        let tx = self.db.begin().await?;
        upload::delete(&tx, upload.id).await?;
        tx.commit().await?;
        self.state().hashes.remove(&upload.id);
        for part in parts {
            self.blobs.delete(&part.key).await?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write to an upload; given back when it is dropped.
struct Busy<'r> {
    receiver: &'r Receiver,
    id: Uuid,
}

impl<'r> Busy<'r> {
    fn take(receiver: &'r Receiver, id: Uuid) -> Result<Self, FileError> {
        if receiver.state().busy.insert(id) { Ok(Self { receiver, id }) } else { Err(FileError::UploadBusy) }
    }
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
}

impl Incoming<'_> {
    async fn take<S>(&mut self, chunks: S) -> Result<(), FileError>
    where
        S: Stream<Item = Result<Bytes, tonic::Status>> + Send,
    {
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| FileError::BrokenOff)?;
            let after = self.upload.stored() + (self.piece.len() + chunk.len()) as u64;
            if let Some(size) = self.upload.total().filter(|size| after > *size) {
                return Err(FileError::SizeExceeded { size });
            }
            if after > self.receiver.limits.max_bytes {
                return Err(FileError::FileTooLarge { max: self.receiver.limits.max_bytes });
            }
            self.piece.extend_from_slice(&chunk);
            if self.piece.len() >= PIECE {
                self.store_piece().await?;
            }
        }
        Ok(())
    }

    /// Puts what has gathered on disk, then moves the offset.
    async fn store_piece(&mut self) -> Result<(), FileError> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let bytes = self.piece.split().freeze();
        let key = format!("staging/{}/{:016x}", self.upload.id, self.upload.stored());
        self.receiver.blobs.put(&key, bytes.clone()).await?;
        let size = store::signed(bytes.len() as u64);
        let part = part::Model { upload_id: self.upload.id, start: self.upload.offset, size, key };
        let expires_at = store::micros(self.receiver.clock.now() + self.receiver.limits.life);
        let tx = self.receiver.db.begin().await?;
        upload::add_part(&tx, part, expires_at).await?;
        tx.commit().await?;
        self.upload.offset += size;
        self.upload.expires_at = expires_at;
        self.hash.update(&bytes);
        Ok(())
    }

    /// Completes the bytes half, or remembers the hash for the next stream.
    async fn end(self, sending: &Sending) -> Result<Model, FileError> {
        let Self { receiver, upload, hash, .. } = self;
        let stored = upload.stored();
        let complete = upload.total().map_or(sending.last, |size| size == stored);
        if !complete {
            let mut state = receiver.state();
            if state.hashes.len() < HASHES {
                state.hashes.insert(upload.id, (stored, hash));
            }
            return Ok(upload);
        }
        let digest = hash.finalize().to_vec();
        if !sending.sha256.is_empty() && sending.sha256 != digest {
            receiver.drop_upload(&upload).await?;
            return Err(FileError::ChecksumMismatch);
        }
        let tx = receiver.db.begin().await?;
        let upload = uploads::own_locked(&tx, upload.id, upload.user_id).await?;
        let upload = uploads::finish_bytes(&tx, upload, stored, digest, receiver.clock.now()).await?;
        tx.commit().await?;
        Ok(upload)
    }
}
