//! Stories of files: in two halves, over bad networks, for those who may see them, in every shape.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use proto::{
    chat::v1::{self as chat, event::Body},
    file::v1::{
        self as file, CreateUploadRequest, FileMetadata, FileState, PreviewState, UploadFileRequest, UploadHeader,
        upload_file_request::Part,
        upload_header::{StreamChecksum, Target},
    },
};
use tests::{
    Person, Shape, Town,
    files::{create, http, ready},
    op_id, stories, within,
};
use tonic::Code;

stories!(
    a_file_is_shared,
    both_halves_in_either_order,
    halves_race_and_come_twice,
    an_upload_goes_on_where_it_broke,
    the_usual_client_is_cut_fifty_times,
    streams_are_cut_and_resumed,
    a_stream_proves_what_it_brings,
    files_are_for_the_room,
    only_the_uploader_sees_what_is_not_checked,
    a_file_goes_to_another_room_and_away,
    limits_and_usage_are_told,
    bytes_say_what_they_are,
);

/// A picture that has something in it.
fn photo() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(900, 600, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 128]));
    encoded(&picture.into(), image::ImageFormat::Jpeg)
}

fn encoded(picture: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

async fn a_file_is_shared(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let photo = photo();
    let chunks = photo.chunks(10_000).map(<[u8]>::to_vec).collect();
    let done =
        alice.sends(Target::Create(create(&room, photo.len(), Some("../trip to Ærø.jpg"))), 0, chunks).await.unwrap();
    let proven = done.file.unwrap();
    assert_eq!(proven.name, "trip to Ærø.jpg");
    let send = chat::SendMessageRequest {
        room_id: room.id.clone(),
        text: String::new(),
        op_id: op_id(),
        file_ids: vec![proven.reference.clone()],
    };
    let sent = alice.messages().send_message(send.clone()).await.unwrap().into_inner().message.unwrap();
    assert_eq!(sent.files[0].id, proven.id);
    // Somebody else's reference proves nothing.
    let stolen = chat::SendMessageRequest { op_id: op_id(), ..send };
    assert_eq!(bob.messages().send_message(stolen).await.unwrap_err().code(), Code::NotFound);

    let announced = listens.waits_for("the file", ready).await;
    assert_eq!((announced.id.as_str(), announced.state()), (proven.id.as_str(), FileState::Ready));
    assert_eq!((announced.content_type.as_str(), announced.width, announced.height), ("image/jpeg", 900, 600));
    assert_eq!(announced.thumbnails[0].variant, "w320");
    assert!(announced.reference.is_empty());
    let list = chat::ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    let listed = bob.messages().list_messages(list).await.unwrap().into_inner().messages;
    assert_eq!(listed[0].files[0].thumbnails.len(), 2, "a later page has what became known later");

    let bearer = format!("Bearer {}", bob.token);
    let get = |range: Option<&str>| {
        let request = Request::builder().header(header::AUTHORIZATION, &bearer);
        range.map_or_else(
            || Request::builder().header(header::AUTHORIZATION, &bearer),
            |range| request.header(header::RANGE, range),
        )
    };
    let path = format!("/files/{}", proven.id);
    let whole = http(town.public, get(None), &path, "").await;
    assert_eq!((whole.status(), whole.body().as_ref()), (StatusCode::OK, photo.as_slice()));
    assert!(whole.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("inline;"));
    let part = http(town.public, get(Some("bytes=100-199")), &path, "").await;
    assert_eq!((part.status(), part.body().as_ref()), (StatusCode::PARTIAL_CONTENT, &photo[100..200]));
    let end = http(town.public, get(Some("bytes=-50")), &path, "").await;
    assert_eq!(end.body().as_ref(), &photo[photo.len() - 50..]);
    let beyond = http(town.public, get(Some("bytes=99999999-")), &path, "").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let etag = whole.headers()[header::ETAG].clone();
    let known = http(town.public, get(None).header(header::IF_NONE_MATCH, etag.clone()), &path, "").await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let modified = whole.headers()[header::LAST_MODIFIED].clone();
    let known = http(town.public, get(None).header(header::IF_MODIFIED_SINCE, modified.clone()), &path, "").await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    for (version, status) in [
        (etag.to_str().unwrap(), StatusCode::PARTIAL_CONTENT),
        (modified.to_str().unwrap(), StatusCode::PARTIAL_CONTENT),
        ("\"another\"", StatusCode::OK),
        ("Mon, 01 Jan 2024 00:00:00 GMT", StatusCode::OK),
    ] {
        let part = get(Some("bytes=0-9")).header(header::IF_RANGE, version);
        assert_eq!(http(town.public, part, &path, "").await.status(), status, "{version}");
    }
    let several = http(town.public, get(Some("bytes=0-9,20-29")), &path, "").await;
    assert_eq!((several.status(), several.body().len()), (StatusCode::OK, photo.len()), "several ranges are none");
    assert_eq!(whole.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(whole.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    let small = http(town.public, get(None), &format!("{path}?variant=w320"), "").await;
    let small = image::load_from_memory(small.body()).unwrap();
    assert_eq!((small.width(), small.height()), (320, 213));
}

async fn both_halves_in_either_order(town: Town) {
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

async fn an_upload_goes_on_where_it_broke(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 253) as u8).collect();
    let encode = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text);
    let tus = |method: Method| {
        Request::builder()
            .method(method)
            .header("tus-resumable", "1.0.0")
            .header(header::AUTHORIZATION, format!("Bearer {}", alice.token))
    };
    let metadata = format!("filename {},room_id {}", encode("log.bin"), encode(&room.id));
    let opening = tus(Method::POST).header("upload-length", bytes.len()).header("upload-metadata", metadata);
    let opened = http(town.public, opening, "/files", "").await;
    assert_eq!(opened.status(), StatusCode::CREATED);
    let path = opened.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let mut offset = 0;
    for size in [1_usize, 100_000, 77_777, 122_222] {
        let head = http(town.public, tus(Method::HEAD), &path, "").await;
        assert_eq!(head.headers()["upload-offset"], offset.to_string());
        let patch = |at: usize| {
            tus(Method::PATCH)
                .header("upload-offset", at)
                .header(header::CONTENT_TYPE, "application/offset+octet-stream")
        };
        let misplaced = http(town.public, patch(offset + 1), &path, "x").await;
        assert_eq!(misplaced.status(), StatusCode::CONFLICT);
        let sent = http(town.public, patch(offset), &path, bytes[offset..offset + size].to_vec()).await;
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
        offset += size;
        assert_eq!(sent.headers()["upload-offset"], offset.to_string());
        if offset == bytes.len() {
            assert!(sent.headers().contains_key("loquat-file-reference"));
        }
    }
    let id = path.trim_start_matches("/files/").to_owned();
    let back = alice.downloads(&id, "").await.unwrap();
    assert!(back == bytes, "what went up comes down");
    let gone = http(town.public, tus(Method::HEAD), &format!("/files/{}", op_id()), "").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

async fn files_are_for_the_room(town: Town) {
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("private").await;
    let done = alice.sends(Target::Create(create(&room, 3, Some("a.txt"))), 0, vec![vec![1, 2, 3]]).await.unwrap();
    let (known, unknown) = (done.id, op_id());
    let mut answers: Vec<Vec<String>> = Vec::new();
    for id in [&known, &unknown] {
        let get = eve.files().get_file(file::GetFileRequest { file_id: id.clone() }).await.unwrap_err();
        let request = file::DownloadFileRequest { file_id: id.clone(), ..Default::default() };
        let download = eve.files().download_file(request).await.unwrap_err();
        let find = file::GetUploadRequest { target: Some(file::get_upload_request::Target::UploadId(id.clone())) };
        let find = eve.files().get_upload(find).await.unwrap_err();
        let cancel = eve.files().cancel_upload(file::CancelUploadRequest { upload_id: id.clone() }).await.unwrap_err();
        let append = eve.sends(Target::UploadId(id.clone()), 3, vec![vec![4]]).await.unwrap_err();
        answers.push(
            [get, download, find, cancel, append]
                .iter()
                .map(|status| format!("{status:?}").replace(id, "ID"))
                .collect(),
        );
        let bearer = Request::builder().header(header::AUTHORIZATION, format!("Bearer {}", eve.token));
        assert_eq!(http(town.public, bearer, &format!("/files/{id}"), "").await.status(), StatusCode::NOT_FOUND);
        let nobody = http(town.public, Request::builder(), &format!("/files/{id}"), "").await;
        assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    }
    let strip = |texts: &[String]| -> Vec<String> {
        // Dates differ between the answers; nothing else may.
        texts.iter().map(|text| text.split("\"date\"").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(strip(&answers[0]), strip(&answers[1]));
    let outside = eve.sends(Target::Create(create(&room, 1, Some("b.txt"))), 0, vec![vec![1]]).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&outside), "ROOM_NOT_FOUND");
    let large = CreateUploadRequest { size: Some(u64::MAX / 4), ..create(&room, 1, Some("c.txt")) };
    let refused = alice.files().create_upload(large).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "FILE_TOO_LARGE");
}

/// Twenty files, each half sent twice, all at once.
async fn halves_race_and_come_twice(town: Town) {
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

/// `tus-js-client` as npm has it, through a door that is slammed in its face fifty times.
async fn the_usual_client_is_cut_fifty_times(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/e2e/tus.mjs");
    let output = tokio::process::Command::new("node")
        .arg(script)
        .args([&town.url(""), &alice.token, &room.id, "4000000", "50", "7"])
        .output();
    let output = tokio::time::timeout(Duration::from_secs(100), output).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["cuts"], 50);
    for uploaded in said["files"].as_array().unwrap() {
        let known = alice.settled(uploaded["id"].as_str().unwrap()).await;
        let hash: String = known.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((known.state(), hash.as_str()), (FileState::Ready, uploaded["sha256"].as_str().unwrap()));
    }
    assert_eq!(alice.finds(&room, "").await.len(), 2, "what was given up is no file");
}

/// Over gRPC: the call is dropped after some bytes, and the next goes on from where the upload stands.
async fn streams_are_cut_and_resumed(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let bytes: Vec<u8> = (0..600_000_u32).map(|number| (number * 7 % 251) as u8).collect();
    let opening = create(&room, bytes.len(), Some("cut.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    let mut from = 0_usize;
    for cut in (1..=20_usize).map(|number| number * 28_000 + number * number * 13 % 991) {
        let header = UploadHeader {
            target: Some(Target::UploadId(upload.id.clone())),
            offset: from as u64,
            ..UploadHeader::default()
        };
        let first = UploadFileRequest { part: Some(Part::Header(header)) };
        let piece = UploadFileRequest { part: Some(Part::Chunk(bytes[from..cut].to_vec().into())) };
        let sent = stream::iter([first, piece]).chain(stream::pending());
        let mut files = alice.files();
        let sending = files.upload_file(sent);
        // Dropped as soon as the bytes could be on their way; what had come by then is kept.
        let dropped = tokio::time::timeout(Duration::from_millis(10), sending).await;
        // It ends by itself only when the one before it is noticed late: then it has to look again where the upload stands.
        if let Ok(ended) = dropped {
            assert_eq!(ended.expect_err("it never comes to its end").code(), Code::Aborted);
        }
        let stands = async {
            loop {
                let upload = alice.asks(&opening.op_id).await.unwrap();
                let probe = alice.sends(Target::UploadId(upload.id.clone()), upload.offset, Vec::new()).await;
                // Nobody is at work on it any more.
                if let Ok(probe) = probe {
                    return probe.offset;
                }
                tokio::task::yield_now().await;
            }
        };
        from = usize::try_from(within("the cut stream is noticed", stands).await).unwrap();
        assert!(from <= cut);
    }
    let rest = bytes[from..].chunks(50_000).map(<[u8]>::to_vec).collect();
    let done = alice.sends(Target::UploadId(upload.id), from as u64, rest).await.unwrap();
    let file = alice.settled(&done.file.unwrap().id).await;
    assert!(alice.downloads(&file.id, "").await.unwrap() == bytes);
}

async fn a_stream_proves_what_it_brings(town: Town) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use sha2::{Digest as _, Sha256};
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let upload = alice.files().create_upload(create(&room, 10, Some("a"))).await.unwrap().into_inner().upload.unwrap();
    let path = format!("/files/{}", upload.id);
    let patch = |offset: u64, checksum: String| {
        Request::builder()
            .method(Method::PATCH)
            .header("tus-resumable", "1.0.0")
            .header(header::AUTHORIZATION, format!("Bearer {}", alice.token))
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header("upload-offset", offset)
            .header("upload-checksum", checksum)
    };
    let sha256 = |bytes: &[u8]| format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(bytes)));
    let wrong = http(town.public, patch(0, sha256(b"other")), &path, "first").await;
    assert_eq!(wrong.status().as_u16(), 460);
    assert_eq!(alice.asks(&upload.op_id).await.unwrap().offset, 0, "nothing of it is kept");
    let unknown = http(town.public, patch(0, "md5 AAAA".into()), &path, "first").await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    let right = http(town.public, patch(0, sha256(b"first")), &path, "first").await;
    assert_eq!((right.status(), &right.headers()["upload-offset"]), (StatusCode::NO_CONTENT, &"5".parse().unwrap()));
    assert!(right.headers().contains_key("upload-expires"));
    // Over gRPC, and by the other algorithm.
    let header = UploadHeader {
        target: Some(Target::UploadId(upload.id)),
        offset: 5,
        stream_checksum: Some(StreamChecksum::StreamSha1(vec![7; 20].into())),
        ..UploadHeader::default()
    };
    let parts = [Part::Header(header), Part::Chunk("later".into())];
    let parts = parts.map(|part| UploadFileRequest { part: Some(part) });
    let refused = alice.files().upload_file(stream::iter(parts)).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "STREAM_CHECKSUM_MISMATCH");
    assert_eq!(alice.asks(&upload.op_id).await.unwrap().offset, 5);
}

