//! The goals: what is measured for each, and what it must come to. Each file takes one kind of measurement.

mod ceiling;
mod crowd;
mod depth;
mod faults;
mod files;
mod grpc;
mod logins;
mod rates;
mod small_rooms;
mod start;

use std::{io::Write as _, path::PathBuf};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::{
    check::Tally,
    report::{Curve, Report},
    run::Measured,
    setup::{self, Shape},
    swarm::Swarm,
    target::{Kind, Target},
};

/// On which side of its limit a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Not above.
    AtMost(f64),
    /// Not below.
    AtLeast(f64),
}

/// A goal's value and whether it is reached: an element of `summary.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The number of the goal.
    pub goal: u32,
    /// What was measured.
    pub name: String,
    /// What it came to.
    pub value: f64,
    /// What it must come to.
    pub limit: f64,
    /// Whether it does.
    pub ok: bool,
    /// `<=` or `>=`, and whatever must be known to read the value.
    pub note: String,
}

/// A run over the goals.
pub struct Bench {
    /// For what speaks to a server before and after a measurement.
    pub runtime: Runtime,
    /// The server's binary.
    pub server: PathBuf,
    /// How often each measurement is taken; medians are told.
    pub rounds: usize,
    /// What came out.
    pub report: Report,
    /// Every load that was offered, added up.
    everything: Tally,
}

/// Which goals a measurement is for, and how it is taken.
type Part = (&'static [u32], fn(&mut Bench));

/// All goals, in the order in which they are measured.
pub const GOALS: [u32; 14] = [12, 1, 3, 8, 5, 2, 6, 7, 9, 10, 13, 14, 4, 11];

impl Bench {
    /// Nothing is measured yet. Results go into `folder`.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn new(runtime: Runtime, server: PathBuf, rounds: usize, folder: PathBuf) -> std::io::Result<Self> {
        Ok(Self { runtime, server, rounds, report: Report::open(folder)?, everything: Tally::default() })
    }

    /// Measures for these goals.
    pub fn run(&mut self, goals: &[u32]) {
        let wants = |any: &[u32]| any.iter().any(|goal| goals.contains(goal));
        let parts: [Part; 11] = [
            (&[12], start::measure),
            (&[1, 3, 8], rates::measure),
            (&[5], small_rooms::measure),
            (&[2], ceiling::measure),
            (&[6, 7, 9], crowd::measure),
            (&[9], depth::measure),
            (&[10], grpc::measure),
            (&[13], files::measure),
            (&[14], logins::measure),
            (&[4], order),
            (&[11], faults::measure),
        ];
        for (covers, measure) in parts {
            if wants(covers) {
                measure(self);
            }
        }
    }

    /// A result.
    pub fn row(&mut self, goal: u32, name: impl Into<String>, value: f64, limit: Limit) {
        self.noted(goal, name, value, limit, "");
    }

    /// A result that needs a word.
    pub fn noted(&mut self, goal: u32, name: impl Into<String>, value: f64, limit: Limit, note: &str) {
        let (ok, limit, sign) = match limit {
            Limit::AtMost(limit) => (value <= limit, limit, "<="),
            Limit::AtLeast(limit) => (value >= limit, limit, ">="),
        };
        let note = format!("{sign} {note}").trim_end().to_owned();
        self.report.add(Row { goal, name: name.into(), value, limit, ok, note });
    }

    /// Keeps a measurement as it is.
    pub fn keep(&mut self, kind: Kind, shape: Shape, measured: &Measured) {
        let tally = &measured.tally;
        let everything = &mut self.everything;
        everything.attempted += tally.attempted;
        everything.acknowledged += tally.acknowledged;
        // The floors are there to be compared with, not to be trusted.
        if !kind.is_floor() {
            everything.lost += tally.lost;
            everything.duplicated += tally.duplicated;
            everything.unexpected += tally.unexpected;
            everything.holes += tally.holes;
            everything.violations += tally.violations;
            everything.disagreeing_rooms += tally.disagreeing_rooms;
        }
        let (kind, shape) = (kind.name(), shape.name());
        self.report.raw(&serde_json::json!({ "kind": kind, "shape": shape, "measured": measured }));
        let line = format!(
            "  {kind:9} {shape:9} {:8.0}/s asked {:8.0}/s done  p50 {:7.2} p99 {:7.2} ms  {:6.2} us  {:.2} writes  {:.2} cores, generator {:.2}{}",
            if measured.offered < f64::MAX { measured.offered } else { 0.0 },
            measured.done,
            measured.p50,
            measured.p99,
            measured.cpu,
            measured.writes,
            measured.cores,
            measured.generator,
            if tally.is_clean() { String::new() } else { format!("  {tally:?}") },
        );
        // An error means that nobody reads along.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// A target of a kind with the members of its rooms connected.
    pub fn target(&self, kind: Kind, shape: Shape) -> (Target, Swarm) {
        self.runtime.block_on(async {
            let target = Target::start(kind, &self.server, shape.people()).await;
            let swarm = setup::swarm(&target, shape).await;
            (target, swarm)
        })
    }

    /// A line of the chart.
    pub fn curve(&mut self, curve: Curve) {
        self.report.curves.push(curve);
    }
}

/// Goal 4: over everything that was offered, whether it was held or not.
fn order(bench: &mut Bench) {
    let all = bench.everything.clone();
    let note = format!("of {} messages, {} acknowledged", all.attempted, all.acknowledged);
    let none = Limit::AtMost(0.0);
    bench.noted(4, "lost, at every step", all.lost as f64, none, &note);
    bench.row(4, "doubled, at every step", all.duplicated as f64, none);
    bench.row(4, "rooms whose members disagree on the order", all.disagreeing_rooms as f64, none);
    bench.row(4, "holes, foreign or unexpected events", (all.holes + all.violations + all.unexpected) as f64, none);
}

/// The middle of some values; of an even number the upper one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
