//! Everything the hub knows, changed only by its own task.

mod client;
mod feed;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use proto::chat::internal::v1::{
    AddFeeds, AttachRequest, AttachResponse, AudienceChange, DropFeeds, FeedEphemeral, FeedEvent, FeedHead,
    FeedPresence, attach_request::Action, attach_response::Item,
};
use tokio::{
    sync::{mpsc::error::TrySendError, oneshot},
    time::Instant,
};
use uuid::Uuid;

use self::{
    client::Client,
    feed::{Feed, Waiting},
};
use super::{
    Asks, End, Order, Session, Word, frame,
    looking::Looking,
    pace::Pace,
    session::{Vitals, report_writes},
};

/// How many feeds one request to chat-svc names.
const FEEDS_AT_ONCE: usize = 500;

/// In how many parts clients are looked at within a second.
pub(super) const PARTS: u32 = 16;
/// Each client is looked at once in so many seconds at most: with thousands, to look costs more than what is done then.
const MOST_SECONDS: u32 = 5;
/// So often at least a client is looked at in the time after which it is stuck.
const LOOKS: u32 = 5;

/// How long clients may be quiet, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Every client has a heartbeat once in so many seconds; which second is its own, so that not all have it at once.
    pub(crate) heartbeat: u32,
    /// A client that takes nothing for so many seconds although something waits is ended.
    pub(crate) stuck: u32,
}

impl Patience {
    /// A socket of which nothing is heard for so many seconds, not even answers to two pings, is gone.
    const fn silence(self) -> u32 {
        self.heartbeat.saturating_mul(5) / 2
    }

    /// In how many seconds each client is looked at once: often enough to have its heartbeat in its second, and to be found stuck
    /// not much later than it is.
    fn seconds(self) -> u32 {
        let fits = |seconds: &u32| self.heartbeat.is_multiple_of(*seconds) && seconds * LOOKS <= self.stuck;
        (1..=MOST_SECONDS).rev().find(fits).unwrap_or(1)
    }
}

/// A client in the list by which clients are looked at: what there is to see of one that does nothing is seen without touching it.
/// The client itself is not held: who has gone stays in the list for some seconds, and their socket must not.
struct Watched {
    id: u64,
    vitals: Arc<Vitals>,
}

pub(super) struct State {
    patience: Patience,
    looking: Looking,
    feeds: HashMap<Uuid, Feed>,
    clients: HashMap<u64, Client>,
    /// The same by when they are looked at: the parts of one second after those of another. Who has gone stays until it is their turn.
    parts: Vec<Vec<Watched>>,
    users: HashMap<Uuid, Vec<u64>>,
    asks: Option<Asks>,
    /// Feeds to ask for and to give back, gathered so that many become one request.
    wanted: HashSet<Uuid>,
    unwanted: HashSet<Uuid>,
    /// Requests for which the stream had no room yet. More are made when these are sent: until then, what comes and goes is gathered.
    waiting: VecDeque<Action>,
    /// Sockets that have something to be written.
    dirty: Vec<Arc<Session>>,
    pace: Pace,
    /// Everybody is told to go; answered when they are gone.
    drain: Option<oneshot::Sender<()>>,
}

