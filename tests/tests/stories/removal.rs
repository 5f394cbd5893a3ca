//! Who is put out of a room while a thousand messages a second are posted there hears nothing that is numbered after it, on any
//! transport, at any gateway, and however slowly they read.

use std::{sync::Arc, time::Duration};

use proto::{
    chat::v1::{self as chat, Room},
    edge::v1::server_frame::Frame,
};
use tests::{Ear, Person, Shape, Town, cluster::Cluster, ear::TRANSPORTS, servers::Backends, within};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tonic::Code;

/// Messages, one a millisecond.
const MESSAGES: u64 = 2000;
/// Who is put out is so after about so many.
const HALF: u64 = MESSAGES / 2;
const SENDERS: u64 = 20;

/// One of those who post: every so many milliseconds, on time as far as the server keeps up.
async fn posts(person: Person, room: Room, sender: u64, began: Instant, posted: Arc<watch::Sender<u64>>) {
    for number in 0..MESSAGES / SENDERS {
        tokio::time::sleep_until(began + Duration::from_millis(number * SENDERS + sender)).await;
        person.says(&room, &format!("{sender}/{number}")).await;
        posted.send_modify(|count| *count += 1);
    }
}

/// What was heard of a room, as numbers.
fn heard(ear: &Ear, room: &Room) -> Vec<u64> {
    ear.log.iter().filter(|event| event.feed_id == room.id).map(|event| event.seq).collect()
}

/// The story, with everybody at each gateway: alice, who posts and puts out; bob, who stays; and eve.
async fn eve_is_put_out(alice: &[Person], bob: &[Person], eve: &[Person]) {
    let room = alice[0].creates_private_room("busy").await;
    let meeting = alice[0].creates_private_room("afterwards").await;
    for other in [&bob[0], &eve[0]] {
        alice[0].adds(&room, other).await;
    }
    let (mut staying, mut quick, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for transport in TRANSPORTS {
        for gateway in 0..eve.len() {
            staying.push(Ear::opens(&bob[gateway], transport).await);
            quick.push(Ear::opens(&eve[gateway], transport).await);
            slow.push(Ear::opens(&eve[gateway], transport).await);
        }
    }
    let (began, posted) = (Instant::now(), Arc::new(watch::channel(0).0));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let at = usize::try_from(sender).unwrap() % alice.len();
        senders.spawn(posts(alice[at].clone(), room.clone(), sender, began, posted.clone()));
    }
    // The quick ones read all the time, until they hear that they are out.
    let mut listening = JoinSet::new();
    for mut ear in quick {
        let room = room.clone();
        listening.spawn(async move {
            let left = ear.learns_of_removal(&room.id).await;
            (ear, left)
        });
    }
    let mut counts = posted.subscribe();
    within("half of the messages", counts.wait_for(|count| *count >= HALF)).await.unwrap();
    // Through the other gateway than where eve was brought in.
    alice[alice.len() - 1].removes(&room, &eve[0]).await;
    senders.join_all().await;
    let newest = alice[0].says(&room, "the last word").await.seq;
    alice[0].adds(&meeting, &eve[0]).await;
    alice[0].says(&meeting, "hello again").await;

    let mut ears = listening.join_all().await;
    let lefts: Vec<u64> = ears.iter().map(|(_, left)| *left).collect();
    for mut ear in slow {
        let left = ear.learns_of_removal(&room.id).await;
        ears.push((ear, left));
    }
    let left = lefts[0];
    assert!(left > HALF && newest > left + HALF / 4, "it happened in between: {left} of {newest}");
    for (mut ear, told) in ears {
        assert_eq!(told, left);
        // What comes after all of it shows that nothing of it is still to come.
        let met = |frame: &Frame| match frame {
            Frame::Snapshot(snapshot) => (snapshot.feed_id == meeting.id).then_some(()),
            _ => None,
        };
        if !ear.cursors.contains_key(&meeting.id) {
            ear.until("the next room", met).await;
        }
        let heard = heard(&ear, &room);
        assert!(heard.iter().all(|seq| *seq <= left), "heard {:?}, and was out at {left}", heard.last());
    }
    for mut ear in staying {
        ear.reaches(&room.id, newest).await;
    }
    let page = chat::ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    for eve in eve {
        let refused = eve.messages().list_messages(page.clone()).await.unwrap_err();
        assert_eq!((refused.code(), mesh::errors::reason(&refused).as_str()), (Code::NotFound, "ROOM_NOT_FOUND"));
    }
}

async fn in_a_town(shape: Shape) {
    let town = Town::start(shape).await;
    let [alice, bob, eve] =
        [town.registers("alice").await, town.registers("bob").await, town.registers("eve").await].map(|it| [it]);
    eve_is_put_out(&alice, &bob, &eve).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_one_process() {
    in_a_town(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_roles_apart() {
    in_a_town(Shape::Split).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_two_gateways_with_a_chat_each() {
    let mut cluster = Cluster::start(Backends::shared().await).await;
    let mut both = Vec::new();
    for name in ["alice", "bob", "eve"] {
        let near = cluster.registers(name).await;
        both.push([near.clone(), cluster.far(&near)]);
    }
    eve_is_put_out(&both[0], &both[1], &both[2]).await;
    cluster.stops().await;
}
