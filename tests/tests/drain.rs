//! SIGTERM: clients are told to go, in turn, while everything still works for them; then the process ends, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::stream;
use proto::{
    chat::v1::{SendMessageRequest, SendMessageResponse},
    edge::v1::server_frame::Frame,
    file::v1::{
        CreateUploadRequest, GetUploadRequest, UploadFileRequest, UploadHeader, get_upload_request,
        upload_file_request::Part, upload_header::Target,
    },
};
use tests::{Ear, Ended, Person, Transport, ear::TRANSPORTS, op_id, process::Process, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt as _;

async fn starts(folder: &std::path::Path, drain_seconds: u64, stop_seconds: u64) -> Process {
    let environment = [
        ("LOQUAT_GATEWAY__DRAIN_SECONDS", drain_seconds.to_string()),
        ("LOQUAT_MESH__STOP_SECONDS", stop_seconds.to_string()),
    ];
    Process::start(folder, &environment).await
}

/// The status line of a page of the ops port.
async fn asks(ops: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(ops).await.expect("the ops port answers");
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Waits until it is told to go, and returns when it may come back.
async fn is_told_to_go(ear: &mut Ear) -> u32 {
    let told = |frame: &Frame| match frame {
        Frame::GoAway(go_away) => Some(go_away.after_ms),
        _ => None,
    };
    ear.until("go_away", told).await
}

/// An upload whose sender says nothing more.
async fn hangs(person: Person, create: CreateUploadRequest) -> tonic::Status {
    let header =
        UploadHeader { target: Some(Target::Create(create)), offset: 0, last: false, ..UploadHeader::default() };
    let begun = stream::iter([UploadFileRequest { part: Some(Part::Header(header)) }]);
    let parts = futures::StreamExt::chain(begun, stream::pending());
    person.files().upload_file(parts).await.expect_err("it never ends well")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_in_turn_and_the_rest_is_ended() {
    const WINDOW: u64 = 3;
    let folder = tempfile::tempdir().unwrap();
    let mut process = starts(folder.path(), WINDOW, 2).await;
    let (alice, bob) =
        (Person::registers(process.public, "alice").await, Person::registers(process.public, "bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut ears = Vec::new();
    for number in 0..10 {
        ears.push(Ear::opens(&bob, TRANSPORTS[number % 2]).await);
    }
    let mut speaker = Ear::opens(&alice, Transport::Socket).await;
    // One says nothing at all, one is in the middle of a call for ever.
    let mut silent = TcpStream::connect(process.public).await.unwrap();
    let create = CreateUploadRequest { op_id: op_id(), room_id: room.id.clone(), size: Some(10), metadata: None };
    let begun = GetUploadRequest { target: Some(get_upload_request::Target::OpId(create.op_id.clone())) };
    let hanging = hangs(alice.at(process.public), create);
    let ops = process.ops;
    assert!(asks(ops, "/readyz").await.contains("200"));

    let stopping = async {
        let under_way = async {
            while alice.files().get_upload(begun.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the call that hangs is under way", under_way).await;
        process.terminate();
        let began = Instant::now();
        let not_ready = async { while !asks(ops, "/readyz").await.contains("503") {} };
        within("not ready", not_ready).await;
        let refused = async {
            while TcpStream::connect(process.public).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("nobody more is accepted", refused).await;
        let mut told = vec![is_told_to_go(&mut speaker).await];
        for ear in &mut ears {
            told.push(is_told_to_go(ear).await);
        }
        told.sort_unstable();
        assert!(told.windows(2).all(|two| two[1] > two[0]), "each has a moment of its own: {told:?}");
        assert!(told[0] < 300 && told[10] > 2000 && told[10] < 3000, "spread over the window: {told:?}");

        // Everything still works for those who are there.
        let send = SendMessageRequest {
            room_id: room.id.clone(),
            text: "before we go".into(),
            op_id: op_id(),
            file_ids: Vec::new(),
        };
        let method = "/loquat.chat.v1.MessageService/SendMessage";
        let answer: SendMessageResponse = speaker.socket().call(method, &send).await.expect("a call is answered");
        let seq = answer.message.unwrap().seq;
        for ear in &mut ears {
            ear.reaches(&room.id, seq).await;
        }
        assert!(began.elapsed() < Duration::from_secs(WINDOW), "all of it within the window");
        for ear in &mut ears {
            match ear.until_ended().await {
                Ended::Closed(code, _) => assert_eq!(code, 1001),
                Ended::Status(status) => {
                    assert_eq!(
                        (status.code(), mesh::errors::reason(&status)),
                        (Code::Unavailable, "GOING_AWAY".to_owned())
                    );
                    assert!(status.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
                }
            }
        }
        let ended = began.elapsed();
        assert!(ended >= Duration::from_secs(WINDOW), "whoever stayed had the whole window, and not {ended:?}");
        let status = process.exits().await;
        assert_eq!(status.code(), Some(0), "{status:?}");
        began.elapsed()
    };
    let (took, broken) = tokio::join!(stopping, hanging);
    assert!(matches!(broken.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal), "{broken}");
    // The window, two seconds for what is under way, and what ending takes on a busy machine.
    assert!(took < Duration::from_secs(WINDOW + 2 + 3), "{took:?}");
    assert!(took >= Duration::from_secs(WINDOW + 2), "the call that hangs had its time: {took:?}");
    let mut rest = Vec::new();
    assert!(!silent.read_to_end(&mut rest).await.is_ok_and(|read| read > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everybody_has_gone_nothing_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = starts(folder.path(), 600, 600).await;
    let alice = Person::registers(process.public, "alice").await;
    alice.creates_room("general").await;
    let mut ears = Vec::new();
    for transport in TRANSPORTS {
        ears.push(Ear::opens(&alice, transport).await);
    }
    process.terminate();
    for mut ear in ears {
        is_told_to_go(&mut ear).await;
    }
    drop(alice);
    assert_eq!(process.exits().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_cannot_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = starts(folder.path(), 1, 2).await;
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("general").await;
    let mut idle = Vec::new();
    for transport in TRANSPORTS {
        idle.push(Ear::opens(&alice.at(process.public), transport).await);
    }
    let padding = "x".repeat(16 * 1024);
    for _ in 0..1000 {
        alice.says(&room, &padding).await;
    }
    process.terminate();
    let began = Instant::now();
    assert_eq!(process.exits().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(1 + 2 + 3), "{:?}", began.elapsed());
    drop(idle);
}
