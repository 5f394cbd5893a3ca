//! Bytes and metadata, each in its own time.

use proto::{
    chat::v1 as chat,
    file::v1::{self as file, CreateUploadRequest, FileMetadata, upload_header::Target},
};
use tests::{
    Town,
    files::{create, ready},
    op_id,
};
use tonic::Code;

pub async fn both_halves_in_either_order(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    for bytes_first in [true, false] {
        let bytes = vec![if bytes_first { 1 } else { 2 }; 5000];
        let nameless = create(&room, bytes.len(), None);
        let metadata = file::PutMetadataRequest {
            op_id: nameless.op_id.clone(),
            room_id: room.id.clone(),
            metadata: Some(FileMetadata {
                name: "notes.txt".into(),
                content_type: "text/plain".into(),
                ..Default::default()
            }),
        };
        let halves = [
            Box::pin(async { alice.sends(Target::Create(nameless.clone()), 0, vec![bytes.clone()]).await.map(drop) })
                as std::pin::Pin<Box<dyn Future<Output = Result<(), tonic::Status>>>>,
            Box::pin(async { alice.files().put_metadata(metadata.clone()).await.map(drop) }),
        ];
        let mut halves = Vec::from(halves);
        if !bytes_first {
            halves.reverse();
        }
        for half in halves {
            half.await.unwrap();
        }
        alice.files().put_metadata(metadata.clone()).await.expect("the same again is harmless");
        let found =
            file::GetUploadRequest { target: Some(file::get_upload_request::Target::OpId(nameless.op_id.clone())) };
        let found = alice.files().get_upload(found).await.unwrap().into_inner().upload.unwrap();
        let wanted = |event: &chat::Event| ready(event).filter(|file| file.id == found.id);
        let announced = listens.waits_for("the file", wanted).await;
        assert_eq!((announced.name.as_str(), announced.size), ("notes.txt", 5000));
    }
    let announcements =
        |feed: &str| listens.log.iter().filter(|event| event.feed_id == feed && ready(event).is_some()).count();
    assert!(announcements(&room.id) <= 2 && announcements(&alice.user.id) <= 2, "once each");
}

/// Twenty files, each half sent twice, all at once.
pub async fn halves_race_and_come_twice(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    let ops: Vec<String> = (0..20).map(|_| op_id()).collect();
    let halves = ops.iter().enumerate().flat_map(|(number, op_id)| {
        let (alice, room) = (&alice, &room);
        let bytes = move || {
            let create = CreateUploadRequest { op_id: op_id.clone(), ..create(room, 4000, None) };
            async move {
                // Two at once for one upload: one is told that the other is at work, or that there is nothing left to send.
                let sent = alice.sends(Target::Create(create), 0, vec![vec![number as u8; 4000]]).await;
                let code = sent.as_ref().err().map(tonic::Status::code);
                assert!(matches!(code, None | Some(Code::Aborted)), "{sent:?}");
            }
        };
        let metadata = move || {
            let name = format!("{number}.bin");
            let metadata = Some(FileMetadata { name, ..FileMetadata::default() });
            let request = file::PutMetadataRequest { op_id: op_id.clone(), room_id: room.id.clone(), metadata };
            async move { drop(alice.files().put_metadata(request).await.unwrap()) }
        };
        let both: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 4] =
            [Box::pin(bytes()), Box::pin(metadata()), Box::pin(metadata()), Box::pin(bytes())];
        both
    });
    let mut halves: Vec<_> = halves.collect();
    // Either half comes first about as often.
    let middle = halves.len() / 2;
    halves[..middle].reverse();
    futures::future::join_all(halves).await;
    for op_id in &ops {
        let upload = alice.asks(op_id).await.unwrap();
        alice.settled(&upload.file.unwrap().id).await;
    }
    let after = alice.says(&room, "all there").await;
    listens.reaches(&room.id, after.seq).await;
    let finds = alice.finds(&room, "").await;
    assert_eq!(finds.len(), 20);
    for file in finds {
        // Wait for those whose announcement is still on its way.
        let told =
            |event: &chat::Event| event.feed_id == room.id && ready(event).is_some_and(|told| told.id == file.id);
        if !listens.log.iter().any(told) {
            listens.waits_for("the announcement", |event| told(event).then_some(())).await;
        }
        assert_eq!(listens.log.iter().filter(|event| told(event)).count(), 1, "{}", file.name);
    }
}
