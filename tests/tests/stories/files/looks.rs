//! What is found out about a file, and how it is served.

use std::io::{Cursor, Write as _};

use http::{Request, StatusCode, header};
use proto::{
    chat::v1 as chat,
    file::v1::{FileState, PreviewState, upload_header::Target},
};
use tests::{
    Town,
    files::{create, http, ready},
    op_id,
};
use tonic::Code;

use super::{encoded, photo};

pub async fn a_file_is_shared(town: Town) {
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

/// An archive as office programs write it.
fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub async fn bytes_say_what_they_are(town: Town) {
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
    let core = "<p xmlns:dc=\"d\"><dc:title>Harvest &amp; yield</dc:title><dc:creator>Ada</dc:creator></p>";
    let plan =
        alice.brings(&room, "plan.docx", &archive(&[("word/document.xml", "<w/>"), ("docProps/core.xml", core)])).await;
    assert!(plan.content_type.ends_with("wordprocessingml.document"), "{}", plan.content_type);
    assert_eq!((plan.found["title"].as_str(), plan.found["author"].as_str()), ("Harvest & yield", "Ada"));
    assert_eq!(alice.finds(&room, "harvest").await.len(), 1);
    let text = alice.brings(&room, "a.txt", b"just text").await;
    assert_eq!(text.preview(), PreviewState::None);
}
