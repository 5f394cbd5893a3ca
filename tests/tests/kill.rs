//! `kill -9` in the middle of sends: what was acknowledged is there once, in one order, without holes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};

use proto::chat::v1::{ListMessagesRequest, Message, Room};
use tests::{Person, op_id, process::Process};

const CLIENTS: usize = 4;
const SENDS: usize = 200;
const ROUNDS: usize = 5;

/// What a client knows of its sends: the operation, and the answer if one came.
type Sent = Vec<(String, String, Option<Message>)>;

async fn sends(person: Person, room: Room, round: usize, count: usize) -> Sent {
    let mut sent = Vec::new();
    for number in 0..count {
        let (text, op) = (format!("{} {round}.{number}", person.user.username), op_id());
        match person.tries_to_say(&room, &text, &op).await {
            Ok(message) => sent.push((op, text, Some(message))),
            // The server is gone: whether this one was stored nobody knows yet.
            Err(_) => {
                sent.push((op, text, None));
                break;
            }
        }
    }
    sent
}

async fn history(person: &Person, room: &Room) -> Vec<Message> {
    let mut all = Vec::new();
    loop {
        let after_seq = all.last().map_or(1, |message: &Message| message.seq);
        let request = ListMessagesRequest { room_id: room.id.clone(), after_seq, page_size: 200, before_seq: 0 };
        let page = person.messages().list_messages(request).await.expect("the history can be read").into_inner();
        all.extend(page.messages);
        if !page.more {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_survive_the_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &[]).await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::registers(process.public, &format!("user{number}")).await);
    }
    let room = people[0].creates_room("general").await;
    for person in &people[1..] {
        person.joins(&room).await;
    }
    let mut listener = people[0].listens().await;
    let mut cursors = listener.cursors.clone();
    let mut received: Vec<String> = Vec::new();
    let mut acknowledged: HashMap<String, Message> = HashMap::new();

    for round in 0..ROUNDS {
        let mut sending = tokio::task::JoinSet::new();
        for person in &people {
            sending.spawn(sends(person.clone(), room.clone(), round, SENDS / CLIENTS));
        }
        // Killed once a part of the sends was answered: how large a part differs from round to round.
        let target = cursors[&room.id] + 20 + 30 * round as u64;
        let reading = async {
            while listener.cursors[&room.id] < target {
                listener.next().await.expect("the stream goes on until the kill");
            }
        };
        reading.await;
        cursors.clone_from(&listener.cursors);
        let epoch = listener.epoch.clone();
        received.extend(listener.texts(&room.id));
        process.kill();
        let mut unanswered = Vec::new();
        while let Some(sent) = sending.join_next().await {
            for (op, text, answer) in sent.unwrap() {
                match answer {
                    Some(message) => _ = acknowledged.insert(op, message),
                    None => unanswered.push((op, text)),
                }
            }
        }

        process = Process::start(folder.path(), &[]).await;
        people = people.iter().map(|person| person.at(process.public)).collect();
        // The clients try again what was not answered, under the same ids.
        for (op, text) in unanswered {
            let sender = people.iter().find(|person| text.starts_with(&person.user.username)).unwrap();
            let message = sender.tries_to_say(&room, &text, &op).await.expect("the server is back");
            acknowledged.insert(op, message);
        }
        listener = people[0].resumes(cursors.clone(), &epoch).await;
        listener.catches_up().await;
        assert!(listener.resets.is_empty(), "round {round}: {:?}", listener.resets);
        cursors = listener.cursors.clone();
    }
    received.extend(listener.texts(&room.id));

    let stored = history(&people[1], &room).await;
    let by_id: BTreeMap<&str, &Message> = stored.iter().map(|message| (message.id.as_str(), message)).collect();
    assert_eq!(by_id.len(), stored.len(), "nothing is there twice");
    for message in acknowledged.values() {
        assert_eq!(
            by_id.get(message.id.as_str()),
            Some(&message),
            "an acknowledged message is there as it was answered"
        );
    }
    assert_eq!(stored.len(), acknowledged.len(), "every message was acknowledged in the end, and only those are there");
    let ordinals: Vec<u64> = stored.iter().map(|message| message.ordinal).collect();
    assert_eq!(ordinals, (1..=stored.len() as u64).collect::<Vec<_>>(), "no hole");
    let texts: Vec<String> = stored.into_iter().map(|message| message.text).collect();
    assert_eq!(received, texts, "a client that resumed saw the same in the same order");

    let mut fresh = people[2].resumes(BTreeMap::from([(room.id.clone(), 0)]), "").await;
    fresh.catches_up().await;
    assert_eq!(fresh.texts(&room.id), texts, "and so does one that reads it all");
}
