//! Stories of rooms that do not keep everything for ever, in every shape, by a clock that is moved by hand.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use mesh::clock::Clock;
use prost::Message as _;
use proto::{
    chat::v1::{
        self as chat, MessagesExpired, Room, audit_service_client::AuditServiceClient, event::Body,
        feed_service_client::FeedServiceClient,
    },
    worker::v1::{ListJobsRequest, job_service_client::JobServiceClient},
};
use sha2::{Digest as _, Sha256};
use tests::{Person, Shape, Town, files::ready, op_id, person::Listener, within};
use time::macros::datetime;
use tonic::Code;

// By hand: each says how its town is begun.
tests::stories!(by std::future::ready; old_messages_go_and_their_numbers_stay, a_room_may_say_otherwise);

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn town(shape: Shape, days: u32) -> Town {
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    Town::start_by(clock, shape, |config| config.chat.retention_days = days).await
}

/// Time passes, and everybody's access token with it.
async fn later<const N: usize>(town: &Town, by: Duration, names: [&str; N]) -> [Person; N] {
    town.clock.advance(by);
    let people = futures::future::join_all(names.map(|name| Person::signs_in(town.public, name))).await;
    people.try_into().unwrap_or_else(|_| unreachable!("as many as there were"))
}

async fn says_with(person: &Person, room: &Room, text: &str, file_ids: Vec<String>) -> chat::Message {
    let request = chat::SendMessageRequest { room_id: room.id.clone(), text: text.into(), op_id: op_id(), file_ids };
    person.messages().send_message(request).await.unwrap().into_inner().message.unwrap()
}

fn expired(room: &Room) -> impl Fn(&chat::Event) -> Option<MessagesExpired> {
    let room_id = room.id.clone();
    move |event| match &event.body {
        Some(Body::MessagesExpired(expired)) if event.feed_id == room_id => Some(*expired),
        _ => None,
    }
}

async fn standing(person: &Person, room: &Room) -> chat::Membership {
    let request = chat::GetRoomRequest { room_id: room.id.clone() };
    person.rooms().get_room(request).await.unwrap().into_inner().membership.unwrap()
}

async fn digest(person: &Person, room: &Room, to_seq: u64) -> Vec<u8> {
    let request = chat::VerifyRangeRequest { feed_id: room.id.clone(), from_seq: 1, to_seq };
    FeedServiceClient::new(person.channel()).verify_range(request).await.unwrap().into_inner().digest.to_vec()
}

async fn old_messages_go_and_their_numbers_stay(shape: Shape) {
    let town = town(shape, 2).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut live = bob.listens().await;
    // Two files come with an old message; one of them is needed again later.
    let gone = alice.brings(&room, "secret.txt", b"a secret").await;
    let kept = alice.brings(&room, "plan.txt", b"a plan").await;
    for file in [&gone, &kept] {
        live.waits_for("the file", |event| ready(event).filter(|known| known.id == file.id)).await;
    }
    let send = chat::SendMessageRequest {
        room_id: room.id.clone(),
        text: "an old word".into(),
        op_id: op_id(),
        file_ids: vec![gone.id.clone(), kept.id.clone()],
    };
    let first = alice.messages().send_message(send.clone()).await.unwrap().into_inner().message.unwrap();
    let last = alice.says(&room, "an old answer").await;

    let [alice, bob] = later(&town, DAY, ["alice", "bob"]).await;
    let new = says_with(&alice, &room, "a new word", vec![kept.id.clone()]).await;
    // What is written over an old message later goes with it.
    let edit = chat::EditMessageRequest {
        room_id: room.id.clone(),
        message_id: first.id.clone(),
        text: "an old word, better".into(),
        op_id: op_id(),
    };
    let edited = alice.messages().edit_message(edit.clone()).await.unwrap().into_inner().message.unwrap();
    live.reaches(&room.id, edited.edited_seq).await;
    let proof = digest(&bob, &room, edited.edited_seq).await;
    assert_eq!(bob.reads(&room).await, ["an old word, better", "an old answer", "a new word"]);
    drop(alice);

    let [alice, bob] = later(&town, DAY + Duration::from_secs(60), ["alice", "bob"]).await;
    let told = live.waits_for("the old ones are gone", expired(&room)).await;
    assert_eq!(told, MessagesExpired { through_seq: last.seq, through_ordinal: 2, count: 2 });
    assert_eq!(bob.reads(&room).await, ["a new word"]);
    let before = chat::ListMessagesRequest { room_id: room.id.clone(), before_seq: new.seq, ..Default::default() };
    let page = bob.messages().list_messages(before).await.unwrap().into_inner();
    assert!(page.messages.is_empty() && !page.more);
    let counts = standing(&bob, &room).await;
    assert_eq!((counts.head_ordinal, counts.read_ordinal, counts.expired_ordinal), (3, 2, 2), "one is unread");
    let unread = chat::MarkUnreadRequest { room_id: room.id.clone(), seq: 1, ..Default::default() };
    bob.rooms().mark_unread(unread).await.unwrap();
    assert_eq!(standing(&bob, &room).await.read_ordinal, 2, "what is gone is not unread");
    assert_eq!(digest(&bob, &room, edited.edited_seq).await, proof, "the log is the same log");

    forgotten_for_every_call(&alice, &room, &send, &edit).await;
    stubs_with_the_same_hashes(&alice, &room, &live, edited.edited_seq).await;
    let gone = async {
        while alice.knows(&gone.id).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("its file went as well", gone).await;
    assert_eq!(bob.downloads(&kept.id, "").await.unwrap(), b"a plan", "a message that is left refers to it");
}

/// What is gone does not exist for any call, and a repeated one is answered with what is left.
async fn forgotten_for_every_call(
    alice: &Person,
    room: &Room,
    send: &chat::SendMessageRequest,
    edit: &chat::EditMessageRequest,
) {
    let again = alice.messages().send_message(send.clone()).await.unwrap().into_inner().message.unwrap();
    assert!(again.text.is_empty() && again.files.is_empty() && again.deleted_at.is_some(), "{again:?}");
    let again = alice.messages().edit_message(edit.clone()).await.unwrap().into_inner().message.unwrap();
    assert!(again.text.is_empty() && again.deleted_at.is_some());
    let edit = chat::EditMessageRequest { op_id: op_id(), ..edit.clone() };
    let message_id = edit.message_id.clone();
    let edit = alice.messages().edit_message(edit).await.unwrap_err();
    let delete = chat::DeleteMessageRequest { room_id: room.id.clone(), message_id, op_id: op_id() };
    let delete = alice.messages().delete_message(delete).await.unwrap_err();
    for refused in [edit, delete] {
        assert_eq!(mesh::errors::reason(&refused), "MESSAGE_NOT_FOUND");
    }
    let attach = chat::SendMessageRequest { op_id: op_id(), file_ids: send.file_ids[..1].to_vec(), ..send.clone() };
    let attach = alice.messages().send_message(attach).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&attach), "FILE_NOT_FOUND");
}

