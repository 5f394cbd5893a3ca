//! Stories of the edges: the socket, the browser's session, reflection, health.

use std::collections::BTreeMap;

use futures::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::{
    chat::v1::{self as chat, event::Body},
    edge::v1::{Hello, Ping, SubscribeRequest, client_frame, server_frame::Frame},
};
use serde_json::{Value, json};
use tests::{
    Person, Town, op_id,
    person::{PASSWORD, SETUP_TOKEN},
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
    tests::files::http(town.public, request, path, body).await
}

fn post() -> http::request::Builder {
    Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/json")
}

fn document(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

async fn a_browser_keeps_its_session_in_a_cookie(town: Town) {
    let account = json!({"username": "alice", "password": PASSWORD}).to_string();
    let first = json!({"username": "alice", "password": PASSWORD, "setup_token": SETUP_TOKEN}).to_string();
    let made = http(&town, post(), "/session/register", first).await;
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
    use proto::chat::internal::v1::{OpenFeedsRequest, feed_service_client::FeedServiceClient};
    let alice = town.registers("alice").await;
    let request = OpenFeedsRequest { user_id: alice.user.id.clone(), ..OpenFeedsRequest::default() };
    let refused = FeedServiceClient::new(alice.channel()).open_feeds(request).await.unwrap_err();
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
