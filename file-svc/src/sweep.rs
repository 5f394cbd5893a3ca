//! The sweep: uploads that were given up are dropped with what had come of them.

use std::time::Duration;

use mesh::{clock::Clock, db::Db};
use tokio_util::sync::CancellationToken;

use crate::{
    errors::FileError,
    receive::Receiver,
    store::{self, upload},
};

const EVERY: Duration = Duration::from_secs(600);
/// Uploads that one sweep drops at most.
const AT_ONCE: u64 = 200;

/// Runs until `stop`.
pub(crate) async fn run(db: Db, receiver: Receiver, clock: Clock, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match once(&db, &receiver, &clock).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "uploads that were given up are dropped"),
            Err(cause) => tracing::warn!(%cause, "the sweep of uploads failed; it comes again"),
        }
    }
}

/// Drops what is over, and tells how much it was.
pub(crate) async fn once(db: &Db, receiver: &Receiver, clock: &Clock) -> Result<usize, FileError> {
    let over = upload::expired(db.reader(), store::micros(clock.now()), AT_ONCE).await?;
    for upload in &over {
        receiver.drop_upload(upload).await?;
    }
    Ok(over.len())
}