impl State {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            looking: Looking::default(),
            feeds: HashMap::new(),
            clients: HashMap::new(),
            parts: (0..PARTS * patience.seconds()).map(|_| Vec::new()).collect(),
            users: HashMap::new(),
            asks: None,
            wanted: HashSet::new(),
            unwanted: HashSet::new(),
            waiting: VecDeque::new(),
            dirty: Vec::new(),
            pace: Pace::new(),
            drain: None,
        }
    }

    /// A new stream is open: everything is asked for anew.
    pub(super) fn attached(&mut self, asks: Asks) {
        self.asks = Some(asks);
        self.looking.attached();
        self.wanted = self.feeds.keys().copied().collect();
        self.unwanted.clear();
        self.waiting.clear();
        // What was told on the last stream says nothing about what this one will bring, nor about who may see it.
        for client in self.clients.values() {
            client.session.suspend();
        }
    }

    /// The stream is gone.
    pub(super) fn detached(&mut self) {
        self.asks = None;
        for feed in self.feeds.values_mut() {
            feed.flowing = false;
        }
    }

    /// Sends what was gathered, as far as there is room, and never waits: chat-svc may be waiting for its items to be taken, which
    /// only the caller does. False when the stream is gone.
    pub(super) fn flush_asks(&mut self) -> bool {
        let Some(asks) = self.asks.clone() else { return false };
        loop {
            if self.waiting.is_empty() {
                self.make_requests();
            }
            if self.waiting.is_empty() {
                return true;
            }
            match asks.try_reserve() {
                Ok(room) => room.send(AttachRequest { action: self.waiting.pop_front() }),
                Err(TrySendError::Full(())) => return true,
                Err(TrySendError::Closed(())) => return false,
            }
        }
    }

    /// Requests from what was gathered. A feed given back and taken again must be asked for again, in this order.
    fn make_requests(&mut self) {
        let (unwanted, wanted) = (named(&mut self.unwanted), named(&mut self.wanted));
        self.waiting.extend(unwanted.into_iter().map(|feed_ids| Action::Drop(DropFeeds { feed_ids })));
        self.waiting.extend(wanted.into_iter().map(|feed_ids| Action::Add(AddFeeds { feed_ids })));
        self.waiting.extend(self.looking.asks(&self.users));
    }

    /// The stream, when requests wait for room on it.
    pub(super) fn crowded(&self) -> Option<Asks> {
        if self.waiting.is_empty() { None } else { self.asks.clone() }
    }

    /// Writes to the sockets that something was added for.
    pub(super) fn flush_clients(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let began = Instant::now();
        self.dirty.drain(..).for_each(|session| session.flush());
        self.pace.wrote(began, Instant::now());
    }

    /// Until when what was added waits for more; nothing when it is to be written now.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        if self.dirty.is_empty() { None } else { self.pace.rests_until(Instant::now()) }
    }

    /// Does what a client asks.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Register(session) => self.register(&session),
            Order::Unregister(id) => self.unregister(id),
            Order::Follow { session, feeds, also_joined, flowing } => {
                self.follow(&session, &feeds, also_joined, flowing);
            }
            Order::Unfollow { session, feeds } => feeds.iter().for_each(|feed| self.unfollow(session.id, *feed)),
            Order::Look { session, rooms } => self.look(&session, rooms),
            Order::Revoke { session_ids, user_ids } => self.revoke(&session_ids, &user_ids),
            Order::Sessions(answer) => {
                let _ = answer.send(self.clients.values().map(|client| client.session_id).collect());
            }
            Order::Drain { window, drained } => self.drain(window, drained),
            Order::EndAll(done) => {
                self.end_all();
                let _ = done.send(());
            }
        }
    }

    /// Looks at a part of the clients (below [`PARTS`]), each once in some seconds. `now` is the hub's second, the same for all parts
    /// from 0 on.
    pub(super) fn tick(&mut self, now: u32, part: u32) {
        let Patience { heartbeat, stuck } = self.patience;
        let (silence, seconds) = (self.patience.silence(), self.patience.seconds());
        let place = (now % seconds * PARTS + part) as usize;
        let mut watched = std::mem::take(&mut self.parts[place]);
        watched.retain(|Watched { id, vitals }| {
            if vitals.is_gone() {
                self.unregister(*id);
                return false;
            }
            let (waits, silent) = (vitals.waits(), vitals.silence(now) >= silence);
            let beats = u64::from(now % heartbeat) == id / u64::from(PARTS) % u64::from(heartbeat);
            if !waits && !silent && !beats {
                return true;
            }
            let Some(session) = self.clients.get(id).map(|client| &client.session) else {
                return false;
            };
            // The first of these times was not a whole one.
            let too_slow = waits && session.stuck().saturating_mul(seconds) > stuck;
            if too_slow || silent {
                // Its transport may never find out, so that it is gone from here at once.
                session.give_up(if too_slow { End::TooSlow } else { End::Silent });
                self.unregister(*id);
                return false;
            }
            if beats {
                session.heartbeat();
            }
            true
        });
        self.parts[place] = watched;
        if part == 0 {
            self.sweep_while_draining();
            report_writes();
            self.looking.tick(&mut self.dirty);
        }
    }

    /// Whoever drains waits for the last one: who has gone is not waited for until it is their turn.
    fn sweep_while_draining(&mut self) {
        if self.drain.is_some() {
            let gone = self.clients.iter().filter(|(_, client)| client.session.vitals.is_gone());
            let gone: Vec<u64> = gone.map(|(id, _)| *id).collect();
            gone.into_iter().for_each(|id| self.unregister(id));
        }
    }

    fn register(&mut self, session: &Arc<Session>) {
        if self.drain.is_some() {
            session.send(frame::go_away(0));
        }
        let sessions = self.users.entry(session.user_id).or_default();
        sessions.push(session.id);
        if sessions.len() == 1 {
            self.looking.user_changed(session.user_id);
        }
        let client = Client::new(session.clone());
        self.clients.insert(session.id, client);
        let place = (session.id % self.parts.len() as u64) as usize;
        self.parts[place].push(Watched { id: session.id, vitals: session.vitals.clone() });
        metrics::gauge!("loquat_gateway_sessions").set(count(self.clients.len()));
    }

    fn unregister(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        for feed in client.feeds {
            self.leave(id, feed);
        }
        let user_id = client.session.user_id;
        if let Some(others) = self.users.get_mut(&user_id) {
            others.retain(|other| *other != id);
            if others.is_empty() {
                self.users.remove(&user_id);
                self.looking.user_changed(user_id);
            }
        }
        metrics::gauge!("loquat_gateway_sessions").set(count(self.clients.len()));
        if self.clients.is_empty() {
            // Whoever waits for it is answered.
            self.drain = None;
        }
    }

    fn follow(&mut self, session: &Arc<Session>, feeds: &[Uuid], also_joined: bool, flowing: oneshot::Sender<()>) {
        let waiting = Waiting::new(flowing);
        let Some(client) = self.clients.get_mut(&session.id) else {
            return;
        };
        client.also_joined = also_joined;
        for id in feeds {
            let is_new = !self.feeds.contains_key(id);
            let feed = self.feeds.entry(*id).or_default();
            if !client.feeds.contains(id) {
                client.feeds.push(*id);
                feed.sessions.push((session.id, session.clone()));
                if client.looks.contains(id) {
                    self.looking.enter(*id, session, &mut self.dirty);
                }
            }
            if is_new {
                self.wanted.insert(*id);
            }
            if feed.flowing {
                // Others follow it already, and what they were given since the client was told of it, it was not.
                session.stands(*id, feed.seen);
            } else {
                feed.waiting.push(waiting.clone());
            }
        }
    }

    fn unfollow(&mut self, session_id: u64, feed: Uuid) {
        if self.clients.get_mut(&session_id).is_some_and(|client| client.gives_up(feed)) {
            self.leave(session_id, feed);
        }
    }

    /// A client looks at these rooms instead of others: at those that it follows, now or later.
    fn look(&mut self, session: &Arc<Session>, rooms: Vec<Uuid>) {
        let Some(client) = self.clients.get_mut(&session.id) else {
            return;
        };
        for room in client.looks.iter().filter(|room| !rooms.contains(room)) {
            self.looking.leave(*room, session.id);
        }
        client.looks = rooms;
        for room in client.looks.iter().filter(|room| client.feeds.contains(room)) {
            self.looking.enter(*room, session, &mut self.dirty);
        }
    }

    /// Takes a client out of a feed; the last one gives the feed back.
    fn leave(&mut self, session_id: u64, id: Uuid) {
        self.looking.leave(id, session_id);
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        if let Some(place) = feed.sessions.iter().position(|(id, _)| *id == session_id) {
            feed.sessions.swap_remove(place);
        }
        if feed.sessions.is_empty() {
            self.feeds.remove(&id);
            self.wanted.remove(&id);
            self.unwanted.insert(id);
        }
    }

    fn revoke(&self, session_ids: &[Uuid], user_ids: &[Uuid]) {
        let session_ids: HashSet<&Uuid> = session_ids.iter().collect();
        for client in self.clients.values() {
            let session = &client.session;
            if session_ids.contains(&session.session_id) {
                session.end(End::Revoked);
            } else if user_ids.contains(&session.user_id) {
                session.end(End::Stale);
            }
        }
    }

    /// Passes an item from chat-svc on.
    pub(super) fn item(&mut self, item: AttachResponse) {
        match item.item {
            Some(Item::Event(event)) => self.event(event),
            Some(Item::Ephemeral(ephemeral)) => self.ephemeral(&ephemeral),
            Some(Item::Head(head)) => self.head(&head),
            Some(Item::Presence(presence)) => self.presence(presence),
            Some(Item::TellOnline(_)) => self.looking.tell_online(),
            None => {}
        }
    }

    fn event(&mut self, event: FeedEvent) {
        let Ok(id) = Uuid::try_parse(&event.feed_id) else {
            return;
        };
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.seen = feed.seen.max(event.seq);
            let frame = frame::event(&event.event);
            for (_, session) in &feed.sessions {
                if session.event(id, event.seq, event.about_seq, &frame) {
                    self.dirty.push(session.clone());
                }
            }
        }
        if let Some(change) = event.audience_change {
            self.change_audience(id, &change);
        }
    }

    /// After the event itself: who may see the feed from the next one on.
    fn change_audience(&mut self, id: Uuid, change: &AudienceChange) {
        for client in self.clients_of(&change.removed_user_ids) {
            let Some(client) = self.clients.get_mut(&client) else {
                continue;
            };
            if client.gives_up(id) {
                let session = client.session.clone();
                // What was sent of the feed is not above the event that ended it.
                session.close(id);
                session.tell(Word::Left(id));
                self.leave(session.id, id);
            }
        }
        let joining = self.clients_of(&change.added_user_ids);
        for client in &joining {
            let Some(client) = self.clients.get_mut(client) else {
                continue;
            };
            if !client.also_joined {
                continue;
            }
            if !client.feeds.contains(&id) {
                client.feeds.push(id);
                let feed = self.feeds.entry(id).or_insert_with(|| {
                    // chat-svc sends it already, unless a request to send it no longer was on its way: so it is asked again.
                    self.wanted.insert(id);
                    Feed::default()
                });
                feed.sessions.push((client.session.id, client.session.clone()));
            }
            // It may be followed still and have no beginning: when nobody heard that the user had been put out.
            if !client.session.has_begun(id) {
                client.session.open(&[id]);
                client.session.tell(Word::Joined(id));
                if client.looks.contains(&id) {
                    self.looking.enter(id, &client.session, &mut self.dirty);
                }
            }
        }
        // chat-svc sends a room from the event on that brings one of our users in; nobody here may need it.
        if !joining.is_empty() && !self.feeds.contains_key(&id) {
            self.unwanted.insert(id);
        }
    }

    fn clients_of(&self, users: &[String]) -> Vec<u64> {
        let ids = users.iter().filter_map(|user| Uuid::try_parse(user).ok());
        ids.filter_map(|user| self.users.get(&user)).flatten().copied().collect()
    }

    fn ephemeral(&mut self, ephemeral: &FeedEphemeral) {
        let Ok(id) = Uuid::try_parse(&ephemeral.feed_id) else { return };
        let Some(feed) = self.feeds.get(&id) else { return };
        let frame = frame::ephemeral(&ephemeral.ephemeral);
        for (_, session) in &feed.sessions {
            if session.ephemeral(id, &frame) == Some(true) {
                self.dirty.push(session.clone());
            }
        }
    }

    fn presence(&mut self, presence: FeedPresence) {
        if let Ok(id) = Uuid::try_parse(&presence.feed_id) {
            self.looking.digest(id, presence.ephemeral, &mut self.dirty);
        }
    }

    /// chat-svc confirms that it sends a feed.
    fn head(&mut self, head: &FeedHead) {
        let Ok(id) = Uuid::try_parse(&head.feed_id) else { return };
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.flowing = true;
            feed.seen = feed.seen.max(head.seq);
            feed.waiting = Vec::new();
            // This may answer an earlier request than the newest: what was committed in between came to nobody, and is in the log.
            feed.sessions.iter().for_each(|(_, session)| session.stands(id, head.seq));
        }
    }

    /// Tells every client when to come back, spread over a window.
    fn drain(&mut self, window: std::time::Duration, drained: oneshot::Sender<()>) {
        let clients = self.clients.len().max(1) as u128;
        for (place, client) in self.clients.values().enumerate() {
            let after_ms = window.as_millis() * place as u128 / clients;
            client.session.send(frame::go_away(u32::try_from(after_ms).unwrap_or(u32::MAX)));
        }
        if !self.clients.is_empty() {
            self.drain = Some(drained);
        }
    }

    /// Ends every client.
    pub(super) fn end_all(&self) {
        self.clients.values().for_each(|client| client.session.end(End::GoingAway));
    }
}

/// Takes feeds out, as single requests name them.
fn named(feeds: &mut HashSet<Uuid>) -> Vec<Vec<String>> {
    let feeds: Vec<Uuid> = std::mem::take(feeds).into_iter().collect();
    feeds.chunks(FEEDS_AT_ONCE).map(|some| some.iter().map(Uuid::to_string).collect()).collect()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
