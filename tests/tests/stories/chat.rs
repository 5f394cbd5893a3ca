//! Stories of talking: live, later, again.

use std::collections::BTreeMap;

use proto::{
    chat::v1::{self as chat, event::Body, feed_service_client::FeedServiceClient},
    edge::v1::{Cursor, ResetReason, SubscribeRequest, server_frame::Frame},
};
use tests::{Town, op_id, stories};
use tonic::Code;
use tonic_types::StatusExt as _;

stories!(
    two_people_chat,
    a_message_is_edited_and_deleted,
    somebody_comes_back_after_a_while,
    a_room_joined_later_joins_the_stream,
    the_removed_see_nothing_more,
    private_rooms_look_like_none,
    a_repeated_send_is_one_message,
    unread_counts_are_positions,
    what_is_wrong_is_named,
    everything_is_there_after_a_restart,
    a_slow_reader_misses_nothing,
    many_senders_have_one_order,
    odd_cursors_are_reset,
    typing_is_seen,
);

async fn two_people_chat(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut bob_listens = bob.listens().await;
    let sent = alice.says(&room, "hi").await;
    let seen = bob_listens.sees("hi").await;
    assert_eq!(seen, sent);
    assert_eq!(seen.author_id, alice.user.id);
    bob.says(&room, "hello").await;
    assert_eq!(alice.reads(&room).await, ["hi", "hello"]);
}

async fn a_message_is_edited_and_deleted(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut bob_listens = bob.listens().await;
    let op = op_id();
    let sent = alice.tries_to_say(&room, "secert", &op).await.unwrap();
    let edit = chat::EditMessageRequest {
        room_id: room.id.clone(),
        message_id: sent.id.clone(),
        text: "secret".into(),
        op_id: op_id(),
    };
    let refused =
        bob.messages().edit_message(chat::EditMessageRequest { op_id: op_id(), ..edit.clone() }).await.unwrap_err();
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::PermissionDenied, "NOT_THE_AUTHOR".into()));
    alice.messages().edit_message(edit).await.unwrap();
    let edited = bob_listens
        .waits_for("the edit", |event| match &event.body {
            Some(Body::MessageEdited(edited)) => edited.message.clone(),
            _ => None,
        })
        .await;
    assert_eq!((edited.text.as_str(), edited.seq), ("secret", sent.seq));
    assert!(edited.edited_seq > sent.seq);

    let before = digest(&alice, &room.id, 1, edited.edited_seq).await;
    let delete = chat::DeleteMessageRequest { room_id: room.id.clone(), message_id: sent.id.clone(), op_id: op_id() };
    alice.messages().delete_message(delete).await.unwrap();
    let deleted = bob_listens
        .waits_for("the deletion", |event| match &event.body {
            Some(Body::MessageDeleted(deleted)) => Some(deleted.clone()),
            _ => None,
        })
        .await;
    assert_eq!(deleted.message_seq, sent.seq);
    assert_eq!(digest(&bob, &room.id, 1, edited.edited_seq).await, before, "hashes stay when contents go");

    // Whoever comes later finds the numbers, but not the words.
    let mut late = bob.resumes(BTreeMap::from([(room.id.clone(), 0)]), "").await;
    late.catches_up().await;
    assert!(late.texts(&room.id).is_empty());
    let stubs = late.log.iter().filter(|event| matches!(event.body, Some(Body::Redacted(_)))).count();
    assert_eq!(stubs, 2, "the posting and the edit");
    assert_eq!(bob.reads(&room).await, [""], "a tombstone");
    let again = alice.tries_to_say(&room, "secert", &op).await.unwrap();
    assert_eq!((again.id, again.text.as_str()), (sent.id, ""), "a repeated send finds what is left");
    assert!(again.deleted_at.is_some());
}

async fn digest(person: &tests::Person, feed_id: &str, from_seq: u64, to_seq: u64) -> Vec<u8> {
    let request = chat::VerifyRangeRequest { feed_id: feed_id.into(), from_seq, to_seq };
    let answer = FeedServiceClient::new(person.channel()).verify_range(request).await.unwrap().into_inner();
    assert_eq!(answer.count, to_seq - from_seq + 1);
    answer.digest.to_vec()
}

