//! Files and the stores that they are in: S3 that goes away, refuses or is full; direct parts and signed addresses; a process
//! that ends in the middle; a scanner; files larger than memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bombs;
mod direct;
mod full;
mod processes;
mod scanner;
mod trouble;

use std::time::Duration;

use proto::{
    chat::v1 as chat,
    file::v1::{self as file, upload_header::Target},
};
use tests::{Person, Shape, Town, servers::S3};

const MIB: usize = 1024 * 1024;

/// Within this everything works again, once the store does.
const RIGHT_AGAIN: Duration = Duration::from_secs(5);

async fn town_on(s3: &S3, change: impl FnOnce(&mut server::config::Config)) -> Town {
    Town::start_with(Shape::Embedded, |config| {
        config.file.blobs = "s3://loquat".into();
        config.file.s3 = s3.config();
        change(config);
    })
    .await
}

async fn sends(person: &Person, upload: &file::Upload, bytes: &[u8]) -> Result<file::Upload, tonic::Status> {
    let offset = usize::try_from(upload.offset).unwrap();
    let rest = bytes[offset..].chunks(256 * 1024).map(<[u8]>::to_vec).collect();
    person.sends(Target::UploadId(upload.id.clone()), upload.offset, rest).await
}

fn some_bytes(size: usize) -> Vec<u8> {
    (0..size).map(|number| (number * 31 % 253) as u8).collect()
}

/// A small file goes up and comes down in time. Small, so that it is the store that is measured and not the machine.
async fn works_again(person: &Person, room: &chat::Room) {
    let works = async {
        let file = person.uploads(room, "small.txt", b"small").await.unwrap();
        assert_eq!(person.downloads(&file.id, "").await.unwrap(), b"small");
    };
    tokio::time::timeout(RIGHT_AGAIN, works).await.expect("everything works again within seconds");
}
