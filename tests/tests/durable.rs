//! The server under `strace`: nobody is told of a message before a sync of the log that followed its write has returned.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proto::{
    chat::v1::{Room, SendMessageRequest, SendMessageResponse},
    edge::v1::{SubscribeRequest, client_frame},
};
use tests::{
    Person, op_id,
    process::{Process, free_address},
    socket::Socket,
    strace,
};
use tokio::task::JoinSet;

const SENDERS: usize = 4;
const MESSAGES: usize = 15;
const METHOD: &str = "/loquat.chat.v1.MessageService/SendMessage";

/// Short and without a space: found as it is in pages, frames and answers.
fn text(sender: &str, number: usize) -> String {
    format!("durable-{sender}-{number:03}")
}

async fn calls(person: Person, room: Room, name: String) -> Vec<String> {
    let texts: Vec<String> = (0..MESSAGES).map(|number| text(&name, number)).collect();
    for text in &texts {
        person.says(&room, text).await;
    }
    texts
}

async fn frames(person: Person, room: Room, name: String) -> Vec<String> {
    let mut socket = Socket::signed_in(person.address, &person.token).await;
    let texts: Vec<String> = (0..MESSAGES).map(|number| text(&name, number)).collect();
    for text in &texts {
        let (room_id, text, op_id) = (room.id.clone(), text.clone(), op_id());
        let request = SendMessageRequest { room_id, text, op_id, file_ids: Vec::new() };
        socket.call::<_, SendMessageResponse>(METHOD, &request).await.expect("the message is taken");
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_before_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (program, trace) = strace::traced_server(folder.path());
    let public = free_address();
    let environment = [("LOQUAT_GATEWAY__LISTEN", public.to_string()), ("LOQUAT_TELEMETRY__LOG", "off".to_owned())];
    let mut process = Process::start_roles(&program, folder.path(), &[], &environment, public).await;
    let alice = Person::registers(public, "alice").await;
    let room = alice.creates_room("general").await;
    // Somebody listens on a socket as well: what members are sent must be on disk like what senders are answered.
    let mut listener = Socket::signed_in(public, &alice.token).await;
    listener.send(client_frame::Frame::Subscribe(SubscribeRequest::default())).await;
    listener.next().await.expect("the stream begins");

    let mut texts = calls(alice.clone(), room.clone(), "calls".to_owned()).await;
    texts.extend(frames(alice.clone(), room.clone(), "frames".to_owned()).await);
    let mut together = JoinSet::new();
    for number in 0..SENDERS {
        together.spawn(calls(alice.clone(), room.clone(), format!("calls{number}")));
        together.spawn(frames(alice.clone(), room.clone(), format!("frames{number}")));
    }
    texts.extend(together.join_all().await.into_iter().flatten());
    assert_eq!(texts.len(), MESSAGES * (2 + 2 * SENDERS));

    strace::kill_child_of(&process);
    process.exits().await;
    let calls = strace::read(&std::fs::read_to_string(trace).unwrap());
    let database = folder.path().canonicalize().unwrap().join("chat.db");
    strace::told_after_sync(&calls, database.to_str().unwrap(), &texts).unwrap();
}
