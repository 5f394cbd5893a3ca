//! Stories of streams under strain: readers that do not read, members who are removed meanwhile, heartbeats, typing, crowds.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use proto::{
    chat::v1::{Ephemeral, Room, SetTypingRequest, ephemeral::Body},
    edge::v1::{Cursor, Ping, SubscribeRequest, client_frame, server_frame::Frame},
};
use server::config::Config;
use tests::{Ear, Ended, Person, Town, Transport, ear::TRANSPORTS, process::Process, stories, within};
use tonic::Code;
use tonic_types::StatusExt as _;

stories!(
    who_does_not_read_is_only_behind,
    the_removed_get_nothing_more_whatever_waits_for_them,
    heartbeats_carry_the_numbers_both_ways,
    typing_passes_once_a_second,
    nobody_types_into_rooms_of_others,
    a_crowd_of_newcomers_holds_up_nobody_who_resumes,
);

/// More than the kernel holds for a socket that nobody reads from, and far more than may wait in the server.
const MUCH: usize = 1000;
/// Of each of them.
const BYTES: usize = 15 * 1024;

/// The same shape with another configuration.
async fn changed(town: Town, change: impl FnOnce(&mut Config)) -> Town {
    Town::start_with(town.shape, change).await
}

/// The same shape, with all the patience that a busy machine needs.
async fn patient(town: Town) -> Town {
    changed(town, |config| config.gateway.stuck_seconds = NonZeroU32::new(600).unwrap()).await
}

/// Posts many messages as fast as it goes, and returns the newest number.
async fn says_much(person: &Person, room: &Room, count: usize) -> u64 {
    let padding = "x".repeat(BYTES);
    let texts = (0..count).map(|number| format!("{number} {padding}"));
    let sent = stream::iter(texts).map(|text| async move { person.says(room, &text).await.seq }).buffer_unordered(32);
    sent.fold(0, async |newest, seq| newest.max(seq)).await
}

async fn who_does_not_read_is_only_behind(town: Town) {
    let town = patient(town).await;
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    carol.joins(&room).await;
    let mut idle = Vec::new();
    for transport in TRANSPORTS {
        idle.push(Ear::opens(&bob, transport).await);
    }
    let mut carol_reads = Ear::opens(&carol, Transport::Socket).await;
    let (room_id, from) = (room.id.clone(), carol_reads.cursors[&room.id]);
    let reading = async {
        carol_reads.reaches(&room_id, from + MUCH as u64).await;
        Instant::now()
    };
    let saying = async { (says_much(&alice, &room, MUCH).await, Instant::now()) };
    let (read, (last, said)) = tokio::join!(reading, saying);
    assert!(read.saturating_duration_since(said) < Duration::from_secs(3), "others get everything meanwhile");
    for mut ear in idle {
        ear.reaches(&room.id, last).await;
        assert_eq!(ear.log.iter().filter(|event| event.feed_id == room.id).count(), MUCH, "in order, without a hole");
        let next = alice.says(&room, "live again").await;
        ear.reaches(&room.id, next.seq).await;
    }
}

async fn the_removed_get_nothing_more_whatever_waits_for_them(town: Town) {
    let town = patient(town).await;
    let (alice, bob, carol) =
        (town.registers("alice").await, town.registers("bob").await, town.registers("carol").await);
    let (room, other) = (alice.creates_private_room("board").await, alice.creates_private_room("garden").await);
    for person in [&bob, &carol] {
        alice.adds(&room, person).await;
    }
    let mut removed = Vec::new();
    for transport in TRANSPORTS {
        // One has a queue full of what came before, one reads along.
        removed.push(Ear::opens(&bob, transport).await);
        removed.push(Ear::opens(&bob, transport).await);
    }
    let mut carol_reads = Ear::opens(&carol, Transport::Socket).await;
    let from = carol_reads.cursors[&room.id];
    let half = MUCH / 2;
    says_much(&alice, &room, half).await;
    for ear in removed.iter_mut().step_by(2) {
        ear.reaches(&room.id, from + half as u64).await;
    }
    // The removal falls into the middle of many sends.
    let (last, ()) = tokio::join!(says_much(&alice, &room, half), async {
        carol_reads.reaches(&room.id, from + half as u64 + 100).await;
        alice.removes(&room, &bob).await;
    });
    carol_reads.reaches(&room.id, last).await;
    alice.adds(&other, &bob).await;
    let sentinel = alice.says(&other, "planted").await;
    let mut left = 0;
    for ear in &mut removed {
        left = ear.learns_of_removal(&room.id).await;
        ear.reaches(&other.id, sentinel.seq).await;
        let newest = ear.log.iter().filter(|event| event.feed_id == room.id).map(|event| event.seq).max();
        assert!(newest.is_none_or(|newest| newest <= left), "{newest:?} is numbered after {left}");
    }
    assert!(left < last, "it fell into the middle");

    // Brought in again, they go on from a snapshot; what they held resumes.
    alice.adds(&room, &bob).await;
    let back = alice.says(&room, "welcome back").await;
    for ear in &mut removed {
        ear.reaches(&room.id, back.seq).await;
    }
    let mut resumed = Ear::resumes(&bob, Transport::Socket, &removed[0].cursors).await;
    resumed.catches_up().await;
    assert!(resumed.log.is_empty());
}

