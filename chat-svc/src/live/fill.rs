//! Reads from the log what was committed and not heard of, once for all gateways.

use std::sync::Arc;

use mesh::db::Db;
use prost::Message as _;
use proto::chat::{
    internal::v1::AudienceChange,
    v1::{Event, event::Body},
};
use sea_orm::DbErr;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Committed, Live};
use crate::store;

/// Events of one page.
const PAGE: u64 = 500;
/// How many counters one query asks for.
const HEADS_AT_ONCE: usize = 256;

/// Fills holes until `stop`. What cannot be read now is noticed again by the next comparison of heads.
pub(crate) async fn run(live: Arc<Live>, db: Db, mut missing: mpsc::Receiver<Uuid>, stop: CancellationToken) {
    loop {
        let feed = tokio::select! {
            feed = missing.recv() => feed,
            () = stop.cancelled() => return,
        };
        let Some(feed) = feed else { return };
        live.state().filling.remove(&feed);
        if let Err(cause) = fill(&live, &db, feed).await {
            tracing::warn!(%feed, %cause, "what is missing cannot be read just now");
        }
    }
}

async fn fill(live: &Live, db: &Db, feed: Uuid) -> Result<(), DbErr> {
    loop {
        let told = live.state().told.get(&feed).and_then(|told| told.seq);
        let Some(told) = told else { return Ok(()) };
        let rows = db.within(store::event::page(db.reader(), feed, told, PAGE)).await?;
        let last = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        metrics::counter!("loquat_chat_filled_events_total").increment(rows.len() as u64);
        for row in rows {
            let seq = row.number();
            let event = Committed { feed_id: feed, seq, bytes: row.bytes.into(), audience: None, about: 0 };
            pass(live, db, event).await?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Passes an event on that was read, with the change of audience that its content tells of, and with what it is about.
async fn pass(live: &Live, db: &Db, mut event: Committed) -> Result<(), DbErr> {
    let body = Event::decode(event.bytes.clone()).ok().and_then(|event| event.body);
    event.about = store::event::about(body.as_ref());
    let one = |user: &str| vec![user.to_owned()];
    event.audience = match &body {
        Some(Body::MemberJoined(joined)) => joined
            .member
            .as_ref()
            .map(|member| AudienceChange { added_user_ids: one(&member.user_id), removed_user_ids: Vec::new() }),
        Some(Body::MemberLeft(left)) => {
            Some(AudienceChange { added_user_ids: Vec::new(), removed_user_ids: one(&left.user_id) })
        }
        _ => None,
    };
    live.pass(vec![event]);
    // The room's own event brings the user's gateways in, and was missed together with this one.
    if let Some(Body::RoomJoined(joined)) = &body
        && let Some(room) = joined.room.as_ref().and_then(|room| Uuid::try_parse(&room.id).ok())
    {
        let entered = store::event::page(db.reader(), room, joined.joined_seq.saturating_sub(1), 1).await?;
        for row in entered {
            let event =
                Committed { feed_id: room, seq: row.number(), bytes: row.bytes.into(), audience: None, about: 0 };
            Box::pin(pass(live, db, event)).await?;
        }
        // Others may have had the room all along; then there is nothing to do.
        let mut state = live.state();
        live.miss(&mut state, room);
    }
    Ok(())
}

/// Compares how far every feed was told with how far it is, and has what is missing read.
pub(crate) async fn compare(live: &Live, db: &Db) -> Result<(), DbErr> {
    let feeds: Vec<Uuid> = live.state().told.keys().copied().collect();
    for some in feeds.chunks(HEADS_AT_ONCE) {
        let heads = db.within(store::feed::heads(db.reader(), some)).await?;
        let mut state = live.state();
        for (feed, head) in heads {
            let behind = state.told.get(&feed).is_some_and(|told| told.seq.is_some_and(|seq| seq < head.seq));
            if behind {
                live.miss(&mut state, feed);
            }
        }
    }
    Ok(())
}
