//! Everything the hub knows, changed only by its own task.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use proto::chat::internal::v1::{
    AddFeeds, AttachRequest, AttachResponse, AudienceChange, DropFeeds, FeedEphemeral, FeedEvent, FeedHead,
    attach_request::Action, attach_response::Item,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Asks, Entry, Order, Session, frame};

/// How many feeds one request to chat-svc names.
const FEEDS_AT_ONCE: usize = 500;

#[derive(Default)]
pub(super) struct State {
    feeds: HashMap<Uuid, Feed>,
    clients: HashMap<u64, Client>,
    users: HashMap<Uuid, HashSet<u64>>,
    asks: Option<Asks>,
    /// Feeds to ask for and to give back, gathered so that many become one request.
    wanted: Vec<Uuid>,
    unwanted: Vec<Uuid>,
}

struct Client {
    session: Arc<Session>,
    feeds: HashSet<Uuid>,
    /// Rooms that the user joins later are followed by themselves.
    also_joined: bool,
}

#[derive(Default)]
struct Feed {
    sessions: Vec<Arc<Session>>,
    /// The newest number that was passed on.
    told: u64,
    /// A head above `told` that chat-svc spoke of: if the event has not come by the next time, it is lost.
    suspect: u64,
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
        // What was told on the last stream says nothing about what this one will bring.
        for client in self.clients.values() {
            client.session.push(Entry::Resync);
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
    pub(super) async fn flush(&mut self) -> bool {
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

    /// Does what a client asks.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Register(session) => {
                self.users.entry(session.user_id).or_default().insert(session.id);
                let client = Client { session: session.clone(), feeds: HashSet::new(), also_joined: false };
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
        }
    }

