//! The sweep: what was given up, let go, or left behind is taken away. The store itself expires nothing (a bare S3 server runs
//! no such rules), so that this is the only broom.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use mesh::{
    blobs::{Blobs, Listed},
    db::Db,
};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    errors::FileError,
    life,
    receive::Receiver,
    store::{self, blob, file, trash, upload},
};

const EVERY: Duration = Duration::from_secs(600);
/// Uploads, blobs or keys that one step takes at most.
const AT_ONCE: u64 = 200;
/// How often the whole store is looked through.
const LOOK_EVERY: u32 = 36;
/// What is younger may be on its way.
const YOUNG: Duration = Duration::from_secs(24 * 3600);
/// Where this service and its worker keep things.
const PLACES: [&str; 3] = ["staging", "files", "thumbnails"];

/// Empties the trash when it is woken. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trash {
    db: Db,
    blobs: Blobs,
    woken: Arc<Notify>,
}

impl Trash {
    pub(crate) fn new(db: Db, blobs: Blobs) -> Self {
        Self { db, blobs, woken: Arc::default() }
    }

    /// Something was thrown away.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Deletes what was thrown away. What the store refuses to delete stays for the next time.
    pub(crate) async fn empty(&self) -> Result<usize, FileError> {
        let mut deleted = 0;
        loop {
            let keys = trash::some(self.db.reader(), AT_ONCE).await?;
            if keys.is_empty() {
                return Ok(deleted);
            }
            for key in &keys {
                self.blobs.delete(key).await?;
            }
            trash::forget(self.db.reader(), &keys).await?;
            deleted += keys.len();
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.woken.notified() => {}
                () = stop.cancelled() => return,
            }
            if let Err(cause) = self.empty().await {
                tracing::info!(%cause, "what was let go is deleted later");
            }
        }
    }
}

/// Runs until `stop`.
pub(crate) async fn run(receiver: Receiver, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    let mut round = 0_u32;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        // Not at once: a start has better things to do.
        match once(&receiver, round % LOOK_EVERY == 1).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "uploads, blobs and leftovers are swept"),
            Err(cause) => tracing::warn!(%cause, "the sweep of files failed; it comes again"),
        }
        round = round.wrapping_add(1);
    }
}

/// Sweeps once, and tells how much it was. `look`: through the whole store as well, for what no row knows.
pub(crate) async fn once(receiver: &Receiver, look: bool) -> Result<usize, FileError> {
    let now = receiver.clock.now();
    let mut swept = 0;
    for upload in upload::expired(receiver.db.reader(), store::micros(now), AT_ONCE).await? {
        match receiver.drop_upload(&upload).await {
            Ok(()) => swept += 1,
            // It was completed this moment.
            Err(FileError::UploadComplete) => {}
            Err(cause) => return Err(cause),
        }
    }
    for blob in blob::over(receiver.db.reader(), store::micros(now - life::KEPT), AT_ONCE).await? {
        let tx = receiver.db.begin().await?;
        swept += usize::from(life::end(&tx, blob.id, now).await?);
        tx.commit().await?;
    }
    if look {
        swept += receiver.blobs.drop_leftovers(now - YOUNG).await?;
        for place in PLACES {
            swept += strays(receiver, place, now - YOUNG).await?;
        }
    }
    receiver.trash.empty().await?;
    Ok(swept)
}

/// Deletes blobs that no row knows: written, and then the process ended before the row was.
async fn strays(receiver: &Receiver, place: &str, before: OffsetDateTime) -> Result<usize, FileError> {
    let old = receiver.blobs.list(place).try_filter(|listed| futures::future::ready(listed.at < before));
    let mut chunks = old.try_chunks(usize::try_from(AT_ONCE).unwrap_or(200)).boxed();
    let mut swept = 0;
    while let Some(listed) = chunks.try_next().await.map_err(|cause| cause.1)? {
        for key in unknown(&receiver.db, place, listed).await? {
            receiver.blobs.delete(&key).await?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Which of these keys no row knows.
async fn unknown(db: &Db, place: &str, listed: Vec<Listed>) -> Result<Vec<String>, FileError> {
    let keys: Vec<String> = listed.into_iter().map(|listed| listed.key).collect();
    let ids: Vec<Uuid> = keys.iter().filter_map(|key| owner(key)).collect();
    let db = db.reader();
    if place == "staging" {
        // An upload that is open may get parts directly that it does not know yet.
        let known = upload::part_keys(db, &keys).await?;
        let open = upload::open(db, &ids).await?;
        let stray = |key: &String| !known.contains(key) && owner(key).is_none_or(|id| !open.contains(&id));
        return Ok(keys.into_iter().filter(stray).collect());
    }
    // What stands under a file's id goes with the blob that is kept there, or with the job that is still to be done.
    let places: Vec<String> = ids.iter().map(|id| format!("files/{id}")).collect();
    let kept = blob::kept(db, &places).await?;
    let waiting = file::waiting(db, &ids).await?;
    let known = |id: Uuid| kept.contains(&format!("files/{id}")) || waiting.contains(&id);
    Ok(keys.into_iter().filter(|key| !owner(key).is_some_and(known)).collect())
}

/// The id under which a key stands.
fn owner(key: &str) -> Option<Uuid> {
    key.split('/').nth(1).and_then(|id| Uuid::try_parse(id).ok())
}
