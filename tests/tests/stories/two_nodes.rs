//! Stories with two of everything, on PostgreSQL and Redis: two chat-svc commit to one log, and each has a gateway of its own.

use std::time::Duration;

use futures::future::join_all;
use proto::{
    chat::v1::{self as chat, Message, Room, VerifyRangeRequest, event::Body, feed_service_client::FeedServiceClient},
    edge::v1::server_frame::Frame,
};
use tests::{Person, cluster::Cluster, op_id, person::Listener, servers::Backends};
use tonic::{Code, Status};

/// Each story on servers of its own, which are stopped afterwards.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        mod two_chats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let mut cluster = super::Cluster::start(super::Backends::shared().await).await;
                super::$story(&cluster).await;
                cluster.stops().await;
            })+
        }
    };
}

stories!(
    messages_through_both_have_one_order_everywhere,
    a_retry_elsewhere_gets_the_first_result,
    retries_that_race_have_one_effect,
    whoever_joins_or_leaves_there_does_so_here,
    a_cursor_of_one_gateway_counts_at_the_other,
    typing_and_proofs_cross,
    many_senders_in_the_same_rooms_agree,
    what_a_process_remembers_is_looked_at_again_when_another_wrote,
);

/// Every message of a room, oldest first.
async fn history(person: &Person, room: &Room) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after_seq = all.last().map_or(1, |message| message.seq);
        let request =
            chat::ListMessagesRequest { room_id: room.id.clone(), after_seq, page_size: 200, ..Default::default() };
        let page = person.messages().list_messages(request).await.unwrap().into_inner();
        all.extend(page.messages);
        if !page.more {
            return all;
        }
    }
}

/// Reads until a listener has as many messages of a room, and returns their texts.
async fn hears(listener: &mut Listener, room: &Room, count: usize) -> Vec<String> {
    while listener.texts(&room.id).len() < count {
        listener.next().await.unwrap();
    }
    listener.texts(&room.id)
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), mesh::errors::reason(status))
}

async fn messages_through_both_have_one_order_everywhere(cluster: &Cluster) {
    let (alice, bob) = (cluster.registers("alice").await, cluster.far(&cluster.registers("bob").await));
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let (mut near, mut far) = (alice.listens().await, bob.listens().await);
    for number in 0..20 {
        alice.says(&room, &format!("alice {number}")).await;
        bob.says(&room, &format!("bob {number}")).await;
    }
    // And both at once.
    let says = async |person: &Person| {
        for number in 20..60 {
            person.says(&room, &format!("{} {number}", person.user.username)).await;
        }
    };
    tokio::join!(says(&alice), says(&bob));
    let stored = history(&alice, &room).await;
    assert_eq!(stored, history(&bob, &room).await);
    let ordinals: Vec<u64> = stored.iter().map(|message| message.ordinal).collect();
    assert_eq!(ordinals, (1..=120).collect::<Vec<_>>());
    let texts: Vec<String> = stored.into_iter().map(|message| message.text).collect();
    assert_eq!(hears(&mut near, &room, 120).await, texts);
    assert_eq!(hears(&mut far, &room, 120).await, texts);
}

async fn a_retry_elsewhere_gets_the_first_result(cluster: &Cluster) {
    let alice = cluster.registers("alice").await;
    let far = cluster.far(&alice);
    let (room, other) = (alice.creates_room("general").await, alice.creates_room("other").await);
    let op = op_id();
    let first = alice.tries_to_say(&room, "once", &op).await.unwrap();
    assert_eq!(far.tries_to_say(&room, "once", &op).await.unwrap(), first);
    for (room, text) in [(&room, "another"), (&other, "once")] {
        let refused = far.tries_to_say(room, text, &op).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::AlreadyExists, "OP_ID_REUSED".into()));
    }
    assert_eq!(history(&far, &room).await, [first]);
    assert!(history(&far, &other).await.is_empty());
    // A room that is made twice is one room.
    let request = chat::CreateRoomRequest { name: "made once".into(), op_id: op_id(), ..Default::default() };
    let request = chat::CreateRoomRequest { kind: chat::RoomKind::Public.into(), ..request };
    let here = alice.rooms().create_room(request.clone()).await.unwrap().into_inner();
    assert_eq!(far.rooms().create_room(request).await.unwrap().into_inner(), here);
}