    /// Forgets clients that are gone.
    pub(super) fn sweep(&mut self) {
        let gone: Vec<Arc<Session>> =
            self.clients.values().map(|client| client.session.clone()).filter(|session| session.is_gone()).collect();
        for session in gone {
            self.unregister(&session);
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
            others.remove(&session.id);
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
            if client.feeds.insert(*id) {
                feed.sessions.push(session.clone());
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
        if self.clients.get_mut(&session_id).is_some_and(|client| client.feeds.remove(&feed)) {
            self.leave(session_id, feed);
        }
    }

    /// Takes a client out of a feed; the last one gives the feed back.
    fn leave(&mut self, session_id: u64, id: Uuid) {
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        if let Some(place) = feed.sessions.iter().position(|session| session.id == session_id) {
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
                session.push(Entry::Revoked);
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
            feed.told = feed.told.max(event.seq);
            let frame = frame::event(&event.event);
            for session in &feed.sessions {
                session.push_event(id, event.seq, frame.clone());
            }
        }
        if let Some(change) = event.audience_change {
            self.change_audience(id, event.seq, &change);
        }
    }

    /// After the event itself: who may see the feed from the next one on.
    fn change_audience(&mut self, id: Uuid, seq: u64, change: &AudienceChange) {
        for client in self.clients_of(&change.removed_user_ids) {
            let Some(client) = self.clients.get_mut(&client) else {
                continue;
            };
            if client.feeds.remove(&id) {
                let session = client.session.clone();
                session.push(Entry::Left(id));
                self.leave(session.id, id);
            }
        }
        let joining = self.clients_of(&change.added_user_ids);
        for client in &joining {
            let Some(client) = self.clients.get_mut(client) else {
                continue;
            };
            if client.also_joined && client.feeds.insert(id) {
                let feed = self.feeds.entry(id).or_insert_with(|| {
                    // chat-svc sends it already, unless a request to send it no longer was on its way: so it is asked again.
                    self.wanted.push(id);
                    Feed { told: seq, flowing: true, ..Feed::default() }
                });
                feed.sessions.push(client.session.clone());
                client.session.push(Entry::Joined(id));
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

    fn ephemeral(&self, ephemeral: &FeedEphemeral) {
        let feed = Uuid::try_parse(&ephemeral.feed_id).ok().and_then(|id| self.feeds.get(&id));
        let Some(feed) = feed else { return };
        let frame: Bytes = frame::ephemeral(&ephemeral.ephemeral);
        for session in &feed.sessions {
            session.push_ephemeral(frame.clone());
        }
    }

    /// chat-svc says where a feed stands: its events are flowing, and a number that never comes is noticed.
    fn head(&mut self, head: &FeedHead) {
        let Ok(id) = Uuid::try_parse(&head.feed_id) else { return };
        let Some(feed) = self.feeds.get_mut(&id) else { return };
        if !feed.flowing {
            feed.flowing = true;
            feed.told = feed.told.max(head.seq);
            feed.waiting.clear();
            return;
        }
        if feed.suspect > feed.told {
            tracing::warn!(feed = %id, told = feed.told, head = feed.suspect, "an event was lost on the way; clients read the log");
            feed.told = feed.suspect;
            for session in &feed.sessions {
                session.push(Entry::Head { feed: id, seq: feed.suspect });
            }
        }
        feed.suspect = head.seq;
    }

    /// Tells every client to come back, spread over a window.
    pub(super) fn go_away(&self, window_ms: u64) {
        let clients = self.clients.len().max(1) as u64;
        for (place, client) in self.clients.values().enumerate() {
            let after_ms = u32::try_from(window_ms * place as u64 / clients).unwrap_or(0);
            client.session.push(Entry::GoAway { after_ms });
        }
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
        let session = Arc::new(Session::new(id, user_id, mesh::ids::new_id()));
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
        let event = Bytes::from_static(b"event");
        let item = Item::Event(FeedEvent { feed_id: feed.to_string(), seq, event, audience_change });
        AttachResponse { item: Some(item) }
    }

    fn taken(session: &Session) -> Vec<String> {
        let (entries, _) = session.try_take().unwrap_or_default();
        let word = |entry: &Entry| match entry {
            Entry::Event { seq, .. } => format!("event {seq}"),
            Entry::Head { seq, .. } => format!("head {seq}"),
            Entry::Joined(_) => "joined".into(),
            Entry::Left(_) => "left".into(),
            other => format!("{other:?}"),
        };
        entries.iter().map(word).collect()
    }

    #[test]
    fn the_audience_changes_after_the_event_that_changes_it() {
        let mut state = State::default();
        let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
        let session = client(&mut state, 1, user);
        drop(follow(&mut state, &session, vec![user]));
        state.item(event(room, 4, &[user], &[]));
        state.item(event(room, 5, &[], &[]));
        state.item(event(room, 6, &[], &[user]));
        state.item(event(room, 7, &[], &[]));
        assert_eq!(taken(&session), ["joined", "event 5", "event 6", "left"]);
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
        assert!(state.flush().await);
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
    fn an_event_that_never_comes_is_noticed_by_the_second_head() {
        let mut state = State::default();
        let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
        let session = client(&mut state, 1, user);
        drop(follow(&mut state, &session, vec![room]));
        let head = |seq| AttachResponse { item: Some(Item::Head(FeedHead { feed_id: room.to_string(), seq })) };
        state.item(head(3));
        state.item(event(room, 4, &[], &[]));
        state.item(head(5));
        assert_eq!(taken(&session), ["event 4"], "number 5 may still be on its way");
        state.item(head(5));
        assert_eq!(taken(&session), ["head 5"]);
    }

    #[test]
    fn clients_that_vanish_are_swept() {
        let mut state = State::default();
        let session = client(&mut state, 1, mesh::ids::new_id());
        drop(follow(&mut state, &session, vec![mesh::ids::new_id()]));
        session.leave();
        state.sweep();
        assert!(state.clients.is_empty() && state.feeds.is_empty() && state.users.is_empty());
    }
}
