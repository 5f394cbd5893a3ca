//! Who is put out of a room while a thousand messages a second are posted there hears nothing that is numbered after it, on any
//! transport, at any gateway, and however slowly they read. That there were as many is measured: a server that is too slow must not
//! make its own story easier.

#![allow(clippy::print_stdout, reason = "how fast it was is worth reading")]

use std::time::Duration;

use proto::{
    chat::v1::{self as chat, Room},
    edge::v1::server_frame::Frame,
};
use tests::{Ear, Person, Shape, Town, cluster::Cluster, ear::TRANSPORTS, servers::Backends};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// Messages a second that are offered.
const OFFERED: u64 = 1000;
/// So many a second must be answered around the moment at which somebody is put out.
const ANSWERED: f64 = 0.8 * OFFERED as f64;
/// How long before and after it is looked at.
const AROUND: Duration = Duration::from_millis(500);
/// Nobody is put out before as many are answered as are offered, or nearly; but no later than this.
const RAMP: Duration = Duration::from_secs(4);
const SENDERS: u64 = 20;
/// So many messages of each sender may be unanswered.
const UNANSWERED: usize = 25;
/// Other stories run beside this one, and may take the machine for a moment: then it is told again. What must hold for who is put
/// out must hold each time.
const ROUNDS: usize = 3;

/// Messages under way to a room.
#[derive(Clone)]
struct Load {
    began: Instant,
    enough: CancellationToken,
    /// When each was answered.
    answered: watch::Sender<Vec<Instant>>,
}

impl Load {
    fn begins() -> Self {
        Self { began: Instant::now(), enough: CancellationToken::new(), answered: watch::Sender::default() }
    }

    /// Waits until messages are answered as fast as they are offered, or for as long as that is worth.
    async fn is_there(&self) {
        let nearly = usize::try_from(OFFERED * 19 / 20).unwrap();
        let fast = |answered: &Vec<Instant>| {
            answered.len() > nearly && answered[answered.len() - nearly].elapsed() <= Duration::from_secs(1)
        };
        let mut answered = self.answered.subscribe();
        let _ = tokio::time::timeout(RAMP, answered.wait_for(fast)).await;
    }

    /// How many were answered in a second, from one moment to another.
    fn rate(&self, from: Instant, to: Instant) -> f64 {
        let count = self.answered.borrow().iter().filter(|at| (from..to).contains(at)).count();
        count as f64 / (to - from).as_secs_f64()
    }
}

/// One of those who post: every so many milliseconds, whether those before were answered or not, as far as not too many are
/// unanswered.
async fn posts(person: Person, room: Room, sender: u64, load: Load) {
    let mut unanswered = JoinSet::new();
    let mut number = 0;
    while !load.enough.is_cancelled() {
        let turn = Duration::from_millis((number * SENDERS + sender) * 1000 / OFFERED);
        tokio::time::sleep_until(load.began + turn).await;
        while unanswered.len() >= UNANSWERED {
            unanswered.join_next().await.unwrap().unwrap();
        }
        let (person, room, answered) = (person.clone(), room.clone(), load.answered.clone());
        unanswered.spawn(async move {
            person.says(&room, &format!("{sender}/{number}")).await;
            answered.send_modify(|all| all.push(Instant::now()));
        });
        while let Some(done) = unanswered.try_join_next() {
            done.unwrap();
        }
        number += 1;
    }
    unanswered.join_all().await;
}

/// What was heard of a room, as numbers.
fn heard(ear: &Ear, room: &Room) -> Vec<u64> {
    ear.log.iter().filter(|event| event.feed_id == room.id).map(|event| event.seq).collect()
}

/// The story, with everybody at each gateway: alice, who posts and puts out; bob, who stays; and eve.
async fn eve_is_put_out(alice: &[Person], bob: &[Person], eve: &[Person]) {
    let mut rates = Vec::new();
    while rates.last().is_none_or(|rate| *rate < ANSWERED) {
        assert!(rates.len() < ROUNDS, "answered a second around the removal, of {OFFERED} offered: {rates:.0?}");
        rates.push(eve_is_put_out_once(alice, bob, eve).await);
    }
    println!("answered a second around the removal, of {OFFERED} offered: {rates:.0?}");
}

/// Returns how many messages a second were answered around the removal.
async fn eve_is_put_out_once(alice: &[Person], bob: &[Person], eve: &[Person]) -> f64 {
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
    let (load, mut senders) = (Load::begins(), JoinSet::new());
    for sender in 0..SENDERS {
        let at = usize::try_from(sender).unwrap() % alice.len();
        senders.spawn(posts(alice[at].clone(), room.clone(), sender, load.clone()));
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
    load.is_there().await;
    // Through the other gateway than where eve was brought in, and over a connection on which no message is under way.
    let last = &alice[alice.len() - 1];
    let remover = last.at(last.address);
    let asked = Instant::now();
    remover.removes(&room, &eve[0]).await;
    let until = Instant::now() + AROUND;
    tokio::time::sleep_until(until).await;
    load.enough.cancel();
    let rate = load.rate(asked - AROUND, until);
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
    assert!(left > SENDERS && newest > left + SENDERS, "it happened in between: {left} of {newest}");
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
    rate
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
