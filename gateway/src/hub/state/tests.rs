use tokio::sync::mpsc;

use super::*;
use crate::hub::session::Begun;

const STUCK: u32 = 30;

fn state() -> State {
    State::new(Patience { heartbeat: 30, stuck: STUCK })
}

/// A second passes.
fn second(state: &mut State, now: u32) {
    (0..PARTS).for_each(|part| state.tick(now, part));
}

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
    let item = Item::Event(FeedEvent { feed_id: feed.to_string(), seq, event, audience_change, about_seq: 0 });
    AttachResponse { item: Some(item) }
}

/// chat-svc says where a feed stands.
fn head(feed: Uuid, seq: u64) -> AttachResponse {
    AttachResponse { item: Some(Item::Head(FeedHead { feed_id: feed.to_string(), seq })) }
}

#[test]
fn the_audience_changes_after_the_event_that_changes_it() {
    let mut state = state();
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let session = client(&mut state, 1, user);
    drop(follow(&mut state, &session, vec![user]));
    state.item(event(room, 4, &[user], &[]));
    assert!(matches!(session.todo().words.make_contiguous(), [Word::Joined(joined)] if *joined == room));
    session.begins(room, 4, 4, 1);
    state.item(event(room, 5, &[], &[]));
    state.item(event(room, 6, &[], &[user]));
    state.item(event(room, 7, &[], &[]));
    assert_eq!(session.take_frames().len(), 2, "5 and 6");
    assert!(matches!(session.todo().words.make_contiguous(), [Word::Left(left)] if *left == room));
    assert!(session.sent(room).is_none());
    assert!(!state.feeds.contains_key(&room), "nobody follows it any more");
}

/// chat-svc's answer and its stream are two ways, and what happened between them may come first.
#[test]
fn who_is_put_out_while_their_beginning_is_on_its_way_and_brought_back_begins_anew() {
    let mut state = state();
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let session = client(&mut state, 1, user);
    let ticket = session.open(&[user, room]);
    drop(follow(&mut state, &session, vec![user, room]));
    // The answer says that they are in the room, at 71.
    state.item(event(room, 72, &[], &[user]));
    assert_eq!(
        session.begin(ticket, room, Some(frame::snapshot(&bytes::Bytes::from_static(b"x"))), (71, 71, 1)),
        Begun::Left
    );
    assert!(session.take_frames().is_empty(), "they are out");
    assert!(matches!(session.todo().words.make_contiguous(), [Word::Left(left)] if *left == room));
    state.item(event(room, 73, &[], &[]));
    state.item(event(room, 74, &[user], &[]));
    assert!(matches!(session.todo().words.make_contiguous(), [Word::Joined(joined)] if *joined == room));
    assert_eq!(session.begin(ticket, room, None, (71, 71, 1)), Begun::Anew);
    session.begins(room, 74, 74, 74);
    state.item(event(room, 75, &[], &[]));
    assert_eq!(session.take_frames().len(), 1);
}

#[tokio::test]
async fn a_follower_waits_until_everything_flows_and_is_asked_for_once() {
    let mut state = state();
    let (asks, mut asked) = mpsc::channel(8);
    state.attached(asks);
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let (one, two) = (client(&mut state, 1, user), client(&mut state, 2, user));
    let mut first = follow(&mut state, &one, vec![user, room]);
    let mut second = follow(&mut state, &two, vec![room]);
    assert!(state.flush_asks());
    let Some(AttachRequest { action: Some(Action::Add(add)) }) = asked.try_recv().ok() else { panic!("asked") };
    assert_eq!(add.feed_ids.len(), 2);
    state.item(head(room, 3));
    assert!(second.try_recv().is_ok());
    assert!(first.try_recv().is_err(), "one of its feeds is missing");
    state.item(head(user, 3));
    assert!(first.try_recv().is_ok());
}

/// chat-svc may be waiting for its items to be taken, which nobody does who waits for it.
#[test]
fn a_stream_that_takes_no_more_requests_holds_nothing_up() {
    let mut state = state();
    let (asks, mut asked) = mpsc::channel(1);
    state.attached(asks);
    let (one, two) = (client(&mut state, 1, mesh::ids::new_id()), client(&mut state, 2, mesh::ids::new_id()));
    let rooms: Vec<Uuid> = (0..1200).map(|_| mesh::ids::new_id()).collect();
    drop(follow(&mut state, &one, rooms.clone()));
    assert!(state.flush_asks());
    assert!(state.crowded().is_some(), "three requests, and room for one");
    // What comes and goes meanwhile is gathered.
    drop(follow(&mut state, &two, rooms[..2].to_vec()));
    for _ in 0..3 {
        state.order(Order::Unfollow { session: one.clone(), feeds: rooms[..3].to_vec() });
        drop(follow(&mut state, &one, rooms[1..3].to_vec()));
        assert!(state.flush_asks());
    }
    let mut held = HashSet::new();
    let mut requests = 0;
    while let Ok(request) = asked.try_recv() {
        requests += 1;
        match request.action {
            Some(Action::Add(add)) => held.extend(add.feed_ids),
            Some(Action::Drop(drop)) => drop.feed_ids.iter().for_each(|feed| _ = held.remove(feed)),
            other => panic!("not asked for: {other:?}"),
        }
        assert!(state.flush_asks());
    }
    assert!(state.crowded().is_none());
    assert_eq!(requests, 5, "the first three, then what was given back and what was taken again");
    let needed: HashSet<String> = state.feeds.keys().map(Uuid::to_string).collect();
    assert_eq!(held, needed);
    drop(asked);
    state.order(Order::Unfollow { session: one, feeds: rooms[5..6].to_vec() });
    assert!(!state.flush_asks(), "the stream is gone");
}

