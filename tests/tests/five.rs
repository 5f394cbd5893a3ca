//! Five processes, a role each, on PostgreSQL, Redis and RabbitMQ: the shape of `compose/full.yaml`. Two of them are killed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use proto::{
    chat::v1::{
        CreateIncomingWebhookRequest, ListMessagesRequest, Message, Room,
        incoming_webhook_service_client::IncomingWebhookServiceClient,
    },
    file::v1::FileState,
    worker::v1::{ListQueuesRequest, job_service_client::JobServiceClient},
};
use tempfile::TempDir;
use tests::{
    Person, QUEUES,
    files::http,
    op_id,
    process::{Process, binary, free_address},
    servers::{fresh_database, fresh_redis, shared_broker},
    within,
};
use tonic::Code;

const ROLES: [&str; 4] = ["auth", "chat", "file", "worker"];
const SENDS: usize = 60;

/// Where everything is, and the processes that run.
struct Five {
    environment: Vec<(&'static str, String)>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    folders: BTreeMap<&'static str, TempDir>,
    processes: BTreeMap<&'static str, Process>,
    /// The virtual host on the broker.
    vhost: String,
    _blobs: TempDir,
}

impl Five {
    async fn start() -> Self {
        let broker = shared_broker().await.fresh_vhost().await;
        let vhost = broker.rsplit_once('/').unwrap().1.to_owned();
        let blobs = tempfile::tempdir().unwrap();
        let mut environment = vec![
            ("LOQUAT_MESH__SECRET", "a secret of more than thirty-two bytes".to_owned()),
            ("LOQUAT_BUS__URL", broker),
            ("LOQUAT_BUS__RETRY_SECONDS", "[1, 2]".to_owned()),
            ("LOQUAT_CACHE__URL", fresh_redis().await),
            ("LOQUAT_FILE__BLOBS", format!("file:{}", blobs.path().display())),
        ];
        let keys = [
            ("LOQUAT_AUTH__DB__URL", "LOQUAT_AUTH__DB__MAX_CONNECTIONS", "LOQUAT_AUTH__LISTEN", "LOQUAT_AUTH__URL"),
            ("LOQUAT_CHAT__DB__URL", "LOQUAT_CHAT__DB__MAX_CONNECTIONS", "LOQUAT_CHAT__LISTEN", "LOQUAT_CHAT__URL"),
            ("LOQUAT_FILE__DB__URL", "LOQUAT_FILE__DB__MAX_CONNECTIONS", "LOQUAT_FILE__LISTEN", "LOQUAT_FILE__URL"),
            (
                "LOQUAT_WORKER__DB__URL",
                "LOQUAT_WORKER__DB__MAX_CONNECTIONS",
                "LOQUAT_WORKER__LISTEN",
                "LOQUAT_WORKER__URL",
            ),
        ];
        let mut addresses = BTreeMap::new();
        for (role, (db, connections, listen, url)) in ROLES.into_iter().zip(keys) {
            let address = free_address();
            environment.push((db, fresh_database(role).await));
            environment.push((connections, "2".to_owned()));
            environment.push((listen, address.to_string()));
            environment.push((url, format!("http://{address}")));
            addresses.insert(role, address);
        }
        let public = free_address();
        environment.push(("LOQUAT_GATEWAY__LISTEN", public.to_string()));
        addresses.insert("gateway", public);
        let folders = addresses.keys().map(|role| (*role, tempfile::tempdir().unwrap())).collect();
        let mut five = Self { environment, addresses, folders, processes: BTreeMap::new(), vhost, _blobs: blobs };
        for role in ROLES.into_iter().chain(["gateway"]) {
            five.starts(role).await;
        }
        five
    }

    fn public(&self) -> SocketAddr {
        self.addresses["gateway"]
    }

    /// Starts a role in a process of its own.
    async fn starts(&mut self, role: &'static str) {
        let (folder, address) = (self.folders[role].path(), self.addresses[role]);
        let process = Process::start_roles(&binary(), folder, &[role], &self.environment, address).await;
        self.processes.insert(role, process);
    }

    /// `kill -9`.
    fn loses(&mut self, role: &str) {
        self.processes.remove(role).expect("it runs").kill();
    }

    /// What `rabbitmqctl` lists in this virtual host, a line each.
    async fn lists(&self, what: &[&str]) -> BTreeSet<String> {
        let broker = shared_broker().await;
        let told = broker.control(&[&["-p", &self.vhost], what, &["--no-table-headers"]].concat()).await;
        told.lines().map(|line| line.trim().replace('\t', " ")).collect()
    }
}

/// Every message of a room, by rising number.
async fn history(person: &Person, room: &Room) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after_seq = all.last().map_or(1, |message| message.seq);
        let request = ListMessagesRequest { room_id: room.id.clone(), after_seq, page_size: 200, before_seq: 0 };
        let page = person.messages().list_messages(request).await.expect("the history can be read").into_inner();
        all.extend(page.messages);
        if !page.more {
            return all;
        }
    }
}

