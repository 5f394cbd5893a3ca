//! A program that knows Loquat only by reflection: `buf curl`, as anybody would use it (or `grpcurl`).

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};
use tests::{Shape, Town, op_id};

fn buf() -> PathBuf {
    let buf =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../web/node_modules/@bufbuild/buf-linux-x64/bin/buf"));
    assert!(buf.is_file(), "buf comes with the web client's packages: run `make web` first");
    buf
}

/// What `buf curl` prints, and whether it succeeded.
async fn curl(arguments: Vec<String>) -> (bool, String) {
    let run = move || Command::new(buf()).arg("curl").args(arguments).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Calls a method in one of the three protocols, with nothing but its name and JSON.
async fn call(town: &Town, protocol: &str, token: &str, method: &str, request: &Value) -> Result<Value, Value> {
    let mut arguments = vec![
        "--protocol".to_owned(),
        protocol.into(),
        town.url(&format!("/{method}")),
        "-d".into(),
        request.to_string(),
    ];
    if protocol == "grpc" {
        arguments.push("--http2-prior-knowledge".into());
    }
    if !token.is_empty() {
        arguments.extend(["-H".into(), format!("authorization: Bearer {token}")]);
    }
    let (success, text) = curl(arguments).await;
    let document = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if success { Ok(document) } else { Err(document) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_knows_only_the_address_chats() {
    let town = Town::start(Shape::Embedded).await;
    let (listed, methods) = curl(vec![
        "--http2-prior-knowledge".into(),
        "--protocol".into(),
        "grpc".into(),
        town.url(""),
        "--list-methods".into(),
    ])
    .await;
    assert!(listed, "{methods}");
    for method in [
        "loquat.chat.v1.MessageService/SendMessage",
        "loquat.edge.v1.EdgeService/Subscribe",
        "loquat.worker.v1.JobService/ListQueues",
    ] {
        assert!(methods.contains(method), "{method} is missing in {methods}");
    }
    assert!(!methods.contains("internal"));

    let account = json!({"username": "robot", "password": "beep beep beep"});
    let made = call(&town, "grpc", "", "loquat.auth.v1.AuthService/Register", &account).await.unwrap();
    let token = made["accessToken"].as_str().unwrap();
    let room = json!({"name": "machines", "kind": "ROOM_KIND_PUBLIC"});
    let room = call(&town, "grpc", token, "loquat.chat.v1.RoomService/CreateRoom", &room).await.unwrap();
    let room_id = room["room"]["id"].as_str().unwrap();
    let message = json!({"roomId": room_id, "text": "hello, people", "opId": op_id()});
    let sent = call(&town, "grpcweb", token, "loquat.chat.v1.MessageService/SendMessage", &message).await.unwrap();
    assert_eq!(sent["message"]["seq"], "3", "after the room's making and its maker's joining");
    let list = json!({"roomId": room_id});
    let listed = call(&town, "grpc", token, "loquat.chat.v1.MessageService/ListMessages", &list).await.unwrap();
    assert_eq!(listed["messages"][0]["text"], "hello, people");

    let refused = call(&town, "grpc", "", "loquat.chat.v1.MessageService/ListMessages", &list).await.unwrap_err();
    assert_eq!(refused["code"], "unauthenticated");
    assert_eq!(refused["details"][0]["type"], "google.rpc.ErrorInfo");
    let info = base64::Engine::decode(
        &base64::prelude::BASE64_STANDARD_NO_PAD,
        refused["details"][0]["value"].as_str().unwrap(),
    );
    assert!(String::from_utf8_lossy(&info.unwrap()).contains("TOKEN_MISSING"));
}
