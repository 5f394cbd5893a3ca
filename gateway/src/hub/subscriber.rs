//! One client's task: what it follows, where it begins, and the log whenever the client does not have what the hub brings.
//!
//! Whatever comes from the hub is only a hint with content: it is passed on when it is the next of its feed; when there is a
//! hole the log is read up to the head. A client that fell behind is the same case.

mod begin;

use std::{collections::HashMap, sync::Arc, time::Duration};

use proto::{
    chat::internal::v1::{ReadFeedRequest, ReadFeedResponse},
    edge::v1::{ResetReason, SubscribeRequest},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    End, Hub, Session, Word,
    frame::{self, Frame},
    session::Todo,
};

/// Events of one page of the log.
const PAGE: u32 = 200;
/// Waited before chat-svc is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// One client's task.
pub(crate) struct Subscriber {
    hub: Hub,
    session: Arc<Session>,
    epoch: String,
    /// The client has asked for the live stream; only for the feeds that it listed, or for all.
    asked: Option<Asked>,
    /// Feeds that have not reached the head noted at the start, and that head. Empty once caught up.
    catching_up: HashMap<Uuid, u64>,
    /// `caught_up` was sent.
    caught_up: bool,
    /// The rooms that the client looks at.
    looks: Vec<Uuid>,
}

#[derive(Clone, Copy)]
struct Asked {
    only_listed: bool,
}

impl Subscriber {
    pub(super) fn new(hub: Hub, session: Arc<Session>) -> Self {
        Self {
            hub,
            session,
            epoch: String::new(),
            asked: None,
            catching_up: HashMap::new(),
            caught_up: false,
            looks: Vec::new(),
        }
    }

    /// Works until something ends the stream. For a client whose frames are written to its socket.
    pub(crate) async fn run(mut self) -> End {
        loop {
            match self.step().await {
                Step::End(end) => return end,
                Step::Worked => {}
                Step::Idle { blocked: true } => {
                    tokio::select! {
                        () = self.session.unblock() => {}
                        () = self.session.filled() => {}
                    }
                }
                Step::Idle { blocked: false } => self.session.filled().await,
            }
        }
    }

    /// The next frames, for a client that takes them itself; waits until there are some.
    pub(crate) async fn next(&mut self) -> Result<Vec<Frame>, End> {
        loop {
            let frames = self.session.take_frames();
            if !frames.is_empty() {
                return Ok(frames);
            }
            match self.step().await {
                Step::End(end) => return Err(end),
                Step::Worked => {}
                // What was added since it was looked at has left its mark, and this returns at once.
                Step::Idle { .. } => self.session.filled().await,
            }
        }
    }

    /// Does what there is to do, a piece at a time. Boxed, so that thousands of idle clients do not hold the room for it.
    async fn step(&mut self) -> Step {
        if let Some(end) = self.session.ended() {
            return Step::End(end);
        }
        let todo = self.session.todo();
        if todo.words.is_empty() && todo.read.is_none() {
            return Step::Idle { blocked: todo.blocked };
        }
        let session = self.session.clone();
        Box::pin(async move {
            // What is done may take long: a turn is waited for, or chat-svc is away.
            tokio::select! {
                biased;
                end = session.until_ended() => Step::End(end),
                () = self.work(todo) => Step::Worked,
            }
        })
        .await
    }

    async fn work(&mut self, todo: Todo) {
        for word in todo.words {
            match word {
                Word::Subscribe(request) => self.subscribe(request).await,
                Word::Resync => self.resync().await,
                Word::Joined(feed) => self.joined(feed).await,
                Word::Left(feed) => self.left(feed),
                Word::Look(rooms) => self.look(rooms).await,
                Word::Holds(cursors) => {
                    for cursor in cursors {
                        if let Ok(feed) = Uuid::try_parse(&cursor.feed_id) {
                            self.session.holds(feed, cursor.seq);
                        }
                    }
                }
            }
        }
        if let Some((feed, after)) = todo.read {
            self.read_page(feed, after).await;
        }
    }

    async fn look(&mut self, rooms: Vec<Uuid>) {
        self.looks = rooms;
        self.hub.look(&self.session, self.looks.clone()).await;
    }

    /// Feeds have their beginning now: what a client that looks at them was not given before, it gets.
    async fn look_again(&self) {
        if !self.looks.is_empty() {
            self.hub.look(&self.session, self.looks.clone()).await;
        }
    }

    /// Reads one page of a feed; others have their turn before the next one.
    async fn read_page(&mut self, feed: Uuid, after_seq: u64) {
        // A word that was just done may have changed it.
        if self.session.sent(feed) != Some(after_seq) {
            return;
        }
        let request = ReadFeedRequest {
            user_id: self.session.user_id.to_string(),
            feed_id: feed.to_string(),
            after_seq,
            page_size: PAGE,
        };
        let page: ReadFeedResponse = match self.hub.feeds.clone().read_feed(request).await {
            Ok(page) => page.into_inner(),
            Err(cause) if cause.code() == Code::NotFound => {
                // They may be back already: then this is no longer true.
                if self.session.close_after(feed, after_seq) {
                    self.session.send(frame::reset(&feed.to_string(), ResetReason::NotFound));
                    self.hub.unfollow(&self.session, vec![feed]).await;
                    self.forget(feed);
                }
                return;
            }
            Err(cause) => return wait_after(&cause).await,
        };
        // They were out meanwhile and may not see what lies in between: the feed begins anew.
        if page.events.first().is_some_and(|first| first.seq > after_seq + 1) {
            self.session.open(&[feed]);
            self.joined(feed).await;
            return self.forget(feed);
        }
        let sent = page.events.last().map_or(after_seq, |event| event.seq);
        let frames = page.events.iter().map(|event| frame::event(&event.event)).collect();
        self.session.page(feed, after_seq, frames, sent, page.head);
        self.reached(feed, sent, page.events.is_empty());
    }

    fn forget(&mut self, feed: Uuid) {
        self.catching_up.remove(&feed);
        self.tell_caught_up();
    }

    /// Notes when a feed has reached the head of the start.
    fn reached(&mut self, feed: Uuid, sent: u64, ended: bool) {
        if self.catching_up.get(&feed).is_some_and(|target| ended || sent >= *target) {
            self.forget(feed);
        }
    }

    /// `caught_up` comes once for each `subscribe`.
    fn tell_caught_up(&mut self) {
        if self.asked.is_some() && !self.caught_up && self.catching_up.is_empty() {
            self.caught_up = true;
            self.catching_up = HashMap::new();
            self.session.send(frame::caught_up(&self.epoch));
        }
    }
}

/// What became of a step.
enum Step {
    /// There was something to do.
    Worked,
    /// There was nothing to do; the socket takes no more for now, if it says so.
    Idle { blocked: bool },
    /// The stream ends.
    End(End),
}

async fn wait_after(cause: &Status) {
    tracing::warn!(code = ?cause.code(), "chat-svc cannot be read: {}", cause.message());
    tokio::time::sleep(PAUSE).await;
}

fn listed(request: &SubscribeRequest) -> Vec<Uuid> {
    request.cursors.iter().filter_map(|cursor| Uuid::try_parse(&cursor.feed_id).ok()).collect()
}
