use std::{sync::Mutex, time::Duration};

use mesh::{
    bus::{Delivery, QueueSpec},
    db::DbConfig,
    ids,
    lifecycle::Tasks,
};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
    schedule: Schedule,
    tasks: Tasks,
    got: Arc<Mutex<Vec<Envelope>>>,
}

async fn bench(folder: tempfile::TempDir, clock: Clock) -> Bench {
    let url = format!("sqlite:{}", folder.path().join("worker.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<crate::Migrator>().await.unwrap();
    let bus = Bus::open_memory(db.clone(), clock.clone()).await.unwrap();
    let job = Planned {
        name: "count",
        plan: Plan::new("0 * * * *"),
        run: Box::new(|_, _| Box::pin(async { anyhow::bail!("not yet") })),
    };
    let schedule = Schedule::new(db, bus.clone(), clock, vec![job]);
    schedule.prepare().await.unwrap();
    let tasks = Tasks::new();
    let got = Arc::new(Mutex::new(Vec::new()));
    for (queue, own) in [(queue(), true), (QueueSpec::new("Orders", ["A.B:C".to_owned()]), false)] {
        bus.declare(&queue).await.unwrap();
        let (bus, stop, schedule, got) = (bus.clone(), tasks.stopping(), schedule.clone(), got.clone());
        tasks.spawn("consumer", async move {
            let handler = |delivery: Delivery| {
                let (schedule, got) = (schedule.clone(), got.clone());
                async move {
                    if own {
                        return handle(schedule, delivery).await;
                    }
                    got.lock().unwrap().push(delivery.envelope);
                    Ok(())
                }
            };
            bus.consume(&queue, 4, stop, handler).await;
        });
    }
    tasks.spawn("schedule", schedule.clone().run(tasks.stopping()));
    Bench { folder, schedule, tasks, got }
}

impl Bench {
    async fn asks(&self, kind: &str, body: Value) {
        let now = self.schedule.clock.now();
        self.schedule.bus.publish(vec![Envelope::new(ids::new_id(), kind, body, now)]).await.unwrap();
    }

    async fn puts_off(&self, token: Uuid, at: &str) {
        let body = json!({
            "CorrelationId": token, "ScheduledTime": at, "PayloadType": ["urn:message:A.B:C"],
            "Destination": "rabbitmq://somewhere/Orders", "Payload": {"number": 7},
        });
        self.asks("MassTransit.Scheduling:ScheduleMessage", body).await;
    }

    async fn waits(&self) -> usize {
        put_off::list(self.schedule.db.reader(), 10).await.unwrap().len()
    }

    async fn until(&self, what: &str, mut reached: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn a_message_is_sent_at_its_time_even_after_a_restart_and_not_when_it_was_taken_back() {
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let first = bench(tempfile::tempdir().unwrap(), clock.clone()).await;
    let (kept, taken_back) = (ids::new_id(), ids::new_id());
    first.puts_off(kept, "2026-01-01T08:00:00Z").await;
    first.puts_off(taken_back, "2026-01-01T08:00:00").await;
    first.until("both wait", async || first.waits().await == 2).await;
    let cancel = json!({"timestamp": "2026-01-01T00:00:00Z", "tokenId": taken_back});
    first.asks("MassTransit.Scheduling:CancelScheduledMessage", cancel).await;
    first.until("one is taken back", async || first.waits().await == 1).await;
    clock.advance(Duration::from_secs(8 * 3600 - 1));
    first.tasks.stop(Duration::from_secs(5)).await;
    assert!(first.got.lock().unwrap().is_empty());
    let Bench { folder, schedule, .. } = first;
    schedule.db.close().await.unwrap();

    let second = bench(folder, clock.clone()).await;
    assert_eq!(second.waits().await, 1);
    clock.advance(Duration::from_secs(1));
    second.until("it is sent", async || second.got.lock().unwrap().len() == 1).await;
    second.until("it is forgotten", async || second.waits().await == 0).await;
    let got = second.got.lock().unwrap().remove(0);
    assert_eq!((got.body, got.message_type), (json!({"number": 7}), vec!["urn:message:A.B:C".to_owned()]));
    assert_eq!(got.headers["MT-Scheduling-TokenId"], kept.to_string());
    second.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_planned_job_comes_back_and_can_be_hurried() {
    let clock = Clock::manual(datetime!(2026-01-01 0:30 UTC));
    let bench = bench(tempfile::tempdir().unwrap(), clock.clone()).await;
    let noted = async || planned::list(bench.schedule.db.reader()).await.unwrap().remove(0);
    assert_eq!(noted().await.last_at, None);
    clock.advance(Duration::from_secs(30 * 60));
    bench.until("it runs", async || noted().await.last_at == Some(micros(clock.now()))).await;
    bench.until("its end is noted", async || noted().await.last_error == "not yet").await;
    clock.advance(Duration::from_secs(60));
    assert!(bench.schedule.hurry("count", Entry::new("job.started", "count")).await.unwrap());
    bench.until("it runs again", async || noted().await.last_at == Some(micros(clock.now()))).await;
    assert_eq!(noted().await.next_at, micros(datetime!(2026-01-01 2:00 UTC)));
    assert!(!bench.schedule.hurry("other", Entry::new("job.started", "other")).await.unwrap());
    bench.tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_kept_and_what_has_no_queue_waits() {
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let bench = bench(tempfile::tempdir().unwrap(), clock).await;
    bench.asks("MassTransit.Scheduling:ScheduleMessage", json!({"correlationId": "x"})).await;
    let failed = async || bench.schedule.bus.failed("scheduler", 10, "").await.unwrap().0;
    bench.until("it is kept", async || failed().await.len() == 1).await;
    assert!(failed().await[0].error.contains("correlationId"));
    let nowhere = json!({
        "correlationId": ids::new_id(), "scheduledTime": "2025-01-01T00:00:00Z", "payloadType": ["urn:message:A.B:C"],
        "destination": "queue:Nowhere", "payload": {},
    });
    bench.asks("MassTransit.Scheduling:ScheduleMessage", nowhere).await;
    let error = async || {
        put_off::list(bench.schedule.db.reader(), 1)
            .await
            .unwrap()
            .pop()
            .unwrap_or_else(|| Model {
                token: Uuid::nil(),
                kind: String::new(),
                destination: String::new(),
                envelope: String::new(),
                due_at: 0,
                error: String::new(),
            })
            .error
    };
    bench.until("it waits, and says why", async || error().await.contains("queue:Nowhere")).await;
    bench.tasks.stop(Duration::from_secs(5)).await;
}
