//! Processes that end in the middle, and processes with little memory.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use proto::{
    chat::v1 as chat,
    file::v1::{
        DownloadFileRequest, FileState, UploadFileRequest, UploadHeader, download_file_response,
        upload_file_request::Part, upload_header::Target,
    },
};
use sha2::{Digest as _, Sha256};
use tests::{
    Person,
    files::{create, ready},
    process::Process,
    within,
};

use super::{MIB, some_bytes};

/// The files of the blob store, without its folders.
fn blobs_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let inside = |path: PathBuf| if path.is_dir() { blobs_in(&path) } else { vec![path.display().to_string()] };
    entries.flat_map(|entry| inside(entry.unwrap().path())).collect()
}

/// The process ends between copying and deleting, between reporting and deleting, and after an event was published that is
/// then published again: one file, one announcement, no piece left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_copy_and_delete() {
    for point in ["worker.placed:1", "worker.finished:1", "worker.placed:2", "outbox.published:4", "outbox.published:5"]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(folder.path(), &[("LOQUAT_CRASH_AT", point.to_owned())]).await;
        let alice = Person::registers(process.public, "alice").await;
        let room = alice.creates_room("general").await;
        let bytes = some_bytes(11 * MIB);
        let mut made = Vec::new();
        // Until it has ended; the last answers may be lost with it.
        for name in ["one.bin", "two.bin", "three.bin"] {
            match alice.uploads(&room, name, &[&bytes, name.as_bytes()].concat()).await {
                Ok(file) => made.push(file.id),
                Err(_) => break,
            }
        }
        process.exits().await;
        let process = Process::start(folder.path(), &[]).await;
        let alice = alice.at(process.public);
        let mut listens = alice.resumes([(room.id.clone(), 0)].into(), "").await;
        for id in &made {
            assert_eq!(alice.settled(id).await.state(), FileState::Ready);
            listens.waits_for("the file", |event| ready(event).filter(|file| file.id == *id)).await;
        }
        let after = alice.says(&room, "all there").await;
        listens.reaches(&room.id, after.seq).await;
        for id in &made {
            let told =
                |event: &&chat::Event| event.feed_id == room.id && ready(event).is_some_and(|file| file.id == *id);
            assert_eq!(listens.log.iter().filter(told).count(), 1, "{point}");
        }
        let blobs = folder.path().join("blobs");
        // Files whose answer was lost are there as well; what was not complete can be gone on with.
        let files = alice.finds(&room, "").await;
        for file in &files {
            alice.settled(&file.id).await;
        }
        let left = |path: &String| files.iter().any(|file| path.contains(&file.id));
        let swept = async {
            while blobs_in(&blobs.join("staging")).iter().any(left) {
                tokio::task::yield_now().await;
            }
        };
        within("no piece is left", swept).await;
        assert_eq!(blobs_in(&blobs.join("files")).len(), files.len(), "{point}: {:?}", blobs_in(&blobs));
    }
}

/// The most memory that a process ever had in hand, in bytes.
fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A file larger than what the server may hold goes up and comes down. `LARGE_FILE_MIB=2048` for a really large one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
async fn a_large_file_passes_through_little_memory() {
    let mib: usize = std::env::var("LARGE_FILE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256);
    let folder = tempfile::tempdir().unwrap();
    let process =
        Process::start(folder.path(), &[("LOQUAT_FILE__MAX_BYTES", (4096_u64 * MIB as u64).to_string())]).await;
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("general").await;
    let piece = Bytes::from(some_bytes(256 * 1024));
    let header = UploadHeader {
        target: Some(Target::Create(create(&room, mib * MIB, Some("large.bin")))),
        ..UploadHeader::default()
    };
    let first = UploadFileRequest { part: Some(Part::Header(header)) };
    let pieces = stream::repeat(piece.clone()).take(mib * 4);
    let pieces = pieces.map(|piece| UploadFileRequest { part: Some(Part::Chunk(piece)) });
    let done = alice.files().upload_file(stream::iter([first]).chain(pieces)).await.unwrap().into_inner();
    let id = done.upload.unwrap().file.unwrap().id;
    let settled = async {
        loop {
            let file = alice.knows(&id).await.unwrap();
            if file.state() != FileState::Processing {
                return file;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let file = tokio::time::timeout(Duration::from_secs(300), settled).await.expect("it is looked at");
    assert_eq!((file.state(), file.size), (FileState::Ready, (mib * MIB) as u64));
    let request = DownloadFileRequest { file_id: id, ..DownloadFileRequest::default() };
    let mut stream = alice.files().download_file(request).await.unwrap().into_inner();
    let mut hash = Sha256::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(download_file_response::Part::Chunk(chunk)) = message.part {
            hash.update(&chunk);
        }
    }
    assert_eq!(file.sha256[..], hash.finalize()[..]);
    let peak = peak_memory(&process);
    assert!(peak < 128 * MIB as u64, "{} MiB", peak / MIB as u64);
}