/// Whoever reads the log from its beginning finds every number, and nothing that was said.
async fn stubs_with_the_same_hashes(alice: &Person, room: &Room, live: &Listener, through: u64) {
    let mut replay = alice.resumes([(room.id.clone(), 0)].into(), "").await;
    replay.reaches(&room.id, through).await;
    let mut stubs = 0;
    for event in replay.log.iter().filter(|event| event.feed_id == room.id && event.seq <= through) {
        let text = String::from_utf8_lossy(&event.encode_to_vec()).into_owned();
        for word in ["old word", "old answer", "secret", "better"] {
            assert!(!text.contains(word), "{event:?}");
        }
        let Some(Body::Redacted(stub)) = &event.body else { continue };
        let first = live.log.iter().find(|first| first.feed_id == room.id && first.seq == event.seq);
        let hash = first.map(|first| Sha256::digest(first.encode_to_vec()).to_vec());
        assert_eq!(hash.as_deref(), Some(stub.hash.as_ref()));
        stubs += 1;
    }
    assert_eq!(stubs, 5, "two files, two messages, and an edit of one of them");
}

async fn a_room_may_say_otherwise(shape: Shape) {
    let town = town(shape, 0).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let (short, long) = (alice.creates_room("short").await, alice.creates_room("long").await);
    bob.joins(&short).await;
    let change = |days: u32| chat::UpdateRoomRequest {
        room_id: short.id.clone(),
        retention_days: Some(days),
        ..Default::default()
    };
    let refused = bob.rooms().update_room(change(1)).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "ROLE_TOO_LOW");
    let wrong = alice.rooms().update_room(change(36_501)).await.unwrap_err();
    assert_eq!((wrong.code(), wrong.message().contains("retention_days")), (Code::InvalidArgument, true), "{wrong:?}");
    let changed = alice.rooms().update_room(change(1)).await.unwrap().into_inner().room.unwrap();
    assert_eq!(changed.retention_days, 1);
    let audited =
        AuditServiceClient::new(alice.channel()).list(chat::AuditServiceListRequest::default()).await.unwrap();
    let audited = format!("{:?}", audited.into_inner().entries);
    assert!(audited.contains("retention_days"), "{audited}");

    let mut live = bob.listens().await;
    let words: Vec<String> = (1..=620).map(|number| format!("word {number}")).collect();
    stream::iter(&words).for_each_concurrent(32, |word| async { drop(alice.says(&short, word).await) }).await;
    alice.says(&long, "this stays").await;
    let [alice, bob] = later(&town, DAY + Duration::from_secs(60), ["alice", "bob"]).await;
    let new = alice.says(&short, "this is new").await;
    // In several steps, so that nobody waits for all of it.
    let mut steps: Vec<MessagesExpired> = Vec::new();
    while steps.iter().map(|step| step.count).sum::<u64>() < 620 {
        steps.push(live.waits_for_new("the next step", expired(&short)).await);
    }
    assert!(steps.len() >= 2 && steps.is_sorted_by_key(|step| step.through_seq), "{steps:?}");
    assert_eq!(steps.last().unwrap().through_ordinal, 620);
    assert_eq!(bob.reads(&short).await, ["this is new"]);
    assert_eq!(alice.reads(&long).await, ["this stays"]);
    let counts = standing(&bob, &short).await;
    assert_eq!(counts.head_ordinal - counts.read_ordinal, 1);
    assert!(new.seq > 620);
    // There is nothing left to do, and nothing more is told. The second run begins when the first has ended.
    for _ in 0..2 {
        let [alice] = later(&town, Duration::from_secs(1200), ["alice"]).await;
        within("the job comes back", ran(&alice, town.clock.now().unix_timestamp())).await;
    }
    let [bob] = later(&town, Duration::ZERO, ["bob"]).await;
    assert_eq!(standing(&bob, &short).await.head, counts.head);
}

/// Waits until the job was begun at a time, and the last one that ended went well: a leap in time ends the token of a call that is under
/// way, and the next one does what was left.
async fn ran(admin: &Person, at: i64) {
    loop {
        let jobs = JobServiceClient::new(admin.channel()).list_jobs(ListJobsRequest::default()).await.unwrap();
        let job = jobs.into_inner().jobs.into_iter().find(|job| job.name == "expire-messages").unwrap();
        if job.last_error.is_empty() && job.last_at.is_some_and(|last| last.seconds >= at) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
