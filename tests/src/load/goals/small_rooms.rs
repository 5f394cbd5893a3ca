//! Goal 5: many small rooms, where nothing but group commit helps.

use std::{collections::HashMap, time::Duration};

use super::{Bench, Limit, median};
use crate::load::{
    run::{Load, Measured, closed_loop, open_loop},
    setup::Shape,
    swarm::Swarm,
    target::{Kind, Target},
};

const SHAPE: Shape = Shape { rooms: 500, members: 2 };
const KINDS: [Kind; 3] = [Kind::Each, Kind::Durable, Kind::Embedded];

pub(super) fn measure(bench: &mut Bench) {
    let mut targets: Vec<_> = KINDS.iter().map(|kind| (*kind, bench.target(*kind, SHAPE))).collect();
    let mut results: HashMap<Kind, Vec<Measured>> = HashMap::new();
    for _ in 0..bench.rounds {
        for (kind, (target, swarm)) in &mut targets {
            let measured = closed_loop(swarm, target, Duration::from_secs(3));
            bench.keep(*kind, SHAPE, &measured);
            results.entry(*kind).or_default().push(measured);
        }
    }
    let of = |kind, value: fn(&Measured) -> f64| median(results.get(&kind).into_iter().flatten().map(value));
    // Both members get each message.
    let rate = |kind| of(kind, |measured| measured.done / 2.0);
    let note = |floor| format!("{:.0} / {:.0} messages/s", rate(Kind::Embedded), rate(floor));
    for (floor, limit) in [(Kind::Each, 4.0), (Kind::Durable, 0.4)] {
        let name = format!("500 x 2, messages/s: embedded / {}", floor.name());
        bench.noted(5, name, rate(Kind::Embedded) / rate(floor), Limit::AtLeast(limit), &note(floor));
    }
    bench.row(5, "500 x 2, p99 in ms", of(Kind::Embedded, |measured| measured.p99), Limit::AtMost(100.0));
    if let Some((kind, (target, swarm))) = targets.last_mut() {
        // Everybody twice a second, on the same beat: what waits is committed together, and nothing waits for more to come.
        let beat = Load { burst: SHAPE.rooms as u32, ..Load::rate(2000.0) };
        let note = format!("{:.2} when they are spread evenly", share(bench, *kind, target, swarm, Load::rate(2000.0)));
        let share = share(bench, *kind, target, swarm, beat);
        let name = "commits per message, 1,000 messages/s from 500 rooms that speak on the same beat";
        bench.noted(5, name, share, Limit::AtMost(0.2), &note);
    }
}

/// Commits for each message of a load.
fn share(bench: &mut Bench, kind: Kind, target: &Target, swarm: &mut Swarm, load: Load) -> f64 {
    let before = target.commits();
    let measured = open_loop(swarm, target, load);
    let after = target.commits();
    bench.keep(kind, SHAPE, &measured);
    (after.0 - before.0) / (after.1 - before.1)
}
