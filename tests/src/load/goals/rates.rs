//! Goals 1, 3 and 8: what a delivery costs and how long it takes at rates that every target holds.

use std::collections::HashMap;

use super::{Bench, Limit, median};
use crate::load::{
    report::{Curve, Panel},
    run::{Load, Measured, open_loop},
    setup::Shape,
    target::Kind,
};

const SHAPE: Shape = Shape { rooms: 1, members: 100 };
const KINDS: [Kind; 4] = [Kind::Bare, Kind::Durable, Kind::Embedded, Kind::Apart];
const RATES: [f64; 4] = [5_000.0, 20_000.0, 40_000.0, 80_000.0];
/// Where frames must have merged.
const LOADED: f64 = 160_000.0;

type Results = HashMap<(Kind, u64), Vec<Measured>>;
/// One number of a measurement.
type Value = fn(&Measured) -> f64;

pub(super) fn measure(bench: &mut Bench) {
    // All run at once and are measured in turn, so that what else the machine does meets all alike.
    let mut targets: Vec<_> = KINDS.iter().map(|kind| (*kind, bench.target(*kind, SHAPE))).collect();
    let mut results = Results::new();
    for _ in 0..bench.rounds {
        for rate in RATES.into_iter().chain([LOADED]) {
            for (kind, (target, swarm)) in &mut targets {
                let measured = open_loop(swarm, target, Load::rate(rate));
                bench.keep(*kind, SHAPE, &measured);
                results.entry((*kind, rate as u64)).or_default().push(measured);
            }
        }
    }
    let of = |kind, rate: f64, value: Value| median(results.get(&(kind, rate as u64)).into_iter().flatten().map(value));
    floor(bench, &of);
    cost(bench, &of);
    latency(bench, &of);
    bench.row(
        8,
        "writes per delivery, 1 x 100 at 5,000/s",
        of(Kind::Embedded, RATES[0], |m| m.writes),
        Limit::AtMost(1.05),
    );
    bench.row(
        8,
        "writes per delivery, 1 x 100 at 160,000/s",
        of(Kind::Embedded, LOADED, |m| m.writes),
        Limit::AtMost(0.6),
    );
    curves(bench, &of);
}

/// The bare floor counts only if it is little more than the kernel's work.
fn floor(bench: &mut Bench, of: &impl Fn(Kind, f64, Value) -> f64) {
    for rate in [20_000.0, 40_000.0] {
        let name = format!("bare floor at {rate:.0}/s: the kernel's part of its CPU");
        bench.row(1, name, of(Kind::Bare, rate, |m| m.kernel), Limit::AtLeast(0.85));
    }
    bench.row(
        1,
        "bare floor at 5,000/s: writes per delivery",
        of(Kind::Bare, 5_000.0, |m| m.writes),
        Limit::AtLeast(0.99),
    );
}

fn cost(bench: &mut Bench, of: &impl Fn(Kind, f64, Value) -> f64) {
    for rate in [20_000.0, 40_000.0] {
        let cpu = |kind| of(kind, rate, |m| m.cpu);
        for (kind, floor, limit) in
            [(Kind::Embedded, Kind::Durable, 1.3), (Kind::Embedded, Kind::Bare, 2.0), (Kind::Apart, Kind::Bare, 2.5)]
        {
            let name = format!("CPU per delivery at {rate:.0}/s: {} / {}", kind.name(), floor.name());
            let note = format!("{:.2} us / {:.2} us", cpu(kind), cpu(floor));
            bench.noted(1, name, cpu(kind) / cpu(floor), Limit::AtMost(limit), &note);
        }
    }
}

fn latency(bench: &mut Bench, of: &impl Fn(Kind, f64, Value) -> f64) {
    let parts: [(&str, Value); 2] = [("p50", |m| m.p50), ("p99", |m| m.p99)];
    for rate in RATES {
        for (part, value) in parts {
            let (ours, floor) = (of(Kind::Embedded, rate, value), of(Kind::Durable, rate, value));
            let name = format!("{part} at {rate:.0}/s: embedded / durable");
            bench.noted(3, name, ours / floor, Limit::AtMost(2.0), &format!("{ours:.2} ms / {floor:.2} ms"));
        }
        let added = of(Kind::Apart, rate, |m| m.p50) - of(Kind::Embedded, rate, |m| m.p50);
        bench.row(3, format!("ms that two processes add to p50 at {rate:.0}/s"), added, Limit::AtMost(0.5));
    }
}

fn curves(bench: &mut Bench, of: &impl Fn(Kind, f64, Value) -> f64) {
    for kind in KINDS {
        for (panel, value) in [(Panel::Cost, (|m| m.cpu) as Value), (Panel::Latency, |m| m.p99)] {
            let points = RATES.into_iter().chain([LOADED]).map(|rate| (rate, of(kind, rate, value))).collect();
            bench.curve(Curve { panel, name: kind.name().to_owned(), points });
        }
    }
}
