//! Goal 10: the same over gRPC, beside tonic with nothing behind it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use proto::{
    chat::v1::{SendMessageRequest, message_service_client::MessageServiceClient},
    edge::v1::{SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame},
};
use tokio::task::JoinSet;

use super::{Bench, Limit, median};
use crate::{
    load::{
        setup::{self, Shape, signed},
        target::{Account, Kind, Target},
    },
    town,
};

const IN_FLIGHT: usize = 64;
const CALLS: usize = 20_000;
const STREAMS: usize = 50;
const EVENTS: usize = 2_000;
const KINDS: [Kind; 2] = [Kind::BareGrpc, Kind::Embedded];

/// A target, who calls it, and the room.
struct Side {
    target: Target,
    accounts: Vec<Account>,
    room: String,
}

#[derive(Default)]
struct Found {
    calls: Vec<f64>,
    /// Events for a second of the server's CPU.
    events: Vec<f64>,
}

pub(super) fn measure(bench: &mut Bench) {
    let sides: Vec<(Kind, Side)> = KINDS.iter().map(|kind| (*kind, side(bench, *kind))).collect();
    let mut found: HashMap<Kind, Found> = HashMap::new();
    for _ in 0..bench.rounds {
        for (kind, side) in &sides {
            let found = found.entry(*kind).or_default();
            found.calls.push(bench.runtime.block_on(calls(side, CALLS)));
            found.events.push(bench.runtime.block_on(events(side)));
        }
    }
    let of = |kind, value: fn(&Found) -> &Vec<f64>| {
        found.get(&kind).map_or(f64::NAN, |found| median(value(found).iter().copied()))
    };
    for (name, value, limit) in [
        ("unary sends a second, stored, 64 in flight", (|found| &found.calls) as fn(&Found) -> &Vec<f64>, 0.3),
        ("events of 50 streams for a second of CPU", |found| &found.events, 0.2),
    ] {
        let (ours, bare) = (of(Kind::Embedded, value), of(Kind::BareGrpc, value));
        let note = format!("{ours:.0} / {bare:.0}");
        bench.noted(10, format!("{name}: embedded / bare tonic"), ours / bare, Limit::AtLeast(limit), &note);
    }
}

fn side(bench: &Bench, kind: Kind) -> Side {
    let shape = Shape { rooms: 1, members: STREAMS };
    bench.runtime.block_on(async {
        let target = Target::start(kind, &bench.server, shape.people()).await;
        let clients = setup::rooms(&target, shape, 0).await;
        let nobody = Account { user_id: String::new(), access_token: "none".into() };
        let accounts = if kind.is_floor() { vec![nobody; STREAMS] } else { target.accounts.clone() };
        Side { room: clients[0].room_id.clone(), accounts, target }
    })
}

/// Stored sends a second.
async fn calls(side: &Side, count: usize) -> f64 {
    let channel = town::channel(side.target.address);
    let left = Arc::new(AtomicUsize::new(count));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..IN_FLIGHT {
        let mut messages = MessageServiceClient::new(channel.clone());
        let (left, room_id) = (left.clone(), side.room.clone());
        let account = side.accounts[caller % side.accounts.len()].clone();
        callers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let (text, op_id) = ("x".repeat(120), crate::op_id());
                let request = SendMessageRequest { room_id: room_id.clone(), text, op_id, file_ids: Vec::new() };
                messages.send_message(signed(&account, request)).await.expect("the message is taken");
            }
        });
    }
    callers.join_all().await;
    count as f64 / began.elapsed().as_secs_f64()
}

/// Events that streams of a room got for each second of the server's CPU, sends included.
async fn events(side: &Side) -> f64 {
    let mut listening = JoinSet::new();
    for account in side.accounts.iter().take(STREAMS) {
        // A connection each, as programs have.
        let mut edge = EdgeServiceClient::new(town::channel(side.target.address));
        let opened = edge.subscribe(signed(account, SubscribeRequest::default())).await;
        let mut stream = opened.expect("the stream opens").into_inner();
        while !matches!(next(&mut stream).await, Frame::CaughtUp(_)) {}
        listening.spawn(async move {
            let mut events = 0;
            while events < EVENTS {
                events += usize::from(matches!(next(&mut stream).await, Frame::Event(_)));
            }
        });
    }
    let before = side.target.cpu();
    calls(side, EVENTS).await;
    listening.join_all().await;
    (STREAMS * EVENTS) as f64 / side.target.cpu().since(before).total
}

async fn next(stream: &mut tonic::Streaming<proto::edge::v1::ServerFrame>) -> Frame {
    let frame = stream.message().await.expect("the stream goes on");
    frame.and_then(|frame| frame.frame).expect("a frame that is known")
}
