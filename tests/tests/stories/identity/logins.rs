//! Signing in under load and from far away: how much memory a crowd takes, how long whoever does not get in takes to be told, how
//! many tries there are.

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::auth::v1::{
    CreateBotRequest, DisableUserRequest, ListSessionsRequest, LoginRequest, LoginResponse,
    RequestPasswordResetRequest, auth_service_client::AuthServiceClient,
};
use proto::chat::v1::ListRoomsRequest;
use rand::seq::SliceRandom as _;
use tests::{Person, Shape, Town, person::PASSWORD, process::Process, town};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::{Accounts as _, nobody, refusal, with};

const CROWD: usize = 500;
const MIB: u64 = 1024 * 1024;

fn login(name: &str, password: &str) -> LoginRequest {
    LoginRequest { username: name.into(), password: password.into(), ..Default::default() }
}

/// Bytes that a process has in memory, or had at most.
fn memory(process: &Process, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_signs_in_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let many = [("LOQUAT_AUTH__TRIES_PER_ACCOUNT", "100000"), ("LOQUAT_AUTH__TRIES_ALTOGETHER", "100000")];
    let many: Vec<(&str, String)> = many.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let process = Process::start(folder.path(), &many).await;
    let alice = Person::registers(process.public, "alice").await;
    Person::signs_in(process.public, "alice").await;
    let base = memory(&process, "VmRSS:");
    let channels: Vec<Channel> = (0..10).map(|_| town::channel(process.public)).collect();
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let channel = channels[number % channels.len()].clone();
        crowd.spawn(async move { AuthServiceClient::new(channel).login(login("alice", PASSWORD)).await });
    }
    let answers = crowd.join_all().await;
    let (signed_in, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    for answer in &refused {
        let refused = answer.as_ref().unwrap_err();
        assert_eq!((refused.code(), mesh::errors::reason(refused)), (Code::ResourceExhausted, "HASHING_BUSY".into()));
        assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    }
    let most = memory(&process, "VmHWM:");
    let permits = (std::thread::available_parallelism().unwrap().get() as u64 / 2).max(1);
    // What calls under way hold is several times as much without optimisation.
    let calls = if cfg!(debug_assertions) { 192 } else { 64 };
    let allowed = base + permits * 19 * MIB + calls * MIB;
    println!(
        "{CROWD} log-ins at once: {} signed in, {} told to come back; {} MiB before, {} MiB at most, {} MiB allowed",
        signed_in.len(),
        refused.len(),
        base / MIB,
        most / MIB,
        allowed / MIB
    );
    assert!(!signed_in.is_empty() && most <= allowed);
    alice.rooms().list_rooms(ListRoomsRequest::default()).await.unwrap();
}

/// Names with which nobody gets in: one that has another password, one that is not there, one that is disabled, and one without a
/// password, which is a program's.
const NAMES: [&str; 4] = ["alice", "nobody", "gone", "robot"];
/// Tries with each, unless `LOQUAT_TEST_TIMED_TRIES` says how many.
const TIMED_TRIES: usize = 100;
/// Samples that must all tell two names apart.
const SAMPLES: usize = 3;
/// Beyond it two samples of one distribution are with a probability of 1 %, on either side.
const ONE_IN_A_HUNDRED: f64 = 2.576;

