//! S3 that goes away, or lets nobody in.

use http::StatusCode;
use mesh::{blobs::S3Config, config::Secret};
use proto::{
    file::v1::{FileMetadata, FileState, PutMetadataRequest, upload_header::Target},
    worker::v1::{ListQueuesRequest, job_service_client::JobServiceClient},
};
use tests::{
    files::{create, ready},
    servers::{Mood, S3},
    within,
};
use tonic::Code;

use super::{MIB, sends, some_bytes, town_on, works_again};

/// The store goes away in the middle of an upload: the sender is told so, chat goes on, and the upload goes on from where it
/// stood as soon as the store is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_outlives_its_store() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |_| {}).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    let bytes = some_bytes(13 * MIB);
    let opening = create(&room, bytes.len(), Some("large.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    // The first piece is stored, and then nothing more.
    let first = bytes[..6 * MIB].chunks(256 * 1024).map(<[u8]>::to_vec).collect();
    alice.sends(Target::UploadId(upload.id.clone()), 0, first).await.unwrap();
    for (mood, code, reason) in
        [(Mood::Away, Code::Unavailable, "BLOBS_UNAVAILABLE"), (Mood::Full, Code::ResourceExhausted, "BLOBS_FULL")]
    {
        s3.becomes(mood);
        let stands = alice.asks(&opening.op_id).await.unwrap();
        let refused = sends(&alice, &stands, &bytes).await.unwrap_err();
        assert_eq!((refused.code(), mesh::errors::reason(&refused)), (code, reason.into()));
        assert!(!refused.message().contains("127.0.0.1"), "{}", refused.message());
        alice.says(&room, &format!("chat goes on: {mood:?}")).await;
        assert!(alice.finds(&room, "").await.is_empty(), "no file dangles");
    }
    s3.becomes(Mood::Well);
    let stands = alice.asks(&opening.op_id).await.unwrap();
    assert!(stands.offset >= 6 * MIB as u64, "what was stored is kept");
    works_again(&alice, &room).await;
    let done = within("the rest goes up", sends(&alice, &stands, &bytes)).await.unwrap();
    let id = done.file.unwrap().id;
    listens.waits_for("the file", |event| ready(event).filter(|file| file.id == id)).await;
    assert!(alice.downloads(&id, "").await.unwrap() == bytes);
    // A download meets the same fate, and the same end.
    s3.becomes(Mood::Away);
    let refused = alice.downloads(&id, "").await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "BLOBS_UNAVAILABLE");
    let over_http = alice.gets(&format!("/files/{id}"), &[]).await;
    assert_eq!(over_http.status(), StatusCode::SERVICE_UNAVAILABLE);
    s3.becomes(Mood::Well);
    works_again(&alice, &room).await;
    assert!(within("it comes down", alice.downloads(&id, "")).await.unwrap() == bytes);
}

/// The store goes away between an upload and the worker's look at it: the file waits, and is ready soon after the store is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_waits_for_its_store() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |_| {}).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let bytes = some_bytes(MIB);
    let nameless = create(&room, bytes.len(), None);
    let op_id = nameless.op_id.clone();
    alice.sends(Target::Create(nameless), 0, vec![bytes.clone()]).await.unwrap();
    s3.becomes(Mood::Away);
    // The second half needs no store, and makes the file.
    let metadata = Some(FileMetadata { name: "waits.bin".into(), ..FileMetadata::default() });
    let named = PutMetadataRequest { op_id: op_id.clone(), room_id: room.id.clone(), metadata };
    alice.files().put_metadata(named).await.unwrap();
    let id = alice.asks(&op_id).await.unwrap().file.unwrap().id;
    let met = async {
        loop {
            let queues = JobServiceClient::new(alice.channel()).list_queues(ListQueuesRequest {}).await.unwrap();
            let queues = queues.into_inner().queues;
            if queues.iter().any(|queue| queue.name == "WorkerFileUploaded" && queue.failures > 0) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the worker has met it", met).await;
    alice.says(&room, "chat goes on").await;
    assert_eq!(alice.knows(&id).await.unwrap().state(), FileState::Processing);
    s3.becomes(Mood::Well);
    assert_eq!(alice.settled(&id).await.state(), FileState::Ready);
    assert!(alice.downloads(&id, "").await.unwrap() == bytes);
}

/// Keys and regions that the store does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_wrong_keys_says_so() {
    let s3 = S3::start().await;
    let wrong: [fn(&mut S3Config); 3] = [
        |config| config.secret_key = Secret::new("another secret"),
        |config| config.access_key = "somebody".into(),
        |config| config.region = "mars-north-1".into(),
    ];
    for change in wrong {
        let town = town_on(&s3, |config| change(&mut config.file.s3)).await;
        let alice = town.registers("alice").await;
        let room = alice.creates_room("general").await;
        let refused = alice.uploads(&room, "a.bin", &[1; 100]).await.unwrap_err();
        assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::Unavailable, "BLOBS_REFUSED".into()));
        alice.says(&room, "chat goes on").await;
        assert!(alice.finds(&room, "").await.is_empty());
    }
}
