//! Goal 12: from the start of the process to the first accepted message, and what the process takes before anybody comes.

use std::time::{Duration, Instant};

use super::{Bench, Limit, median};
use crate::load::{
    check,
    run::LENGTH,
    server::pss_kib,
    setup::Shape,
    swarm::{Noticed, Swarm},
    target::Kind,
};

const SHAPE: Shape = Shape { rooms: 1, members: 2 };

pub(super) fn measure(bench: &mut Bench) {
    let (mut target, mut swarm) = bench.target(Kind::Embedded, SHAPE);
    let (mut first, mut empty) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds.max(5) as u64 {
        (0..SHAPE.people()).for_each(|id| swarm.cut(id));
        let began = target.restart();
        swarm.connect(0).expect("the server accepts connections");
        until(&mut swarm, |noticed| matches!(noticed, Noticed::Ready));
        swarm.say(0, round + 1, check::text(round + 1, 0, LENGTH));
        until(&mut swarm, |noticed| matches!(noticed, Noticed::Reply(_)));
        first.push(began.elapsed().as_secs_f64());
        // Nobody comes now, so that only the process itself is seen.
        target.restart();
        std::thread::sleep(Duration::from_secs(1));
        empty.push(pss_kib(&target.own_pids()) / 1024.0);
    }
    bench.row(12, "seconds from the start to the first accepted message", median(first), Limit::AtMost(0.5));
    bench.row(12, "MiB of the empty process", median(empty), Limit::AtMost(40.0));
}

fn until(swarm: &mut Swarm, wanted: impl Fn(&Noticed<'_>) -> bool) {
    let began = Instant::now();
    let mut found = false;
    while !found {
        assert!(began.elapsed() < crate::DEADLINE, "the server answers");
        swarm.turn(Duration::from_millis(1), |_, _, noticed, _| found |= wanted(&noticed));
    }
}
