//! The bus over a broker that is looked into, starved, killed and frozen; and many events of which some are doubled, out of order or
//! poison.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "how long a recovery took is worth reading")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mesh::{
    bus::{
        AmqpConfig, Bus, Delivery, Destination, Envelope, HandlerError, Health, QueueSpec, QueueType, RetryPolicy,
        memory,
    },
    clock::Clock,
    db::{Db, DbConfig},
    ids, inbox,
    lifecycle::Tasks,
    outbox::{self, OutboxMessage, Relay, Wake},
};
use sea_orm::{ConnectionTrait as _, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use serde_json::json;
use tests::servers::RabbitMq;

const KIND: &str = "Test.V1:Happened";
/// How long anything expected may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);
/// How long the backlog may take once the broker is back.
const DRAINED_WITHIN: Duration = Duration::from_secs(15);
/// Between two messages: 200 a second.
const BEAT: Duration = Duration::from_millis(5);

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![memory::migration(), outbox::migration(), inbox::migration(), outbox::lease_migration()]
    }
}

async fn database(folder: &tempfile::TempDir) -> Db {
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<Migrator>().await.unwrap();
    db
}

async fn over(url: String, tasks: &Tasks) -> Bus {
    let config = AmqpConfig { url, queue_type: QueueType::Quorum, queues: Vec::new(), translate: None };
    let bus = Bus::open_amqp(config, Clock::system(), tasks).await.unwrap();
    until("the broker answers", async || bus.health() == Health::Good).await;
    bus
}

async fn until(what: &str, reached: impl AsyncFnMut() -> bool) -> Duration {
    within(DEADLINE, what, reached).await
}