#[test]
fn clients_that_vanish_are_swept() {
    let mut state = state();
    let session = client(&mut state, 1, mesh::ids::new_id());
    drop(follow(&mut state, &session, vec![mesh::ids::new_id()]));
    session.leave();
    (1..=MOST_SECONDS).for_each(|now| second(&mut state, now));
    assert!(state.clients.is_empty() && state.feeds.is_empty() && state.users.is_empty());
}

#[test]
fn a_drain_is_over_when_everybody_is_gone() {
    let mut state = state();
    let (one, two) = (client(&mut state, 1, mesh::ids::new_id()), client(&mut state, 2, mesh::ids::new_id()));
    let (drained, mut done) = oneshot::channel();
    state.order(Order::Drain { window: std::time::Duration::from_secs(3), drained });
    assert_eq!((one.take_frames().len(), two.take_frames().len()), (1, 1), "everybody is told");
    let late = client(&mut state, 3, mesh::ids::new_id());
    assert_eq!(late.take_frames().len(), 1, "who comes late as well");
    one.leave();
    second(&mut state, 1);
    state.order(Order::Unregister(late.id));
    assert_eq!(done.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    assert_eq!(two.ended(), None, "there is time left");
    two.leave();
    second(&mut state, 2);
    assert_eq!(done.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[test]
fn who_is_there_at_the_end_of_a_drain_is_ended() {
    let mut state = state();
    let session = client(&mut state, 1, mesh::ids::new_id());
    let (done, mut ended) = oneshot::channel();
    state.order(Order::EndAll(done));
    assert_eq!((session.ended(), ended.try_recv()), (Some(End::GoingAway), Ok(())));
}

#[test]
fn a_client_that_takes_nothing_is_ended_and_what_waits_is_given_back() {
    let mut state = state();
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let (session, other) = (client(&mut state, 1, user), client(&mut state, 2, user));
    for session in [&session, &other] {
        drop(follow(&mut state, session, vec![room]));
        session.begins(room, 0, 0, 1);
    }
    state.item(event(room, 1, &[], &[]));
    (1..=STUCK).for_each(|now| {
        other.take_frames();
        second(&mut state, now);
    });
    assert_eq!(session.ended(), None);
    (STUCK + 1..=STUCK + MOST_SECONDS).for_each(|now| second(&mut state, now));
    assert_eq!((session.ended(), session.take_frames().len()), (Some(End::TooSlow), 0));
    assert_eq!((state.clients.len(), state.feeds[&room].sessions.len()), (1, 1), "it is gone from here");
    // Its heartbeat.
    other.take_frames();
    state.item(event(room, 2, &[], &[]));
    assert_eq!((other.ended(), other.take_frames().len()), (None, 1), "others notice nothing");
}

#[test]
fn everybody_is_looked_at_often_enough() {
    let seconds = |heartbeat, stuck| Patience { heartbeat, stuck }.seconds();
    assert_eq!([seconds(30, 30), seconds(30, 10), seconds(4, 30), seconds(7, 30), seconds(1, 1)], [5, 2, 4, 1, 1]);
    let mut state = state();
    let room = mesh::ids::new_id();
    // More than have places of their own.
    let clients: Vec<_> = (0..200).map(|id| client(&mut state, id, mesh::ids::new_id())).collect();
    for client in &clients {
        drop(follow(&mut state, client, vec![room]));
        client.begins(room, 0, 0, 1);
    }
    state.item(event(room, 1, &[], &[]));
    clients.iter().for_each(|client| assert_eq!(client.take_frames().len(), 1));
    (1..=30).for_each(|now| second(&mut state, now));
    clients.iter().for_each(|client| assert_eq!(client.take_frames().len(), 1, "its heartbeat, with what has moved"));
}

#[test]
fn a_socket_of_which_nothing_is_heard_is_ended() {
    let mut state = State::new(Patience { heartbeat: 4, stuck: STUCK });
    let session = socket(&mut state);
    (1..10).for_each(|now| second(&mut state, now));
    session.heard(9);
    (10..19).for_each(|now| second(&mut state, now));
    assert_eq!(session.ended(), None);
    (19..23).for_each(|now| second(&mut state, now));
    assert_eq!(
        session.ended(),
        Some(End::Silent),
        "two and a half heartbeats after the last word, when it is looked at"
    );
}

/// A socket that is not written to.
fn socket(state: &mut State) -> Arc<Session> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let socket = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    });
    let session = Arc::new(Session::new(1, mesh::ids::new_id(), mesh::ids::new_id(), Some(Arc::new(socket)), 0));
    state.order(Order::Register(session.clone()));
    session
}