async fn somebody_comes_back_after_a_while(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    alice.says(&room, "one").await;
    listens.sees("one").await;
    let (cursors, epoch) = (listens.cursors.clone(), listens.epoch.clone());
    drop(listens);
    for number in 0..450 {
        alice.says(&room, &format!("while away {number}")).await;
    }
    let mut listens = bob.resumes(cursors, &epoch).await;
    listens.catches_up().await;
    assert_eq!(listens.texts(&room.id).len(), 450, "all of it, over several pages, and nothing twice");
    alice.says(&room, "live again").await;
    listens.sees("live again").await;
    assert!(listens.resets.is_empty());
}

async fn a_room_joined_later_joins_the_stream(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let mut listens = bob.listens().await;
    let room = alice.creates_private_room("plans").await;
    alice.says(&room, "before").await;
    alice.adds(&room, &bob).await;
    alice.says(&room, "after").await;
    listens
        .waits_for("being added", |event| matches!(&event.body, Some(Body::RoomJoined(joined)) if joined.room.as_ref().is_some_and(|there| there.id == room.id)).then_some(()))
        .await;
    let last = alice.says(&room, "last").await;
    listens.reaches(&room.id, last.seq).await;
    assert_eq!(bob.reads(&room).await, ["before", "after", "last"]);
}

async fn the_removed_see_nothing_more(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("board").await;
    alice.adds(&room, &bob).await;
    let mut listens = bob.listens().await;
    alice.says(&room, "with bob").await;
    alice.removes(&room, &bob).await;
    alice.says(&room, "without bob").await;
    let left_seq = listens
        .waits_for("being removed", |event| match &event.body {
            Some(Body::RoomLeft(left)) => Some(left.left_seq),
            _ => None,
        })
        .await;
    // Another room goes on, and nothing of the first came in between.
    let other = alice.creates_private_room("garden").await;
    alice.adds(&other, &bob).await;
    let planted = alice.says(&other, "planted").await;
    listens.reaches(&other.id, planted.seq).await;
    let newest = listens.log.iter().filter(|event| event.feed_id == room.id).map(|event| event.seq).max();
    assert!(newest.is_none_or(|newest| newest <= left_seq), "{newest:?} is numbered after {left_seq}");
    assert!(listens.texts(&room.id).iter().all(|text| text != "without bob"));
    let refused = bob.tries_to_say(&room, "hello?", &op_id()).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "ROOM_NOT_FOUND");
}

async fn private_rooms_look_like_none(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let hidden = alice.creates_private_room("secret").await;
    let unknown = chat::Room { id: op_id(), ..chat::Room::default() };
    let mut answers = Vec::new();
    for room in [&hidden, &unknown] {
        let said = bob.tries_to_say(room, "x", &op_id()).await.unwrap_err();
        let join = chat::JoinRoomRequest { room_id: room.id.clone(), ..Default::default() };
        let joined = bob.rooms().join_room(join).await.unwrap_err();
        let list = chat::ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
        let listed = bob.messages().list_messages(list).await.unwrap_err();
        let get = bob.rooms().get_room(chat::GetRoomRequest { room_id: room.id.clone() }).await.unwrap_err();
        let same = |status: &tonic::Status| (status.code(), status.message().to_owned(), status.details().to_vec());
        answers.push([said, joined, listed, get].map(|status| same(&status)));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][0].0, Code::NotFound);
    let rooms = bob.rooms().list_rooms(chat::ListRoomsRequest::default()).await.unwrap().into_inner().rooms;
    assert!(rooms.iter().all(|room| room.id != hidden.id));
}