#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
fn timed_tries() -> usize {
    std::env::var("LOQUAT_TEST_TIMED_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(TIMED_TRIES)
}

/// The U test of Mann and Whitney: how probable it is that one of the first is less than one of the second, and by how many
/// standard deviations that is off one half. No assumption is made of how times are distributed, and a few that are far out do
/// not matter.
fn compared(first: &[Duration], second: &[Duration]) -> (f64, f64) {
    let (n, m) = (first.len() as f64, second.len() as f64);
    let less = |one: &Duration| {
        let of = |ordering: Ordering| second.iter().filter(|other| one.cmp(other) == ordering).count() as f64;
        of(Ordering::Less) + of(Ordering::Equal) / 2.0
    };
    let u: f64 = first.iter().map(less).sum();
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (u / (n * m), (u - n * m / 2.0) / deviation)
}

#[test]
fn the_statistic_is_that_of_the_tables() {
    let times = |from: u64| -> Vec<Duration> { (from..from + 20).map(Duration::from_micros).collect() };
    let (low, high) = (times(0), times(100));
    let (share, off) = compared(&low, &high);
    assert!((share - 1.0).abs() < 1e-9 && (off - 5.41).abs() < 0.01, "all are less: {share}, {off}");
    let (share, off) = compared(&high, &low);
    assert!(share.abs() < 1e-9 && (off + 5.41).abs() < 0.01, "none is: {share}, {off}");
    let (share, off) = compared(&low, &low);
    assert!((share - 0.5).abs() < 1e-9 && off.abs() < 1e-9, "they are the same: {share}, {off}");
}

/// How long each name takes to be refused. In random order, so that whatever else the machine does meets all of them alike.
async fn timed(auth: &mut AuthServiceClient<Channel>, tries: usize) -> [Vec<Duration>; NAMES.len()] {
    let mut order: Vec<usize> = (0..NAMES.len() * tries).map(|number| number % NAMES.len()).collect();
    order.shuffle(&mut rand::rng());
    let mut times = NAMES.map(|_| Vec::with_capacity(tries));
    for (number, name) in order.into_iter().enumerate() {
        let started = Instant::now();
        let refused = refusal(auth.login(login(NAMES[name], &format!("wrong password {number}"))).await);
        times[name].push(started.elapsed());
        assert_eq!(refused, nobody("BAD_CREDENTIALS"), "{}", NAMES[name]);
    }
    times
}

/// Of samples of one distribution, one in a hundred is found to be of two. So one that is proves nothing, but is a reason to take
/// another, with nothing of the first in it: that three in a row are so for the same name happens a few times in a million runs.
/// A server that skips the hash for a name is found out by each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_which_nobody_gets_in_takes_as_long() {
    let most = |config: &mut server::config::Config| {
        config.auth.tries_per_account = 1_000_000;
        config.auth.tries_altogether = 1_000_000;
    };
    let town = Town::start_with(Shape::Embedded, most).await;
    let (alice, gone) = (town.registers("alice").await, town.registers("gone").await);
    alice.admin().disable_user(DisableUserRequest { user_id: gone.user.id }).await.unwrap();
    let robot = CreateBotRequest { username: "robot".into(), ..Default::default() };
    alice.bots().create_bot(robot).await.unwrap();
    let mut auth = AuthServiceClient::new(town.channel());
    timed(&mut auth, 2).await;
    let mut suspects: Vec<usize> = (1..NAMES.len()).collect();
    for sample in 1..=SAMPLES {
        let times = timed(&mut auth, timed_tries()).await;
        suspects.retain(|name| {
            let (share, off) = compared(&times[0], &times[*name]);
            println!(
                "sample {sample}: {} takes less than {} in {:.1} % of {} tries, {off:.2} standard deviations off a half",
                NAMES[0],
                NAMES[*name],
                share * 100.0,
                times[0].len()
            );
            off.abs() > ONE_IN_A_HUNDRED
        });
        if suspects.is_empty() {
            break;
        }
    }
    let told_apart: Vec<&str> = suspects.iter().map(|name| NAMES[*name]).collect();
    assert!(told_apart.is_empty(), "these are told from {} by their time: {told_apart:?}", NAMES[0]);
    // Nothing is done for a link before the answer.
    for name in NAMES {
        auth.request_password_reset(RequestPasswordResetRequest { account: name.into() }).await.unwrap();
    }
}

async fn from(town: &Town, address: &str, password: &str) -> Result<LoginResponse, Status> {
    let mut request = Request::new(login("alice", password));
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    Ok(AuthServiceClient::new(town.channel()).login(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_are_counted_by_network_behind_a_proxy_that_is_trusted() {
    let town = Town::start_with(Shape::Full, |config| {
        config.gateway.trusted_proxies = vec!["127.0.0.1".to_owned()].try_into().unwrap();
        config.auth.tries_per_address = 5;
    })
    .await;
    town.registers("alice").await;
    for host in 1..=5 {
        let refused = refusal(from(&town, &format!("2001:db8:1:1::{host}"), "wrong password").await);
        assert_eq!(refused, nobody("BAD_CREDENTIALS"));
    }
    let refused = from(&town, "2001:db8:1:1:ffff::1", PASSWORD).await.unwrap_err();
    assert_eq!((refused.code(), mesh::errors::reason(&refused)), (Code::ResourceExhausted, "TOO_MANY_TRIES".into()));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    // Whoever has another network signs in, and is where the proxy says.
    let answer = from(&town, "198.51.100.1, 2001:db8:1:2::1", PASSWORD).await.unwrap();
    let alice = with(&Person::signs_in(town.public, "alice").await, &answer.access_token);
    let listed = alice.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    assert!(listed.iter().any(|session| session.current && session.address == "2001:db8:1:2::1"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_says_of_themselves_is_not_believed() {
    let town = Arc::new(Town::start_with(Shape::Embedded, |config| config.auth.tries_per_address = 2).await);
    town.registers("alice").await;
    for host in 1..=5 {
        let answer = from(&town, &format!("203.0.113.{host}"), PASSWORD).await.unwrap();
        let alice = Person::returns(town.public, answer.user.unwrap(), answer.access_token, answer.refresh_token);
        let listed = alice.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
        assert!(listed.iter().all(|session| session.address == "127.0.0.1"), "{listed:?}");
    }
}
