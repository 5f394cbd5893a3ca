//! A disk without space.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use proto::{
    chat::v1 as chat,
    file::v1::{self as file, FileState},
};
use tests::{
    Person, Shape, Town,
    files::create,
    process::{self, Process},
};
use tonic::Code;

use super::{MIB, RIGHT_AGAIN, sends, some_bytes};

/// A disk of eight megabytes; nothing where this machine gives none.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let path = folder.join("small");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// The store says that it is full, and nothing else stops.
async fn told_and_nothing_dangles(alice: &Person, room: &chat::Room, refused: tonic::Status) {
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::ResourceExhausted, "BLOBS_FULL".into()));
    alice.says(room, "chat goes on").await;
    assert!(alice.finds(room, "").await.is_empty(), "no file dangles");
}

/// The disk of the blobs is full. Needs the right to mount one; where it is missing, the same is seen below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_nothing_dangles() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        return;
    };
    let blobs = format!("file:{}", disk.0.join("blobs").display());
    let town = Town::start_with(Shape::Embedded, |config| config.file.blobs = blobs).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let opening = create(&room, 20 * MIB, Some("large.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    let refused = sends(&alice, &upload, &some_bytes(20 * MIB)).await.unwrap_err();
    told_and_nothing_dangles(&alice, &room, refused).await;
    assert_eq!(alice.asks(&opening.op_id).await.unwrap().offset, 5 * MIB as u64, "what was stored is kept");
    // Somebody else fills what is left, so that not even a little goes up.
    let filler = disk.0.join("filler");
    let filled = std::fs::write(&filler, vec![1; 8 * MIB]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let refused = alice.uploads(&room, "small.bin", &[7; MIB]).await.unwrap_err();
    told_and_nothing_dangles(&alice, &room, refused).await;
    std::fs::remove_file(&filler).unwrap();
    let works = async {
        let file = alice.uploads(&room, "small.bin", &[7; MIB]).await.unwrap();
        assert_eq!(alice.settled(&file.id).await.state(), FileState::Ready);
    };
    tokio::time::timeout(RIGHT_AGAIN, works).await.expect("it is right again at once");
    // What is given up makes room as well.
    let cancel = file::CancelUploadRequest { upload_id: upload.id };
    alice.files().cancel_upload(cancel).await.unwrap();
    let another = async {
        while alice.uploads(&room, "another.bin", &[8; 3 * MIB]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(RIGHT_AGAIN, another).await.expect("what was given up makes room");
}

/// A process that may write no file of more than four megabytes meets the same error as on a full disk, and goes on by itself as soon
/// as it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_system_is_told_as_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let limited = folder.path().join("limited.sh");
    // In units of 512 bytes. Without the trap the system would end the process instead of refusing.
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -S -f 8192\nexec {} \"$@\"\n", process::binary().display());
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let process = Process::start_binary(&limited, &data, &[]).await;
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("general").await;
    let bytes = some_bytes(12 * MIB);
    let opening = create(&room, bytes.len(), Some("large.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    let refused = sends(&alice, &upload, &bytes).await.unwrap_err();
    told_and_nothing_dangles(&alice, &room, refused).await;
    alice.brings(&room, "small.bin", &[7; MIB]).await;
    let lifted = Command::new("prlimit").args(["--pid", &process.id().to_string(), "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    let works = async {
        let stands = alice.asks(&opening.op_id).await.unwrap();
        sends(&alice, &stands, &bytes).await.unwrap().file.unwrap()
    };
    let file = tokio::time::timeout(RIGHT_AGAIN, works).await.expect("it is right again at once");
    alice.settled(&file.id).await;
    assert!(alice.downloads(&file.id, "").await.unwrap() == bytes);
}
