//! Stories of who is online: seen by members who look, and by nobody else.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use proto::edge::v1::{Cursor, SubscribeRequest, server_frame::Frame};
use tests::{
    Ear, Person, Town, Transport,
    ear::{TRANSPORTS, digest_of},
    stories,
};

stories!(
    people_see_each_other_come_and_go,
    who_does_not_look_hears_nothing,
    strangers_see_nobody,
    the_removed_look_no_longer,
    looking_at_too_much_is_refused,
);

/// The interval of the stories.
const INTERVAL: Duration = Duration::from_secs(1);

async fn quick(town: Town) -> Town {
    Town::start_with(town.shape, |config| config.chat.presence_seconds = NonZeroU32::MIN).await
}

/// Opens the stream and looks at a room.
async fn looks(person: &Person, transport: Transport, room_id: &str) -> Ear {
    let request = SubscribeRequest { look_at: vec![room_id.to_owned()], ..SubscribeRequest::default() };
    Ear::asks(person, transport, request).await
}

/// How many digests of a room passed.
fn digests(ear: &Ear, room_id: &str) -> usize {
    let frames = ear.passing.iter().map(|ephemeral| Frame::Ephemeral(ephemeral.clone()));
    frames.filter(|frame| digest_of(frame, room_id).is_some()).count()
}

async fn people_see_each_other_come_and_go(town: Town) {
    let town = quick(town).await;
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    carol.joins(&room).await;
    for transport in TRANSPORTS {
        let mut alice_looks = looks(&alice, transport, &room.id).await;
        alice_looks.sees_online(&room.id, &[&alice]).await;
        // Somebody is online with any stream, whether they look or not, and as long as the last one is open.
        let came = Instant::now();
        let (first, second) = (Ear::opens(&bob, Transport::Socket).await, Ear::opens(&bob, Transport::Grpc).await);
        let mut carol_looks = looks(&carol, Transport::Socket, &room.id).await;
        carol_looks.sees_online(&room.id, &[&alice, &bob, &carol]).await;
        alice_looks.sees_online(&room.id, &[&alice, &bob, &carol]).await;
        // Two intervals, a second in which a gateway gathers, and what a busy machine adds.
        assert!(came.elapsed() < INTERVAL * 2 + Duration::from_secs(4), "{:?}", came.elapsed());
        drop(first);
        drop(carol_looks);
        alice_looks.sees_online(&room.id, &[&alice, &bob]).await;
        drop(second);
        alice_looks.sees_online(&room.id, &[&alice]).await;
        let numbered = alice_looks.log.len();
        assert_eq!(numbered, 0, "it takes no numbers");
    }
}

async fn who_does_not_look_hears_nothing(town: Town) {
    let town = quick(town).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let (room, other) = (alice.creates_room("general").await, alice.creates_room("other").await);
    bob.joins(&room).await;
    bob.joins(&other).await;
    let mut bob_listens = Ear::opens(&bob, Transport::Socket).await;
    let mut alice_looks = looks(&alice, Transport::Socket, &room.id).await;
    alice_looks.sees_online(&room.id, &[&alice, &bob]).await;
    // Another room instead, then none.
    alice_looks.looks_at(&[&other.id, "nonsense"]).await;
    alice_looks.sees_online(&other.id, &[&alice, &bob]).await;
    let before = digests(&alice_looks, &room.id);
    alice_looks.looks_at(&[]).await;
    bob_listens.looks_at(&[&room.id]).await;
    bob_listens.sees_online(&room.id, &[&alice, &bob]).await;
    let carol = town.registers("carol").await;
    carol.joins(&room).await;
    let _carol_listens = Ear::opens(&carol, Transport::Socket).await;
    bob_listens.sees_online(&room.id, &[&alice, &bob, &carol]).await;
    let last = alice.says(&room, "last").await;
    alice_looks.reaches(&room.id, last.seq).await;
    assert_eq!(digests(&alice_looks, &room.id), before);
    assert_eq!(digests(&bob_listens, &other.id), 0);
}