#[test]
fn nothing_passing_reaches_who_is_not_known_to_be_in_the_room() {
    let mut state = state();
    let room = mesh::ids::new_id();
    let (member, stranger) = (client(&mut state, 1, mesh::ids::new_id()), client(&mut state, 2, mesh::ids::new_id()));
    for session in [&member, &stranger] {
        drop(follow(&mut state, session, vec![room]));
        session.open(&[room]);
        state.order(Order::Look { session: session.clone(), rooms: vec![room] });
    }
    member.begins(room, 0, 0, 1);
    let ephemeral = FeedEphemeral { feed_id: room.to_string(), ephemeral: bytes::Bytes::from_static(b"typing") };
    state.item(AttachResponse { item: Some(Item::Ephemeral(ephemeral)) });
    let presence = FeedPresence { feed_id: room.to_string(), ephemeral: bytes::Bytes::from_static(b"presence") };
    state.item(AttachResponse { item: Some(Item::Presence(presence)) });
    assert_eq!((member.take_frames().len(), stranger.take_frames().len()), (2, 0));
    // Once it is known, the newest digest is made up for.
    stranger.begins(room, 0, 0, 1);
    second(&mut state, 1);
    assert_eq!((member.take_frames().len(), stranger.take_frames().len()), (0, 1));
}

#[test]
fn looking_ends_with_membership_and_begins_again_with_it() {
    let mut state = state();
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let session = client(&mut state, 1, user);
    state.order(Order::Look { session: session.clone(), rooms: vec![room] });
    let asks = |state: &mut State| -> Vec<(usize, usize)> {
        let asks = state.looking.asks(&state.users).into_iter();
        asks.filter_map(|ask| match ask {
            Action::Look(look) => Some((look.added_room_ids.len(), look.removed_room_ids.len())),
            _ => None,
        })
        .collect()
    };
    assert!(asks(&mut state).is_empty(), "a room that is not followed is not looked at");
    drop(follow(&mut state, &session, vec![user]));
    state.item(event(room, 1, &[user], &[]));
    assert_eq!(asks(&mut state), [(1, 0)]);
    session.begins(room, 1, 1, 1);
    state.item(event(room, 2, &[], &[user]));
    let presence = FeedPresence { feed_id: room.to_string(), ephemeral: bytes::Bytes::from_static(b"presence") };
    state.item(AttachResponse { item: Some(Item::Presence(presence.clone())) });
    assert_eq!(session.take_frames().len(), 1, "only the event that ended it");
    second(&mut state, 1);
    assert_eq!(asks(&mut state), [(0, 1)]);
    state.item(event(room, 3, &[user], &[]));
    session.begins(room, 3, 3, 1);
    state.item(AttachResponse { item: Some(Item::Presence(presence)) });
    assert_eq!((asks(&mut state), session.take_frames().len()), (vec![(1, 0)], 1));
}

#[test]
fn what_was_committed_while_a_feed_was_given_up_and_taken_again_is_read_from_the_log() {
    let mut state = state();
    let (user, room) = (mesh::ids::new_id(), mesh::ids::new_id());
    let session = client(&mut state, 1, user);
    drop(follow(&mut state, &session, vec![room]));
    session.begins(room, 3, 3, 1);
    state.item(head(room, 3));
    assert!(session.todo().read.is_none(), "it has everything");
    state.item(head(room, 5));
    assert_eq!(session.todo().read, Some((room, 3)), "4 and 5 came to nobody");
}

#[test]
fn who_follows_a_feed_that_flows_is_told_how_far_it_has_come() {
    let mut state = state();
    let (first, late) = (client(&mut state, 1, Uuid::from_u128(1)), client(&mut state, 2, Uuid::from_u128(2)));
    let room = Uuid::from_u128(9);
    follow(&mut state, &first, vec![room]);
    state.item(head(room, 10));
    // The late one was told of number 10, and before it follows the room there is another event.
    let ticket = late.open(&[room]);
    state.item(event(room, 11, &[], &[]));
    let mut flowing = follow(&mut state, &late, vec![room]);
    assert!(flowing.try_recv().is_ok(), "it flows already");
    assert_eq!(late.begin(ticket, room, None, (10, 10, 1)), Begun::Yes);
    assert_eq!(late.todo().read, Some((room, 10)), "what it was not given is read from the log");
    // Whoever was told of everything reads nothing.
    let third = client(&mut state, 3, Uuid::from_u128(3));
    let ticket = third.open(&[room]);
    follow(&mut state, &third, vec![room]);
    assert_eq!(third.begin(ticket, room, None, (11, 11, 1)), Begun::Yes);
    assert_eq!(third.todo().read, None);
}
