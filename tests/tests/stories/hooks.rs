//! Stories of incoming webhooks: other programs post into a room with nothing but an address.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::Response;
use mesh::errors::reason;
use proto::chat::v1::{
    self as chat, CreateIncomingWebhookRequest, DeleteIncomingWebhookRequest, IncomingWebhook,
    ListIncomingWebhooksRequest, RenameIncomingWebhookRequest, Room, RoomPermissions, RoomRole,
    audit_service_client::AuditServiceClient, incoming_webhook_service_client::IncomingWebhookServiceClient,
};
use serde_json::{Value, json};
use tests::{
    Person, Shape, Town, cluster::Cluster, files::http, op_id, person::Signed, servers::Backends, stories, within,
};
use tonic::Code;
use tonic_types::StatusExt as _;

stories!(
    a_program_posts_with_nothing_but_an_address,
    the_same_operation_is_answered_as_the_first_time,
    webhooks_are_for_those_who_run_the_room,
    a_wrong_address_tells_nothing,
    what_cannot_be_posted_says_why,
);

fn hooks(person: &Person) -> IncomingWebhookServiceClient<Signed> {
    IncomingWebhookServiceClient::new(person.channel())
}

/// A webhook and the path of its address.
async fn makes(person: &Person, room: &Room, name: &str) -> (IncomingWebhook, String) {
    let request = CreateIncomingWebhookRequest { room_id: room.id.clone(), name: name.into() };
    let made = hooks(person).create_incoming_webhook(request).await.expect("a webhook is made").into_inner();
    (made.webhook.expect("the answer has the webhook"), made.url)
}

async fn listed(person: &Person, room: &Room) -> Vec<IncomingWebhook> {
    let request = ListIncomingWebhooksRequest { room_id: room.id.clone() };
    hooks(person).list_incoming_webhooks(request).await.expect("they can be seen").into_inner().webhooks
}

async fn deletes(person: &Person, webhook: &IncomingWebhook) {
    let (room_id, webhook_id) = (webhook.room_id.clone(), webhook.id.clone());
    hooks(person).delete_incoming_webhook(DeleteIncomingWebhookRequest { room_id, webhook_id }).await.unwrap();
}

/// Posts to an address, which may be a path.
async fn posts(address: std::net::SocketAddr, path: &str, kind: &str, body: impl Into<Bytes>) -> (Response<()>, Value) {
    let request = http::Request::builder().method("POST").header("content-type", kind);
    let (parts, body) = http(address, request, path, body).await.into_parts();
    let document = serde_json::from_slice(&body).unwrap_or_else(|cause| panic!("{cause}: {body:?}"));
    (Response::from_parts(parts, ()), document)
}

async fn says(town: &Town, path: &str, document: Value) -> (u16, Value) {
    let (response, told) = posts(town.public, path, "application/json", document.to_string()).await;
    (response.status().as_u16(), told)
}