/// Says something under one operation until it is acknowledged.
async fn says_in_the_end(person: Person, room: Room, text: String) -> Message {
    let op = op_id();
    let trying = async {
        loop {
            match person.tries_to_say(&room, &text, &op).await {
                Ok(message) => return message,
                Err(cause) => assert!(
                    matches!(cause.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled),
                    "{cause}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("it is acknowledged", trying).await
}

/// Posts at a webhook's address.
async fn posts(public: SocketAddr, url: &str, op_id: &str) -> http::Response<bytes::Bytes> {
    let body = format!(r#"{{"text": "from outside", "op_id": "{op_id}"}}"#);
    let request = http::Request::builder().method("POST").header("content-type", "application/json");
    http(public, request, url, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_processes_lose_nothing_when_two_are_killed() {
    let mut five = Five::start().await;
    let alice = Person::registers(five.public(), "alice").await;
    let bob = Person::registers(five.public(), "bob").await;
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    alice.says(&room, "good morning").await;
    listens.sees("good morning").await;
    let file = alice.brings(&room, "plan.txt", b"what we will do").await;
    assert_eq!(file.state(), FileState::Ready);
    assert_eq!(bob.downloads(&file.id, "").await.unwrap(), b"what we will do");
    the_broker_has_the_queues_of_every_role(&five).await;

    // Without the worker, files wait for it and nothing else does.
    five.loses("worker");
    let waiting = alice.uploads(&room, "later.txt", b"looked at later").await.unwrap();
    alice.says(&room, "the worker is gone").await;
    listens.sees("the worker is gone").await;
    assert_eq!(alice.knows(&waiting.id).await.unwrap().state(), FileState::Processing);
    five.starts("worker").await;
    assert_eq!(alice.settled(&waiting.id).await.state(), FileState::Ready);
    assert_eq!(bob.downloads(&waiting.id, "").await.unwrap(), b"looked at later");

    // chat is killed in the middle of sends: what was answered is there, what was not is said once all the same.
    let request = CreateIncomingWebhookRequest { room_id: room.id.clone(), name: "Build server".into() };
    let mut hooks = IncomingWebhookServiceClient::new(alice.channel());
    let url = hooks.create_incoming_webhook(request).await.unwrap().into_inner().url;
    let op = op_id();
    let posted = posts(five.public(), &url, &op).await;
    assert_eq!(posted.status(), 200);
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..SENDS {
        sending.spawn(says_in_the_end(alice.clone(), room.clone(), format!("message {number}")));
    }
    let mut acknowledged: Vec<Message> = Vec::new();
    acknowledged.push(sending.join_next().await.unwrap().unwrap());
    five.loses("chat");
    five.starts("chat").await;
    while let Some(sent) = sending.join_next().await {
        acknowledged.push(sent.unwrap());
    }
    let again = posts(five.public(), &url, &op).await;
    assert_eq!((again.status(), again.body()), (posted.status(), posted.body()), "answered as the first time");

    let stored = history(&alice, &room).await;
    let head = stored.last().unwrap().seq;
    listens.reaches(&room.id, head).await;
    let texts: Vec<String> = stored.iter().map(|message| message.text.clone()).collect();
    assert_eq!(listens.texts(&room.id), texts, "the same stream, in the same order, without a hole");
    assert_eq!(stored.len(), SENDS + 3, "each once");
    for message in &acknowledged {
        assert!(stored.contains(message), "an acknowledged message is there as it was answered: {message:?}");
    }
    nothing_is_left_between_services(&alice).await;
}

/// The topology of the reference, for the queues of all roles: each with its error queue, whichever process has declared it.
async fn the_broker_has_the_queues_of_every_role(five: &Five) {
    let mut queues: BTreeSet<String> = QUEUES.iter().map(|name| format!("{name} quorum true")).collect();
    queues.extend(QUEUES.iter().map(|name| format!("{name}_error classic true")));
    assert_eq!(five.lists(&["list_queues", "name", "type", "durable"]).await, queues);
    let bound = five.lists(&["list_bindings", "source_name", "destination_kind", "destination_name"]).await;
    for line in [
        "WorkerFileUploaded queue WorkerFileUploaded",
        "WorkerFileUploaded_error queue WorkerFileUploaded_error",
        "Loquat.File.V1:FileUploaded exchange WorkerFileUploaded",
        "Loquat.File.V1:FileReady exchange ChatFileReady",
        "Loquat.Chat.V1:MessageDeleted exchange FileMessageDeleted",
        "Loquat.Auth.V1:InviteAccepted exchange ChatInviteAccepted",
        "MassTransit.Scheduling:ScheduleMessage exchange scheduler",
    ] {
        assert!(bound.contains(line), "{line}: {bound:#?}");
    }
}

async fn nothing_is_left_between_services(owner: &Person) {
    let empty = async {
        loop {
            let request = ListQueuesRequest {};
            let queues = JobServiceClient::new(owner.channel()).list_queues(request).await.unwrap().into_inner().queues;
            assert!(queues.iter().all(|queue| queue.failed + queue.skipped == 0), "{queues:#?}");
            if queues.iter().all(|queue| queue.ready + queue.in_flight + queue.delayed == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("nothing waits between services", empty).await;
}