async fn retries_that_race_have_one_effect(cluster: &Cluster) {
    let alice = cluster.registers("alice").await;
    let far = cluster.far(&alice);
    let (room, other) = (alice.creates_room("general").await, alice.creates_room("other").await);
    let mut expected = 0;
    for number in 0..40 {
        let (op, text) = (op_id(), format!("{number}"));
        let (near, away) = tokio::join!(alice.tries_to_say(&room, &text, &op), far.tries_to_say(&room, &text, &op));
        assert_eq!(near.unwrap(), away.unwrap(), "both get the same");
        expected += 1;
        // Another text, and another room, where not even a lock is shared: the first one wins.
        let op = op_id();
        let (elsewhere, text) = if number % 2 == 0 { (&room, "another text") } else { (&other, "this") };
        let (near, away) = tokio::join!(alice.tries_to_say(&room, "this", &op), far.tries_to_say(elsewhere, text, &op));
        let refused = match (near, away) {
            (Ok(won), Err(refused)) | (Err(refused), Ok(won)) => {
                expected += usize::from(won.room_id == room.id);
                refused
            }
            both => panic!("one is refused, and only one: {both:?}"),
        };
        assert_eq!(reason(&refused), (Code::AlreadyExists, "OP_ID_REUSED".into()));
    }
    let (here, there) = (history(&alice, &room).await, history(&alice, &other).await);
    assert_eq!((here.len(), here.len() + there.len()), (expected, 80));
}

async fn whoever_joins_or_leaves_there_does_so_here(cluster: &Cluster) {
    let (alice, bob) = (cluster.registers("alice").await, cluster.registers("bob").await);
    let (far_alice, far_bob) = (cluster.far(&alice), cluster.far(&bob));
    let (room, private) = (alice.creates_room("general").await, alice.creates_private_room("private").await);
    let mut listens = far_bob.listens().await;
    // Joined and added by way of the other chat-svc: the rooms join the stream by themselves.
    bob.joins(&room).await;
    listens.opens(&room.id).await;
    alice.adds(&private, &bob).await;
    listens.opens(&private.id).await;
    alice.says(&room, "welcome").await;
    far_alice.says(&private, "you too").await;
    listens.sees("welcome").await;
    listens.sees("you too").await;
    far_bob.says(&private, "thanks").await;

    for round in 0..10 {
        // Both say something all the time; nothing numbered after the removal reaches bob.
        let near = async {
            for number in 0..10 {
                alice.says(&private, &format!("near {round}.{number}")).await;
            }
        };
        let far = async {
            for number in 0..10 {
                far_alice.says(&private, &format!("far {round}.{number}")).await;
            }
        };
        let removed = async {
            if round % 2 == 0 { alice.removes(&private, &bob).await } else { far_alice.removes(&private, &bob).await }
        };
        tokio::join!(near, far, removed);
        let left_seq = listens
            .waits_for_new("bob is out", |event| match &event.body {
                Some(Body::RoomLeft(left)) if left.room_id == private.id => Some(left.left_seq),
                _ => None,
            })
            .await;
        let refused = far_bob.tries_to_say(&private, "still here?", &op_id()).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::NotFound, "ROOM_NOT_FOUND".into()), "at once, whoever was asked");
        // What comes on another feed afterwards has had time to be overtaken.
        let after = format!("after {round}");
        alice.says(&private, &format!("not for bob {round}")).await;
        alice.says(&room, &after).await;
        listens.sees(&after).await;
        let newest = listens.log.iter().filter(|event| event.feed_id == private.id).map(|event| event.seq).max();
        assert!(newest <= Some(left_seq), "{newest:?} came, and bob left with {left_seq}");
        far_alice.adds(&private, &bob).await;
        listens.opens(&private.id).await;
        let back = format!("back {round}");
        alice.says(&private, &back).await;
        listens.sees(&back).await;
    }
}