async fn a_program_posts_with_nothing_but_an_address(town: Town) {
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("builds").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let (webhook, url) = makes(&alice, &room, "  Build server ").await;
    assert_eq!((webhook.name.as_str(), &webhook.created_by), ("Build server", &alice.user.id));
    assert!(url.starts_with(&format!("/hooks/{}/", webhook.id)) && url.len() > 80, "{url}");
    let (status, told) = says(&town, &url, json!({"text": "**green** again"})).await;
    assert_eq!(status, 200, "{told}");
    let seen = listens.sees("**green** again").await;
    assert_eq!((told["message_id"].as_str(), told["seq"].as_u64()), (Some(seen.id.as_str()), Some(seen.seq)));
    // Nobody said it: its author is the webhook.
    assert_eq!(seen.author_id, webhook.id);
    let shown = seen.webhook.clone().unwrap();
    assert_eq!((&shown.id, shown.name.as_str()), (&webhook.id, "Build server"));
    let event = listens.log.iter().find(|event| event.feed_id == room.id && event.seq == seen.seq).unwrap();
    assert_eq!(event.actor_id, webhook.id);

    // As other programs send it, under a name of their own.
    let form = "payload=%7B%22text%22%3A%22red+%26+blue%22%2C%22username%22%3A%22Night+build%22%7D";
    let (response, told) = posts(town.public, &url, "application/x-www-form-urlencoded", form).await;
    assert_eq!(response.status(), 200, "{told}");
    assert_eq!(listens.sees("red & blue").await.webhook.unwrap().name, "Night build");
    alice.says(&room, "thanks").await;
    assert_eq!(bob.reads(&room).await, ["**green** again", "red & blue", "thanks"]);

    // It is nobody's own message: it is deleted like somebody else's, and edited by nobody.
    let edit = chat::EditMessageRequest {
        room_id: room.id.clone(),
        message_id: seen.id.clone(),
        text: "x".into(),
        op_id: op_id(),
    };
    assert_eq!(reason(&alice.messages().edit_message(edit).await.unwrap_err()), "NOT_THE_AUTHOR");
    let delete = chat::DeleteMessageRequest { room_id: room.id.clone(), message_id: seen.id.clone(), op_id: op_id() };
    assert_eq!(reason(&bob.messages().delete_message(delete.clone()).await.unwrap_err()), "ROLE_TOO_LOW");
    alice.messages().delete_message(delete).await.unwrap();

    // What it posted before keeps the name it had.
    let rename = RenameIncomingWebhookRequest {
        room_id: room.id.clone(),
        webhook_id: webhook.id.clone(),
        name: "Builds".into(),
    };
    let renamed = hooks(&alice).rename_incoming_webhook(rename).await.unwrap().into_inner().webhook.unwrap();
    assert_eq!(listed(&alice, &room).await, [renamed]);
    says(&town, &url, json!({"text": "renamed"})).await;
    assert_eq!(listens.sees("renamed").await.webhook.unwrap().name, "Builds");

    let town = town.restarts().await;
    let (alice, bob) = (alice.at(town.public), bob.at(town.public));
    assert_eq!(says(&town, &url, json!({"text": "still there"})).await.0, 200, "its address outlives a restart");
    deletes(&alice, &webhook).await;
    let (status, told) = says(&town, &url, json!({"text": "too late"})).await;
    assert_eq!((status, told["reason"].as_str()), (404, Some("WEBHOOK_NOT_FOUND")));
    assert_eq!(listed(&alice, &room).await, []);
    assert!(bob.reads(&room).await.ends_with(&["renamed".into(), "still there".into()]), "what it posted stays");

    let mut audit = AuditServiceClient::new(alice.channel());
    let request = chat::AuditServiceListRequest { action: "webhook.".into(), ..Default::default() };
    let entries = audit.list(request).await.unwrap().into_inner().entries;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["webhook.deleted", "webhook.renamed", "webhook.created"]);
    for entry in &entries {
        assert_eq!((&entry.actor_id, &entry.subject_id), (&alice.user.id, &room.id));
        assert_eq!((&entry.details["webhook"], entry.address.as_str()), (&webhook.id, "127.0.0.1"));
        let secret = url.rsplit('/').next().unwrap();
        assert!(entry.details.values().all(|fact| !fact.contains(secret)));
    }
    assert!(audit.verify(chat::AuditServiceVerifyRequest {}).await.unwrap().into_inner().intact);
}

