//! One measurement: messages at a rate, whatever comes back, and what it cost.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    check::{self, Checker, Tally},
    server::Cpu,
    swarm::{Noticed, Swarm},
    target::Target,
};

/// Bytes of a message's text.
pub const LENGTH: usize = 120;
/// Longer latencies count as this one, in microseconds.
const LONGEST: u64 = 120_000_000;
/// How long is waited for what is still on its way.
const DRAIN: Duration = Duration::from_secs(15);
/// Before this much is left, the generator waits without sleeping, so that it sends in time.
const SPIN: Duration = Duration::from_millis(2);

/// What is offered.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Deliveries a second, over all rooms.
    pub deliveries: f64,
    /// How long, after a beginning that does not count.
    pub time: Duration,
    /// The beginning.
    pub warm: Duration,
    /// Bytes of each text.
    pub length: usize,
    /// So many messages at the same moment, each of another sender, and then none for as long as the rate asks.
    pub burst: u32,
}

impl Load {
    /// A rate for three seconds.
    pub const fn rate(deliveries: f64) -> Self {
        let (time, warm) = (Duration::from_millis(3000), Duration::from_millis(500));
        Self { deliveries, time, warm, length: LENGTH, burst: 1 }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Deliveries a second that were asked for, and that were done while they were.
    pub offered: f64,
    /// The same, done.
    pub done: f64,
    /// From the time a message should have been sent to its delivery, in milliseconds.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th.
    pub p999: f64,
    /// The worst.
    pub max: f64,
    /// Microseconds of the servers' CPU for a delivery.
    pub cpu: f64,
    /// The kernel's part of it.
    pub kernel: f64,
    /// Cores that the servers used.
    pub cores: f64,
    /// Cores that the generator used itself, waiting without sleeping left out.
    pub generator: f64,
    /// System calls for a delivery.
    pub writes: f64,
    /// What the checker found.
    pub tally: Tally,
}

impl Measured {
    /// Nothing lost, 99 of 100 within 250 ms, and at least 95 % of what was asked for.
    pub fn held(&self) -> bool {
        self.tally.is_clean() && self.p99 <= 250.0 && self.done >= 0.95 * self.offered
    }
}

/// What is gathered while it runs.
struct Gathered {
    checker: Checker,
    latency: Histogram<u64>,
    began: Instant,
    counts_from: Duration,
    deliveries: u64,
}

impl Gathered {
    fn new(rooms: usize) -> Self {
        Self {
            checker: Checker::new(rooms),
            latency: Histogram::new_with_max(LONGEST, 3).expect("three digits are possible"),
            began: Instant::now(),
            counts_from: Duration::MAX,
            deliveries: 0,
        }
    }

    /// Reads what came and waits at most this long. Returns the clients whose calls were answered.
    fn turn(&mut self, swarm: &mut Swarm, wait: Duration, mut answered: impl FnMut(usize)) {
        let Self { checker, latency, began, counts_from, deliveries } = self;
        swarm.turn(wait, |id, client, noticed, at| match noticed {
            Noticed::Event { seq, text } => {
                let posted = check::parse(text);
                checker.deliver(client.room, &mut client.member, seq, posted.map(|(key, _)| key), client.resumes);
                if let Some((_, due)) = posted {
                    let due = Duration::from_nanos(due);
                    if due >= *counts_from {
                        *deliveries += 1;
                        let waited = at.duration_since(*began).saturating_sub(due);
                        latency.saturating_record(u64::try_from(waited.as_nanos() / 1000).unwrap_or(u64::MAX));
                    }
                }
            }
            Noticed::Reply(call) => {
                checker.acknowledge(call);
                answered(id);
            }
            Noticed::Failed(_) => {
                checker.fail();
                answered(id);
            }
            Noticed::Foreign => checker.violate(),
            Noticed::Ready | Noticed::Ended => {}
        });
    }

    fn say(&mut self, swarm: &mut Swarm, sender: usize, number: u64, due: Duration, length: usize) {
        let key = (sender as u64) << 32 | (number + 1);
        self.checker.attempt(swarm.clients[sender].room, key);
        let due = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
        swarm.say(sender, key, check::text(key, due, length));
    }

    /// Waits until everything acknowledged has come everywhere, or nothing more comes.
    fn drain(&mut self, swarm: &mut Swarm) {
        let until = Instant::now() + DRAIN;
        loop {
            self.turn(swarm, Duration::from_millis(20), |_| {});
            let complete = self.checker.unanswered() == 0
                && swarm
                    .clients
                    .iter()
                    .all(|client| !client.is_live() || self.checker.has_all(client.room, &client.member));
            if complete || Instant::now() > until {
                return;
            }
        }
    }

