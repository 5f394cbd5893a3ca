//! A part of goal 9: what grows with the length of a room's history, and with the number of its members.

use std::time::{Duration, Instant};

use proto::{
    chat::v1::{ListMessagesRequest, SendMessageRequest, message_service_client::MessageServiceClient},
    edge::v1::{Cursor, SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame},
};
use tonic::transport::Channel;

use super::{Bench, Limit, median};
use crate::{
    load::{
        report::{Curve, Panel},
        run::{Load, closed_fill, open_loop},
        setup::{self, Shape, signed},
        swarm::Swarm,
        target::{Account, Kind, Target},
    },
    town,
};

/// Members of the long room, all of whom send while it is filled.
const WRITERS: Shape = Shape { rooms: 1, members: 20 };
const LONG: u64 = 1_000_000;
const PAGE: u32 = 50;
const RESUMED: u64 = 1_000;
/// Single calls of one kind in a round.
const CALLS: usize = 300;

pub(super) fn measure(bench: &mut Bench) {
    members(bench);
    history(bench);
}

/// The cost of a delivery where the room is ten times as large.
fn members(bench: &mut Bench) {
    const RATE: f64 = 40_000.0;
    let sizes = [10, 30, 100, 300, 1000];
    let mut targets: Vec<_> = sizes
        .iter()
        .map(|members| Shape { rooms: 1, members: *members })
        .map(|shape| (shape, bench.target(Kind::Embedded, shape), Vec::new()))
        .collect();
    for _ in 0..bench.rounds {
        for (shape, (target, swarm), costs) in &mut targets {
            let measured = open_loop(swarm, target, Load::rate(RATE));
            bench.keep(Kind::Embedded, *shape, &measured);
            costs.push(measured.cpu);
        }
    }
    let costs: Vec<(f64, f64)> =
        targets.into_iter().map(|(shape, _, costs)| (shape.members as f64, median(costs))).collect();
    let cost = |members: usize| costs.iter().find(|(of, _)| *of == members as f64).map_or(f64::NAN, |(_, cost)| *cost);
    let note = format!("{:.2} us / {:.2} us", cost(1000), cost(100));
    let name = "CPU per delivery at 40,000/s, 1 x 1000 / 1 x 100";
    bench.noted(9, name, cost(1000) / cost(100), Limit::AtMost(1.2), &note);
    bench.curve(Curve { panel: Panel::Members, name: "embedded".into(), points: costs });
}

fn history(bench: &mut Bench) {
    let target = bench.runtime.block_on(Target::start(Kind::Embedded, &bench.server, WRITERS.people() + 1));
    let clients = bench.runtime.block_on(setup::rooms(&target, WRITERS, 0));
    let long = clients[0].room_id.clone();
    let mut swarm = Swarm::new(target.address, clients).expect("the system has epoll");
    swarm.connect_all(WRITERS.people());
    closed_fill(&mut swarm, LONG);
    drop(swarm);
    let account = target.accounts[0].clone();
    let empty = Shape { rooms: 1, members: 1 };
    let channel = bench.runtime.block_on(async { town::channel(target.address) });
    let reader = Reader { channel, account, room: long };
    let other = bench.runtime.block_on(setup::rooms(&target, empty, WRITERS.people()));
    let alone = Reader {
        account: target.accounts[WRITERS.people()].clone(),
        room: other[0].room_id.clone(),
        channel: reader.channel.clone(),
    };
    let found = bench.runtime.block_on(Found::measure(&reader, &alone, bench.rounds));
    found.rows(bench);
}

/// Somebody who sends into a room and reads it.
struct Reader {
    channel: Channel,
    account: Account,
    room: String,
}

/// Milliseconds.
#[derive(Default)]
struct Found {
    send_long: Vec<f64>,
    send_empty: Vec<f64>,
    newest: Vec<f64>,
    pages: Vec<(f64, Vec<f64>)>,
    resumes: Vec<(f64, Vec<f64>)>,
}

