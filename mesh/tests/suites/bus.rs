//! The conformance suite of the bus. Each backend is one more constructor at its end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mesh::{
    audit::{self, Entry, Note},
    bus::{
        AmqpConfig, Bus, BusError, Delivery, Destination, Envelope, FailedMessage, FailedReason, HandlerError, Health,
        QueueSpec, QueueType, RetryPolicy, memory,
    },
    clock::Clock,
    db::{Db, DbConfig},
    ids, inbox,
    lifecycle::Tasks,
    outbox::{self, OutboxMessage, Relay, Wake},
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use time::macros::datetime;

const DEADLINE: Duration = Duration::from_secs(20);
const KIND: &str = "Test.V1:Happened";

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            memory::migration(),
            outbox::migration(),
            inbox::migration(),
            outbox::lease_migration(),
            audit::migration(),
        ]
    }
}

/// A bus that can be closed and opened again, as by a restart of the process.
struct Bench {
    folder: tempfile::TempDir,
    url: String,
    /// The broker, when there is one; then delays take the time that they take.
    broker: Option<String>,
    clock: Clock,
    db: Db,
    bus: Bus,
    tasks: Tasks,
}

impl Bench {
    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("bus.db").display());
        Self::open(folder, url, None, Clock::manual(datetime!(2026-01-01 0:00 UTC))).await
    }

    async fn on_postgres() -> Self {
        let url = tests::servers::fresh_database("bus").await;
        Self::open(tempfile::tempdir().unwrap(), url, None, Clock::manual(datetime!(2026-01-01 0:00 UTC))).await
    }

    async fn on_rabbitmq() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("bus.db").display());
        let broker = tests::servers::fresh_broker().await;
        Self::open(folder, url, Some(broker), Clock::system()).await
    }

    async fn open(folder: tempfile::TempDir, url: String, broker: Option<String>, clock: Clock) -> Self {
        let db = Db::open(&DbConfig { url: url.clone(), ..DbConfig::default() }).await.unwrap();
        db.migrate::<Migrator>().await.unwrap();
        let tasks = Tasks::new();
        let bus = match &broker {
            None => Bus::open_memory(db.clone(), clock.clone()).await.unwrap(),
            Some(url) => {
                let (url, queue_type) = (url.clone(), QueueType::Quorum);
                let config = AmqpConfig { url, queue_type, queues: Vec::new(), translate: None };
                Bus::open_amqp(config, clock.clone(), &tasks).await.unwrap()
            }
        };
        assert_eq!(bus.health(), Health::Good);
        Self { folder, url, broker, clock, db, bus, tasks }
    }

    async fn restarts(self) -> Self {
        self.tasks.stop(Duration::from_millis(500)).await;
        self.db.close().await.unwrap();
        Self::open(self.folder, self.url, self.broker, self.clock).await
    }

    /// Two delays, and one try at once in each round.
    fn quick(&self) -> RetryPolicy {
        let delays = match self.broker {
            None => vec![Duration::from_secs(5), Duration::from_secs(60)],
            Some(_) => vec![Duration::from_millis(50), Duration::from_millis(600)],
        };
        RetryPolicy { immediate: 1, delays }
    }

    async fn declares(&self, name: &str, retry: RetryPolicy) -> QueueSpec {
        let queue = QueueSpec { retry: Some(retry), ..QueueSpec::new(name, [KIND.to_owned()]) };
        self.bus.declare(&queue).await.unwrap();
        queue
    }

    /// Sends bytes to a queue as another program would.
    async fn sends(&self, queue: &QueueSpec, bytes: &str) {
        let to = Destination::Queue(queue.name.clone());
        self.bus.send_bytes(&to, None, bytes.to_owned().into()).await.unwrap();
    }

    fn note(&self, action: &'static str) -> Note {
        Note::new(self.db.clone(), Entry::new(action, "somebody"), self.clock.now())
    }

    /// Puts a failed message back. False when there is none.
    async fn retries(&self, id: uuid::Uuid) -> bool {
        self.bus.retry(id, &self.note("message.retried")).await.unwrap()
    }

    async fn failed(&self, queue: &str) -> Vec<FailedMessage> {
        self.bus.failed(queue, 10, "").await.unwrap().0
    }

    async fn publishes(&self, number: u64) -> Envelope {
        let envelope = Envelope::new(ids::new_id(), KIND, serde_json::json!({"number": number}), self.clock.now());
        self.bus.publish(vec![envelope.clone()]).await.unwrap();
        envelope
    }

    /// Handles a queue with a function of the message's number and how often it was tried before.
    fn handles<H>(&self, queue: &QueueSpec, handler: H) -> Handled
    where
        H: Fn(u64, u32) -> Result<(), HandlerError> + Send + Sync + 'static,
    {
        let handled = Handled::default();
        let (bus, queue, stop, seen) = (self.bus.clone(), queue.clone(), self.tasks.stopping(), handled.clone());
        self.tasks.spawn("consumer", async move {
            let handle = |delivery: Delivery| {
                let number = delivery.envelope.body["number"].as_u64().unwrap();
                let tries = seen.0.lock().unwrap().iter().filter(|known| **known == number).count();
                seen.0.lock().unwrap().push(number);
                let outcome = handler(number, u32::try_from(tries).unwrap());
                async move { outcome }
            };
            bus.consume(&queue, 4, stop, handle).await;
        });
        handled
    }

    /// Handles a queue with an effect in the transaction of the inbox's row. `fails` says for which numbers it fails for good.
    fn has_effects(&self, queue: &QueueSpec, fails: impl Fn(u64) -> bool + Send + Sync + 'static) -> Handled {
        let effects = Handled::default();
        let (bus, queue, stop, seen) = (self.bus.clone(), queue.clone(), self.tasks.stopping(), effects.clone());
        let (db, clock) = (self.db.clone(), self.clock.clone());
        self.tasks.spawn("consumer", async move {
            let handle = |delivery: Delivery| {
                let (db, seen, name) = (db.clone(), seen.clone(), queue.name.clone());
                let number = delivery.envelope.body["number"].as_u64().unwrap_or(u64::MAX);
                let (poison, now) = (fails(number), clock.now());
                async move {
                    if poison {
                        return Err(HandlerError::Poison(anyhow::anyhow!("poison")));
                    }
                    let retry = |cause: sea_orm::DbErr| HandlerError::Retry(cause.into());
                    let tx = db.begin().await.map_err(retry)?;
                    let first = inbox::claim(&tx, &name, delivery.envelope.message_id, now).await.map_err(retry)?;
                    tx.commit().await.map_err(retry)?;
                    if first {
                        seen.0.lock().unwrap().push(number);
                    }
                    Ok(())
                }
            };
            bus.consume(&queue, 16, stop, handle).await;
        });
        effects
    }

    /// Waits for a queue to be in a state, moving the clock so that delays pass.
    async fn until(&self, what: &str, wanted: impl Fn(&mesh::bus::QueueStatus) -> bool) {
        let waiting = async {
            loop {
                let queues = self.bus.queues().await.unwrap();
                if queues.iter().any(&wanted) {
                    return;
                }
                self.clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(reached.is_ok(), "{what}: {:?}", self.bus.queues().await.unwrap());
    }
}

/// The numbers that a handler saw, in order.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<u64>>>);

impl Handled {
    fn numbers(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

fn again() -> Result<(), HandlerError> {
    Err(HandlerError::Retry(anyhow::anyhow!("not now")))
}

fn empty(queue: &mesh::bus::QueueStatus) -> bool {
    queue.ready + queue.in_flight + queue.delayed == 0
}

async fn every_queue_gets_each_message_once(bench: Bench) {
    let (one, two) = (bench.declares("One", bench.quick()).await, bench.declares("Two", bench.quick()).await);
    let (seen_one, seen_two) = (bench.handles(&one, |_, _| Ok(())), bench.handles(&two, |_, _| Ok(())));
    let mut sent = Vec::new();
    for number in 0..50 {
        sent.push(bench.publishes(number).await);
    }
    // Published again, as after a confirm that was lost: what still waits is not there twice.
    bench.until("all is handled", |queue| queue.name == "One" && empty(queue) && queue.handled == 50).await;
    bench.until("all is handled", |queue| queue.name == "Two" && empty(queue) && queue.handled == 50).await;
    for seen in [seen_one, seen_two] {
        let mut numbers = seen.numbers();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
}

async fn what_is_published_twice_has_its_effect_once(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    let envelope = bench.publishes(1).await;
    bench.bus.publish(vec![envelope.clone(), envelope]).await.unwrap();
    bench.publishes(2).await;
    let effects = bench.has_effects(&queue, |_| false);
    bench.until("all is handled", |queue| empty(queue) && queue.handled >= 2).await;
    let mut numbers = effects.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}

async fn without_a_queue_a_message_goes_nowhere(bench: Bench) {
    bench.publishes(1).await;
    bench.declares("Later", bench.quick()).await;
    assert!(bench.bus.queues().await.unwrap().iter().all(empty));
}

async fn what_was_published_survives_a_restart(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    for number in 0..10 {
        bench.publishes(number).await;
    }
    // Taken but never finished: the process ends in the middle.
    let bus = bench.bus.clone();
    let (stuck, started) = (queue.clone(), Arc::new(AtomicU32::new(0)));
    let counter = started.clone();
    let stop = bench.tasks.stopping();
    bench.tasks.spawn("stuck", async move {
        let handle = |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        };
        bus.consume(&stuck, 4, stop, handle).await;
    });
    let taken = async {
        while started.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, taken).await.unwrap();
    let bench = bench.restarts().await;
    bench.bus.declare(&queue).await.unwrap();
    let seen = bench.handles(&queue, |_, _| Ok(()));
    bench.until("all is handled", |queue| empty(queue) && queue.handled == 10).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

async fn failures_are_tried_again_later_and_then_kept(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    for (name, kind) in [("Faults", "MassTransit:Fault"), ("TheseFaults", "MassTransit:Fault[[Test.V1:Happened]]")] {
        bench.bus.declare(&QueueSpec::new(name, [kind.to_owned()])).await.unwrap();
    }
    // 1 works at once the second time, 2 after a delay, 3 never, 4 must not be tried again, 5 panics.
    let seen = bench.handles(&queue, |number, tries| match number {
        1 if tries < 1 => again(),
        2 if tries < 3 => again(),
        3 => again(),
        4 => Err(HandlerError::Poison(anyhow::anyhow!("unreadable"))),
        5 => panic!("a bug"),
        _ => Ok(()),
    });
    for number in 1..=6 {
        bench.publishes(number).await;
    }
    bench.until("three have failed", |queue| queue.name == "Q" && queue.failed == 3 && empty(queue)).await;
    let numbers = seen.numbers();
    let tries = |wanted: u64| numbers.iter().filter(|number| **number == wanted).count();
    assert_eq!([1, 2, 3, 4, 5, 6].map(tries), [2, 4, 6, 1, 6, 1]);
    let (failed, _) = bench.bus.failed("Q", 10, "").await.unwrap();
    let mut errors: Vec<(u64, &str)> =
        failed.iter().map(|failed| (number(failed.envelope.as_ref().unwrap()), failed.error.as_str())).collect();
    errors.sort_unstable();
    assert_eq!(errors, [(3, "not now"), (4, "unreadable"), (5, "the handler panicked")]);
    let mut attempts: Vec<u32> = failed.iter().map(|failed| failed.attempts).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 6, 6]);
    bench.until("each failure is told", |queue| queue.name == "Faults" && queue.ready == 3).await;
    bench.until("each failure is told by its type", |queue| queue.name == "TheseFaults" && queue.ready == 3).await;
    let stats = bench.bus.queues().await.unwrap();
    let stats = stats.iter().find(|queue| queue.name == "Q").unwrap();
    assert_eq!((stats.handled, stats.failures), (3, 17));
}

/// As .NET writes it: indented, with names in capitals, and without what is not required.
async fn what_another_program_wrote_by_hand_is_handled(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    let by_hand = "{\r\n  \"MessageId\": \"6d0f0000-5dd2-0015-9d11-08dc6a2f4c01\",\r\n  \"MessageType\": [\r\n    \
                   \"urn:message:Test.V1:Happened\",\r\n    \"urn:message:Test.V1:Base\"\r\n  ],\r\n  \"Message\": {\r\n    \
                   \"number\": 7\r\n  },\r\n  \"CorrelationId\": null\r\n}";
    bench.sends(&queue, by_hand).await;
    let seen = bench.handles(&queue, |_, _| Ok(()));
    bench.until("it is handled", |queue| empty(queue) && queue.handled == 1).await;
    assert_eq!(seen.numbers(), [7]);
    let unknown = bench.bus.send_bytes(&Destination::Queue("Nowhere".into()), None, "{}".into()).await;
    assert!(matches!(unknown, Err(BusError::Returned(_))), "{unknown:?}");
}

async fn what_cannot_be_read_or_is_not_understood_is_kept_as_it_came(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    let broken = "{ \"messageType\": [\"urn:message:Test.V1:Happened\"], ";
    let other = r#"{"messageType":["urn:message:Test.V1:Other"],"message":{"number":8}}"#;
    bench.sends(&queue, broken).await;
    bench.sends(&queue, other).await;
    let seen = bench.handles(&queue, |_, _| Ok(()));
    bench.until("both are kept", |queue| queue.failed == 1 && queue.skipped == 1 && empty(queue)).await;
    assert!(seen.numbers().is_empty());
    let failed = bench.failed("Q").await;
    let of = |reason: FailedReason| failed.iter().find(|failed| failed.reason == reason).unwrap();
    let (poison, skipped) = (of(FailedReason::Fault), of(FailedReason::Skipped));
    assert_eq!((&poison.body[..], &skipped.body[..]), (broken.as_bytes(), other.as_bytes()));
    assert!(poison.error.contains("not an envelope") && poison.envelope.is_none(), "{}", poison.error);
    assert_eq!(poison.headers["MT-Reason"], "fault");
    assert_eq!(skipped.headers["MT-Reason"], "dead-letter");
    for header in ["ExceptionType", "Message", "Timestamp", "StackTrace", "InputAddress", "ConsumerType", "RetryCount"]
    {
        assert!(poison.headers.contains_key(&format!("MT-Fault-{header}")), "{header}: {:?}", poison.headers);
    }
    assert!(poison.headers.contains_key("MT-Host-MachineName"));
    // Put back, both are what they were, and come here again.
    for failed in [poison, skipped] {
        assert!(bench.retries(failed.id).await);
    }
    bench.until("both are back", |queue| queue.failed == 1 && queue.skipped == 1 && empty(queue)).await;
    let again = bench.failed("Q").await;
    let mut bodies: Vec<&[u8]> = again.iter().map(|failed| &failed.body[..]).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [broken.as_bytes(), other.as_bytes()]);
}

/// A queue that says nothing of retries is retried as the bus is configured, and one that does as it says.
async fn retries_are_those_of_the_bus_unless_a_queue_has_its_own(mut bench: Bench) {
    let delays = vec![if bench.broker.is_some() { Duration::from_millis(40) } else { Duration::from_secs(2) }; 2];
    bench.bus = bench.bus.retrying(RetryPolicy::after(delays));
    let usual = QueueSpec::new("Usual", [KIND.to_owned()]);
    bench.bus.declare(&usual).await.unwrap();
    let own = bench.declares("Own", RetryPolicy { immediate: 0, delays: Vec::new() }).await;
    let calm = QueueSpec::new("Calm", [KIND.to_owned()]).never_at_once();
    bench.bus.declare(&calm).await.unwrap();
    let (seen_usual, seen_own) = (bench.handles(&usual, |_, _| again()), bench.handles(&own, |_, _| again()));
    let seen_calm = bench.handles(&calm, |_, _| again());
    bench.publishes(1).await;
    bench.until("it has failed", |queue| queue.name == "Usual" && queue.failed == 1 && empty(queue)).await;
    bench.until("it has failed", |queue| queue.name == "Own" && queue.failed == 1 && empty(queue)).await;
    bench.until("it has failed", |queue| queue.name == "Calm" && queue.failed == 1 && empty(queue)).await;
    // Four at once, and again after each of two pauses; or once after each of them.
    assert_eq!((seen_usual.numbers().len(), seen_calm.numbers().len(), seen_own.numbers().len()), (12, 3, 1));
}

async fn what_waits_for_its_next_try_survives_a_restart(bench: Bench) {
    let delays = vec![if bench.broker.is_some() { Duration::from_millis(1500) } else { Duration::from_secs(900) }];
    let policy = RetryPolicy { immediate: 0, delays };
    let queue = bench.declares("Q", policy).await;
    let seen = bench.handles(&queue, |_, _| again());
    for number in 1..=3 {
        bench.publishes(number).await;
    }
    let waits = async {
        while bench.bus.queues().await.unwrap()[0].delayed < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waits).await.unwrap();
    assert_eq!(seen.numbers().len(), 3);
    let bench = bench.restarts().await;
    bench.bus.declare(&queue).await.unwrap();
    let seen = bench.handles(&queue, |_, _| Ok(()));
    // All at once: second by second, a busy machine needs longer than is waited.
    bench.clock.advance(Duration::from_secs(900));
    bench.until("all are tried again", |queue| empty(queue) && queue.handled == 3).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

async fn several_relays_on_one_outbox_are_safe(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    let relays: Vec<Wake> = (0..3).map(|_| Wake::default()).collect();
    for wake in &relays {
        let relay = Relay::new(bench.db.clone(), bench.bus.clone(), wake.clone(), Clock::system());
        bench.tasks.spawn("relay", relay.run(bench.tasks.stopping()));
    }
    let effects = bench.has_effects(&queue, |_| false);
    for batch in 0..20_u64 {
        let messages: Vec<OutboxMessage> = (0..50).map(|number| message(batch * 50 + number)).collect();
        let tx = bench.db.begin().await.unwrap();
        outbox::add(&tx, &messages, bench.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        // Whoever committed wakes its own relay, which may not be the one that works.
        relays[batch as usize % 3].now();
    }
    bench.until("all is handled", |queue| empty(queue) && queue.handled >= 1000).await;
    let mut numbers = effects.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

fn number(envelope: &Envelope) -> u64 {
    envelope.body["number"].as_u64().unwrap()
}

fn message(number: u64) -> OutboxMessage {
    OutboxMessage {
        id: ids::new_id(),
        kind: KIND.into(),
        body: serde_json::json!({"number": number}),
        key: "room".into(),
        correlation_id: None,
        traceparent: None,
    }
}

async fn what_failed_is_retried_or_discarded_by_hand(bench: Bench) {
    let queue = bench.declares("Q", RetryPolicy { immediate: 0, delays: Vec::new() }).await;
    let mended = Arc::new(AtomicU32::new(0));
    let state = mended.clone();
    let seen = bench.handles(&queue, move |_, _| if state.load(Ordering::SeqCst) == 0 { again() } else { Ok(()) });
    for number in 1..=3 {
        bench.publishes(number).await;
    }
    bench.until("all have failed", |queue| queue.failed == 3).await;
    let (first_page, token) = bench.bus.failed("", 2, "").await.unwrap();
    let (second_page, end) = bench.bus.failed("", 2, &token).await.unwrap();
    assert_eq!((first_page.len(), second_page.len(), end.as_str()), (2, 1, ""));
    assert!(bench.bus.failed("", 2, "nonsense").await.is_err());
    mended.store(1, Ordering::SeqCst);
    assert!(bench.retries(first_page[0].id).await);
    assert!(bench.bus.discard(first_page[1].id, &bench.note("message.discarded")).await.unwrap());
    bench.until("one is left", |queue| queue.failed == 1 && empty(queue)).await;
    assert!(!bench.retries(first_page[0].id).await, "it is not there any more");
    // Each is noted once, with what it was done to; what was not there is not.
    let noted = audit::list(bench.db.reader(), &audit::Filter::default(), 10).await.unwrap();
    let actions: Vec<&str> = noted.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["message.discarded", "message.retried"]);
    for (record, failed) in noted.iter().zip([&first_page[1], &first_page[0]]) {
        let message = failed.envelope.as_ref().unwrap().message_id.to_string();
        assert_eq!((record.details["queue"].as_str(), &record.details["message"]), ("Q", &message));
    }
    assert_eq!(audit::verify(bench.db.reader()).await.unwrap().first_broken, None);
    assert_eq!(bench.bus.failed_one(second_page[0].id).await.unwrap().unwrap().attempts, 1);
    assert_eq!(seen.numbers().len(), 4);
}

async fn the_outbox_reaches_the_bus_in_order(bench: Bench) {
    let queue = bench.declares("Q", bench.quick()).await;
    let wake = Wake::default();
    let messages: Vec<OutboxMessage> = (0..600).map(message).collect();
    // A change that is rolled back tells nobody.
    let tx = bench.db.begin().await.unwrap();
    outbox::add(&tx, &[message(999)], bench.clock.now()).await.unwrap();
    drop(tx);
    let tx = bench.db.begin().await.unwrap();
    outbox::add(&tx, &messages, bench.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    // Published already, and the process ended before that was noted: the relay publishes it again, and nothing is doubled.
    let first = &messages[0];
    let envelope = Envelope::new(first.id, KIND, first.body.clone(), bench.clock.now());
    bench.bus.publish(vec![envelope]).await.unwrap();
    let relay = Relay::new(bench.db.clone(), bench.bus.clone(), wake.clone(), bench.clock.clone());
    bench.tasks.spawn("relay", relay.run(bench.tasks.stopping()));
    wake.now();
    bench.until("all is relayed", |queue| queue.ready >= 600).await;
    let seen = bench.handles(&queue, |_, _| Ok(()));
    bench.until("all is handled", |queue| empty(queue) && queue.handled >= 600).await;
    let mut numbers = seen.numbers();
    numbers.dedup();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

async fn an_inbox_takes_a_message_once(bench: Bench) {
    let id = ids::new_id();
    let claim = async |consumer: &'static str| {
        let tx = bench.db.begin().await.unwrap();
        let taken = inbox::claim(&tx, consumer, id, bench.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        taken
    };
    assert!(claim("A").await);
    assert!(!claim("A").await);
    assert!(claim("B").await);
    // An effect that is rolled back was not taken.
    let other = ids::new_id();
    let tx = bench.db.begin().await.unwrap();
    assert!(inbox::claim(&tx, "A", other, bench.clock.now()).await.unwrap());
    drop(tx);
    let tx = bench.db.begin().await.unwrap();
    assert!(inbox::claim(&tx, "A", other, bench.clock.now()).await.unwrap());
}

/// The cases, once for each backend: a further one is a further line at the end of this file.
macro_rules! backend {
    ($backend:ident, $new:path) => {
        backend!(
            $backend, $new:
            every_queue_gets_each_message_once,
            what_is_published_twice_has_its_effect_once,
            what_another_program_wrote_by_hand_is_handled,
            what_cannot_be_read_or_is_not_understood_is_kept_as_it_came,
            what_waits_for_its_next_try_survives_a_restart,
            retries_are_those_of_the_bus_unless_a_queue_has_its_own,
            several_relays_on_one_outbox_are_safe,
            without_a_queue_a_message_goes_nowhere,
            what_was_published_survives_a_restart,
            failures_are_tried_again_later_and_then_kept,
            what_failed_is_retried_or_discarded_by_hand,
            the_outbox_reaches_the_bus_in_order,
            an_inbox_takes_a_message_once
        );
    };
    ($backend:ident, $new:path: $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($new().await).await;
            })+
        }
    };
}

backend!(in_process_on_sqlite, super::Bench::on_sqlite);
backend!(in_process_on_postgres, super::Bench::on_postgres);
backend!(over_rabbitmq, super::Bench::on_rabbitmq);