async fn strangers_see_nobody(town: Town) {
    let town = quick(town).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("secret").await;
    let open = alice.creates_room("open").await;
    let mut alice_looks = looks(&alice, Transport::Socket, &room.id).await;
    alice_looks.sees_online(&room.id, &[&alice]).await;
    // A private room and a public one that she is not in, whether listed or not.
    let rooms = [room.id.clone(), open.id.clone()];
    let cursors = rooms.iter().map(|room| Cursor { feed_id: room.clone(), seq: 0 }).collect();
    let listed = SubscribeRequest { cursors, only_listed: true, look_at: rooms.to_vec(), ..Default::default() };
    let every = SubscribeRequest { look_at: rooms.to_vec(), ..Default::default() };
    let mut ears = Vec::new();
    for transport in TRANSPORTS {
        for request in [&listed, &every] {
            let mut ear = Ear::asks(&eve, transport, request.clone()).await;
            ear.catches_up().await;
            ears.push(ear);
        }
    }
    let bob = town.registers("bob").await;
    alice.adds(&room, &bob).await;
    let bob_listens = Ear::opens(&bob, Transport::Socket).await;
    alice_looks.sees_online(&room.id, &[&alice, &bob]).await;
    drop(bob_listens);
    alice_looks.sees_online(&room.id, &[&alice]).await;
    // She gets what she may see, and nothing came before it.
    let own = eve.creates_room("own").await;
    for mut ear in ears.into_iter().skip(1).step_by(2) {
        ear.until("her own room", |frame| matches!(frame, Frame::Snapshot(new) if new.feed_id == own.id).then_some(()))
            .await;
        assert!(ear.passing.is_empty(), "{:?}", ear.passing);
    }
}

async fn the_removed_look_no_longer(town: Town) {
    let town = quick(town).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("board").await;
    alice.adds(&room, &bob).await;
    let mut alice_looks = looks(&alice, Transport::Socket, &room.id).await;
    let mut bob_looks = Vec::new();
    for transport in TRANSPORTS {
        bob_looks.push(looks(&bob, transport, &room.id).await);
    }
    for ear in &mut bob_looks {
        ear.sees_online(&room.id, &[&alice, &bob]).await;
    }
    alice.removes(&room, &bob).await;
    for ear in &mut bob_looks {
        ear.learns_of_removal(&room.id).await;
    }
    let before: Vec<usize> = bob_looks.iter().map(|ear| digests(ear, &room.id)).collect();
    // Bob is online and no member any more.
    alice_looks.sees_online(&room.id, &[&alice]).await;
    let carol = town.registers("carol").await;
    alice.adds(&room, &carol).await;
    let _carol_listens = Ear::opens(&carol, Transport::Socket).await;
    alice_looks.sees_online(&room.id, &[&alice, &carol]).await;
    // Brought in again, he looks again, without saying so.
    alice.adds(&room, &bob).await;
    for (ear, before) in bob_looks.iter_mut().zip(before) {
        let next = |frame: &Frame| match frame {
            Frame::Snapshot(snapshot) if snapshot.feed_id == room.id => Some(()),
            _ => None,
        };
        ear.until("the room", next).await;
        assert_eq!(digests(ear, &room.id), before, "nothing in between");
        ear.sees_online(&room.id, &[&alice, &bob, &carol]).await;
    }
}

async fn looking_at_too_much_is_refused(town: Town) {
    let alice = town.registers("alice").await;
    let many: Vec<String> = (0..21).map(|_| tests::op_id()).collect();
    let request = SubscribeRequest { look_at: many.clone(), ..SubscribeRequest::default() };
    let refused =
        proto::edge::v1::edge_service_client::EdgeServiceClient::new(alice.channel()).subscribe(request).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
    let mut socket = Ear::opens(&alice, Transport::Socket).await;
    socket.looks_at(&many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let error = |frame: &Frame| match frame {
        Frame::Error(error) => Some(error.status.clone().unwrap_or_default().code),
        _ => None,
    };
    assert_eq!(socket.until("the refusal", error).await, i32::from(tonic::Code::InvalidArgument));
}