async fn the_same_operation_is_answered_as_the_first_time(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("builds").await;
    let (first, url) = makes(&alice, &room, "One").await;
    let (_, other) = makes(&alice, &room, "Other").await;
    let id = op_id();
    let post = json!({"text": "once", "op_id": id});
    let answers = futures::future::join_all((0..6).map(|_| says(&town, &url, post.clone()))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200), "{answers:?}");
    // Another webhook's operations are its own, and so is another text under the same id.
    assert_eq!(says(&town, &other, post.clone()).await.0, 200);
    let (status, told) = says(&town, &url, json!({"text": "twice", "op_id": id})).await;
    assert_eq!((status, told["reason"].as_str(), told["field"].as_str()), (409, Some("OP_ID_REUSED"), Some("op_id")));
    assert_eq!(alice.reads(&room).await, ["once", "once"]);
    // For ever: after a restart, and when the message is gone and the room only to be read.
    let town = town.restarts().await;
    let alice = alice.at(town.public);
    let message_id = answers[0].1["message_id"].as_str().unwrap().to_owned();
    let delete = chat::DeleteMessageRequest { room_id: room.id.clone(), message_id, op_id: op_id() };
    alice.messages().delete_message(delete).await.unwrap();
    let archive = chat::ArchiveRoomRequest { room_id: room.id.clone(), op_id: op_id() };
    alice.rooms().archive_room(archive).await.unwrap();
    assert_eq!(says(&town, &url, post.clone()).await, answers[0]);
    let (status, told) = says(&town, &url, json!({"text": "new", "op_id": op_id()})).await;
    assert_eq!((status, told["reason"].as_str()), (400, Some("ROOM_ARCHIVED")));
    // Whoever knew the address knows nothing any more, when it is none.
    deletes(&alice, &first).await;
    assert_eq!(says(&town, &url, post).await.0, 404);
}

async fn webhooks_are_for_those_who_run_the_room(town: Town) {
    let founder = town.registers("founder").await;
    let (alice, bob, eve) = (town.registers("alice").await, town.registers("bob").await, town.registers("eve").await);
    let room = alice.creates_private_room("builds").await;
    alice.adds(&room, &bob).await;
    let (webhook, url) = makes(&alice, &room, "Builds").await;
    let create = CreateIncomingWebhookRequest { room_id: room.id.clone(), name: "x".into() };
    let list = ListIncomingWebhooksRequest { room_id: room.id.clone() };
    for (person, code, why) in
        [(&bob, Code::PermissionDenied, "ROLE_TOO_LOW"), (&eve, Code::NotFound, "ROOM_NOT_FOUND")]
    {
        let refused = hooks(person).create_incoming_webhook(create.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why));
        let refused = hooks(person).list_incoming_webhooks(list.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why));
    }
    // A room in which only some may post is not written to in another way, and a webhook of it posts all the same.
    let permissions =
        RoomPermissions { edit_room: RoomRole::Member.into(), post: RoomRole::Admin.into(), ..Default::default() };
    let update =
        chat::UpdateRoomRequest { room_id: room.id.clone(), permissions: Some(permissions), ..Default::default() };
    alice.rooms().update_room(update).await.unwrap();
    let refused = hooks(&bob).create_incoming_webhook(create.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_TOO_LOW");
    assert_eq!(listed(&bob, &room).await, std::slice::from_ref(&webhook));
    assert_eq!(says(&town, &url, json!({"text": "announced"})).await.0, 200);
    // It is the room's, whatever becomes of who made it.
    let owner = chat::SetMemberRoleRequest {
        room_id: room.id.clone(),
        user_id: bob.user.id.clone(),
        role: RoomRole::Owner.into(),
        op_id: op_id(),
    };
    alice.rooms().set_member_role(owner).await.unwrap();
    bob.removes(&room, &alice).await;
    assert_eq!(says(&town, &url, json!({"text": "without alice"})).await.0, 200);
    assert_eq!(reason(&hooks(&alice).list_incoming_webhooks(list.clone()).await.unwrap_err()), "ROOM_NOT_FOUND");
    // Another room's webhook is none of this one's.
    let other = eve.creates_room("eve's").await;
    let take = DeleteIncomingWebhookRequest { room_id: other.id.clone(), webhook_id: webhook.id.clone() };
    assert_eq!(reason(&hooks(&eve).delete_incoming_webhook(take).await.unwrap_err()), "WEBHOOK_NOT_FOUND");
    // Archived, a room takes none and loses them.
    let archive = chat::ArchiveRoomRequest { room_id: room.id.clone(), op_id: op_id() };
    bob.rooms().archive_room(archive).await.unwrap();
    assert_eq!(reason(&hooks(&bob).create_incoming_webhook(create).await.unwrap_err()), "ROOM_ARCHIVED");
    deletes(&bob, &webhook).await;
    assert_eq!(says(&town, &url, json!({"text": "gone"})).await.0, 404);
    // Nobody may make more than a room can hold, also when they come at once.
    let many = (0..60).map(|number| {
        let request = CreateIncomingWebhookRequest { room_id: other.id.clone(), name: format!("hook {number}") };
        let mut client = hooks(&eve);
        async move { client.create_incoming_webhook(request).await }
    });
    let many = futures::future::join_all(many).await;
    let refused: Vec<_> = many.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 10);
    assert!(refused.iter().all(|refused| reason(refused) == "TOO_MANY_WEBHOOKS"), "{refused:?}");
    // Those who run the workspace look after public rooms.
    assert_eq!(listed(&founder, &other).await.len(), 50);
}

