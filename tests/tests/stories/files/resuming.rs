//! Uploads that break off, and go on.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use proto::file::v1::{
    FileState, UploadFileRequest, UploadHeader,
    upload_file_request::Part,
    upload_header::{StreamChecksum, Target},
};
use tests::{
    Town,
    files::{create, http},
    op_id, within,
};
use tonic::Code;

pub async fn an_upload_goes_on_where_it_broke(town: Town) {
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

/// `tus-js-client` as npm has it, through a door that is slammed in its face fifty times.
pub async fn the_usual_client_is_cut_fifty_times(town: Town) {
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
pub async fn streams_are_cut_and_resumed(town: Town) {
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

pub async fn a_stream_proves_what_it_brings(town: Town) {
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
