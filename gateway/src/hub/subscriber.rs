//! One client's view: what the hub brings, what the log holds, in the order of each feed and without holes.
//!
//! Whatever comes from the hub is only a hint with content: an event is sent when it is the next of its feed, skipped when it
//! was sent before, and when there is a hole the log is read up to the head. A client that fell behind is the same case.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use mesh::rpc::Upstream;
use proto::{
    chat::internal::v1::{
        FeedCursor, FeedReset, FeedStart, ListFeedsRequest, OpenFeedsRequest, ReadFeedRequest,
        feed_service_client::FeedServiceClient, feed_start::Start,
    },
    edge::v1::{ResetReason, SubscribeRequest},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Entry, Hub, Session, frame};

/// Events of one page of the log.
const PAGE: u32 = 200;
/// Waited before chat-svc is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What a client is sent next.
#[derive(Debug)]
pub(crate) enum Batch {
    /// These frames.
    Frames(Vec<Bytes>),
    /// These frames, then nothing more: the server goes away.
    GoAway(Vec<Bytes>),
    /// Nothing more: the session has ended.
    Revoked,
}

/// One client's view.
pub(crate) struct Subscriber {
    hub: Hub,
    session: Arc<Session>,
    feeds: FeedServiceClient<Upstream>,
    /// The number that was last sent of each feed that is followed.
    sent: HashMap<Uuid, u64>,
    /// Feeds to be read from the log, in order.
    reading: VecDeque<Uuid>,
    /// Feeds that have not reached the head noted at the start, and that head. Empty once caught up.
    catching_up: BTreeMap<Uuid, u64>,
    epoch: String,
    /// What was asked for; nothing before the first `subscribe`.
    asked: Option<SubscribeRequest>,
    /// `caught_up` was sent.
    caught_up: bool,
    out: Vec<Bytes>,
}

impl Subscriber {
    pub(super) fn new(hub: Hub, session: Arc<Session>, feeds: FeedServiceClient<Upstream>) -> Self {
        Self {
            hub,
            session,
            feeds,
            sent: HashMap::new(),
            reading: VecDeque::new(),
            catching_up: BTreeMap::new(),
            epoch: String::new(),
            asked: None,
            caught_up: false,
            out: Vec::new(),
        }
    }

    /// What to send next; waits until there is something.
    pub(crate) async fn next(&mut self) -> Batch {
        loop {
            if !self.out.is_empty() {
                return Batch::Frames(std::mem::take(&mut self.out));
            }
            // The log first, but what waits is looked at between its pages, so that answers are not held up.
            let (entries, behind) = match self.reading.front() {
                Some(feed) => {
                    let feed = *feed;
                    self.read_page(feed).await;
                    self.session.try_take().unwrap_or_default()
                }
                None => self.session.take().await,
            };
            for feed in behind {
                self.read_later(feed);
            }
            if let Some(end) = self.take_in(entries).await {
                return end;
            }
        }
    }

    async fn take_in(&mut self, entries: VecDeque<Entry>) -> Option<Batch> {
        for entry in entries {
            match entry {
                Entry::Event { feed, seq, frame } => self.event(feed, seq, frame),
                Entry::Ephemeral(frame) | Entry::Frame(frame) => self.out.push(frame),
                Entry::Head { feed, seq } => {
                    if self.sent.get(&feed).is_some_and(|sent| *sent < seq) {
                        self.read_later(feed);
                    }
                }
                Entry::Joined(feed) => self.joined(feed).await,
                Entry::Left(feed) => self.forget(feed),
                Entry::Resync => self.resync().await,
                Entry::Subscribe(request) => self.subscribe(request).await,
                Entry::GoAway { after_ms } => {
                    self.out.push(frame::go_away(after_ms));
                    return Some(Batch::GoAway(std::mem::take(&mut self.out)));
                }
                Entry::Revoked => return Some(Batch::Revoked),
            }
        }
        None
    }

