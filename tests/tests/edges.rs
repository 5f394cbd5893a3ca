//! Stories of the edges: the socket, the browser's session, reflection, health, files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use futures::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::{
    chat::v1::{self as chat, event::Body},
    edge::v1::{Hello, Ping, SubscribeRequest, client_frame, server_frame::Frame},
    file::v1::{
        self as file, CreateUploadRequest, FileMetadata, FileState, UploadFileRequest, UploadHeader,
        download_file_response, upload_file_request::Part, upload_header::Target,
    },
};
use serde_json::{Value, json};
use tests::{
    Person, Town, op_id,
    person::PASSWORD,
    socket::{Closed, Socket},
    stories, within,
};
use tokio_tungstenite::tungstenite;
use tonic::Code;

stories!(
    a_socket_calls_and_listens,
    a_socket_must_sign_in,
    a_socket_that_breaks_the_rules_is_closed,
    a_browser_keeps_its_session_in_a_cookie,
    signing_out_closes_the_streams,
    a_file_is_shared,
    both_halves_in_either_order,
    an_upload_goes_on_where_it_broke,
    files_are_for_the_room,
    health_and_metrics_are_told,
    internal_methods_do_not_exist_outside,
);

async fn a_socket_calls_and_listens(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut socket = Socket::signed_in(town.public, &alice.token).await;
    socket.send(client_frame::Frame::Subscribe(SubscribeRequest::default())).await;
    let mut snapshots = 0;
    loop {
        match socket.next().await.unwrap() {
            Frame::Snapshot(_) => snapshots += 1,
            Frame::CaughtUp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(snapshots, 2, "the room's and alice's own feed");
    let send = chat::SendMessageRequest {
        room_id: room.id.clone(),
        text: "over the socket".into(),
        op_id: op_id(),
        file_ids: Vec::new(),
    };
    let method = "/loquat.chat.v1.MessageService/SendMessage";
    let sent: chat::SendMessageResponse = socket.call(method, &send).await.unwrap();
    let wrong = chat::SendMessageRequest { text: String::new(), ..send };
    let refused = socket.call::<_, chat::SendMessageResponse>(method, &wrong).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument as i32);
    assert!(!refused.details.is_empty());
    let unknown = socket.call::<_, chat::SendMessageResponse>("/loquat.chat.internal.v1.FeedService/ReadFeed", &wrong);
    assert_eq!(unknown.await.unwrap_err().code, Code::Unimplemented as i32);
    socket.send(client_frame::Frame::Ping(Ping { nonce: 7, cursors: Vec::new() })).await;
    let said = alice.says(&room, "over gRPC").await;
    let (mut pong, mut newest) = (false, sent.message.unwrap().seq);
    while !pong || newest < said.seq {
        match socket.next().await.unwrap() {
            Frame::Pong(answer) => pong = answer.nonce == 7,
            Frame::Event(event) => newest = newest.max(event.seq),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_socket_must_sign_in(town: Town) {
    let alice = town.registers("alice").await;
    let refused = Socket::connect(town.public, &[("authorization", "Bearer nonsense")]).await;
    assert!(matches!(refused.err(), Some(tungstenite::Error::Http(answer)) if answer.status() == 401));
    // A cookie counts only from our own pages.
    for origin in [None, Some("http://evil.test"), Some("null")] {
        let mut headers = vec![("cookie", "loquat=x")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let refused = Socket::connect(town.public, &headers).await;
        assert!(
            matches!(refused.err(), Some(tungstenite::Error::Http(answer)) if answer.status() == 403),
            "{origin:?}"
        );
    }
    let mut socket = Socket::connect(town.public, &[]).await.unwrap();
    socket.send(client_frame::Frame::Hello(Hello { access_token: alice.token.clone() })).await;
    let me: proto::auth::v1::GetMeResponse =
        socket.call("/loquat.auth.v1.UserService/GetMe", &proto::auth::v1::GetMeRequest {}).await.unwrap();
    assert_eq!(me.user.unwrap().id, alice.user.id);
    let mut silent = Socket::connect(town.public, &[]).await.unwrap();
    assert_eq!(silent.next().await.unwrap_err(), Closed { code: 4401 }, "within five seconds");
}

async fn a_socket_that_breaks_the_rules_is_closed(town: Town) {
    let alice = town.registers("alice").await;
    for (message, code) in [
        (tungstenite::Message::Binary(vec![0xff; 10].into()), 1003),
        (tungstenite::Message::Text("hello".into()), 1003),
        (tungstenite::Message::Binary(vec![0; 300 * 1024].into()), 1009),
    ] {
        let mut socket = Socket::signed_in(town.public, &alice.token).await;
        socket.send_raw(message).await;
        assert_eq!(socket.next().await.unwrap_err(), Closed { code });
    }
}

/// One HTTP request.
async fn http(town: &Town, request: http::request::Builder, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = request.uri(town.url(path)).body(Full::new(body.into())).unwrap();
    let (parts, body) = within(path, client.request(request)).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn post() -> http::request::Builder {
    Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/json")
}

fn document(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

async fn a_browser_keeps_its_session_in_a_cookie(town: Town) {
    let account = json!({"username": "alice", "password": PASSWORD}).to_string();
    let made = http(&town, post(), "/session/register", account.clone()).await;
    assert_eq!(made.status(), StatusCode::OK);
    let set = made.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    assert!(document(&made).get("refresh_token").is_none(), "scripts never see it");
    assert_eq!(document(&made)["user"]["username"], "alice");
    let cookie = set.split(';').next().unwrap().to_owned();

    let renewed = http(&town, post().header(header::COOKIE, &cookie), "/session/refresh", "{}").await;
    assert_eq!(renewed.status(), StatusCode::OK);
    let cookie = renewed.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let origin = town.url("").trim_end_matches('/').to_owned();
    let mut socket = Socket::connect(town.public, &[("cookie", &cookie), ("origin", &origin)]).await.unwrap();
    let me: proto::auth::v1::GetMeResponse =
        socket.call("/loquat.auth.v1.UserService/GetMe", &proto::auth::v1::GetMeRequest {}).await.unwrap();
    assert_eq!(me.user.unwrap().username, "alice");

    let foreign = post().header(header::COOKIE, &cookie).header(header::ORIGIN, "http://evil.test");
    assert_eq!(http(&town, foreign, "/session/refresh", "{}").await.status(), StatusCode::FORBIDDEN);
    let plain = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(http(&town, plain, "/session/login", account).await.status(), StatusCode::BAD_REQUEST);
    let wrong = json!({"username": "alice", "password": "not hers at all"}).to_string();
    let refused = http(&town, post(), "/session/login", wrong).await;
    assert_eq!(
        (refused.status(), &document(&refused)["reason"]),
        (StatusCode::UNAUTHORIZED, &json!("BAD_CREDENTIALS"))
    );
    let short = json!({"username": "a", "password": "x"}).to_string();
    let refused = document(&http(&town, post(), "/session/register", short).await);
    let fields: Vec<&Value> = refused["violations"].as_array().unwrap().iter().map(|wrong| &wrong["field"]).collect();
    assert_eq!(fields, ["username", "password"]);

    let out = http(&town, post().header(header::COOKIE, &cookie), "/session/logout", "{}").await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(socket.next().await.unwrap_err(), Closed { code: 4401 });
    let again = http(&town, post().header(header::COOKIE, &cookie), "/session/refresh", "{}").await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
}

async fn signing_out_closes_the_streams(town: Town) {
    let alice = town.registers("alice").await;
    let other = Person::signs_in(town.public, "alice").await;
    let (mut hers, mut others) = (alice.listens().await, other.listens().await);
    let mut auth = proto::auth::v1::auth_service_client::AuthServiceClient::new(alice.channel());
    auth.logout(proto::auth::v1::LogoutRequest::default()).await.unwrap();
    let ended = hers.next().await.unwrap_err();
    assert_eq!((ended.code(), mesh::errors::reason(&ended)), (Code::Unauthenticated, "SESSION_ENDED".into()));
    let room = other.creates_room("still here").await;
    others
        .waits_for("the other session goes on", |event| matches!(&event.body, Some(Body::RoomJoined(_))).then_some(()))
        .await;
    other.says(&room, "yes").await;
}

/// A picture that has something in it.
fn photo() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(900, 600, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 128]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// Uploads in one stream and returns where the upload stands.
async fn upload(
    person: &Person,
    target: Target,
    offset: u64,
    chunks: Vec<Vec<u8>>,
) -> Result<file::Upload, tonic::Status> {
    let header = UploadHeader { target: Some(target), offset, last: false, ..UploadHeader::default() };
    let mut parts = vec![UploadFileRequest { part: Some(Part::Header(header)) }];
    parts.extend(chunks.into_iter().map(|chunk| UploadFileRequest { part: Some(Part::Chunk(chunk.into())) }));
    let answer = person.files().upload_file(stream::iter(parts)).await?;
    Ok(answer.into_inner().upload.unwrap())
}

fn create(room: &chat::Room, size: usize, name: Option<&str>) -> CreateUploadRequest {
    let metadata = name.map(|name| FileMetadata { name: name.into(), ..FileMetadata::default() });
    CreateUploadRequest { op_id: op_id(), room_id: room.id.clone(), size: Some(size as u64), metadata }
}

fn ready(event: &chat::Event) -> Option<file::File> {
    match &event.body {
        Some(Body::FileReady(ready)) => ready.file.clone(),
        _ => None,
    }
}

async fn a_file_is_shared(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let photo = photo();
    let chunks = photo.chunks(10_000).map(<[u8]>::to_vec).collect();
    let done = upload(&alice, Target::Create(create(&room, photo.len(), Some("../trip to Ærø.jpg"))), 0, chunks)
        .await
        .unwrap();
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
    assert_eq!(listed[0].files[0].thumbnails.len(), 1, "a later page has what became known later");

    let bearer = format!("Bearer {}", bob.token);
    let get = |range: Option<&str>| {
        let request = Request::builder().header(header::AUTHORIZATION, &bearer);
        range.map_or_else(
            || Request::builder().header(header::AUTHORIZATION, &bearer),
            |range| request.header(header::RANGE, range),
        )
    };
    let path = format!("/files/{}", proven.id);
    let whole = http(&town, get(None), &path, "").await;
    assert_eq!((whole.status(), whole.body().as_ref()), (StatusCode::OK, photo.as_slice()));
    assert!(whole.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("inline;"));
    let part = http(&town, get(Some("bytes=100-199")), &path, "").await;
    assert_eq!((part.status(), part.body().as_ref()), (StatusCode::PARTIAL_CONTENT, &photo[100..200]));
    let end = http(&town, get(Some("bytes=-50")), &path, "").await;
    assert_eq!(end.body().as_ref(), &photo[photo.len() - 50..]);
    let beyond = http(&town, get(Some("bytes=99999999-")), &path, "").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let etag = whole.headers()[header::ETAG].clone();
    let known = http(&town, get(None).header(header::IF_NONE_MATCH, etag), &path, "").await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let small = http(&town, get(None), &format!("{path}?variant=w320"), "").await;
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
            Box::pin(async { upload(&alice, Target::Create(nameless.clone()), 0, vec![bytes.clone()]).await.map(drop) })
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
    let opened = http(&town, opening, "/files", "").await;
    assert_eq!(opened.status(), StatusCode::CREATED);
    let path = opened.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let mut offset = 0;
    for size in [1_usize, 100_000, 77_777, 122_222] {
        let head = http(&town, tus(Method::HEAD), &path, "").await;
        assert_eq!(head.headers()["upload-offset"], offset.to_string());
        let patch = |at: usize| {
            tus(Method::PATCH)
                .header("upload-offset", at)
                .header(header::CONTENT_TYPE, "application/offset+octet-stream")
        };
        let misplaced = http(&town, patch(offset + 1), &path, "x").await;
        assert_eq!(misplaced.status(), StatusCode::CONFLICT);
        let sent = http(&town, patch(offset), &path, bytes[offset..offset + size].to_vec()).await;
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
        offset += size;
        assert_eq!(sent.headers()["upload-offset"], offset.to_string());
        if offset == bytes.len() {
            assert!(sent.headers().contains_key("loquat-file-reference"));
        }
    }
    let id = path.trim_start_matches("/files/").to_owned();
    let request = file::DownloadFileRequest { file_id: id, ..Default::default() };
    let mut stream = alice.files().download_file(request).await.unwrap().into_inner();
    let mut back = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(download_file_response::Part::Chunk(chunk)) = message.part {
            back.extend_from_slice(&chunk);
        }
    }
    assert!(back == bytes, "what went up comes down");
    let gone = http(&town, tus(Method::HEAD), &format!("/files/{}", op_id()), "").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

async fn files_are_for_the_room(town: Town) {
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let room = alice.creates_private_room("private").await;
    let done = upload(&alice, Target::Create(create(&room, 3, Some("a.txt"))), 0, vec![vec![1, 2, 3]]).await.unwrap();
    let (known, unknown) = (done.id, op_id());
    let mut answers: Vec<Vec<String>> = Vec::new();
    for id in [&known, &unknown] {
        let get = eve.files().get_file(file::GetFileRequest { file_id: id.clone() }).await.unwrap_err();
        let request = file::DownloadFileRequest { file_id: id.clone(), ..Default::default() };
        let download = eve.files().download_file(request).await.unwrap_err();
        let find = file::GetUploadRequest { target: Some(file::get_upload_request::Target::UploadId(id.clone())) };
        let find = eve.files().get_upload(find).await.unwrap_err();
        let cancel = eve.files().cancel_upload(file::CancelUploadRequest { upload_id: id.clone() }).await.unwrap_err();
        let append = upload(&eve, Target::UploadId(id.clone()), 3, vec![vec![4]]).await.unwrap_err();
        answers.push(
            [get, download, find, cancel, append]
                .iter()
                .map(|status| format!("{status:?}").replace(id, "ID"))
                .collect(),
        );
        let bearer = Request::builder().header(header::AUTHORIZATION, format!("Bearer {}", eve.token));
        assert_eq!(http(&town, bearer, &format!("/files/{id}"), "").await.status(), StatusCode::NOT_FOUND);
        let nobody = http(&town, Request::builder(), &format!("/files/{id}"), "").await;
        assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    }
    let strip = |texts: &[String]| -> Vec<String> {
        // Dates differ between the answers; nothing else may.
        texts.iter().map(|text| text.split("\"date\"").next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(strip(&answers[0]), strip(&answers[1]));
    let outside = upload(&eve, Target::Create(create(&room, 1, Some("b.txt"))), 0, vec![vec![1]]).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&outside), "ROOM_NOT_FOUND");
    let large = CreateUploadRequest { size: Some(u64::MAX / 4), ..create(&room, 1, Some("c.txt")) };
    let refused = alice.files().create_upload(large).await.unwrap_err();
    assert_eq!(mesh::errors::reason(&refused), "FILE_TOO_LARGE");
}

async fn health_and_metrics_are_told(mut town: Town) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let ops = town.ops;
    let get = async |path: &str| {
        let answer = client.get(format!("http://{ops}{path}").parse().unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(get("/healthz").await.0, StatusCode::OK);
    assert_eq!(get("/readyz").await, (StatusCode::OK, "ready\n".into()));
    town.registers("alice").await;
    let metrics = get("/metrics").await.1;
    assert!(metrics.contains("loquat_rpc_seconds") && metrics.contains("AuthService/Register"), "{metrics}");

    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let mut health = HealthClient::new(town.channel());
    for service in ["", "loquat.chat.v1.MessageService", "loquat.edge.v1.EdgeService"] {
        let check = HealthCheckRequest { service: service.into() };
        // The word is spread by a task that may not have run yet.
        let serving = async {
            while health.check(check.clone()).await.map_or(0, |answer| answer.into_inner().status) != 1 {
                tokio::task::yield_now().await;
            }
        };
        within(service, serving).await;
    }
    town.stops().await;
}

async fn internal_methods_do_not_exist_outside(town: Town) {
    use proto::chat::internal::v1::{ListFeedsRequest, feed_service_client::FeedServiceClient};
    let alice = town.registers("alice").await;
    let request = ListFeedsRequest { user_id: alice.user.id.clone() };
    let refused = FeedServiceClient::new(alice.channel()).list_feeds(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let services = reflected(&town).await;
    assert!(services.keys().all(|name| !name.contains(".internal.")), "{services:?}");
    for name in [
        "loquat.auth.v1.AuthService",
        "loquat.chat.v1.MessageService",
        "loquat.file.v1.FileService",
        "loquat.edge.v1.EdgeService",
        "loquat.worker.v1.JobService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.contains_key(name), "{name} is missing");
    }
}

/// What a client that knows nothing of us learns by reflection.
async fn reflected(town: &Town) -> BTreeMap<String, ()> {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = ServerReflectionClient::new(town.channel()).server_reflection_info(stream::iter([request])).await;
    let answer = asked.unwrap().into_inner().message().await.unwrap().unwrap();
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| (service.name, ())).collect()
        }
        other => panic!("{other:?}"),
    }
}
