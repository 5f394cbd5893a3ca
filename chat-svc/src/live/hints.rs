//! Hints between processes that commit to the same log, over the cache's pub/sub.
//!
//! A hint carries the event, so that it usually need not be read; a lost one costs time and nothing else. Every process sends a
//! beat twice a second: who hears none knows that hints do not come through, and compares heads every second instead of every
//! ten.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mesh::{cache::Cache, db::Db};
use prost::Message as _;
use proto::chat::internal::v1::{FeedEphemeral, FeedEvent, FeedHints};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Committed, Hint, Live, fill, wire};

const CHANNEL: &str = "chat.hints";
/// A longer event is only named.
const MAX_BYTES: usize = 32 * 1024;
/// How many hints go together.
const AT_ONCE: usize = 256;
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// Without a beat for so long, hints do not come through.
const AWAY_AFTER: Duration = Duration::from_millis(1300);
const COMPARE_WHEN_AWAY: Duration = Duration::from_secs(1);
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Tells other processes, until `stop`.
pub(crate) async fn send(cache: Cache, origin: Uuid, mut hints: mpsc::Receiver<Hint>, stop: CancellationToken) {
    let mut beat = tokio::time::interval(BEAT_EVERY);
    let mut some = Vec::with_capacity(AT_ONCE);
    loop {
        tokio::select! {
            taken = hints.recv_many(&mut some, AT_ONCE) => if taken == 0 { return },
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        let hints = encode(origin, &mut some);
        if cache.publish(CHANNEL, hints).await.is_err() {
            metrics::counter!("loquat_chat_hints_lost_total").increment(1);
        }
    }
}

fn encode(origin: Uuid, hints: &mut Vec<Hint>) -> Bytes {
    let mut all = FeedHints { origin: origin.to_string(), ..FeedHints::default() };
    for hint in hints.drain(..) {
        match hint {
            Hint::Event(mut event) => {
                if event.bytes.len() > MAX_BYTES {
                    event.bytes = Bytes::new();
                }
                all.events.push(wire(&event));
            }
            Hint::Ephemeral(feed, ephemeral) => {
                all.ephemerals.push(FeedEphemeral { feed_id: feed.to_string(), ephemeral });
            }
        }
    }
    all.encode_to_vec().into()
}

/// Listens to other processes and compares heads, until `stop`.
pub(crate) async fn listen(cache: Cache, origin: Uuid, live: Arc<Live>, db: Db, stop: CancellationToken) {
    let origin = origin.to_string();
    let mut told = cache.subscribe(CHANNEL).await;
    let mut heard = Instant::now();
    let mut compared = Instant::now();
    let mut look = tokio::time::interval(Duration::from_millis(250));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut away = false;
    loop {
        let mut compare = false;
        tokio::select! {
            hint = told.recv() => match hint {
                Some(Ok(bytes)) => {
                    heard = Instant::now();
                    pass(&live, &origin, bytes);
                }
                // Some were lost: better ask now.
                Some(Err(_)) => compare = true,
                None => tokio::time::sleep(BEAT_EVERY).await,
            },
            _ = look.tick() => {}
            () = stop.cancelled() => return,
        }
        let silent = heard.elapsed() > AWAY_AFTER;
        if silent != away {
            away = silent;
            tracing::warn!(
                away,
                "hints from other processes: {}",
                if away { "away; the log is asked" } else { "back" }
            );
            compare = true;
        }
        let due = if away { COMPARE_WHEN_AWAY } else { COMPARE_EVERY };
        if compare || compared.elapsed() >= due {
            compared = Instant::now();
            if let Err(cause) = fill::compare(&live, &db).await {
                tracing::warn!(%cause, "the heads of feeds could not be read");
            }
        }
    }
}

fn pass(live: &Live, origin: &str, bytes: Bytes) {
    let Ok(hints) = FeedHints::decode(bytes) else {
        return;
    };
    if hints.origin == origin {
        return;
    }
    let event = |event: FeedEvent| {
        let feed_id = Uuid::try_parse(&event.feed_id).ok()?;
        let FeedEvent { seq, event: bytes, audience_change: audience, about_seq: about, .. } = event;
        Some(Committed { feed_id, seq, bytes, audience, about })
    };
    live.pass(hints.events.into_iter().filter_map(event).collect());
    for ephemeral in hints.ephemerals {
        if let Ok(feed) = Uuid::try_parse(&ephemeral.feed_id) {
            live.pass_ephemeral(feed, &ephemeral.ephemeral);
        }
    }
}