    fn event(&mut self, feed: Uuid, seq: u64, frame: Bytes) {
        let Some(sent) = self.sent.get_mut(&feed) else { return };
        if seq == *sent + 1 {
            *sent = seq;
            self.out.push(frame);
            self.reached(feed);
        } else if seq > *sent {
            self.read_later(feed);
        }
    }

    fn read_later(&mut self, feed: Uuid) {
        if self.sent.contains_key(&feed) && !self.reading.contains(&feed) {
            self.reading.push_back(feed);
        }
    }

    fn forget(&mut self, feed: Uuid) {
        self.sent.remove(&feed);
        self.reading.retain(|reading| *reading != feed);
        self.catching_up.remove(&feed);
        self.tell_caught_up();
    }

    /// Reads one page of a feed; a feed whose end is not reached comes again after the others.
    async fn read_page(&mut self, feed: Uuid) {
        let Some(after_seq) = self.sent.get(&feed).copied() else {
            self.reading.retain(|reading| *reading != feed);
            return;
        };
        let request = ReadFeedRequest {
            user_id: self.session.user_id.to_string(),
            feed_id: feed.to_string(),
            after_seq,
            page_size: PAGE,
        };
        let page = match self.feeds.read_feed(request).await {
            Ok(page) => page.into_inner(),
            Err(cause) if cause.code() == Code::NotFound => {
                self.out.push(frame::reset(&feed.to_string(), ResetReason::NotFound));
                self.hub.unfollow(&self.session, vec![feed]).await;
                self.forget(feed);
                return;
            }
            Err(cause) => return wait_after(&cause).await,
        };
        self.reading.pop_front();
        let mut sent = after_seq;
        for event in page.events {
            // The first of a page may be above a gap that the user may not see.
            sent = event.seq;
            self.out.push(frame::event(&event.event));
        }
        self.sent.insert(feed, sent);
        if sent < page.head && sent > after_seq {
            self.reading.push_back(feed);
        }
        self.reached(feed);
    }

    /// Notes when a feed has reached the head of the start.
    fn reached(&mut self, feed: Uuid) {
        let target = self.catching_up.get(&feed);
        let sent = self.sent.get(&feed).copied().unwrap_or(u64::MAX);
        if target.is_some_and(|target| sent >= *target) {
            self.catching_up.remove(&feed);
            self.tell_caught_up();
        }
    }

    /// `caught_up` comes once for each `subscribe`.
    fn tell_caught_up(&mut self) {
        if self.asked.is_some() && !self.caught_up && self.catching_up.is_empty() {
            self.caught_up = true;
            self.out.push(frame::caught_up(&self.epoch));
        }
    }

    /// Starts anew from the client's cursors.
    async fn subscribe(&mut self, request: SubscribeRequest) {
        let old: Vec<Uuid> = self.sent.drain().map(|(feed, _)| feed).collect();
        self.reading.clear();
        self.catching_up.clear();
        // Held back until every feed has its beginning.
        self.caught_up = true;
        let cursors = request.cursors.iter().map(|cursor| (cursor.feed_id.clone(), cursor.seq)).collect();
        let only_listed = request.only_listed;
        let epoch = request.epoch.clone();
        self.asked = Some(request);
        self.hub.unfollow(&self.session, old).await;
        self.open(cursors, epoch, only_listed).await;
        self.caught_up = false;
        self.tell_caught_up();
    }

    /// The stream from chat-svc was interrupted, and nobody knows what happened meanwhile: membership is asked for anew.
    async fn resync(&mut self) {
        let Some(only_listed) = self.asked.as_ref().map(|asked| asked.only_listed) else {
            return;
        };
        let cursors: HashMap<String, u64> = self.sent.iter().map(|(feed, sent)| (feed.to_string(), *sent)).collect();
        self.open(cursors, self.epoch.clone(), only_listed).await;
    }

    /// The user is in a room now.
    async fn joined(&mut self, feed: Uuid) {
        if self.sent.contains_key(&feed) {
            return;
        }
        let starts = self.ask(HashMap::new(), self.epoch.clone(), vec![feed]).await;
        self.begin(&starts);
    }

