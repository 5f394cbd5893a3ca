//! Where a client's feeds begin: followed first, then asked about, so that nothing falls in between.

use std::collections::HashSet;

use proto::{
    chat::internal::v1::{FeedCursor, FeedReset, FeedStart, OpenFeedsRequest, feed_start::Start},
    edge::v1::{ResetReason, SubscribeRequest},
};
use uuid::Uuid;

use super::{Asked, Subscriber, listed, wait_after};
use crate::{
    edge::room_ids,
    hub::{
        frame,
        session::{Begun, Ticket},
    },
};

impl Subscriber {
    /// Starts anew from the client's cursors.
    pub(super) async fn subscribe(&mut self, request: SubscribeRequest) {
        self.hub.admission.admit(!request.cursors.is_empty()).await;
        let old = self.session.close_all();
        self.hub.unfollow(&self.session, old).await;
        self.catching_up.clear();
        // Held back until every feed has its beginning.
        self.caught_up = true;
        let only_listed = request.only_listed;
        self.asked = Some(Asked { only_listed });
        let only = if only_listed { Some(listed(&request)) } else { None };
        let looks = room_ids(&request.look_at);
        let cursors = request.cursors.into_iter().map(|cursor| FeedCursor { feed_id: cursor.feed_id, seq: cursor.seq });
        self.open(cursors.collect(), request.epoch, only).await;
        self.caught_up = false;
        self.tell_caught_up();
        if !(looks.is_empty() && self.looks.is_empty()) {
            self.look(looks).await;
        }
    }

    /// The stream from chat-svc was interrupted, and nobody knows what happened meanwhile: membership is asked for anew.
    pub(super) async fn resync(&mut self) {
        let Some(Asked { only_listed }) = self.asked else {
            return;
        };
        let held = self.session.cursors();
        let only = only_listed.then(|| held.iter().map(|(feed, _)| *feed).collect());
        // A room that was joined a moment ago starts with its snapshot, like one without a cursor.
        let begun = held.iter().filter_map(|(feed, sent)| Some((feed, (*sent)?)));
        let cursors = begun.map(|(feed, seq)| FeedCursor { feed_id: feed.to_string(), seq }).collect();
        self.open(cursors, self.epoch.clone(), only).await;
        self.look_again().await;
    }

    /// The user is in a room now.
    pub(super) async fn joined(&mut self, feed: Uuid) {
        if self.session.has_begun(feed) {
            return;
        }
        // What was given up since the hub said so is followed again.
        let ticket = self.session.open(&[feed]);
        self.hub.follow(&self.session, vec![feed], true).await;
        let starts = self.ask(Vec::new(), self.epoch.clone(), vec![feed]).await;
        // They may have left meanwhile.
        if !starts.iter().any(is_gone) {
            starts.iter().for_each(|start| self.begin(ticket, start));
            self.look_again().await;
        } else if !self.session.has_begun(feed) {
            self.session.close(feed);
            self.hub.unfollow(&self.session, vec![feed]).await;
        }
    }

    /// The user was put out of a room: there is nothing to catch up with. Or was brought back, and it began anew.
    pub(super) fn left(&mut self, feed: Uuid) {
        if self.session.sent(feed).is_none() {
            self.forget(feed);
        }
    }

    /// Follows what is known, then asks where everything stands, then follows what else there is. The own feed is followed first: from
    /// then on the hub hears of every room that the user comes into. `only` restricts it to these feeds.
    async fn open(&mut self, cursors: Vec<FeedCursor>, epoch: String, only: Option<Vec<Uuid>>) {
        if only.as_ref().is_some_and(Vec::is_empty) {
            for cursor in cursors {
                self.session.send(frame::reset(&cursor.feed_id, ResetReason::NotFound));
            }
            return;
        }
        let also_joined = only.is_none();
        let mut known: HashSet<Uuid> = self.session.cursors().into_iter().map(|(feed, _)| feed).collect();
        match &only {
            Some(listed) => known.extend(listed),
            None => _ = known.insert(self.session.user_id),
        }
        let wanted: Vec<Uuid> = known.iter().copied().collect();
        let ticket = self.session.open(&wanted);
        self.hub.follow(&self.session, wanted, also_joined).await;
        let starts = self.ask(cursors, epoch, only.unwrap_or_default()).await;
        let started: HashSet<Uuid> = starts.iter().filter(|start| !is_gone(start)).filter_map(feed_of).collect();
        // Also what the user was put out of while nobody could hear of it.
        let gone: Vec<Uuid> = known.difference(&started).copied().collect();
        gone.iter().for_each(|feed| self.session.close(*feed));
        self.hub.unfollow(&self.session, gone).await;
        let further: Vec<Uuid> = started.difference(&known).copied().collect();
        let mut later = ticket;
        if !further.is_empty() {
            // The hub tells where they stand as soon as they are followed: what happened since the answer is read from the log, which
            // also finds out whether the user was put out meanwhile.
            later = self.session.open(&further);
            self.hub.follow(&self.session, further, also_joined).await;
        }
        for start in &starts {
            let is_known = feed_of(start).is_some_and(|feed| known.contains(&feed));
            self.begin(if is_known { ticket } else { later }, start);
        }
    }

    /// Begins a feed as chat-svc said after it had been opened with `ticket`.
    fn begin(&mut self, ticket: Ticket, start: &FeedStart) {
        let Some(feed) = feed_of(start) else {
            return self.session.send(frame::reset(&start.feed_id, ResetReason::NotFound));
        };
        let (head, first) = (start.head, start.first_visible_seq);
        match &start.start {
            Some(Start::Snapshot(bytes)) => {
                self.session.begin(ticket, feed, Some(frame::snapshot(bytes)), (head, head, first));
                self.forget(feed);
            }
            Some(Start::ReplayAfter(seq)) => match self.session.begin(ticket, feed, None, (*seq, head, first)) {
                Begun::Yes if head > *seq => _ = self.catching_up.insert(feed, head),
                Begun::Yes => self.forget(feed),
                // The event that put them out came while nothing was passed on.
                Begun::Left | Begun::Anew => {
                    self.session.send(frame::reset(&start.feed_id, ResetReason::NotFound));
                    self.forget(feed);
                }
            },
            // A snapshot follows, unless there is no such feed.
            Some(Start::Reset(reason)) => {
                let reason = ResetReason::try_from(*reason).unwrap_or_default();
                self.session.send(frame::reset(&start.feed_id, reason));
                self.forget(feed);
            }
            None => {}
        }
    }

    async fn ask(&mut self, cursors: Vec<FeedCursor>, epoch: String, only: Vec<Uuid>) -> Vec<FeedStart> {
        let feed_ids = only.iter().map(Uuid::to_string).collect();
        let request = OpenFeedsRequest { user_id: self.session.user_id.to_string(), cursors, epoch, feed_ids };
        loop {
            match self.hub.feeds.clone().open_feeds(request.clone()).await {
                Ok(opened) => {
                    let opened = opened.into_inner();
                    self.epoch = opened.epoch;
                    return opened.feeds;
                }
                Err(cause) => wait_after(&cause).await,
            }
        }
    }
}

fn feed_of(start: &FeedStart) -> Option<Uuid> {
    Uuid::try_parse(&start.feed_id).ok()
}

fn is_gone(start: &FeedStart) -> bool {
    matches!(start.start, Some(Start::Reset(reason)) if reason == i32::from(FeedReset::NotFound))
}