async fn a_repeated_send_is_one_message(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let op = op_id();
    let first = bob.tries_to_say(&room, "once", &op).await.unwrap();
    assert_eq!(bob.tries_to_say(&room, "once", &op).await.unwrap(), first);
    let other = bob.tries_to_say(&room, "twice", &op).await.unwrap_err();
    assert_eq!((other.code(), mesh::errors::reason(&other)), (Code::AlreadyExists, "OP_ID_REUSED".into()));
    // Others may have the same id; and the sender learns the answer even when they may no longer send.
    assert_ne!(alice.tries_to_say(&room, "once", &op).await.unwrap().id, first.id);
    alice.removes(&room, &bob).await;
    assert_eq!(bob.tries_to_say(&room, "once", &op).await.unwrap(), first);
}

async fn unread_counts_are_positions(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    alice.says(&room, "before bob").await;
    bob.joins(&room).await;
    let mut last = alice.says(&room, "1").await;
    for text in ["2", "3", "4"] {
        last = alice.says(&room, text).await;
    }
    let unread = async |bob: &tests::Person| {
        let answer = bob.rooms().get_room(chat::GetRoomRequest { room_id: room.id.clone() }).await.unwrap();
        let mine = answer.into_inner().membership.unwrap();
        mine.head_ordinal - mine.read_ordinal
    };
    assert_eq!(unread(&bob).await, 4, "what was posted before joining counts as read");
    let mut listens = bob.listens().await;
    let mark = |seq| chat::MarkReadRequest { room_id: room.id.clone(), seq, op_id: String::new() };
    bob.rooms().mark_read(mark(last.seq - 1)).await.unwrap();
    assert_eq!(unread(&bob).await, 1);
    let read = listens
        .waits_for("the marker", |event| match &event.body {
            Some(Body::Read(read)) => Some(read.clone()),
            _ => None,
        })
        .await;
    assert_eq!((read.seq, read.ordinal), (last.seq - 1, last.ordinal - 1));
    bob.rooms().mark_read(mark(1)).await.unwrap();
    assert_eq!(unread(&bob).await, 1, "the marker only moves forward");
    let back = chat::MarkUnreadRequest { room_id: room.id.clone(), seq: last.seq - 3, op_id: String::new() };
    bob.rooms().mark_unread(back).await.unwrap();
    assert_eq!(unread(&bob).await, 3);
}

async fn what_is_wrong_is_named(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let send = |room_id: &str, text: &str, op: &str| chat::SendMessageRequest {
        room_id: room_id.into(),
        text: text.into(),
        op_id: op.into(),
        file_ids: Vec::new(),
    };
    let (id, op) = (room.id.as_str(), op_id());
    let large = "x".repeat(1024 * 1024);
    for (request, field) in [
        (send(id, "", &op), "text"),
        (send(id, "  \n", &op), "text"),
        (send(id, &large, &op), "text"),
        (send("nonsense", "x", &op), "room_id"),
        (send("", "x", &op), "room_id"),
        (send(id, "x", ""), "op_id"),
        (send(id, "x", "nonsense"), "op_id"),
    ] {
        let refused = alice.messages().send_message(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
        let named: Vec<String> =
            refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|wrong| wrong.field).collect();
        assert_eq!(named, [field]);
    }
    let unknown = alice.messages().send_message(send(&op_id(), "x", &op)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.get_details_bad_request().unwrap().field_violations[0].field, "room_id");
    let nobody = proto::chat::v1::message_service_client::MessageServiceClient::new(town.channel());
    let refused = nobody.clone().send_message(send(id, "x", &op)).await.unwrap_err();
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::Unauthenticated, "TOKEN_MISSING".into()));
    let file = chat::SendMessageRequest { file_ids: vec![op_id()], ..send(id, "x", &op) };
    let refused = alice.messages().send_message(file).await.unwrap_err();
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::NotFound, "FILE_NOT_FOUND".into()));
}