    fn value(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Counters of a target at one moment.
struct Reading {
    at: Instant,
    cpu: Cpu,
    own: Cpu,
    writes: (f64, f64),
}

impl Reading {
    fn take(target: &Target) -> Self {
        let writes = target.writes();
        Self { at: Instant::now(), cpu: target.cpu(), own: Cpu::of(&[std::process::id()]), writes }
    }
}

/// Offers a load to the members of a swarm, who send in turn.
pub fn open_loop(swarm: &mut Swarm, target: &Target, load: Load) -> Measured {
    let rooms = 1 + swarm.clients.iter().map(|client| client.room).max().unwrap_or(0);
    let senders: Vec<usize> = turns(swarm, rooms);
    let members = senders.len() as f64 / rooms as f64;
    let every = Duration::from_secs_f64(members / load.deliveries);
    swarm.clients.iter_mut().for_each(|client| client.member.messages = 0);
    let mut gathered = Gathered::new(rooms);
    let mut spun = Duration::ZERO;
    let (mut sent, mut before) = (0u32, None);
    let end = load.warm + load.time;
    loop {
        let now = gathered.began.elapsed();
        if before.is_none() && now >= load.warm {
            before = Some(Reading::take(target));
            gathered.counts_from = gathered.began.elapsed();
        }
        if now >= end {
            break;
        }
        // What is due by now is sent at once: after a reading, which takes a moment, and when a burst is wanted.
        let due_at = |number: u32| every * (number - number % load.burst);
        let mut due = due_at(sent);
        while due <= gathered.began.elapsed() {
            let sender = senders[sent as usize % senders.len()];
            gathered.say(swarm, sender, u64::from(sent), due, load.length);
            sent += 1;
            due = due_at(sent);
        }
        let left = due.saturating_sub(gathered.began.elapsed()).min(end.saturating_sub(now));
        if left > SPIN {
            gathered.turn(swarm, left - SPIN, |_| {});
        } else {
            let looked = Instant::now();
            let seen = swarm.seen;
            gathered.turn(swarm, Duration::ZERO, |_| {});
            if swarm.seen == seen {
                spun += looked.elapsed();
            }
        }
    }
    let after = Reading::take(target);
    let deliveries = gathered.deliveries;
    gathered.drain(swarm);
    let before = before.unwrap_or_else(|| Reading::take(target));
    finish(swarm, gathered, load.deliveries, &before, &after, deliveries, spun)
}

/// The order in which members send: rooms in turn, and in each its members in turn.
fn turns(swarm: &Swarm, rooms: usize) -> Vec<usize> {
    let mut by_room: Vec<Vec<usize>> = vec![Vec::new(); rooms];
    for (id, client) in swarm.clients.iter().enumerate().filter(|(_, client)| client.is_live()) {
        by_room[client.room].push(id);
    }
    let most = by_room.iter().map(Vec::len).max().unwrap_or(0);
    (0..most).flat_map(|place| by_room.iter().filter_map(move |room| room.get(place).copied())).collect()
}

/// One sender in each room, who sends again as soon as the last message was acknowledged.
pub fn closed_loop(swarm: &mut Swarm, target: &Target, time: Duration) -> Measured {
    let rooms = 1 + swarm.clients.iter().map(|client| client.room).max().unwrap_or(0);
    let senders: Vec<usize> = turns(swarm, rooms).into_iter().take(rooms).collect();
    swarm.clients.iter_mut().for_each(|client| client.member.messages = 0);
    let mut gathered = Gathered::new(rooms);
    let mut number = 0;
    let before = Reading::take(target);
    gathered.began = Instant::now();
    gathered.counts_from = Duration::ZERO;
    let mut free = senders;
    while gathered.began.elapsed() < time {
        for sender in std::mem::take(&mut free) {
            let now = gathered.began.elapsed();
            gathered.say(swarm, sender, number, now, LENGTH);
            number += 1;
        }
        gathered.turn(swarm, Duration::from_millis(10), |id| free.push(id));
    }
    let after = Reading::take(target);
    let deliveries = gathered.deliveries;
    gathered.drain(swarm);
    finish(swarm, gathered, f64::MAX, &before, &after, deliveries, Duration::ZERO)
}

/// Fills rooms with so many messages, as fast as acknowledgements allow.
///
/// # Panics
/// When a message is refused.
pub fn closed_fill(swarm: &mut Swarm, messages: u64) {
    /// Unanswered sends of one client, below what a socket may have.
    const UNANSWERED: usize = 50;
    let mut free: Vec<usize> = (0..swarm.clients.len()).flat_map(|id| [id; UNANSWERED]).collect();
    let (mut said, mut answered) = (0, 0);
    while answered < messages {
        while said < messages
            && let Some(sender) = free.pop()
        {
            said += 1;
            swarm.say(sender, said, check::text(said, 0, LENGTH));
        }
        swarm.turn(Duration::from_millis(10), |id, client, noticed, _| match noticed {
            Noticed::Reply(_) => {
                answered += 1;
                free.push(id);
            }
            Noticed::Event { seq, .. } => client.member.last = seq,
            Noticed::Failed(call) => panic!("message {call} was refused"),
            _ => {}
        });
    }
}

fn finish(
    swarm: &Swarm,
    gathered: Gathered,
    offered: f64,
    before: &Reading,
    after: &Reading,
    deliveries: u64,
    spun: Duration,
) -> Measured {
    let time = after.at - before.at;
    let (p50, p99, p999) = (gathered.value(0.5), gathered.value(0.99), gathered.value(0.999));
    let max = gathered.latency.max() as f64 / 1000.0;
    let cpu = after.cpu.since(before.cpu);
    let own = after.own.since(before.own).total - spun.as_secs_f64();
    let (writes, frames) = (after.writes.0 - before.writes.0, after.writes.1 - before.writes.1);
    let members = swarm.clients.iter().filter(|client| client.is_live()).map(|client| (client.room, &client.member));
    Measured {
        offered,
        done: deliveries as f64 / time.as_secs_f64(),
        p50,
        p99,
        p999,
        max,
        cpu: cpu.total / deliveries.max(1) as f64 * 1e6,
        kernel: cpu.kernel_share(),
        cores: cpu.cores(time),
        generator: own.max(0.0) / time.as_secs_f64(),
        writes: if frames > 0.0 { writes / frames } else { 0.0 },
        tally: gathered.checker.finish(members),
    }
}
