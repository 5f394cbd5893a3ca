//! Everything the hub knows, changed only by its own task.

use std::{collections::HashMap, sync::Arc};

use proto::chat::internal::v1::{
    AddFeeds, AttachRequest, AttachResponse, AudienceChange, DropFeeds, FeedEphemeral, FeedEvent, FeedHead,
    attach_request::Action, attach_response::Item,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Asks, End, Order, Session, Word, frame, session::report_writes};

/// How many feeds one request to chat-svc names.
const FEEDS_AT_ONCE: usize = 500;
/// Every client has a heartbeat once in so many seconds; which second is its own, so that not all have it at once.
const HEARTBEAT: u32 = 30;
/// A socket of which nothing is heard for so many seconds, not even answers to two pings, is gone.
const SILENCE: u32 = 75;
/// A client that takes nothing for so many seconds although something waits is ended.
const STUCK: u32 = 30;

#[derive(Default)]
pub(super) struct State {
    feeds: HashMap<Uuid, Feed>,
    clients: HashMap<u64, Client>,
    users: HashMap<Uuid, Vec<u64>>,
    asks: Option<Asks>,
    /// Feeds to ask for and to give back, gathered so that many become one request.
    wanted: Vec<Uuid>,
    unwanted: Vec<Uuid>,
    /// Sockets that have something to be written.
    dirty: Vec<Arc<Session>>,
    drain: Option<Drain>,
}

/// A drain under way.
struct Drain {
    /// Seconds left until everybody is ended.
    left: u32,
    /// Answered when it is over.
    _drained: oneshot::Sender<()>,
}

struct Client {
    session: Arc<Session>,
    feeds: Vec<Uuid>,
    /// Rooms that the user joins later are followed by themselves.
    also_joined: bool,
}

#[derive(Default)]
struct Feed {
    /// The ids stand beside the clients, so that one is found without looking into each.
    sessions: Vec<(u64, Arc<Session>)>,
    /// chat-svc has confirmed that it sends this feed.
    flowing: bool,
    waiting: Vec<Arc<Waiting>>,
}

/// A client waiting for several feeds to flow; answered when the last of them lets go of it.
struct Waiting(std::sync::Mutex<Option<oneshot::Sender<()>>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let sender = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(());
        }
    }
}