async fn everything_is_there_after_a_restart(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    alice.says(&room, "kept").await;
    let mut listens = alice.listens().await;
    let (cursors, epoch) = (listens.cursors.clone(), listens.epoch.clone());
    let town = town.restarts().await;
    assert!(listens.next().await.is_ok_and(|frame| matches!(frame, Frame::GoAway(_))), "told to go");
    let ended = listens.next().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.get_details_retry_info().is_some());

    let alice = alice.at(town.public);
    assert_eq!(alice.reads(&room).await, ["kept"]);
    let mut listens = alice.resumes(cursors, &epoch).await;
    listens.catches_up().await;
    assert!(listens.log.is_empty() && listens.resets.is_empty());
    alice.says(&room, "after").await;
    listens.sees("after").await;
    tests::Person::signs_in(town.public, "alice").await;
}

async fn a_slow_reader_misses_nothing(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    // Far more than the queue and the connection's windows hold: bob becomes a reader of the log.
    let padding = "x".repeat(12_000);
    let mut last = 0;
    for number in 0..600 {
        last = alice.says(&room, &format!("{number} {padding}")).await.seq;
    }
    listens.reaches(&room.id, last).await;
    assert_eq!(listens.texts(&room.id).len(), 600);
    let next = alice.says(&room, "live").await;
    listens.reaches(&room.id, next.seq).await;
}

async fn many_senders_have_one_order(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut people = vec![alice];
    for name in ["bob", "carol", "dave"] {
        let person = town.registers(name).await;
        person.joins(&room).await;
        people.push(person);
    }
    let mut listeners = Vec::new();
    for person in &people {
        listeners.push(person.listens().await);
    }
    let senders = people.iter().map(async |person| {
        for number in 0..50 {
            person.says(&room, &format!("{} {number}", person.user.username)).await;
        }
    });
    futures::future::join_all(senders).await;
    let request = chat::ListMessagesRequest { room_id: room.id.clone(), page_size: 200, ..Default::default() };
    let stored = people[0].messages().list_messages(request).await.unwrap().into_inner().messages;
    let ordinals: Vec<u64> = stored.iter().map(|message| message.ordinal).collect();
    assert_eq!(ordinals, (1..=200).collect::<Vec<_>>());
    let texts: Vec<String> = stored.into_iter().map(|message| message.text).collect();
    let head = listeners.iter().map(|listener| listener.cursors[&room.id]).max().unwrap();
    for listener in &mut listeners {
        let missing = 200 - listener.texts(&room.id).len() as u64;
        let reach = listener.cursors[&room.id] + missing;
        listener.reaches(&room.id, reach.max(head)).await;
        assert_eq!(listener.texts(&room.id), texts);
    }
}

async fn odd_cursors_are_reset(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let stranger = op_id();
    let cursors = [(room.id.clone(), 1000), (stranger.clone(), 1)];
    let listed = cursors.iter().map(|(feed_id, seq)| Cursor { feed_id: feed_id.clone(), seq: *seq }).collect();
    let request = SubscribeRequest { cursors: listed, epoch: String::new(), only_listed: true, look_at: Vec::new() };
    let mut listens = alice.subscribes(request, BTreeMap::new()).await;
    listens.catches_up().await;
    listens.resets.sort();
    let mut expected =
        vec![(room.id.clone(), ResetReason::CursorAhead.into()), (stranger, ResetReason::NotFound.into())];
    expected.sort();
    assert_eq!(listens.resets, expected);
    assert_eq!(listens.cursors.len(), 1, "only what was listed, from a snapshot");
    let said = alice.says(&room, "goes on").await;
    listens.reaches(&room.id, said.seq).await;

    let mut old = alice.resumes(BTreeMap::from([(room.id.clone(), 1)]), "another epoch").await;
    old.catches_up().await;
    assert_eq!(old.resets, [(room.id.clone(), ResetReason::EpochChanged.into())]);
    assert_eq!(old.cursors[&room.id], said.seq);
}

async fn typing_is_seen(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    alice.rooms().set_typing(chat::SetTypingRequest { room_id: room.id.clone() }).await.unwrap();
    loop {
        if let Frame::Ephemeral(ephemeral) = listens.next().await.unwrap() {
            assert_eq!(ephemeral.feed_id, room.id);
            break;
        }
    }
    let refused = town.registers("eve").await.rooms().set_typing(chat::SetTypingRequest { room_id: room.id }).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}
