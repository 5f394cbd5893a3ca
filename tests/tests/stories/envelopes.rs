//! What services put on the broker, as a program of another make gets it: held against the schema of the envelope.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use amqprs::{
    channel::{
        BasicConsumeArguments, ExchangeBindArguments, ExchangeDeclareArguments, QueueBindArguments,
        QueueDeclareArguments,
    },
    connection::{Connection, OpenConnectionArguments},
};
use proto::{
    chat::v1::{DeleteMessageRequest, EditMessageRequest},
    file::v1::{
        CreateUploadRequest, FileMetadata, UploadFileRequest, UploadHeader, upload_file_request::Part,
        upload_header::Target,
    },
};
use serde_json::Value;
use tests::{Shape, Town, op_id, within};

/// Every event that services publish, and the five of the other make.
const EVENTS: [&str; 10] = [
    "Loquat.Chat.V1:MessagePosted",
    "Loquat.Chat.V1:MessageEdited",
    "Loquat.Chat.V1:MessageDeleted",
    "Loquat.File.V1:FileUploaded",
    "Loquat.File.V1:FileReady",
    "Domain.Events:MessageCreatedEvent",
    "Domain.Events:FileUploadedEvent",
    "Domain.Events:FileMetadataUploadedEvent",
    "Domain.Events:FileAndMetadataUploadedEvent",
    "Domain.Events:UploadFinishedEvent",
];

/// Listens as another program would: a queue of its own, bound to the exchanges of the events.
async fn overhears(url: &str) -> (Connection, Arc<Mutex<Vec<Value>>>) {
    let rest = url.strip_prefix("amqp://guest:guest@127.0.0.1:").unwrap();
    let (port, vhost) = rest.split_once('/').unwrap();
    let mut arguments = OpenConnectionArguments::new("127.0.0.1", port.parse().unwrap(), "guest", "guest");
    arguments.virtual_host(vhost);
    let connection = Connection::open(&arguments).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let fanout = |name: &str| ExchangeDeclareArguments::new(name, "fanout").durable(true).finish();
    channel.exchange_declare(fanout("Overhears")).await.unwrap();
    channel.queue_declare(QueueDeclareArguments::durable_client_named("Overhears")).await.unwrap();
    channel.queue_bind(QueueBindArguments::new("Overhears", "Overhears", "")).await.unwrap();
    for event in EVENTS {
        channel.exchange_declare(fanout(event)).await.unwrap();
        channel.exchange_bind(ExchangeBindArguments::new("Overhears", event, "")).await.unwrap();
    }
    let consume = BasicConsumeArguments::new("Overhears", "test").auto_ack(true).finish();
    let (_, mut messages) = channel.basic_consume_rx(consume).await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    mesh::lifecycle::Tasks::new().spawn("overhears", async move {
        let _channel = channel;
        while let Some(message) = messages.recv().await {
            let properties = message.basic_properties.unwrap();
            assert_eq!(properties.content_type().unwrap(), "application/vnd.masstransit+json");
            assert_eq!(properties.delivery_mode(), Some(2));
            let envelope: Value = serde_json::from_slice(&message.content.unwrap()).unwrap();
            assert_eq!(envelope["messageId"].as_str(), properties.message_id().map(String::as_str));
            kept.lock().unwrap().push(envelope);
        }
    });
    (connection, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_fits_the_schema_of_the_envelope() {
    let broker = Arc::new(Mutex::new(String::new()));
    let told = broker.clone();
    let compat = move |config: &mut server::config::Config| {
        config.bus.compat = true;
        told.lock().unwrap().clone_from(&config.bus.url);
    };
    let town = Town::start_with(Shape::Full, compat).await;
    let url = broker.lock().unwrap().clone();
    let (_connection, heard) = overhears(&url).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let message = alice.says(&room, "hi").await;
    let (room_id, message_id) = (room.id.clone(), message.id.clone());
    let edit = EditMessageRequest { room_id, message_id, text: "ho".into(), op_id: op_id() };
    alice.messages().edit_message(edit).await.unwrap();
    let delete = DeleteMessageRequest { room_id: room.id.clone(), message_id: message.id, op_id: op_id() };
    alice.messages().delete_message(delete).await.unwrap();
    let metadata = Some(FileMetadata { name: "a.txt".into(), ..FileMetadata::default() });
    let create = CreateUploadRequest { op_id: op_id(), room_id: room.id.clone(), size: Some(5), metadata };
    let header = UploadHeader { target: Some(Target::Create(create)), ..UploadHeader::default() };
    let parts = [Part::Header(header), Part::Chunk("hello".into())].map(|part| UploadFileRequest { part: Some(part) });
    alice.files().upload_file(futures::stream::iter(parts)).await.unwrap();

    let kinds = || -> BTreeSet<String> {
        let heard = heard.lock().unwrap();
        heard.iter().map(|envelope| envelope["messageType"][0].as_str().unwrap().replace("urn:message:", "")).collect()
    };
    let all = async {
        while kinds().len() < EVENTS.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("every event is heard", all).await;
    assert_eq!(kinds(), EVENTS.iter().map(ToString::to_string).collect());
    let schema = serde_json::from_str(include_str!("../../../docs/envelope.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for envelope in heard.lock().unwrap().iter() {
        let wrong: Vec<String> = schema.iter_errors(envelope).map(|cause| cause.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {envelope:#}");
    }
}