async fn a_wrong_address_tells_nothing(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("builds").await;
    let (webhook, url) = makes(&alice, &room, "Builds").await;
    let (_, other) = makes(&alice, &room, "Other").await;
    let secret = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let nobody = op_id();
    let mut answers = Vec::new();
    for path in [
        format!("/hooks/{}/{}", webhook.id, secret(&other)),
        format!("/hooks/{nobody}/{}", secret(&url)),
        format!("/hooks/{}", webhook.id),
        format!("/hooks/{}/", webhook.id),
        format!("{url}/"),
        format!("/hooks/{}/{}", room.id, secret(&url)),
        "/hooks/".to_owned(),
        "/hooks/x/y".to_owned(),
        url.replace(&secret(&url), &secret(&url)[1..]),
    ] {
        let (status, told) = says(&town, &path, json!({"text": "let me in"})).await;
        assert_eq!(status, 404, "{path}: {told}");
        answers.push(told);
    }
    assert!(answers.iter().all(|told| *told == answers[0]), "{answers:#?}");
    assert_eq!(
        answers[0],
        json!({
            "code": "not_found", "reason": "WEBHOOK_NOT_FOUND", "message": "There is no such webhook.", "field": "webhook_id",
            "violations": [{"field": "webhook_id", "description": "names no webhook of this room"}],
        })
    );
    // Somebody's own token is no secret, and the secret none for anything else.
    let request = http::Request::builder().header("authorization", format!("Bearer {}", secret(&url)));
    assert_eq!(http(town.public, request, "/files/x", "").await.status(), 401);
    assert_eq!(alice.reads(&room).await, Vec::<String>::new());
}

