//! Files and the stores that they are in: S3 that goes away, refuses or is full; direct parts and signed addresses; a process
//! that ends in the middle; a scanner; files larger than memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use mesh::{blobs::S3Config, config::Secret};
use proto::{
    chat::v1 as chat,
    file::v1::{
        self as file, DownloadFileRequest, FileState, PreviewState, ScanState, UploadFileRequest, UploadHeader,
        download_file_response, upload_file_request::Part, upload_header::Target,
    },
};
use sha2::{Digest as _, Sha256};
use tests::{
    Person, Shape, Town,
    files::{create, http, ready},
    process::Process,
    servers::{Mood, S3},
    within,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::Code;

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
    for (mood, reason) in [(Mood::Away, "BLOBS_UNAVAILABLE"), (Mood::Full, "BLOBS_FULL")] {
        s3.becomes(mood);
        let stands = alice.asks(&opening.op_id).await.unwrap();
        let refused = sends(&alice, &stands, &bytes).await.unwrap_err();
        assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::Unavailable, reason.into()));
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

/// The store goes away between an upload and the worker's look at it: the file waits, and is ready within seconds.
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

/// The disk of the blobs is full. Needs the right to mount one; where it is missing, the same is seen on S3 above.
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
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::Unavailable, "BLOBS_FULL".into()));
    alice.says(&room, "chat goes on").await;
    let cancel = file::CancelUploadRequest { upload_id: upload.id };
    alice.files().cancel_upload(cancel).await.unwrap();
    let small = async {
        while alice.uploads(&room, "small.bin", &[7; MIB]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(RIGHT_AGAIN, small).await.expect("what was given up makes room");
    assert_eq!(alice.finds(&room, "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_go_directly_to_the_store() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |config| config.file.direct = true).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_room("general").await;
    // The bucket is there as soon as anything was stored.
    alice.brings(&room, "first.txt", b"first").await;
    let limits = alice.files().get_upload_limits(file::GetUploadLimitsRequest {}).await.unwrap().into_inner();
    assert_eq!((limits.direct, limits.min_part_bytes), (true, 5 * MIB as u64));
    let bytes = some_bytes(12 * MIB);
    let opening = create(&room, bytes.len(), Some("direct.bin"));
    let upload = alice.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
    let part = |offset: usize, size: usize| file::UploadPart { offset: offset as u64, size: size as u64 };
    let parts = vec![part(0, 5 * MIB), part(5 * MIB, 5 * MIB), part(10 * MIB, 2 * MIB)];
    let ask = |parts: Vec<file::UploadPart>| file::CreatePartUrlsRequest { upload_id: upload.id.clone(), parts };
    for wrong in [vec![], vec![part(0, MIB)], vec![part(0, 65 * MIB)], vec![part(11 * MIB, 2 * MIB)]] {
        assert_eq!(alice.files().create_part_urls(ask(wrong)).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(eve.files().create_part_urls(ask(parts.clone())).await.unwrap_err().code(), Code::NotFound);
    let urls = alice.files().create_part_urls(ask(parts.clone())).await.unwrap().into_inner().parts;
    let commit = |parts: Vec<file::UploadPart>| file::CommitPartsRequest { upload_id: upload.id.clone(), parts };
    let missing = alice.files().commit_parts(commit(parts.clone())).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&missing), "PART_MISSING");
    for url in &urls {
        let part = url.part.unwrap();
        let (from, size) = (usize::try_from(part.offset).unwrap(), usize::try_from(part.size).unwrap());
        let put = Request::builder().method(Method::PUT);
        let put = http(town.public, put, &url.url, bytes[from..from + size].to_vec()).await;
        assert_eq!(put.status(), StatusCode::OK);
    }
    let half = alice.files().commit_parts(commit(parts[..2].to_vec())).await.unwrap().into_inner().upload.unwrap();
    assert_eq!(half.offset, 10 * MIB as u64);
    // The first two again, as after an answer that got lost, and the last.
    let done = alice.files().commit_parts(commit(parts.clone())).await.unwrap().into_inner().upload.unwrap();
    let file = alice.settled(&done.file.unwrap().id).await;
    assert_eq!(file.sha256[..], Sha256::digest(&bytes)[..]);
    assert!(alice.downloads(&file.id, "").await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_are_sent_to_the_store_for_a_moment() {
    let s3 = S3::start().await;
    let town = town_on(&s3, |config| config.file.redirect = true).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("private").await;
    let page = alice.brings(&room, "a \"page\".html", b"<script>alert(1)</script>").await;
    let path = format!("/files/{}", page.id);
    let sent = alice.gets(&path, &[]).await;
    assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(sent.headers()[header::CACHE_CONTROL], "no-store");
    let url = sent.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let life: u64 = url.split("X-Amz-Expires=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
    assert!(url.starts_with(&s3.endpoint()) && life <= 60, "{url}");
    let got = http(town.public, Request::builder(), &url, "").await;
    assert_eq!((got.status(), got.body().as_ref()), (StatusCode::OK, b"<script>alert(1)</script>".as_slice()));
    assert!(got.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment;"));
    let part = Request::builder().header(header::RANGE, "bytes=1-6");
    assert_eq!(http(town.public, part, &url, "").await.body().as_ref(), b"script");
    // Whoever is outside gets no address at all.
    let outside = eve.gets(&path, &[]).await;
    assert_eq!((outside.status(), outside.headers().get(header::LOCATION)), (StatusCode::NOT_FOUND, None));
    // A program that does not ask for an address gets the bytes.
    assert_eq!(alice.downloads(&page.id, "").await.unwrap(), b"<script>alert(1)</script>");
    let head = Request::builder().method(Method::HEAD).header(header::AUTHORIZATION, format!("Bearer {}", alice.token));
    let head = http(town.public, head, &path, "").await;
    assert_eq!((head.status(), &head.headers()[header::CONTENT_LENGTH]), (StatusCode::OK, &"25".parse().unwrap()));
}

/// A scanner that knows one virus, and answers as clamd does.
async fn clamd() -> (String, mesh::lifecycle::Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tasks = mesh::lifecycle::Tasks::new();
    tasks.spawn("clamd", async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
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
            }
            let found = bytes.windows(5).any(|window| window == b"EICAR");
            let answer: &[u8] = if found { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
            socket.write_all(answer).await.unwrap();
        }
    });
    (address, tasks)
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
}

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

/// Files that are made to harm whoever decodes them: each ends as a file without smaller pictures, quickly, and the next one
/// is looked at as if nothing had been.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_harm_nobody() {
    let town = Town::start(Shape::Embedded).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    for (name, bomb) in bombs() {
        let file = alice.brings(&room, name, &bomb).await;
        assert_eq!(file.state(), FileState::Ready, "{name}");
        assert!(file.thumbnails.is_empty() && file.preview() != PreviewState::Made, "{name}");
        assert_eq!(alice.downloads(&file.id, "").await.unwrap().len(), bomb.len(), "{name}");
    }
    let photo = image::RgbImage::new(400, 300);
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let fine = alice.brings(&room, "fine.png", &bytes.into_inner()).await;
    assert_eq!(fine.preview(), PreviewState::Made);
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let png = |width: u32, height: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        bytes.extend(crc32(&bytes[12..]).to_be_bytes());
        bytes.extend(b"\0\0\0\x01IDATx\0\0\0\0");
        bytes
    };
    let gif = |width: u16, height: u16| {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
        bytes.extend([0x2c, 0, 0, 0, 0]);
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0, 2, 2, 0x4c, 1]);
        bytes
    };
    let jpeg = |width: u16, height: u16| {
        let mut bytes = b"\xff\xd8\xff\xc0\0\x11\x08".to_vec();
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes
    };
    vec![
        ("fifty thousand squared.png", png(50_000, 50_000)),
        ("a line.png", png(u32::MAX / 2, 1)),
        ("nothing.png", png(0, 0)),
        ("sixteen thousand squared.png", png(16_000, 16_000)),
        ("wide.gif", gif(65_535, 65_535)),
        ("flood.jpg", jpeg(65_535, 65_535)),
        ("cut.webp", b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff".to_vec()),
        ("boxes.mp4", [b"\0\0\0\x14ftypisom\0\0\0\0isom".as_slice(), &b"\0\0\0\x08moov".repeat(5000)].concat()),
        ("endless.mp4", b"\0\0\0\x14ftypisom\0\0\0\0isom\xff\xff\xff\xffmoov\xff\xff\xff\xfetrak".to_vec()),
        ("tags.mp3", b"ID3\x03\0\0\x7f\x7f\x7f\x7fTIT2\xff\xff\xff\xff".to_vec()),
        ("film.webm", b"\x1a\x45\xdf\xa3\x84\x42\x82\x81w\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("loop.pdf", b"%PDF-1.4\nxref\n0 1\ntrailer<</Prev 9/Root 1 0 R>>\nstartxref\n9\n%%EOF".to_vec()),
        ("deep.pdf", [b"%PDF-1.4\n1 0 obj\n".as_slice(), &b"[".repeat(200_000), b"\nstartxref\n9\n%%EOF"].concat()),
    ]
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
