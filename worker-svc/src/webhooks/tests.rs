use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh::{
    bus::{Envelope, Interest},
    db::DbConfig,
    lifecycle::Tasks,
    outbound::Limits,
};
use time::macros::datetime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// A receiver that fails so many times first, and keeps what it got.
async fn receiver(tasks: &Tasks, mut failures: u32) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = got.clone();
    tasks.spawn("receiver", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 8192];
            while !text.ends_with('}') {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            kept.lock().unwrap().push(text);
            let status = if failures > 0 { "500 Internal Server Error" } else { "204 No Content" };
            failures = failures.saturating_sub(1);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, got)
}

struct Bench {
    _folder: tempfile::TempDir,
    webhooks: Webhooks,
    tasks: Tasks,
}

async fn bench(allowed: &[&str]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("worker.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<crate::Migrator>().await.unwrap();
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let bus = Bus::open_memory(db.clone(), clock.clone()).await.unwrap();
    let limits = Limits { within: Duration::from_secs(5), bytes: 1000, redirects: 0 };
    let outbound = Outbound::new(limits, allowed.iter().map(|network| network.parse().unwrap()).collect());
    let webhooks = Webhooks { db, bus: bus.clone(), clock, outbound };
    let tasks = Tasks::new();
    for (queue, spreads) in [(events(), true), (requests(), false)] {
        let (bus, webhooks, stop) = (bus.clone(), webhooks.clone(), tasks.stopping());
        bus.declare(&if spreads { idle_events() } else { queue.clone() }).await.unwrap();
        tasks.spawn("consumer", async move {
            let handler = |came| {
                let webhooks = webhooks.clone();
                async move { if spreads { webhooks.spread(came).await } else { webhooks.request(came).await } }
            };
            bus.consume(&queue, 4, stop, handler).await;
        });
    }
    Bench { _folder: folder, webhooks, tasks }
}

impl Bench {
    async fn adds(&self, url: &str, events: &str, room_id: Option<Uuid>) -> webhook::Model {
        let row = webhook::Model {
            id: ids::new_id(),
            url: url.into(),
            room_id,
            events: events.into(),
            secret: b"secret".to_vec(),
            created_by: String::new(),
            created_at: 0,
        };
        let tx = self.webhooks.db.begin().await.unwrap();
        webhook::add(&tx, row.clone()).await.unwrap();
        tx.commit().await.unwrap();
        self.webhooks.listen().await.unwrap();
        row
    }

    async fn posts(&self, room: Uuid) {
        let body = json!({"message": {"text": "hi"}});
        let kind = proto::event_kind::<MessagePosted>();
        let mut envelope = Envelope::new(ids::new_id(), kind, body, self.webhooks.clock.now());
        envelope.headers.insert(KEY.into(), room.to_string().into());
        self.webhooks.bus.publish(vec![envelope]).await.unwrap();
    }

    async fn log(&self, webhook: &webhook::Model) -> Vec<delivery::Model> {
        delivery::list(self.webhooks.db.reader(), webhook.id, None, 100).await.unwrap()
    }

    async fn until(&self, what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !reached().await {
                self.webhooks.clock.advance(Duration::from_secs(20));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn what_is_wanted_is_told_again_and_again_until_it_is_taken() {
    let bench = bench(&["127.0.0.0/8"]).await;
    let (url, got) = receiver(&bench.tasks, 5).await;
    let (room, kind) = (ids::new_id(), proto::event_kind::<MessagePosted>());
    let wants = |interest: Interest| interest.wants(&kind);
    assert!(!wants(bench.webhooks.bus.interest()), "nobody listens");
    let webhook = bench.adds(&url, "message_deleted,message_posted", Some(room)).await;
    assert!(wants(bench.webhooks.bus.interest()));
    let other = bench.adds(&url, "message_edited", None).await;
    bench.posts(ids::new_id()).await;
    bench.posts(room).await;
    bench.until("it is taken", async || bench.log(&webhook).await.iter().any(|row| row.status == 204)).await;
    let log = bench.log(&webhook).await;
    assert_eq!(log.len(), 6, "four tries at once, and two after a pause");
    assert!(log.iter().all(|row| row.message_id == log[0].message_id && row.event == "message_posted"));
    assert_eq!((log[0].error.as_str(), log[5].error.as_str()), ("", "answered 500 Internal Server Error"));
    assert!(bench.log(&other).await.is_empty());
    let got = got.lock().unwrap().clone();
    let (head, body) = got[5].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1") && head.contains("content-type: application/json"), "{head}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
    let signed = sign::headers(
        b"secret",
        id.parse().unwrap(),
        time::OffsetDateTime::from_unix_timestamp(at).unwrap(),
        body.as_bytes(),
    );
    assert_eq!(header("webhook-signature"), signed[2].1);
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["type"], &told["data"]["message"]["text"]), (&json!("message_posted"), &json!("hi")));
    assert_eq!((&told["roomId"], &told["id"]), (&json!(room), &json!(id)));
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn an_address_within_is_refused_and_what_was_missed_is_kept() {
    let bench = bench(&[]).await;
    let (url, got) = receiver(&bench.tasks, 0).await;
    let webhook = bench.adds(&url, "message_posted", None).await;
    bench.posts(ids::new_id()).await;
    let failed = async || bench.webhooks.bus.failed(REQUESTS, 10, "").await.unwrap().0;
    bench.until("it is given up", async || failed().await.len() == 1).await;
    assert!(failed().await[0].error.contains("127.0.0.1 is loopback"), "{}", failed().await[0].error);
    assert_eq!(bench.log(&webhook).await.len(), 16);
    assert!(got.lock().unwrap().is_empty());
    assert_eq!(bench.webhooks.outbound.dialled(), 0);
    bench.tasks.stop(Duration::from_secs(1)).await;
}