async fn what_cannot_be_posted_says_why(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("builds").await;
    let (_, url) = makes(&alice, &room, "Builds").await;
    let long = "x".repeat(16 * 1024 + 1);
    for (document, status, why, field) in [
        (json!({}), 400, "INVALID_REQUEST", "text"),
        (json!({"text": "  \n"}), 400, "INVALID_REQUEST", "text"),
        (json!({"text": 7}), 400, "INVALID_REQUEST", "text"),
        (json!({"text": "a\u{0}b"}), 400, "INVALID_REQUEST", "text"),
        (json!({"text": long}), 413, "TEXT_TOO_LONG", "text"),
        (json!({"text": "a", "name": "n".repeat(81)}), 400, "INVALID_REQUEST", "name"),
        (json!({"text": "a", "username": "two\nlines"}), 400, "INVALID_REQUEST", "name"),
        (json!({"text": "a", "op_id": "7"}), 400, "INVALID_REQUEST", "op_id"),
        (json!(["text"]), 400, "INVALID_REQUEST", ""),
    ] {
        let (got, told) = says(&town, &url, document).await;
        assert_eq!((got, told["reason"].as_str(), told["field"].as_str()), (status, Some(why), Some(field)), "{told}");
        assert!(told["code"].is_string() && told["message"].is_string(), "{told}");
    }
    let (response, told) = posts(town.public, &url, "application/json", "{\"text\":").await;
    assert_eq!((response.status().as_u16(), told["reason"].as_str()), (400, Some("INVALID_REQUEST")));
    let (response, told) = posts(town.public, &url, "application/x-www-form-urlencoded", "text=hello").await;
    assert_eq!((response.status().as_u16(), told["field"].as_str()), (400, Some("payload")));
    let (response, told) = posts(town.public, &url, "application/json", vec![b' '; 300 * 1024]).await;
    assert_eq!((response.status().as_u16(), told["reason"].as_str()), (413, Some("REQUEST_TOO_LARGE")));
    let answer = http(town.public, http::Request::builder(), &url, "").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, "POST"));
    // The longest text is taken, and nothing else was.
    assert_eq!(says(&town, &url, json!({"text": long[1..]})).await.0, 200);
    assert_eq!(alice.reads(&room).await, [&long[1..]]);
    for (request, field) in [
        (CreateIncomingWebhookRequest { room_id: "x".into(), name: "a".into() }, "room_id"),
        (CreateIncomingWebhookRequest { room_id: room.id.clone(), name: " ".into() }, "name"),
    ] {
        let refused = hooks(&alice).create_incoming_webhook(request).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_told_whole_where_the_server_knows_its_own() {
    let town = Town::start_with(Shape::Embedded, |config| config.public_url = "http://chat.example.org/".into()).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("builds").await;
    let (webhook, url) = makes(&alice, &room, "Builds").await;
    assert!(url.starts_with(&format!("http://chat.example.org/hooks/{}/", webhook.id)), "{url}");
}

/// Whoever tries addresses is slowed down as everywhere else, whatever they try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_counted() {
    let town = Town::start_with(Shape::Embedded, |config| {
        config.gateway.trusted_proxies = vec!["127.0.0.1".to_owned()].try_into().unwrap();
        config.gateway.limits.calls_per_address = 1;
        config.gateway.limits.burst_seconds = NonZeroU32::new(3).unwrap();
    })
    .await;
    let guess = async |from: &str| {
        let request = http::Request::builder().method("POST").header("x-forwarded-for", from);
        let path = format!("/hooks/{}/guessed", op_id());
        http(town.public, request, &path, r#"{"text": "let me in"}"#).await
    };
    let guessing = async {
        loop {
            let answer = guess("203.0.113.9").await;
            if answer.status() != 404 {
                return answer;
            }
        }
    };
    let refused = within("a refusal", guessing).await;
    let told: Value = serde_json::from_slice(refused.body()).unwrap();
    assert_eq!((refused.status().as_u16(), told["reason"].as_str()), (429, Some("CALLS_PER_ADDRESS")));
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(guess("198.51.100.7").await.status(), 404, "nobody else notices");
}

/// A webhook that posts too often is told when to come back, whichever way it comes in, and no other notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_posts_so_often_and_not_more_over_two_processes() {
    let backends = Backends::shared().await.with_broker().await;
    let cluster = Cluster::start_all_with(backends, |config| {
        config.chat.webhook_posts_per_minute = NonZeroU32::new(4).unwrap();
    })
    .await;
    let alice = cluster.registers("alice").await;
    let room = alice.creates_room("builds").await;
    let (webhook, url) = makes(&alice, &room, "Busy").await;
    let (_, calm) = makes(&alice, &room, "Calm").await;
    let say = async |gateway: usize, path: &str| {
        posts(cluster.gateways[gateway], path, "application/json", r#"{"text": "again"}"#).await
    };
    // Who does not know the secret cannot use its posts up.
    for _ in 0..10 {
        assert_eq!(say(0, &format!("/hooks/{}/guessed", webhook.id)).await.0.status(), 404);
    }
    for number in 0..4 {
        let (response, told) = say(number % 2, &url).await;
        assert_eq!(response.status(), 200, "{told}");
    }
    for gateway in [0, 1] {
        let (response, told) = say(gateway, &url).await;
        assert_eq!((response.status().as_u16(), told["reason"].as_str()), (429, Some("WEBHOOK_POSTS")));
        assert_eq!(response.headers()["retry-after"], "60");
        assert_eq!(say(gateway, &calm).await.0.status(), 200);
    }
    within("no more was posted", async { assert_eq!(alice.reads(&room).await.len(), 6) }).await;
}