async fn a_cursor_of_one_gateway_counts_at_the_other(cluster: &Cluster) {
    let (alice, bob) = (cluster.registers("alice").await, cluster.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let begun = bob.listens().await;
    let (mut cursors, mut epoch, mut heard) = (begun.cursors.clone(), begun.epoch.clone(), Vec::new());
    for round in 0..6 {
        // From one gateway to the other and back, while both say something.
        let at = if round % 2 == 0 { bob.clone() } else { cluster.far(&bob) };
        let mut listens = at.resumes(cursors, &epoch).await;
        let far = cluster.far(&alice);
        let says = async {
            for number in 0..10 {
                alice.says(&room, &format!("near {round}.{number}")).await;
                far.says(&room, &format!("far {round}.{number}")).await;
            }
        };
        let listening = async {
            listens.catches_up().await;
            // Left in the middle: the rest is for the next one.
            hears(&mut listens, &room, 7).await;
        };
        tokio::join!(says, listening);
        assert!(listens.resets.is_empty());
        heard.extend(listens.texts(&room.id));
        (cursors, epoch) = (listens.cursors.clone(), listens.epoch.clone());
    }
    let mut rest = bob.resumes(cursors, &epoch).await;
    rest.catches_up().await;
    heard.extend(rest.texts(&room.id));
    let texts: Vec<String> = history(&alice, &room).await.into_iter().map(|message| message.text).collect();
    assert_eq!((heard.len(), &heard), (120, &texts));
}

async fn typing_and_proofs_cross(cluster: &Cluster) {
    let (alice, bob) = (cluster.registers("alice").await, cluster.far(&cluster.registers("bob").await));
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    // Nobody promises that it arrives: who types on is told of again after a second.
    let types = async {
        loop {
            alice.rooms().set_typing(chat::SetTypingRequest { room_id: room.id.clone() }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let seen = async {
        loop {
            if let Frame::Ephemeral(ephemeral) = listens.next().await.unwrap() {
                return ephemeral.feed_id;
            }
        }
    };
    tokio::select! {
        feed = seen => assert_eq!(feed, room.id),
        () = types => unreachable!(),
    }
    let mut head = 0;
    for number in 0..30 {
        let said = if number % 2 == 0 { &alice } else { &bob }.says(&room, &format!("{number}")).await;
        head = said.seq;
    }
    let proof = async |person: &Person| {
        let request = VerifyRangeRequest { feed_id: room.id.clone(), from_seq: 1, to_seq: head };
        FeedServiceClient::new(person.channel()).verify_range(request).await.unwrap().into_inner()
    };
    let (here, there) = (proof(&alice).await, proof(&bob).await);
    assert_eq!((here.count, &here), (head, &there));
}

async fn many_senders_in_the_same_rooms_agree(cluster: &Cluster) {
    const SENDERS: usize = 8;
    const MESSAGES: usize = 25;
    let owner = cluster.registers("owner").await;
    let mut rooms = Vec::new();
    for name in ["red", "green", "blue"] {
        rooms.push(owner.creates_room(name).await);
    }
    let mut people = Vec::new();
    for number in 0..SENDERS {
        let person = cluster.registers(&format!("user{number}")).await;
        // Both ways at once: counters of users are made and locked by both.
        let far = cluster.far(&person);
        tokio::join!(person.joins(&rooms[0]), far.joins(&rooms[1]), person.joins(&rooms[2]));
        people.extend([person, far]);
    }
    let mut listeners = join_all(people.iter().map(Person::listens)).await;
    let sends = people.iter().enumerate().map(async |(place, person)| {
        for number in 0..MESSAGES {
            person.says(&rooms[(place + number) % 3], &format!("{place}.{number}")).await;
        }
    });
    let started = tokio::time::Instant::now();
    join_all(sends).await;
    assert!(started.elapsed() < Duration::from_secs(60), "nobody waited for a deadlock to be found");
    let mut total = 0;
    for room in &rooms {
        let stored = history(&owner, room).await;
        let ordinals: Vec<u64> = stored.iter().map(|message| message.ordinal).collect();
        assert_eq!(ordinals, (1..=stored.len() as u64).collect::<Vec<_>>());
        let texts: Vec<String> = stored.into_iter().map(|message| message.text).collect();
        for listener in &mut listeners {
            assert_eq!(hears(listener, room, texts.len()).await, texts);
        }
        total += texts.len();
    }
    assert_eq!(total, 2 * SENDERS * MESSAGES);
}

async fn what_a_process_remembers_is_looked_at_again_when_another_wrote(cluster: &Cluster) {
    let (owner, bob, carol) =
        (cluster.registers("owner").await, cluster.registers("bob").await, cluster.registers("carol").await);
    let far = cluster.far(&owner);
    let room = owner.creates_room("general").await;
    bob.joins(&room).await;
    let mut said = 0;
    for round in 0..3 {
        // So often through one process that it goes by what it remembers of the room.
        for number in 0..100 {
            owner.says(&room, &format!("{round}.{number}")).await;
        }
        bob.says(&room, "here").await;
        far.removes(&room, &bob).await;
        let refused = bob.tries_to_say(&room, "still here?", &op_id()).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::NotFound, "ROOM_NOT_FOUND".into()));
        let refused = carol.tries_to_say(&room, "already here?", &op_id()).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::NotFound, "ROOM_NOT_FOUND".into()));
        far.adds(&room, &carol).await;
        carol.says(&room, "here as well").await;
        far.says(&room, "between").await;
        let op = op_id();
        let first = owner.tries_to_say(&room, "once", &op).await.unwrap();
        assert_eq!(far.tries_to_say(&room, "once", &op).await.unwrap(), first);
        assert_eq!(owner.tries_to_say(&room, "once", &op).await.unwrap(), first);
        far.removes(&room, &carol).await;
        far.adds(&room, &bob).await;
        said += 104;
    }
    let stored = history(&owner, &room).await;
    assert_eq!(stored, history(&far, &room).await);
    let ordinals: Vec<u64> = stored.iter().map(|message| message.ordinal).collect();
    assert_eq!(ordinals, (1..=said).collect::<Vec<_>>());
}
