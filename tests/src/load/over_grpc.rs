//! The same open loop over gRPC: a `Subscribe` stream on a connection of its own for each member, and unary sends.
//!
//! Costs the generator much more than sockets do, so that it reaches its own limit sooner.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use proto::{
    chat::v1::{Event, SendMessageRequest, event::Body, message_service_client::MessageServiceClient},
    edge::v1::{ServerFrame, SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame},
};
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::Streaming;

use super::{
    check::{self, Checker, Member, Tally},
    setup::{Shape, signed},
    swarm::Client,
    target::{Account, Target},
};
use crate::town;

/// How long is waited for what is still on its way.
const DRAIN: Duration = Duration::from_secs(15);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Deliveries a second that were asked for.
    pub offered: f64,
    /// Milliseconds from the time a message should have been sent to its delivery.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The worst.
    pub max: f64,
    /// Microseconds of the servers' CPU for a delivery.
    pub cpu: f64,
    /// What the checker found.
    pub tally: Tally,
}

/// What is gathered while it runs.
struct Seen {
    began: Instant,
    checker: Checker,
    latency: Histogram<u64>,
    /// Each member, with their room.
    members: Vec<(usize, Member)>,
    deliveries: u64,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Seen>>);

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_complete(&self) -> bool {
        let seen = self.seen();
        seen.checker.unanswered() == 0 && seen.members.iter().all(|(room, member)| seen.checker.has_all(*room, member))
    }
}

/// Offers a load to the members of rooms, who send in turn: rooms in turn, and in each its members.
///
/// # Panics
/// When a stream cannot be opened.
pub async fn open_loop(
    target: &Target,
    shape: Shape,
    clients: &[Client],
    deliveries: f64,
    time: Duration,
    length: usize,
) -> Measured {
    let shared = Shared(Arc::new(Mutex::new(Seen {
        began: Instant::now(),
        checker: Checker::new(shape.rooms),
        latency: Histogram::new_with_max(120_000_000, 3).expect("three digits are possible"),
        members: clients.iter().map(|client| (client.room, Member::default())).collect(),
        deliveries: 0,
    })));
    let mut listening = JoinSet::new();
    for (member, (client, account)) in clients.iter().zip(&target.accounts).enumerate() {
        let stream = open(&shared, target, member, client, account).await;
        listening.spawn(listen(shared.clone(), stream, member, client.room_id.clone()));
    }
    let before = target.cpu();
    let (began, started) = (shared.seen().began, shared.seen().began.elapsed());
    let every = Duration::from_secs_f64(shape.members as f64 / deliveries);
    let mut sending = JoinSet::new();
    for number in 0u32.. {
        let due = started + every * number;
        if due >= started + time {
            break;
        }
        tokio::time::sleep_until((began + due).into()).await;
        let (room, member) = (number as usize % shape.rooms, number as usize / shape.rooms % shape.members);
        let sender = room * shape.members + member;
        let key = (sender as u64) << 32 | (u64::from(number) + 1);
        shared.seen().checker.attempt(room, key);
        let text = check::text(key, u64::try_from(due.as_nanos()).unwrap_or(u64::MAX), length);
        let account = target.accounts[sender].clone();
        sending.spawn(send(shared.clone(), target.address, account, clients[sender].room_id.clone(), key, text));
    }
    sending.join_all().await;
    let until = Instant::now() + DRAIN;
    while !shared.is_complete() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cpu = target.cpu().since(before).total;
    listening.shutdown().await;
    finish(&shared, deliveries, cpu)
}

async fn open(
    shared: &Shared,
    target: &Target,
    member: usize,
    client: &Client,
    account: &Account,
) -> Streaming<ServerFrame> {
    let mut edge = EdgeServiceClient::new(town::channel(target.address));
    let opened = edge.subscribe(signed(account, SubscribeRequest::default())).await;
    let mut stream = opened.expect("the stream opens").into_inner();
    loop {
        match stream.message().await.expect("the stream goes on").and_then(|frame| frame.frame) {
            Some(Frame::Snapshot(snapshot)) if snapshot.feed_id == client.room_id => {
                shared.seen().members[member].1.last = snapshot.head;
            }
            Some(Frame::CaughtUp(_)) => return stream,
            _ => {}
        }
    }
}

async fn listen(shared: Shared, mut stream: Streaming<ServerFrame>, member: usize, room_id: String) {
    while let Ok(Some(ServerFrame { frame })) = stream.message().await {
        let Some(Frame::Event(event)) = frame else { continue };
        let mut seen = shared.seen();
        if event.feed_id != room_id {
            if matches!(event.body, Some(Body::MessagePosted(_))) {
                seen.checker.violate();
            }
            continue;
        }
        let posted = posted(&event);
        let Seen { began, checker, latency, members, deliveries } = &mut *seen;
        let (room, held) = &mut members[member];
        checker.deliver(*room, held, event.seq, posted.map(|(key, _)| key), false);
        if let Some((_, due)) = posted {
            *deliveries += 1;
            let waited = began.elapsed().saturating_sub(Duration::from_nanos(due));
            latency.saturating_record(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

fn posted(event: &Event) -> Option<(check::Key, u64)> {
    let Some(Body::MessagePosted(posted)) = &event.body else { return None };
    check::parse(posted.message.as_ref()?.text.as_bytes())
}

async fn send(
    shared: Shared,
    address: std::net::SocketAddr,
    account: Account,
    room_id: String,
    key: check::Key,
    text: String,
) {
    let mut messages = MessageServiceClient::new(channel(address));
    let request = SendMessageRequest { room_id, text, op_id: crate::op_id(), file_ids: Vec::new() };
    let sent = messages.send_message(signed(&account, request)).await;
    let mut seen = shared.seen();
    match sent {
        Ok(_) => seen.checker.acknowledge(key),
        Err(_) => seen.checker.fail(),
    }
}

/// All sends share a connection, as those of one program do.
fn channel(address: std::net::SocketAddr) -> tonic::transport::Channel {
    static SHARED: std::sync::OnceLock<tonic::transport::Channel> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| town::channel(address)).clone()
}

fn finish(shared: &Shared, offered: f64, cpu: f64) -> Measured {
    let mut seen = shared.seen();
    let value = |quantile| seen.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let (p50, p99, max) = (value(0.5), value(0.99), seen.latency.max() as f64 / 1000.0);
    let cpu = cpu / seen.deliveries.max(1) as f64 * 1e6;
    let members = std::mem::take(&mut seen.members);
    let checker = std::mem::take(&mut seen.checker);
    let tally = checker.finish(members.iter().map(|(room, member)| (*room, member)));
    Measured { offered, p50, p99, max, cpu, tally }
}