    /// Follows first, then asks where everything stands, so that nothing falls in between.
    async fn open(&mut self, cursors: HashMap<String, u64>, epoch: String, only_listed: bool) {
        let wanted = if only_listed { listed(&cursors) } else { self.list().await };
        self.hub.follow(&self.session, wanted.clone(), !only_listed).await;
        let only = if only_listed { wanted.clone() } else { Vec::new() };
        if only_listed && only.is_empty() {
            let starts = cursors.keys().map(|feed_id| FeedStart {
                feed_id: feed_id.clone(),
                head: 0,
                start: Some(Start::Reset(FeedReset::NotFound.into())),
            });
            let starts: Vec<FeedStart> = starts.collect();
            return self.begin(&starts);
        }
        let starts = self.ask(cursors, epoch, only).await;
        let started: HashSet<Uuid> = starts.iter().filter(|start| !is_gone(start)).filter_map(feed_of).collect();
        // A room that was joined since the list was made is already on its way through the hub, or is followed now.
        let missed: Vec<Uuid> = started.iter().filter(|feed| !wanted.contains(feed)).copied().collect();
        let gone: Vec<Uuid> = wanted.into_iter().filter(|feed| !started.contains(feed)).collect();
        self.begin(&starts);
        for feed in &gone {
            self.forget(*feed);
        }
        self.hub.unfollow(&self.session, gone).await;
        if !missed.is_empty() {
            self.hub.follow(&self.session, missed.clone(), !only_listed).await;
            missed.into_iter().for_each(|feed| self.read_later(feed));
        }
    }

    /// Begins feeds as chat-svc said.
    fn begin(&mut self, starts: &[FeedStart]) {
        for start in starts {
            let Some(feed) = feed_of(start) else {
                self.out.push(frame::reset(&start.feed_id, ResetReason::NotFound));
                continue;
            };
            match &start.start {
                Some(Start::Snapshot(bytes)) => {
                    self.out.push(frame::snapshot(bytes));
                    self.sent.insert(feed, start.head);
                }
                Some(Start::ReplayAfter(seq)) => {
                    self.sent.insert(feed, *seq);
                    if start.head > *seq {
                        self.catching_up.insert(feed, start.head);
                        self.read_later(feed);
                    }
                }
                Some(Start::Reset(reason)) => {
                    self.out.push(frame::reset(&start.feed_id, ResetReason::try_from(*reason).unwrap_or_default()));
                    self.forget(feed);
                }
                None => {}
            }
        }
    }

    /// The feeds that the user may follow. Asks until chat-svc answers: the client waits, connected.
    async fn list(&mut self) -> Vec<Uuid> {
        let request = ListFeedsRequest { user_id: self.session.user_id.to_string() };
        loop {
            match self.feeds.list_feeds(request.clone()).await {
                Ok(listed) => {
                    let ids = listed.into_inner().feed_ids;
                    return ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
                }
                Err(cause) => wait_after(&cause).await,
            }
        }
    }

    async fn ask(&mut self, cursors: HashMap<String, u64>, epoch: String, only: Vec<Uuid>) -> Vec<FeedStart> {
        let cursors = cursors.into_iter().map(|(feed_id, seq)| FeedCursor { feed_id, seq }).collect();
        let feed_ids = only.iter().map(Uuid::to_string).collect();
        let request = OpenFeedsRequest { user_id: self.session.user_id.to_string(), cursors, epoch, feed_ids };
        loop {
            match self.feeds.open_feeds(request.clone()).await {
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

async fn wait_after(cause: &Status) {
    tracing::warn!(code = ?cause.code(), "chat-svc cannot be read: {}", cause.message());
    tokio::time::sleep(PAUSE).await;
}

fn feed_of(start: &FeedStart) -> Option<Uuid> {
    Uuid::try_parse(&start.feed_id).ok()
}

fn is_gone(start: &FeedStart) -> bool {
    matches!(start.start, Some(Start::Reset(reason)) if reason == i32::from(FeedReset::NotFound))
}

fn listed(cursors: &HashMap<String, u64>) -> Vec<Uuid> {
    cursors.keys().filter_map(|feed_id| Uuid::try_parse(feed_id).ok()).collect()
}