impl State {
    /// A new stream is open: everything is asked for anew.
    pub(super) fn attached(&mut self, asks: Asks) {
        self.asks = Some(asks);
        self.wanted = self.feeds.keys().copied().collect();
        self.unwanted.clear();
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

    /// Sends what was gathered. False when the stream is gone.
    pub(super) async fn flush_asks(&mut self) -> bool {
        let Some(asks) = self.asks.clone() else { return false };
        // A feed given back and taken again must be asked for again, in this order.
        for (feeds, add) in [(std::mem::take(&mut self.unwanted), false), (std::mem::take(&mut self.wanted), true)] {
            for some in feeds.chunks(FEEDS_AT_ONCE) {
                let feed_ids = some.iter().map(Uuid::to_string).collect();
                let action =
                    if add { Action::Add(AddFeeds { feed_ids }) } else { Action::Drop(DropFeeds { feed_ids }) };
                if asks.send(AttachRequest { action: Some(action) }).await.is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// Writes to the sockets that something was added for.
    pub(super) fn flush_clients(&mut self) {
        self.dirty.drain(..).for_each(|session| session.flush());
    }

    /// Does what a client asks.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Register(session) => {
                self.users.entry(session.user_id).or_default().push(session.id);
                let client = Client { session: session.clone(), feeds: Vec::new(), also_joined: false };
                self.clients.insert(session.id, client);
                metrics::gauge!("loquat_gateway_sessions").set(count(self.clients.len()));
            }
            Order::Unregister(session) => self.unregister(&session),
            Order::Follow { session, feeds, also_joined, flowing } => {
                self.follow(&session, &feeds, also_joined, flowing);
            }
            Order::Unfollow { session, feeds } => feeds.iter().for_each(|feed| self.unfollow(session.id, *feed)),
            Order::Revoke { session_ids, user_ids } => self.revoke(&session_ids, &user_ids),
            Order::Sessions(answer) => {
                let _ = answer.send(self.clients.values().map(|client| client.session.session_id).collect());
            }
            Order::Drain { window, drained } => self.drain(window, drained),
        }
    }

    /// A second has passed: looks at every client.
    pub(super) fn tick(&mut self, now: u32) {
        report_writes();
        let mut gone = Vec::new();
        for (id, client) in &self.clients {
            let session = &client.session;
            if session.is_gone() {
                gone.push(session.clone());
                continue;
            }
            if session.stuck() == STUCK {
                session.tell(Word::End(End::TooSlow));
            } else if session.silence(now) == SILENCE {
                session.tell(Word::End(End::Silent));
            } else if u64::from(now % HEARTBEAT) == id % u64::from(HEARTBEAT) {
                session.heartbeat();
            }
        }
        gone.iter().for_each(|session| self.unregister(session));
        if let Some(drain) = &mut self.drain {
            drain.left = drain.left.saturating_sub(1);
            if drain.left == 0 || self.clients.is_empty() {
                self.end_all();
            }
        }
    }

    fn unregister(&mut self, session: &Session) {
        let Some(client) = self.clients.remove(&session.id) else {
            return;
        };
        for feed in client.feeds {
            self.leave(session.id, feed);
        }
        if let Some(others) = self.users.get_mut(&session.user_id) {
            others.retain(|other| *other != session.id);
            if others.is_empty() {
                self.users.remove(&session.user_id);
            }
        }
        metrics::gauge!("loquat_gateway_sessions").set(count(self.clients.len()));
    }

    fn follow(&mut self, session: &Arc<Session>, feeds: &[Uuid], also_joined: bool, flowing: oneshot::Sender<()>) {
        let waiting = Arc::new(Waiting(std::sync::Mutex::new(Some(flowing))));
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
            }
            if is_new {
                self.wanted.push(*id);
            }
            if !feed.flowing {
                feed.waiting.push(waiting.clone());
            }
        }
    }

    fn unfollow(&mut self, session_id: u64, feed: Uuid) {
        if self.clients.get_mut(&session_id).is_some_and(|client| client.gives_up(feed)) {
            self.leave(session_id, feed);
        }
    }

    /// Takes a client out of a feed; the last one gives the feed back.
    fn leave(&mut self, session_id: u64, id: Uuid) {
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        if let Some(place) = feed.sessions.iter().position(|(id, _)| *id == session_id) {
            feed.sessions.swap_remove(place);
        }
        if feed.sessions.is_empty() {
            self.feeds.remove(&id);
            self.wanted.retain(|wanted| *wanted != id);
            self.unwanted.push(id);
        }
    }

    fn revoke(&self, session_ids: &[Uuid], user_ids: &[Uuid]) {
        for client in self.clients.values() {
            let session = &client.session;
            if session_ids.contains(&session.session_id) || user_ids.contains(&session.user_id) {
                session.tell(Word::End(End::Revoked));
            }
        }
    }

    /// Passes an item from chat-svc on.
    pub(super) fn item(&mut self, item: AttachResponse) {
        match item.item {
            Some(Item::Event(event)) => self.event(event),
            Some(Item::Ephemeral(ephemeral)) => self.ephemeral(&ephemeral),
            Some(Item::Head(head)) => self.head(&head),
            None => {}
        }
    }

    fn event(&mut self, event: FeedEvent) {
        let Ok(id) = Uuid::try_parse(&event.feed_id) else {
            return;
        };
        if let Some(feed) = self.feeds.get_mut(&id) {
            let frame = frame::event(&event.event);
            for (_, session) in &feed.sessions {
                if session.event(id, event.seq, &frame) {
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
                    self.wanted.push(id);
                    Feed { flowing: true, ..Feed::default() }
                });
                feed.sessions.push((client.session.id, client.session.clone()));
            }
            // It may be followed still and have no beginning: when nobody heard that the user had been put out.
            if !client.session.has_begun(id) {
                client.session.open(&[id]);
                client.session.tell(Word::Joined(id));
            }
        }
        // chat-svc sends a room from the event on that brings one of our users in; nobody here may need it.
        if !joining.is_empty() && !self.feeds.contains_key(&id) {
            self.unwanted.push(id);
        }
    }

    fn clients_of(&self, users: &[String]) -> Vec<u64> {
        let ids = users.iter().filter_map(|user| Uuid::try_parse(user).ok());
        ids.filter_map(|user| self.users.get(&user)).flatten().copied().collect()
    }

    fn ephemeral(&mut self, ephemeral: &FeedEphemeral) {
        let feed = Uuid::try_parse(&ephemeral.feed_id).ok().and_then(|id| self.feeds.get(&id));
        let Some(feed) = feed else { return };
        let frame = frame::ephemeral(&ephemeral.ephemeral);
        for (_, session) in &feed.sessions {
            if session.ephemeral(&frame) {
                self.dirty.push(session.clone());
            }
        }
    }

    /// chat-svc confirms that it sends a feed.
    fn head(&mut self, head: &FeedHead) {
        let Ok(id) = Uuid::try_parse(&head.feed_id) else { return };
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.flowing = true;
            feed.waiting = Vec::new();
        }
    }

    /// Tells every client when to come back, spread over a window, after which they are ended.
    fn drain(&mut self, window: std::time::Duration, drained: oneshot::Sender<()>) {
        let clients = self.clients.len().max(1) as u128;
        for (place, client) in self.clients.values().enumerate() {
            let after_ms = window.as_millis() * place as u128 / clients;
            client.session.send(frame::go_away(u32::try_from(after_ms).unwrap_or(u32::MAX)));
        }
        let left = u32::try_from(window.as_secs()).unwrap_or(u32::MAX).max(1);
        if self.clients.is_empty() {
            return;
        }
        self.drain = Some(Drain { left, _drained: drained });
    }

    /// Ends every client, and a drain.
    pub(super) fn end_all(&mut self) {
        for client in self.clients.values() {
            client.session.tell(Word::End(End::GoingAway));
        }
        self.drain = None;
    }
}

