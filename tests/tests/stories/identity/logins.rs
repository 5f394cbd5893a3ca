//! Signing in under load and from far away: how much memory a crowd takes, how long a wrong name takes, how many tries there are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::auth::v1::{
    ListSessionsRequest, LoginRequest, LoginResponse, RequestPasswordResetRequest,
    auth_service_client::AuthServiceClient,
};
use proto::chat::v1::ListRoomsRequest;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_there_takes_as_long() {
    let most = |config: &mut server::config::Config| config.auth.tries_per_account = 100_000;
    let town = Town::start_with(Shape::Embedded, most).await;
    town.registers("alice").await;
    let mut auth = AuthServiceClient::new(town.channel());
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..40 {
        for (name, times) in [("alice", &mut known), ("nobody", &mut unknown)] {
            let started = Instant::now();
            let refused = refusal(auth.login(login(name, &format!("wrong password {round}"))).await);
            times.push(started.elapsed());
            assert_eq!(refused, nobody("BAD_CREDENTIALS"));
        }
    }
    known.sort_unstable();
    unknown.sort_unstable();
    let ratio = unknown[20].as_secs_f64() / known[20].as_secs_f64();
    println!("a wrong password takes {:?}, a wrong name {:?}", known[20], unknown[20]);
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
    // Nothing is done for a link before the answer.
    for name in ["alice", "nobody"] {
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
