//! Goal 2: the highest rate that holds.

use std::{collections::HashMap, time::Duration};

use super::{Bench, Limit, median};
use crate::load::{
    run::{Load, open_loop},
    setup::Shape,
    target::Kind,
};

const SHAPES: [Shape; 3] =
    [Shape { rooms: 1, members: 100 }, Shape { rooms: 20, members: 50 }, Shape { rooms: 1, members: 1000 }];
const KINDS: [Kind; 5] = [Kind::Bare, Kind::Durable, Kind::Embedded, Kind::Apart, Kind::Mesh];
const LOWEST: f64 = 10_000.0;
/// Where the first round begins: 40,000.
const FIRST: i32 = 4;
/// Steps of the ladder, each by the root of two above the last: up to 1,280,000.
const STEPS: i32 = 14;
/// How far below its last result a later round begins.
const BEFORE: i32 = 1;
/// How long a step is.
const TIME: Duration = Duration::from_secs(2);

fn rate(step: i32) -> f64 {
    LOWEST * 2f64.powf(f64::from(step) / 2.0)
}

/// What was found for one kind: the highest step that held in each round, and what one core of the generator takes in.
struct Found {
    held: Vec<f64>,
    generator: Vec<f64>,
    last: i32,
}

pub(super) fn measure(bench: &mut Bench) {
    for shape in SHAPES {
        let mut found: HashMap<Kind, Found> = HashMap::new();
        for _ in 0..bench.rounds {
            for kind in KINDS {
                climb(bench, kind, shape, found.entry(kind).or_insert_with(Found::new));
            }
        }
        rows(bench, shape, &found);
    }
}

impl Found {
    const fn new() -> Self {
        Self { held: Vec::new(), generator: Vec::new(), last: FIRST + BEFORE }
    }
}

fn climb(bench: &mut Bench, kind: Kind, shape: Shape, found: &mut Found) {
    let (target, mut swarm) = bench.target(kind, shape);
    let mut step = (found.last - BEFORE).max(0);
    let (mut best, mut generator) = (0.0, 0.0);
    while step <= STEPS {
        let measured = open_loop(&mut swarm, &target, Load { time: TIME, ..Load::rate(rate(step)) });
        bench.keep(kind, shape, &measured);
        generator = f64::max(generator, measured.done / measured.generator.max(0.01));
        if measured.held() {
            best = rate(step);
            found.last = step;
        } else if best > 0.0 || step == 0 {
            break;
        } else {
            // It held this before and does not now: look below.
            step = (step - 2).max(0);
            continue;
        }
        step += 1;
    }
    found.held.push(best);
    found.generator.push(generator);
}

/// A rate is claimed only as far as the generator could show one and a half times as much.
fn rows(bench: &mut Bench, shape: Shape, found: &HashMap<Kind, Found>) {
    let held = |kind: Kind| found.get(&kind).map_or(0.0, |found| median(found.held.iter().copied()));
    let generator = found.get(&Kind::Bare).map_or(0.0, |found| median(found.generator.iter().copied()));
    let most = generator / 1.5;
    let floor = held(Kind::Durable).min(most);
    for (kind, limit) in [(Kind::Embedded, 0.8), (Kind::Apart, 0.6), (Kind::Mesh, 0.25)] {
        let ours = held(kind);
        let note = format!(
            "{ours:.0}/s; durable {:.0}/s, bare {:.0}/s; one core of the generator takes {generator:.0}/s, so at most {most:.0}/s is claimed",
            held(Kind::Durable),
            held(Kind::Bare),
        );
        let name = format!("rate held in {}: {} / durable", shape.name(), kind.name());
        bench.noted(2, name, ours.min(most) / floor, Limit::AtLeast(limit), &note);
    }
}
