//! A virus scanner.

use proto::file::v1::{self as file, FileState, ScanState};
use tests::{Shape, Town};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::MIB;

/// The most that the scanner takes.
const TAKES: usize = 3 * MIB;

/// A scanner that knows one virus, and answers as clamd does.
async fn clamd() -> (String, mesh::lifecycle::Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, serves(listener))
}

fn serves(listener: TcpListener) -> mesh::lifecycle::Tasks {
    let tasks = mesh::lifecycle::Tasks::new();
    tasks.spawn("clamd", async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let answer = looks(&mut socket).await;
            socket.write_all(answer).await.unwrap();
        }
    });
    tasks
}

async fn looks(socket: &mut TcpStream) -> &'static [u8] {
    let mut command = [0; 10];
    socket.read_exact(&mut command).await.unwrap();
    assert_eq!(&command, b"zINSTREAM\0");
    let mut bytes = Vec::new();
    loop {
        let size = socket.read_u32().await.unwrap();
        if size == 0 {
            break;
        }
        let mut chunk = vec![0; usize::try_from(size).unwrap()];
        socket.read_exact(&mut chunk).await.unwrap();
        bytes.extend(chunk);
        if bytes.len() > TAKES {
            return b"INSTREAM size limit exceeded. ERROR\0";
        }
    }
    let found = bytes.windows(5).any(|window| window == b"EICAR");
    if found { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_looks_at_every_file() {
    let (address, _clamd) = clamd().await;
    let town = Town::start_with(Shape::Embedded, |config| config.file.clamd = address).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    assert!(alice.files().get_upload_limits(file::GetUploadLimitsRequest {}).await.unwrap().into_inner().scanned);
    let clean = alice.brings(&room, "clean.txt", b"nothing").await;
    assert_eq!((clean.state(), clean.scan()), (FileState::Ready, ScanState::Clean));
    for _ in 0..2 {
        let evil = alice.brings(&room, "evil.txt", b"an EICAR file").await;
        assert_eq!((evil.state(), evil.scan()), (FileState::Failed, ScanState::Infected));
        assert!(evil.failure.contains("Eicar-Test-Signature"), "{}", evil.failure);
        let refused = alice.downloads(&evil.id, "").await.unwrap_err();
        assert_eq!(mesh::errors::reason(&refused), "FILE_BROKEN");
    }
    // What it will not look at is not let through.
    let large = alice.brings(&room, "large.bin", &vec![7; 3 * TAKES]).await;
    assert_eq!(large.state(), FileState::Failed);
    assert!(large.failure.contains("larger than the scanner takes"), "{}", large.failure);
    let clean = alice.brings(&room, "clean too.txt", b"nothing here either").await;
    assert_eq!(clean.scan(), ScanState::Clean);
}

/// Nobody gets a file that a scanner was to look at and did not; it is looked at when the scanner is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_that_is_away_is_waited_for() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let town = Town::start_with(Shape::Embedded, |config| config.file.clamd = address.to_string()).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let file = alice.uploads(&room, "early.txt", b"nothing").await.unwrap();
    alice.says(&room, "chat goes on").await;
    let refused = bob.downloads(&file.id, "").await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "FILE_NOT_READY");
    let _clamd = serves(TcpListener::bind(address).await.unwrap());
    let settled = alice.settled(&file.id).await;
    assert_eq!((settled.state(), settled.scan()), (FileState::Ready, ScanState::Clean));
    assert_eq!(bob.downloads(&file.id, "").await.unwrap(), b"nothing");
}