async fn heartbeats_carry_the_numbers_both_ways(town: Town) {
    let town = changed(town, |config| config.gateway.heartbeat_seconds = NonZeroU32::MIN).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    for transport in TRANSPORTS {
        let mut ear = Ear::opens(&bob, transport).await;
        let said = alice.says(&room, "one").await;
        ear.reaches(&room.id, said.seq).await;
        let moved = |frame: &Frame| match frame {
            Frame::Pong(pong) if pong.nonce == 0 => {
                pong.cursors.iter().find(|cursor| cursor.feed_id == room.id).map(|cursor| cursor.seq)
            }
            _ => None,
        };
        assert_eq!(ear.until("a heartbeat", moved).await, said.seq);
    }

    // A client that says it lost something gets it again, once it cannot be on its way any more.
    let mut ear = Ear::opens(&bob, Transport::Socket).await;
    let said = alice.says(&room, "two").await;
    ear.reaches(&room.id, said.seq).await;
    let held = Cursor { feed_id: room.id.clone(), seq: said.seq - 1 };
    ear.cursors.insert(room.id.clone(), held.seq);
    for nonce in 1.. {
        ear.socket().send(client_frame::Frame::Ping(Ping { nonce, cursors: vec![held.clone()] })).await;
        let again = |frame: &Frame| match frame {
            Frame::Event(event) => Some(event.seq == said.seq),
            Frame::Pong(pong) if pong.nonce == nonce => Some(false),
            _ => None,
        };
        if ear.until("an answer", again).await {
            break;
        }
        // As often as a client would say it, and a little more.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let next = alice.says(&room, "three").await;
    ear.reaches(&room.id, next.seq).await;
}

/// Who typed, among what passed.
fn typists(passing: &[Ephemeral]) -> Vec<&str> {
    passing
        .iter()
        .filter_map(|ephemeral| match &ephemeral.body {
            Some(Body::Typing(typing)) => Some(typing.user_id.as_str()),
            _ => None,
        })
        .collect()
}

async fn types(person: &Person, room: &Room) -> Result<(), tonic::Status> {
    person.rooms().set_typing(SetTypingRequest { room_id: room.id.clone() }).await.map(drop)
}

async fn typing_passes_once_a_second(town: Town) {
    let town = patient(town).await;
    let (alice, bob, dave) = (town.registers("alice").await, town.registers("bob").await, town.registers("dave").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    dave.joins(&room).await;
    let mut ears = Vec::new();
    for transport in TRANSPORTS {
        ears.push(Ear::opens(&bob, transport).await);
    }
    let before = ears[0].cursors[&room.id];
    let began = Instant::now();
    for _ in 0..40 {
        types(&alice, &room).await.unwrap();
    }
    types(&dave, &room).await.unwrap();
    let seconds = began.elapsed().as_secs() as usize + 1;
    let said = alice.says(&room, "done typing").await;
    assert_eq!(said.seq, before + 1, "typing takes no number");
    for ear in &mut ears {
        ear.reaches(&room.id, said.seq).await;
        let typed = typists(&ear.passing);
        let alices = typed.iter().filter(|user| **user == alice.user.id).count();
        assert!((1..=seconds).contains(&alices), "{alices} times in {seconds} s");
        assert_eq!(typed.len() - alices, 1, "each person has a second of their own");
    }
    let mut later = Ear::resumes(&bob, Transport::Socket, &std::iter::once((room.id.clone(), before)).collect()).await;
    later.catches_up().await;
    assert!(later.passing.is_empty(), "it is kept nowhere");

    // Somebody who does not keep up loses typing first.
    let mut idle = Ear::opens(&bob, Transport::Socket).await;
    says_much(&alice, &room, MUCH).await;
    types(&dave, &room).await.unwrap();
    let last = alice.says(&room, "last").await;
    idle.reaches(&room.id, last.seq).await;
    assert!(idle.passing.is_empty());
}

async fn nobody_types_into_rooms_of_others(town: Town) {
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("secret").await;
    let refused = types(&eve, &room).await.unwrap_err();
    let unknown = types(&eve, &Room { id: tests::op_id(), ..Room::default() }).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, unknown.message()));
    // A stranger who asks for the room again and again sees nobody type there.
    let asking = async {
        for _ in 0..30 {
            let cursors = vec![Cursor { feed_id: room.id.clone(), seq: 0 }];
            let request = SubscribeRequest { cursors, only_listed: true, ..SubscribeRequest::default() };
            let mut ear = Ear::asks(&eve, Transport::Socket, request).await;
            ear.catches_up().await;
            assert!(ear.passing.is_empty() && ear.log.is_empty());
        }
    };
    let typing = async {
        loop {
            types(&alice, &room).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = typing => {}
    }
}

async fn a_crowd_of_newcomers_holds_up_nobody_who_resumes(town: Town) {
    const CROWD: usize = 8;
    const BACK: usize = 20;
    let town = changed(town, |config| {
        config.gateway.sign_ons_per_second = NonZeroU32::MIN;
        config.gateway.resumes_per_second = NonZeroU32::new(1000).unwrap();
    })
    .await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let held = Ear::opens(&bob, Transport::Socket).await.cursors;
    let said = alice.says(&room, "come back").await;
    let began = Instant::now();
    let crowd = async {
        let all = (0..CROWD).map(|number| Ear::opens(&alice, TRANSPORTS[number % 2]));
        (futures::future::join_all(all).await, began.elapsed())
    };
    let back = async {
        let resumes = async |number: usize| {
            let mut ear = Ear::resumes(&bob, TRANSPORTS[number % 2], &held).await;
            ear.catches_up().await;
            ear
        };
        let all = (0..BACK).map(resumes);
        let all = futures::future::join_all(all).await;
        (all, began.elapsed())
    };
    let ((crowd, crowd_took), (back, back_took)) = tokio::join!(crowd, back);
    // One of them came before: the line of newcomers is as long as they are many.
    assert!(
        crowd_took > Duration::from_secs(CROWD as u64 - 1),
        "newcomers have their turn, and all get it: {crowd_took:?}"
    );
    assert!(back_took < crowd_took, "who resumes does not wait for them: {back_took:?} of {crowd_took:?}");
    assert!(back.iter().all(|ear| ear.cursors[&room.id] == said.seq));
    let last = alice.says(&room, "everybody is here").await;
    for mut ear in crowd.into_iter().chain(back) {
        ear.reaches(&room.id, last.seq).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_those_who_do_not_read_is_bounded() {
    const IDLE: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("LOQUAT_GATEWAY__STUCK_SECONDS", "600".into())]).await;
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("general").await;
    // Warm, so that what the database and the allocator keep is there already.
    says_much(&alice, &room, MUCH / 4).await;
    let mut idle = Vec::new();
    for number in 0..IDLE {
        // Each on a connection of its own: streams that share one share what it may hold.
        idle.push(Ear::opens(&alice.at(process.public), TRANSPORTS[number % 2]).await);
    }
    let before = process.resident();
    let last = says_much(&alice, &room, MUCH).await;
    let grown = process.resident().saturating_sub(before);
    // Each may hold 1.5 MiB and what the transport takes at a time; all that was said is 15 MiB for each.
    let most = (IDLE * 3 + 20) as u64 * 1024 * 1024;
    assert!(grown < most, "{grown} bytes more for {IDLE} that do not read");
    assert!(most < (IDLE * MUCH * BYTES) as u64 / 3, "the test can tell");
    for ear in &mut idle {
        ear.reaches(&room.id, last).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_for_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[("LOQUAT_GATEWAY__STUCK_SECONDS", "3".into())]).await;
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("general").await;
    let mut reads_along = Ear::opens(&alice.at(process.public), Transport::Grpc).await;
    for transport in TRANSPORTS {
        let bob = alice.at(process.public);
        let mut idle = Ear::opens(&bob, transport).await;
        let from = reads_along.cursors[&room.id];
        let opened = Instant::now();
        let ending = async {
            if transport == Transport::Socket {
                let behind = async { while process.metric("loquat_gateway_sessions_behind_total").await < 1.0 {} };
                within("it is behind", behind).await;
                // More than is read as long as the answers are not taken: some of it is there unread when the socket is closed.
                for nonce in 1..500 {
                    idle.socket().send(client_frame::Frame::Ping(Ping { nonce, cursors: Vec::new() })).await;
                }
            }
            let ended = async { while process.metric("loquat_gateway_sessions").await > 1.0 {} };
            within("the server has had enough", ended).await;
            assert!(opened.elapsed() > Duration::from_secs(3), "not before its time");
            idle.until_ended().await
        };
        let (last, (), ended) =
            tokio::join!(says_much(&alice, &room, MUCH), reads_along.reaches(&room.id, from + MUCH as u64), ending);
        match ended {
            Ended::Closed(code, reason) => {
                assert_eq!(code, 4008, "{reason}");
                assert!(reason.contains("1000 ms"), "a hint when to come back: {reason}");
            }
            Ended::Status(status) => {
                let told = (status.code(), mesh::errors::reason(&status));
                assert_eq!(told, (Code::Unavailable, "TOO_SLOW".to_owned()), "{status:?}");
                assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
            }
        }
        assert!(idle.cursors[&room.id] < last, "it was ended before it had everything");
        let mut resumed = Ear::resumes(&bob, transport, &idle.cursors).await;
        resumed.reaches(&room.id, last).await;
        let after = alice.says(&room, "others noticed nothing").await;
        reads_along.reaches(&room.id, after.seq).await;
    }
}
