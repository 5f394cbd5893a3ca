//! Who gets files, and who does not.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::{
    chat::v1 as chat,
    file::v1::{
        self as file, CreateUploadRequest, UploadFileRequest, UploadHeader, upload_file_request::Part,
        upload_header::Target,
    },
};
use tests::{
    Person, Shape, Town,
    files::{create, http, ready},
    op_id, within,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::photo;

const MIB: usize = 1024 * 1024;

pub async fn files_are_for_the_room(town: Town) {
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

/// A picture is shown to others when it was looked at, not before.
pub async fn only_the_uploader_sees_what_is_not_checked(town: Town) {
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

/// An upload that goes on for as long as chunks are given to it, and why it is refused in the end.
struct Sending {
    chunks: mpsc::Sender<Vec<u8>>,
    refused: JoinSet<String>,
}

impl Sending {
    fn over_grpc(person: &Person, target: Target) -> Self {
        let (sender, chunks) = mpsc::channel::<Vec<u8>>(4);
        let header = Part::Header(UploadHeader { target: Some(target), ..UploadHeader::default() });
        let parts = stream::iter([header]).chain(ReceiverStream::new(chunks).map(|chunk| Part::Chunk(chunk.into())));
        let mut files = person.files();
        let mut refused = JoinSet::new();
        refused.spawn(async move {
            let parts = parts.map(|part| UploadFileRequest { part: Some(part) });
            mesh::errors::reason(&files.upload_file(parts).await.expect_err("the upload is refused"))
        });
        Self { chunks: sender, refused }
    }

    fn over_tus(person: &Person, upload: &file::Upload) -> Self {
        let (sender, chunks) = mpsc::channel::<Vec<u8>>(4);
        let frames = ReceiverStream::new(chunks).map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!("http://{}/files/{}", person.address, upload.id))
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", 0)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header(header::AUTHORIZATION, format!("Bearer {}", person.token))
            .body(StreamBody::new(frames))
            .unwrap();
        let mut refused = JoinSet::new();
        refused.spawn(async move {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let answer = client.request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let problem = answer.into_body().collect().await.unwrap().to_bytes();
            let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
            problem["reason"].as_str().unwrap_or_default().to_owned()
        });
        Self { chunks: sender, refused }
    }

    async fn gives(&self, megabytes: usize) {
        for _ in 0..megabytes {
            within("it is taken", self.chunks.send(vec![7; MIB])).await.expect("the upload goes on");
        }
    }

    async fn ends(self) -> String {
        let Self { chunks, mut refused } = self;
        drop(chunks);
        within("it is answered", refused.join_next()).await.unwrap().unwrap()
    }
}

/// Who may post when a file begins to come in, and is put out of the room while it does, has brought nothing into it in the end.
pub async fn who_is_removed_while_sending_brings_nothing_in(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_private_room("private").await;
    let mut listens = alice.listens().await;
    for way in ["one stream", "another stream", "tus"] {
        alice.adds(&room, &bob).await;
        let opening = create(&room, 6 * MIB, Some("late.bin"));
        let (sending, expected) = if way == "one stream" {
            (Sending::over_grpc(&bob, Target::Create(opening.clone())), "ROOM_NOT_FOUND")
        } else {
            let upload = bob.files().create_upload(opening.clone()).await.unwrap().into_inner().upload.unwrap();
            let sending = match way {
                "tus" => Sending::over_tus(&bob, &upload),
                _ => Sending::over_grpc(&bob, Target::UploadId(upload.id)),
            };
            (sending, "UPLOAD_NOT_FOUND")
        };
        // As much as is put on disk in one piece: when it is there, he was allowed to send it.
        sending.gives(5).await;
        let stored = async {
            while !bob.asks(&opening.op_id).await.is_ok_and(|upload| upload.offset > 0) {
                tokio::task::yield_now().await;
            }
        };
        within("the first bytes are stored", stored).await;
        alice.removes(&room, &bob).await;
        sending.gives(1).await;
        assert_eq!(sending.ends().await, expected, "by {way}: as if he had begun now");
        let gone = bob.asks(&opening.op_id).await.expect_err("the upload is gone");
        assert_eq!(mesh::errors::reason(&gone), "UPLOAD_NOT_FOUND", "by {way}");
        let usage = bob.files().get_usage(file::GetUsageRequest {}).await.unwrap().into_inner().usage.unwrap();
        assert_eq!(usage.user_bytes, 0, "by {way}: what came counts for nobody");
    }
    assert!(alice.finds(&room, "").await.is_empty());
    let after = alice.says(&room, "what was it?").await;
    listens.reaches(&room.id, after.seq).await;
    assert!(!listens.log.iter().any(|event| ready(event).is_some()), "nothing was announced");
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