async fn within(deadline: Duration, what: &str, mut reached: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !reached().await {
        assert!(started.elapsed() < deadline, "this did not happen within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

/// A number from the environment: make test takes a smaller one.
#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn message(number: u64) -> OutboxMessage {
    OutboxMessage {
        id: ids::new_id(),
        kind: KIND.into(),
        body: json!({"number": number}),
        key: "room".into(),
        correlation_id: None,
        traceparent: None,
    }
}

/// Everything that a number was an effect of, once however often it came.
type Effects = Arc<Mutex<Vec<u64>>>;

/// Consumes with an effect in the transaction of the inbox's row; negative numbers are poison.
fn consume(bus: &Bus, db: &Db, queue: &QueueSpec, prefetch: usize, tasks: &Tasks) -> Effects {
    let effects = Effects::default();
    let (bus, db, queue, seen, stop) = (bus.clone(), db.clone(), queue.clone(), effects.clone(), tasks.stopping());
    tasks.spawn("consumer", async move {
        let handle = |delivery: Delivery| {
            let (db, seen, name) = (db.clone(), seen.clone(), queue.name.clone());
            async move { effect(&db, &seen, &name, &delivery.envelope).await }
        };
        bus.consume(&queue, prefetch, stop, handle).await;
    });
    effects
}

async fn effect(db: &Db, seen: &Effects, consumer: &str, envelope: &Envelope) -> Result<(), HandlerError> {
    let number = envelope.body["number"].as_u64();
    let number = number.ok_or_else(|| HandlerError::Poison(anyhow::anyhow!("not a number")))?;
    let retry = |cause: sea_orm::DbErr| HandlerError::Retry(cause.into());
    let (consumer, id, now) = (consumer.to_owned(), envelope.message_id, Clock::system().now());
    let claim = db.in_group(move |tx| Box::pin(async move { inbox::claim(tx, &consumer, id, now).await }));
    if claim.await.map_err(retry)? {
        seen.lock().unwrap().push(number);
    }
    Ok(())
}

async fn left(db: &Db) -> u64 {
    let count = Statement::from_string(db.backend(), "SELECT count(*) FROM outbox");
    let row = db.reader().query_one_raw(count).await.unwrap().unwrap();
    u64::try_from(row.try_get_by_index::<i64>(0).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_shows_exactly_the_topology_of_the_reference() {
    let broker = tests::servers::shared_broker().await;
    let url = broker.fresh_vhost().await;
    let vhost = url.rsplit_once('/').unwrap().1.to_owned();
    let tasks = Tasks::new();
    let bus = over(url, &tasks).await;
    let delays = vec![Duration::from_millis(50)];
    let retry = RetryPolicy { immediate: 0, delays };
    let queue =
        QueueSpec { retry: Some(retry), ..QueueSpec::new("Orders", [KIND.to_owned(), "Test.V1:Other".to_owned()]) };
    bus.declare(&queue).await.unwrap();
    let ask = async |arguments: &[&str]| -> BTreeSet<String> {
        let told = broker.control(&[&["-p", &vhost], arguments].concat()).await;
        told.lines().map(|line| line.trim().replace('\t', " ")).filter(|line| !line.starts_with("amq.")).collect()
    };
    let set = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let exchanges = ["list_exchanges", "name", "type", "durable", "--no-table-headers"];
    let bindings =
        ["list_bindings", "source_name", "destination_kind", "destination_name", "routing_key", "--no-table-headers"];
    let queues = ["list_queues", "name", "type", "durable", "--no-table-headers"];
    let mut all = set(&[
        "direct true",
        "Orders fanout true",
        "Orders_error fanout true",
        "Test.V1:Happened fanout true",
        "Test.V1:Other fanout true",
    ]);
    assert_eq!(ask(&exchanges).await, all);
    let bound = set(&[
        "Orders queue Orders",
        "Orders_error queue Orders_error",
        "Test.V1:Happened exchange Orders",
        "Test.V1:Other exchange Orders",
    ]);
    // Every queue is also bound to the default exchange, whose name is empty, by its name.
    let ours =
        |lines: BTreeSet<String>| lines.into_iter().filter(|line| !line.starts_with("queue ")).collect::<BTreeSet<_>>();
    assert_eq!(ours(ask(&bindings).await), bound);
    assert_eq!(ask(&queues).await, set(&["Orders quorum true", "Orders_error classic true"]));

    // One that fails, one that nobody understands, and one for everybody who listens to what it is as well.
    let db_folder = tempfile::tempdir().unwrap();
    let db = database(&db_folder).await;
    consume(&bus, &db, &queue, 4, &tasks);
    let retried =
        Envelope::new(ids::new_id(), KIND, json!({"number": 1}), Clock::system().now()).also(["Test.V1:Base"]);
    bus.publish(vec![retried]).await.unwrap();
    let poison = Envelope::new(ids::new_id(), KIND, json!({}), Clock::system().now());
    bus.publish(vec![poison]).await.unwrap();
    let other = Envelope::new(ids::new_id(), "Test.V1:Unknown", json!({}), Clock::system().now());
    bus.send(&Destination::Queue("Orders".into()), &other).await.unwrap();
    until("both are kept", async || {
        let status = bus.queues().await.unwrap().remove(0);
        status.failed == 1 && status.skipped == 1 && status.handled == 1
    })
    .await;
    for name in ["Orders_skipped", "MassTransit:Fault", "MassTransit:Fault--Test.V1:Happened--", "Test.V1:Base"] {
        all.insert(format!("{name} fanout true"));
    }
    assert_eq!(ask(&exchanges).await, all);
    let mut bound = bound;
    bound.extend(set(&[
        "Orders_skipped queue Orders_skipped",
        "MassTransit:Fault--Test.V1:Happened-- exchange MassTransit:Fault",
        "Test.V1:Happened exchange Test.V1:Base",
    ]));
    assert_eq!(ours(ask(&bindings).await), bound);
    what_is_put_off_waits_in_a_queue_of_that_delay(&bus, ask, &tasks).await;
    tasks.stop(Duration::from_secs(5)).await;
}

/// No plug-in: a queue for each delay, named by it, whose messages come back by themselves when their time is over.
async fn what_is_put_off_waits_in_a_queue_of_that_delay(
    bus: &Bus,
    ask: impl AsyncFn(&[&str]) -> BTreeSet<String>,
    tasks: &Tasks,
) {
    let retry = RetryPolicy { immediate: 0, delays: vec![Duration::from_secs(300)] };
    let queue = QueueSpec { retry: Some(retry), ..QueueSpec::new("Late", ["Test.V1:Late".to_owned()]) };
    bus.declare(&queue).await.unwrap();
    let (consuming, stop) = (bus.clone(), tasks.stopping());
    tasks.spawn("late", async move {
        let later = |_| async { Err(HandlerError::Retry(anyhow::anyhow!("not now"))) };
        consuming.consume(&queue, 1, stop, later).await;
    });
    let late = Envelope::new(ids::new_id(), "Test.V1:Late", json!({}), Clock::system().now());
    bus.publish(vec![late]).await.unwrap();
    until("it is put off", async || {
        bus.queues().await.unwrap().iter().any(|queue| queue.name == "Late" && queue.delayed == 1)
    })
    .await;
    let told = ask(&["list_queues", "name", "arguments", "--no-table-headers"]).await;
    let arguments = |name: &str| {
        let line = told.iter().find(|line| line.split_once(' ').is_some_and(|(known, _)| known == name));
        line.unwrap_or_else(|| panic!("{name}: {told:#?}")).replace(['"', ' '], "")
    };
    for (name, wanted) in [
        ("Late", &["x-queue-type,quorum", "x-dead-letter-exchange,Late_error", "x-delivery-limit,20"][..]),
        ("Late_delay_300000", &["x-queue-type,quorum", "x-dead-letter-exchange,Late}", "x-message-ttl,300000"]),
    ] {
        let told = arguments(name);
        assert!(wanted.iter().all(|one| told.contains(one)), "{wanted:?}: {told}");
    }
}

/// Sends 200 messages a second through the outbox while something is done to the broker, and says what came of it.
async fn under_load(what: &str, broker: &mut RabbitMq, harm: impl AsyncFnOnce(&mut RabbitMq)) {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let db = database(&folder).await;
    let bus = over(broker.fresh_vhost().await, &tasks).await;
    let queue = QueueSpec::new("Q", [KIND.to_owned()]);
    bus.declare(&queue).await.unwrap();
    let effects = consume(&bus, &db, &queue, 32, &tasks);
    let wake = Wake::default();
    let relay = Relay::new(db.clone(), bus.clone(), wake.clone(), Clock::system());
    tasks.spawn("relay", relay.run(tasks.stopping()));
    let over = Arc::new(AtomicBool::new(false));
    let sending = {
        let (db, over) = (db.clone(), over.clone());
        tasks.spawn("sender", async move {
            let (mut sent, mut slowest) = (0, Duration::ZERO);
            let mut beat = tokio::time::interval(BEAT);
            while !over.load(Ordering::Relaxed) {
                beat.tick().await;
                let started = Instant::now();
                let tx = db.begin().await.expect("no send fails");
                outbox::add(&tx, &[message(sent)], Clock::system().now()).await.expect("no send fails");
                tx.commit().await.expect("no send fails");
                wake.now();
                slowest = slowest.max(started.elapsed());
                sent += 1;
            }
            (sent, slowest)
        })
    };
    until("messages flow", async || effects.lock().unwrap().len() > 200).await;
    harm(broker).await;
    let back = Instant::now();
    // It goes on at the same rate while the backlog is worked off.
    let caught_up = until("the backlog is drained", async || left(&db).await < 20).await;
    over.store(true, Ordering::Relaxed);
    let (sent, slowest) = sending.await.unwrap();
    let all = async || effects.lock().unwrap().len() as u64 >= sent && left(&db).await == 0;
    until("everything has had its effect", all).await;
    let drained = back.elapsed();
    println!(
        "{what}: {sent} sent, the slowest took {slowest:?}; caught up after {caught_up:?}, drained after {drained:?}"
    );
    assert!(drained < DRAINED_WITHIN, "{what}: drained after {drained:?}");
    let mut numbers = effects.lock().unwrap().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..sent).collect::<Vec<_>>(), "{what}: each once");
    assert!(bus.queues().await.unwrap().iter().all(|queue| queue.failed + queue.skipped == 0));
    tasks.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_starved_killed_or_frozen_delays_and_loses_nothing() {
    let mut broker = RabbitMq::start().await;
    under_load("killed", &mut broker, async |broker: &mut RabbitMq| {
        broker.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.restart().await;
    })
    .await;
    let pause = Duration::from_secs(setting("LOQUAT_TEST_PAUSE_SECONDS", 15));
    under_load("frozen", &mut broker, async |broker: &mut RabbitMq| {
        broker.stop();
        tokio::time::sleep(pause).await;
        broker.cont();
    })
    .await;
    starved(&broker).await;
}

/// A broker that is short of memory takes nothing and says nothing; that is told, and it takes everything when it is over.
async fn starved(broker: &RabbitMq) {
    let tasks = Tasks::new();
    let bus = over(broker.fresh_vhost().await, &tasks).await;
    let queue = QueueSpec::new("Q", [KIND.to_owned()]);
    bus.declare(&queue).await.unwrap();
    broker.control(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let publish = async |number: u64| {
        let now = Clock::system().now();
        bus.publish(vec![Envelope::new(ids::new_id(), KIND, json!({"number": number}), now)]).await
    };
    until("it takes nothing", async || {
        let taken = publish(1).await;
        taken.is_err() && matches!(bus.health(), Health::Blocked(_))
    })
    .await;
    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("it takes messages again", async || publish(2).await.is_ok() && bus.health() == Health::Good).await;
    tasks.stop(Duration::from_secs(5)).await;
}

/// Where many rooms stand: for each the sum of what was added, and the highest number that was seen.
type State = BTreeMap<u64, (u64, u64)>;

fn state(effects: &Effects) -> State {
    let mut state = State::new();
    for number in effects.lock().unwrap().iter() {
        let room = state.entry(number % 97).or_default();
        *room = (room.0 + number, room.1.max(*number));
    }
    state
}

async fn many_events_end_in_the_same_state(bus: Bus, folder: tempfile::TempDir, db: Db, tasks: Tasks, events: u64) {
    let poisoned = events / 1000;
    let retry = RetryPolicy { immediate: 0, delays: Vec::new() };
    let queue = QueueSpec { retry: Some(retry), ..QueueSpec::new("Many", [KIND.to_owned()]) };
    bus.declare(&queue).await.unwrap();
    let effects = consume(&bus, &db, &queue, 64, &tasks);
    let started = Instant::now();
    let mut sequence: Vec<Envelope> = (0..events)
        .map(|number| Envelope::new(ids::new_id(), KIND, json!({"number": number}), Clock::system().now()))
        .collect();
    for place in 0..poisoned {
        let poison = Envelope::new(ids::new_id(), KIND, json!({"number": "none"}), Clock::system().now());
        sequence.insert((place * 1000 + 500) as usize, poison);
    }
    // Every twentieth changes places with one further on, and every twentieth comes once more.
    for place in (0..sequence.len().saturating_sub(30)).step_by(20) {
        sequence.swap(place, place + 27);
    }
    let twice: Vec<Envelope> = sequence.iter().skip(7).step_by(20).cloned().collect();
    for window in sequence.chunks(256) {
        bus.publish(window.to_vec()).await.unwrap();
    }
    for window in twice.chunks(256) {
        bus.publish(window.to_vec()).await.unwrap();
    }
    let wanted = Effects::new(Mutex::new((0..events).collect()));
    let deadline = DEADLINE.max(Duration::from_millis(5) * u32::try_from(events).unwrap());
    within(deadline, "everything is handled", async || {
        let queue = bus.queues().await.unwrap().remove(0);
        queue.ready + queue.in_flight == 0 && effects.lock().unwrap().len() as u64 >= events
    })
    .await;
    println!("{events} events, {} of them again, {poisoned} poison: {:?}", twice.len(), started.elapsed());
    assert_eq!(effects.lock().unwrap().len() as u64, events, "each once");
    assert_eq!(state(&effects), state(&wanted));
    let failed = bus.queues().await.unwrap().remove(0).failed;
    let again = twice.iter().filter(|envelope| envelope.body["number"].is_string()).count() as u64;
    assert!((poisoned..=poisoned + again).contains(&failed), "{failed} failed");
    tasks.stop(Duration::from_secs(5)).await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_reordered_and_poisoned_events_over_rabbitmq() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let db = database(&folder).await;
    let bus = over(tests::servers::fresh_broker().await, &tasks).await;
    many_events_end_in_the_same_state(bus, folder, db, tasks, setting("LOQUAT_TEST_EVENTS", 10_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_reordered_and_poisoned_events_in_process() {
    let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let db = database(&folder).await;
    let bus = Bus::open_memory(db.clone(), Clock::system()).await.unwrap();
    many_events_end_in_the_same_state(bus, folder, db, tasks, setting("LOQUAT_TEST_EVENTS", 2_000)).await;
}