/// A picture is shown to others when it was looked at, not before.
async fn only_the_uploader_sees_what_is_not_checked(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let file = alice.uploads(&room, "a.html", b"<script>alert(1)</script>").await.unwrap();
    // It may have been checked by now: then there is nothing to hold back.
    let answer = bob.downloads(&file.id, "").await;
    if let Err(refused) = &answer {
        assert_eq!(mesh::errors::reason(refused), "FILE_NOT_READY");
    }
    let early = alice.gets(&format!("/files/{}", file.id), &[]).await;
    assert!(early.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment;"));
    alice.settled(&file.id).await;
    assert_eq!(bob.downloads(&file.id, "").await.unwrap(), b"<script>alert(1)</script>");
}

async fn a_file_goes_to_another_room_and_away(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let (here, there) = (alice.creates_room("here").await, bob.creates_private_room("there").await);
    bob.joins(&here).await;
    let mut listens = bob.listens().await;
    let photo = photo();
    let file = alice.brings(&here, "walk.jpg", &photo).await;
    let share = file::ShareFileRequest { op_id: op_id(), file_id: file.id.clone(), room_id: there.id.clone() };
    let refused = alice.files().share_file(share.clone()).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "ROOM_NOT_FOUND", "alice is not in that room");
    let shared = bob.files().share_file(share.clone()).await.unwrap().into_inner().file.unwrap();
    let again = bob.files().share_file(share).await.unwrap().into_inner().file.unwrap();
    assert_eq!((again.id, again.thumbnails.len()), (shared.id.clone(), 2));
    listens.waits_for("it is announced there", |event| ready(event).filter(|file| file.id == shared.id)).await;
    // The reference is for a message there.
    let send = chat::SendMessageRequest {
        room_id: there.id.clone(),
        op_id: op_id(),
        file_ids: vec![shared.reference.clone()],
        ..Default::default()
    };
    let sent = bob.messages().send_message(send).await.unwrap().into_inner().message.unwrap();

    let delete = |id: &str| file::DeleteFileRequest { file_id: id.into() };
    let refused = bob.files().delete_file(delete(&file.id)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "it is neither his file nor his room");
    alice.files().delete_file(delete(&file.id)).await.unwrap();
    let removed = |event: &chat::Event| match &event.body {
        Some(Body::FileRemoved(removed)) if event.feed_id == here.id => Some(removed.file_id.clone()),
        _ => None,
    };
    assert_eq!(listens.waits_for("the room is told", removed).await, file.id);
    for variant in ["", "w320"] {
        assert_eq!(bob.downloads(&file.id, variant).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(bob.downloads(&shared.id, "").await.unwrap(), photo, "the one in the other room is still there");
    // It can no longer be attached by its id.
    let attach = chat::SendMessageRequest {
        room_id: here.id.clone(),
        op_id: op_id(),
        file_ids: vec![file.id.clone()],
        ..Default::default()
    };
    assert_eq!(alice.messages().send_message(attach).await.unwrap_err().code(), Code::NotFound);
    // A message that is deleted takes its author's files along.
    let delete = chat::DeleteMessageRequest { room_id: there.id.clone(), message_id: sent.id, op_id: op_id() };
    bob.messages().delete_message(delete).await.unwrap();
    let gone = async {
        while bob.knows(&shared.id).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the file went with its message", gone).await;
}

async fn limits_and_usage_are_told(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    let limits = alice.files().get_upload_limits(file::GetUploadLimitsRequest {}).await.unwrap().into_inner();
    assert_eq!((limits.max_bytes, limits.scanned, limits.direct), (1 << 30, false, false));
    alice.brings(&room, "a.bin", &[1; 3000]).await;
    let usage = alice.files().get_usage(file::GetUsageRequest {}).await.unwrap().into_inner().usage.unwrap();
    assert_eq!((usage.user_bytes, usage.workspace_bytes, usage.user_limit), (3000, 3000, 0));
    let list = file::ListUsageRequest::default();
    let all = alice.files().list_usage(list.clone()).await.unwrap().into_inner();
    assert_eq!((all.users.len(), all.users[0].user_id.as_str()), (1, alice.user.id.as_str()), "alice is the owner");
    assert_eq!(bob.files().list_usage(list).await.unwrap_err().code(), Code::PermissionDenied);
}

async fn bytes_say_what_they_are(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    // A picture with transparency keeps it in its smaller ones.
    let logo = image::RgbaImage::from_pixel(700, 700, image::Rgba([1, 2, 3, 0]));
    let logo = alice.brings(&room, "logo.png", &encoded(&logo.into(), image::ImageFormat::Png)).await;
    assert_eq!((logo.width, logo.preview()), (700, PreviewState::Made));
    assert_eq!(logo.thumbnails.iter().map(|made| made.variant.as_str()).collect::<Vec<_>>(), ["w320", "w640"]);
    assert_eq!(logo.thumbnails[0].content_type, "image/png");
    // What a camera wrote into a picture is gone, for everybody.
    let mut photo = photo();
    let exif = [b"\xff\xe1\0\x20Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0".as_slice(), b"GPS 52.51"].concat();
    photo.splice(2..2, exif.into_iter().chain([0]));
    let taken = alice.brings(&room, "taken.jpg", &photo).await;
    let kept = alice.downloads(&taken.id, "").await.unwrap();
    assert!(!kept.windows(9).any(|window| window == b"GPS 52.51"));
    assert_eq!((taken.size, taken.state()), (kept.len() as u64, FileState::Ready));
    assert!(image::load_from_memory(&kept).is_ok());
    // A picture that cannot be decoded is a file without smaller ones, and says so.
    let broken = alice.brings(&room, "broken.png", b"\x89PNG\r\n\x1a\nand then nothing that is a picture").await;
    assert_eq!((broken.state(), broken.preview()), (FileState::Ready, PreviewState::Failed));
    assert!(!broken.preview_failure.is_empty() && broken.thumbnails.is_empty());
    // A sound that says how long it is, under a name that lies.
    let mut sound =
        b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x80\x3e\0\0".to_vec();
    sound.extend([128; 16_000]);
    let sound = alice.brings(&room, "sound.png", &sound).await;
    assert_eq!(
        (sound.content_type.as_str(), sound.duration_ms, sound.preview()),
        ("audio/x-wav", 2000, PreviewState::None)
    );
    assert_eq!(sound.found["sample_rate"], "8000 Hz");
    assert_eq!(alice.finds(&room, "8000 sound").await.len(), 1, "it is found by what it says of itself");
    let text = alice.brings(&room, "a.txt", b"just text").await;
    assert_eq!(text.preview(), PreviewState::None);
}

/// Names that people, phones and attackers give to files.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a.txt",
        ".htaccess",
        "...",
        "a b.txt",
        "a\tb",
        "a;b=c.txt",
        "a,b",
        "a\"b\".txt",
        "'",
        "`id`",
        "$(id)",
        "%2e%2e%2f",
        "%00.png",
        "CON",
        "NUL.txt",
        "aux",
        "COM1",
        "file.",
        "file ",
        "a:b",
        "a|b",
        "a?b*c",
        "<img src=x onerror=alert(1)>",
        "a&amp;b",
        "日本語.pdf",
        "Привет.doc",
        "مرحبا.txt",
        "שלום",
        "e\u{301}.txt",
        "é.txt",
        "🦀🎉.gif",
        "👩‍👩‍👧‍👦.png",
        "ﷺ",
        "Ⓐ.txt",
        "x; filename=evil.exe",
        "x\"; filename*=UTF-8''evil.exe",
        "a=b;c=d",
        "{}",
        "[a]",
        "~",
        "~root",
        "-rf",
        "--help",
        "=cmd|' C calc'!A0",
        "+1",
        "@a",
        "#a",
        "a#b?c",
        "a+b",
        "a%20b",
        "100%",
        "%",
        "%zz",
        "ẞtraße",
        "İstanbul",
        "ǅ",
        "\u{feff}bom.txt",
        "z\u{300}\u{301}\u{302}\u{303}\u{304}algo",
        "null",
        "undefined",
        "NaN",
        "true",
        "0",
        "-1",
        "1e309",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(255));
    names.push("é".repeat(127));
    // Every printable sign that is no path, alone between letters.
    names.extend((' '..='~').filter(|letter| !"/\\".contains(*letter)).map(|letter| format!("a{letter}b.txt")));
    names.extend((0..60).map(|number| format!("{}{number}.bin", char::from_u32(0x4e00 + number * 97).unwrap())));
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_odd_names_come_back() {
    let town = Town::start(Shape::Embedded).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let names = odd_names();
    assert!(names.len() >= 200, "{}", names.len());
    for name in &names {
        let file = alice.uploads(&room, name, b"").await.unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
        let known: String = name.chars().filter(|letter| !letter.is_control()).collect();
        assert_eq!(file.name, known.trim(), "{name:?}");
        let answer = alice.gets(&format!("/files/{}", file.id), &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name:?}");
        let said = answer.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
        assert_eq!(from_header(&said), file.name, "{said}");
    }
    // What misleads is taken out, and what is then no name is refused by field.
    for (name, kept) in
        [("../../etc/passwd", "passwd"), ("C:\\a\\b.txt", "b.txt"), ("exe\u{202e}gpj.png", "exegpj.png")]
    {
        assert_eq!(alice.uploads(&room, name, b"").await.unwrap().name, kept);
    }
    for name in ["", "/", "..", "\0", "\u{202e}"] {
        let refused = alice.uploads(&room, name, b"").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name:?}");
    }
}

/// The name that a browser saves: `filename*` of RFC 8187.
fn from_header(said: &str) -> String {
    let mut rest = said.rsplit("filename*=UTF-8''").next().unwrap().bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Who may do what with a file of a private room: everybody who is not in it gets the same answer as for a file that does not
/// exist, for every call and every address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_outside_a_room_gets_anything_of_its_files() {
    let town = Town::start(Shape::Embedded).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let (stranger, left) = (town.registers("stranger").await, town.registers("left").await);
    let room = alice.creates_private_room("private").await;
    alice.adds(&room, &bob).await;
    alice.adds(&room, &left).await;
    let elsewhere = stranger.creates_room("elsewhere").await;
    let photo = photo();
    let mut files = vec![alice.brings(&room, "a.jpg", &photo).await, alice.brings(&room, "b.txt", b"text").await];
    files.push(left.brings(&room, "mine.jpg", &photo).await);
    alice.removes(&room, &left).await;
    for file in &files {
        for outside in [&stranger, &left] {
            let answers = tries(outside, &file.id, &elsewhere).await;
            let nothing = tries(outside, &op_id(), &elsewhere).await;
            assert_eq!(answers, nothing, "{} and {}", outside.user.username, file.name);
            assert!(answers.iter().all(|answer| answer == "404" || answer.contains("_NOT_FOUND")), "{answers:?}");
            let list = file::ListFilesRequest { room_id: room.id.clone(), ..Default::default() };
            assert_eq!(outside.files().list_files(list).await.unwrap_err().code(), Code::NotFound);
        }
        // The ones inside get everything but what is the uploader's or an admin's.
        assert_eq!(bob.downloads(&file.id, "").await.unwrap().len(), usize::try_from(file.size).unwrap());
    }
}

/// Everything that one can try on a file, and what came of each.
async fn tries(person: &Person, id: &str, elsewhere: &chat::Room) -> Vec<String> {
    let mut answers = Vec::new();
    let path = format!("/files/{id}");
    for path in [path.clone(), format!("{path}?variant=w320"), format!("{path}?variant=../../x")] {
        for headers in [vec![], vec![(header::RANGE, "bytes=0-1")], vec![(header::IF_NONE_MATCH, "*")]] {
            answers.push(person.gets(&path, &headers).await.status().as_u16().to_string());
        }
    }
    let file_id = id.to_owned();
    let mut files = person.files();
    let reason = |status: tonic::Status| mesh::errors::reason(&status);
    answers.push(reason(person.knows(id).await.unwrap_err()));
    for accept_url in [true, false] {
        for variant in ["", "w320"] {
            let (file_id, variant) = (file_id.clone(), variant.to_owned());
            let request = file::DownloadFileRequest { file_id, variant, accept_url, ..Default::default() };
            answers.push(reason(files.download_file(request).await.unwrap_err()));
        }
    }
    let share = file::ShareFileRequest { op_id: op_id(), file_id: file_id.clone(), room_id: elsewhere.id.clone() };
    answers.push(reason(files.share_file(share).await.unwrap_err()));
    answers.push(reason(files.delete_file(file::DeleteFileRequest { file_id }).await.unwrap_err()));
    let send = chat::SendMessageRequest {
        room_id: elsewhere.id.clone(),
        op_id: op_id(),
        file_ids: vec![id.to_owned()],
        ..Default::default()
    };
    if person.user.username == "stranger" {
        answers.push(reason(person.messages().send_message(send).await.unwrap_err()));
    }
    answers
}