impl Found {
    async fn measure(long: &Reader, empty: &Reader, rounds: usize) -> Self {
        let depths = [0.001, 0.01, 0.1, 0.5, 0.999];
        let mut found = Self { pages: depths.map(|at| (at, Vec::new())).into(), ..Self::default() };
        found.resumes = depths.map(|at| (at, Vec::new())).into();
        for _ in 0..rounds {
            found.send_long.push(long.send().await);
            found.send_empty.push(empty.send().await);
            found.newest.push(long.page(0).await);
            for (at, times) in &mut found.pages {
                times.push(long.page((LONG as f64 * *at) as u64).await);
            }
            for (at, times) in &mut found.resumes {
                times.push(long.resume((LONG as f64 * (1.0 - *at)) as u64).await);
            }
        }
        found
    }

    fn rows(self, bench: &mut Bench) {
        let (long, empty, newest) = (median(self.send_long), median(self.send_empty), median(self.newest));
        let note = format!("{long:.3} ms / {empty:.3} ms");
        bench.noted(
            9,
            "sending into a room with 1,000,000 messages / an empty one",
            long / empty,
            Limit::AtMost(1.2),
            &note,
        );
        let medians = |of: Vec<(f64, Vec<f64>)>| -> Vec<(f64, f64)> {
            of.into_iter().map(|(at, times)| (LONG as f64 * at, median(times))).collect()
        };
        let worst = |of: &[(f64, f64)]| of.iter().map(|(_, time)| *time).fold(0.0, f64::max);
        let (pages, resumes) = (medians(self.pages), medians(self.resumes));
        let note = format!("{:.2} ms / {newest:.2} ms", worst(&pages));
        bench.noted(
            9,
            "a page of 50 at the worst depth / the newest",
            worst(&pages) / newest,
            Limit::AtMost(2.0),
            &note,
        );
        let nearest = resumes.first().map_or(f64::NAN, |(_, time)| *time);
        let note = format!("{:.2} ms / {nearest:.2} ms", worst(&resumes));
        let name = "1,000 events from the worst depth / the newest 1,000";
        bench.noted(9, name, worst(&resumes) / nearest, Limit::AtMost(2.0), &note);
        let each = worst(&resumes) / RESUMED as f64 / (newest / f64::from(PAGE));
        bench.noted(
            9,
            "a resume of 1,000 events, for each event / a message of the newest page",
            each,
            Limit::AtMost(2.0),
            "",
        );
        bench.curve(Curve { panel: Panel::Depth, name: "page of 50".into(), points: pages });
        bench.curve(Curve { panel: Panel::Depth, name: "resume of 1,000".into(), points: resumes });
    }
}

impl Reader {
    /// The median of many sends, one after the other.
    async fn send(&self) -> f64 {
        let mut messages = MessageServiceClient::new(self.channel.clone());
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let request = SendMessageRequest {
                room_id: self.room.clone(),
                text: "x".repeat(120),
                op_id: crate::op_id(),
                file_ids: Vec::new(),
            };
            let began = Instant::now();
            messages.send_message(signed(&self.account, request)).await.expect("the message is stored");
            times.push(millis(began.elapsed()));
        }
        median(times)
    }

    /// The median of many readings of the page below a number; 0 means the newest.
    async fn page(&self, before_seq: u64) -> f64 {
        let mut messages = MessageServiceClient::new(self.channel.clone());
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let room_id = self.room.clone();
            let request = ListMessagesRequest { room_id, before_seq, page_size: PAGE, after_seq: 0 };
            let began = Instant::now();
            let page = messages.list_messages(signed(&self.account, request)).await.expect("the page is read");
            times.push(millis(began.elapsed()));
            assert_eq!(page.into_inner().messages.len(), PAGE as usize, "a whole page");
        }
        median(times)
    }

    /// From a cursor on, until so many events have come.
    async fn resume(&self, seq: u64) -> f64 {
        let mut times = Vec::new();
        for _ in 0..11 {
            let cursor = Cursor { feed_id: self.room.clone(), seq: seq.max(1) };
            let request = SubscribeRequest { cursors: vec![cursor], only_listed: true, ..SubscribeRequest::default() };
            let began = Instant::now();
            let mut edge = EdgeServiceClient::new(self.channel.clone());
            let mut stream =
                edge.subscribe(signed(&self.account, request)).await.expect("the stream opens").into_inner();
            let mut events = 0;
            while events < RESUMED {
                let frame = stream.message().await.expect("the stream goes on").and_then(|frame| frame.frame);
                events += u64::from(matches!(frame, Some(Frame::Event(_))));
            }
            times.push(millis(began.elapsed()));
        }
        median(times)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
