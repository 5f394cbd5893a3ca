//! Goals 6, 7 and a part of 9: thousands who are there and say nothing, come, and come back.

use std::time::{Duration, Instant};

use super::{Bench, Limit, median};
use crate::load::{
    check::{self, Checker},
    run::{LENGTH, Load, open_loop},
    server::{Cpu, pss_kib},
    setup::{self, Shape},
    swarm::{Noticed, Swarm},
    target::{Kind, Target},
};

const BUSY: Shape = Shape { rooms: 1, members: 100 };
const CROWD: Shape = Shape { rooms: 200, members: 50 };
const SMALL: usize = 2_000;
/// Connections that begin at the same time.
const AT_ONCE: usize = 100;
/// Longer than the time between two heartbeats.
const IDLE: Duration = Duration::from_secs(32);
/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(3);
const RATE: f64 = 20_000.0;

pub(super) fn measure(bench: &mut Bench) {
    let people = BUSY.people() + CROWD.people();
    let target = bench.runtime.block_on(Target::start(Kind::Embedded, &bench.server, people));
    let busy = bench.runtime.block_on(setup::rooms(&target, BUSY, 0));
    let mut busy = Swarm::new(target.address, busy).expect("the system has epoll");
    busy.connect_all(100);
    let alone = latency(bench, &target, &mut busy);

    let clients = bench.runtime.block_on(setup::rooms(&target, CROWD, BUSY.people()));
    let mut crowd = Swarm::new(target.address, clients).expect("the system has epoll");
    let empty = pss_kib(&target.own_pids());
    crowd.connect_some(0..SMALL, AT_ONCE);
    std::thread::sleep(SETTLE);
    let small = (pss_kib(&target.own_pids()) - empty) / SMALL as f64;
    let rest = CROWD.people() - SMALL;
    let before = Cpu::of(&target.own_pids());
    let took = crowd.connect_some(SMALL..CROWD.people(), AT_ONCE);
    let joining = Cpu::of(&target.own_pids()).since(before);
    std::thread::sleep(SETTLE);
    let whole = pss_kib(&target.own_pids());
    let large = (whole - empty) / CROWD.people() as f64;
    memory(bench, small, large, whole);
    let rate = rest as f64 / took.as_secs_f64();
    let note = format!("{:.0} us of CPU each", joining.total / rest as f64 * 1e6);
    bench.noted(7, "joins a second", rate, Limit::AtLeast(4000.0), &note);

    let before = Cpu::of(&target.own_pids());
    answer_for(&mut crowd, IDLE);
    let idle = Cpu::of(&target.own_pids()).since(before);
    bench.row(6, "cores of 10,000 idle connections, heartbeats included", idle.cores(IDLE), Limit::AtMost(0.03));

    let beside = latency(bench, &target, &mut busy);
    let note = format!("{beside:.2} ms / {alone:.2} ms");
    bench.noted(9, "p99 at 20,000/s with 10,000 idle others / without", beside / alone, Limit::AtMost(1.5), &note);
    come_back(bench, &mut crowd, &mut busy);
}

fn memory(bench: &mut Bench, small: f64, large: f64, whole: f64) {
    bench.row(6, "KiB per idle connection, of 2,000", small, Limit::AtMost(12.0));
    bench.row(6, "KiB per idle connection, of 10,000", large, Limit::AtMost(12.0));
    bench.row(
        6,
        "KiB per connection at 10,000 / at 2,000, away from 1",
        (large / small - 1.0).abs(),
        Limit::AtMost(0.1),
    );
    bench.row(6, "MiB of the process with 10,000 connections", whole / 1024.0, Limit::AtMost(150.0));
}

fn latency(bench: &mut Bench, target: &Target, busy: &mut Swarm) -> f64 {
    let rounds = (0..bench.rounds).map(|_| {
        let measured = open_loop(busy, target, Load::rate(RATE));
        bench.keep(Kind::Embedded, BUSY, &measured);
        measured.p99
    });
    let rounds: Vec<f64> = rounds.collect();
    median(rounds)
}

/// Answers pings for a time.
fn answer_for(crowd: &mut Swarm, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        crowd.turn(Duration::from_millis(100), |_, _, noticed, _| {
            assert!(!matches!(noticed, Noticed::Ended), "the server ended an idle connection");
        });
    }
}

/// Everybody is cut at once, something is said in every room meanwhile, and everybody comes back with a cursor.
fn come_back(bench: &mut Bench, crowd: &mut Swarm, busy: &mut Swarm) {
    let (rooms, people) = (CROWD.rooms, CROWD.people());
    let mut checker = Checker::new(rooms);
    crowd.clients.iter_mut().for_each(|client| client.member.messages = 0);
    (0..people).for_each(|id| crowd.cut(id));
    // One member of each room comes back first and speaks; what the others miss they must find in the log.
    let speakers: Vec<usize> = (0..rooms).map(|room| room * CROWD.members).collect();
    for speaker in &speakers {
        crowd.connect(*speaker).expect("the server accepts connections");
    }
    let began = Instant::now();
    let mut said = 0;
    let mut next = 0;
    while !is_complete(crowd, &checker, said, rooms) {
        assert!(began.elapsed() < Duration::from_secs(60), "everybody is back within a minute");
        let live: Vec<usize> = speakers.iter().copied().filter(|id| crowd.clients[*id].is_live()).collect();
        if said == 0 && live.len() == speakers.len() {
            for speaker in &speakers {
                let key = (*speaker as u64) << 32 | 1;
                checker.attempt(crowd.clients[*speaker].room, key);
                crowd.say(*speaker, key, check::text(key, 0, LENGTH));
                said += 1;
            }
        }
        // As fast as the system opens sockets.
        for _ in 0..if said > 0 { 200 } else { 0 } {
            if next < people {
                if next % CROWD.members != 0 {
                    crowd.connect(next).expect("the server accepts connections");
                }
                next += 1;
            }
        }
        gather(crowd, &mut checker);
    }
    let took = began.elapsed();
    busy.turn(Duration::ZERO, |_, _, _, _| {});
    let members = crowd.clients.iter().map(|client| (client.room, &client.member));
    let tally = checker.finish(members);
    let note = format!("{} messages came through resumes", tally.recovered);
    bench.noted(
        7,
        "seconds until 10,000 that were cut at once are back",
        took.as_secs_f64(),
        Limit::AtMost(30.0),
        &note,
    );
    let wrong = tally.lost + tally.holes + tally.duplicated + tally.unexpected + tally.violations;
    bench.row(7, "gaps after they came back", wrong as f64, Limit::AtMost(0.0));
}

fn gather(crowd: &mut Swarm, checker: &mut Checker) {
    crowd.turn(Duration::from_millis(5), |_, client, noticed, _| match noticed {
        Noticed::Event { seq, text } => {
            let key = check::parse(text).map(|(key, _)| key);
            checker.deliver(client.room, &mut client.member, seq, key, client.resumes);
        }
        Noticed::Reply(call) => checker.acknowledge(call),
        Noticed::Failed(_) => checker.fail(),
        Noticed::Foreign => checker.violate(),
        Noticed::Ready => {}
        Noticed::Ended => panic!("the server ended a connection that came back"),
    });
}

fn is_complete(crowd: &Swarm, checker: &Checker, said: usize, rooms: usize) -> bool {
    said == rooms
        && checker.unanswered() == 0
        && crowd.clients.iter().all(|client| client.is_live() && checker.has_all(client.room, &client.member))
}
