//! `make bench`: what one process on the embedded default does, beside a floor of the same run. Bounded in count.
//!
//! The floor of calls is the health check over the same port: no storage, no token. Numbers of two machines cannot be
//! compared; ratios can.
#![allow(clippy::expect_used, reason = "a measurement that cannot be taken ends with a text that says why")]

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use clap::Parser;
use proto::{
    chat::v1::Room,
    edge::v1::{SubscribeRequest, client_frame, server_frame::Frame},
};
use tests::{Person, op_id, process::Process, socket::Socket, town};
use tokio::task::JoinSet;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Measures a server that it starts itself.
#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long)]
    server: PathBuf,
    /// Messages of each measurement.
    #[arg(long, default_value_t = 4000)]
    messages: usize,
    /// Calls under way at a time.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Listening sockets.
    #[arg(long, default_value_t = 100)]
    listeners: usize,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().expect("a folder");
    let started = Instant::now();
    let process = Process::start_binary(&arguments.server, folder.path(), &[]).await;
    let ready = started.elapsed();
    let idle = resident_mib(process.id());
    let alice = Person::registers(process.public, "alice").await;
    let room = alice.creates_room("bench").await;
    alice.says(&room, "first").await;
    let first = started.elapsed();

    let floor = checks(&arguments, &process).await;
    let sends = sends(&arguments, &alice, &room).await;
    let (deliveries, listening) = deliveries(&arguments, &alice, &room, &process).await;
    let Arguments { in_flight, listeners, .. } = arguments;
    let lines = [
        format!("ready after                    {:9.0} ms", ready.as_secs_f64() * 1e3),
        format!("first message stored after     {:9.0} ms", first.as_secs_f64() * 1e3),
        format!("resident when idle             {idle:9.1} MiB"),
        format!("resident, {listeners:5} listeners     {listening:9.1} MiB"),
        format!("health checks, {in_flight:3} in flight   {floor:9.0} a second (the floor)"),
        format!("stored sends,  {in_flight:3} in flight   {sends:9.0} a second ({:.2} of the floor)", sends / floor),
        format!("deliveries, {listeners:5} listeners   {deliveries:9.0} a second"),
    ];
    for line in lines {
        writeln!(std::io::stdout(), "{line}").expect("standard output is open");
    }
}

/// Health checks a second.
async fn checks(arguments: &Arguments, process: &Process) -> f64 {
    let channel = town::channel(process.public);
    rate(arguments, move || {
        let mut health = HealthClient::new(channel.clone());
        async move { drop(health.check(HealthCheckRequest::default()).await.expect("the health check answers")) }
    })
    .await
}

/// Stored messages a second.
async fn sends(arguments: &Arguments, alice: &Person, room: &Room) -> f64 {
    let (alice, room) = (alice.clone(), room.clone());
    rate(arguments, move || {
        let (alice, room) = (alice.clone(), room.clone());
        async move { drop(alice.tries_to_say(&room, &"x".repeat(120), &op_id()).await.expect("the send is stored")) }
    })
    .await
}

/// Calls a second with so many under way.
async fn rate<F>(arguments: &Arguments, call: impl Fn() -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let left = Arc::new(AtomicUsize::new(arguments.messages));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..arguments.in_flight {
        let (left, call) = (left.clone(), call.clone());
        callers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                call().await;
            }
        });
    }
    callers.join_all().await;
    arguments.messages as f64 / started.elapsed().as_secs_f64()
}

/// Deliveries a second to listeners of one room, each of whom must get everything; and what the server holds meanwhile.
async fn deliveries(arguments: &Arguments, alice: &Person, room: &Room, process: &Process) -> (f64, f64) {
    let messages = arguments.messages / 4;
    let mut listening = JoinSet::new();
    for _ in 0..arguments.listeners {
        let mut socket = Socket::signed_in(process.public, &alice.token).await;
        socket.send(client_frame::Frame::Subscribe(SubscribeRequest::default())).await;
        while !matches!(socket.next().await.expect("the socket is open"), Frame::CaughtUp(_)) {}
        listening.spawn(async move {
            let mut events = 0;
            while events < messages {
                events += usize::from(matches!(socket.next().await.expect("the socket is open"), Frame::Event(_)));
            }
        });
    }
    let resident = resident_mib(process.id());
    let started = Instant::now();
    let fewer = Arguments { messages, server: PathBuf::new(), ..*arguments };
    sends(&fewer, alice, room).await;
    listening.join_all().await;
    ((messages * arguments.listeners) as f64 / started.elapsed().as_secs_f64(), resident)
}

/// Resident memory of a process, as the kernel tells it.
fn resident_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    kib / 1024.0
}