impl Client {
    /// Takes a feed off the list; false when it was not on it.
    fn gives_up(&mut self, feed: Uuid) -> bool {
        let place = self.feeds.iter().position(|known| *known == feed);
        place.inspect(|place| _ = self.feeds.swap_remove(*place)).is_some()
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn client(state: &mut State, id: u64, user_id: Uuid) -> Arc<Session> {
        let session = Arc::new(Session::new(id, user_id, mesh::ids::new_id(), None, 0));
        state.order(Order::Register(session.clone()));
        session
    }

    fn follow(state: &mut State, session: &Arc<Session>, feeds: Vec<Uuid>) -> oneshot::Receiver<()> {
        let (flowing, done) = oneshot::channel();
        state.order(Order::Follow { session: session.clone(), feeds, also_joined: true, flowing });
        done
    }

    fn event(feed: Uuid, seq: u64, added: &[Uuid], removed: &[Uuid]) -> AttachResponse {
        let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect();
        let change = AudienceChange { added_user_ids: texts(added), removed_user_ids: texts(removed) };
        let audience_change = (!added.is_empty() || !removed.is_empty()).then_some(change);
        let event = bytes::Bytes::from_static(b"event");
        let item = Item::Event(FeedEvent { feed_id: feed.to_string(), seq, event, audience_change });
        AttachResponse { item: Some(item) }
    }

    #[test]
    fn the_audience_changes_after_the_event_that_changes_it() {
        let mut state = State::default();
        let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
        let session = client(&mut state, 1, user);
        drop(follow(&mut state, &session, vec![user]));
        state.item(event(room, 4, &[user], &[]));
        assert!(matches!(session.todo().words.make_contiguous(), [Word::Joined(joined)] if *joined == room));
        session.begin(room, 4, 4);
        state.item(event(room, 5, &[], &[]));
        state.item(event(room, 6, &[], &[user]));
        state.item(event(room, 7, &[], &[]));
        assert_eq!(session.take_frames().len(), 2, "5 and 6");
        assert!(session.sent(room).is_none());
        assert!(!state.feeds.contains_key(&room), "nobody follows it any more");
    }

    #[tokio::test]
    async fn a_follower_waits_until_everything_flows_and_is_asked_for_once() {
        let mut state = State::default();
        let (asks, mut asked) = mpsc::channel(8);
        state.attached(asks);
        let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
        let (one, two) = (client(&mut state, 1, user), client(&mut state, 2, user));
        let mut first = follow(&mut state, &one, vec![user, room]);
        let mut second = follow(&mut state, &two, vec![room]);
        assert!(state.flush_asks().await);
        let Some(AttachRequest { action: Some(Action::Add(add)) }) = asked.try_recv().ok() else { panic!("asked") };
        assert_eq!(add.feed_ids.len(), 2);
        let head =
            |feed: Uuid| AttachResponse { item: Some(Item::Head(FeedHead { feed_id: feed.to_string(), seq: 3 })) };
        state.item(head(room));
        assert!(second.try_recv().is_ok());
        assert!(first.try_recv().is_err(), "one of its feeds is missing");
        state.item(head(user));
        assert!(first.try_recv().is_ok());
    }

    #[test]
    fn clients_that_vanish_are_swept() {
        let mut state = State::default();
        let session = client(&mut state, 1, mesh::ids::new_id());
        drop(follow(&mut state, &session, vec![mesh::ids::new_id()]));
        session.leave();
        state.tick(1);
        assert!(state.clients.is_empty() && state.feeds.is_empty() && state.users.is_empty());
    }

    #[test]
    fn a_drain_ends_when_everybody_is_gone_or_its_time_is_over() {
        let mut state = State::default();
        let (one, two) = (client(&mut state, 1, mesh::ids::new_id()), client(&mut state, 2, mesh::ids::new_id()));
        let (drained, mut done) = oneshot::channel();
        state.order(Order::Drain { window: std::time::Duration::from_secs(3), drained });
        assert_eq!((one.take_frames().len(), two.take_frames().len()), (1, 1), "everybody is told");
        state.tick(1);
        assert_eq!(done.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        one.leave();
        state.tick(2);
        assert!(two.todo().words.is_empty(), "there is time left");
        state.tick(3);
        assert!(matches!(two.todo().words.make_contiguous(), [Word::End(End::GoingAway)]));
        assert_eq!(done.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn clients_that_take_nothing_or_say_nothing_are_ended() {
        let mut state = State::default();
        let session = client(&mut state, 1, mesh::ids::new_id());
        session.send(frame::go_away(0));
        (1..STUCK).for_each(|now| state.tick(now));
        assert!(session.todo().words.is_empty());
        state.tick(STUCK);
        assert!(matches!(session.todo().words.make_contiguous(), [Word::End(End::TooSlow)]));
    }
}
