//! `make drill` and `make soak`: faults under load, or load for hours, and the ledger's verdict.
#![allow(clippy::expect_used, reason = "a drill that cannot be held ends with a text that says why")]

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use tests::drill::{Drill, Options, Outcome, fault::Kinds, world::Shape};

/// Breaks servers under load and counts what was lost.
#[derive(Parser)]
struct Arguments {
    /// A shape; may be given several times. Default: all of them.
    #[arg(long = "shape", value_enum)]
    shapes: Vec<Shape>,
    /// Rounds in each shape.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Everything random follows from it. Default: a new one each time, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Which faults there are.
    #[arg(long, value_enum, default_value_t = Kinds::All)]
    faults: Kinds,
    /// Seconds that a process is frozen at most.
    #[arg(long, default_value_t = 30)]
    frozen: u64,
    /// Milliseconds between two sends of one sender, on average.
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// No faults: half the load that the servers take, for so many seconds.
    #[arg(long)]
    soak: Option<u64>,
    /// Seconds between two checks of a soak.
    #[arg(long, default_value_t = 60)]
    every: u64,
    /// The servers' logs are shown.
    #[arg(long)]
    logs: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let shapes = match arguments.shapes.as_slice() {
        [] => &[Shape::Embedded, Shape::Edge, Shape::Mesh],
        some => some,
    };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let mut clean = true;
    for shape in shapes {
        let options = Options {
            shape: *shape,
            seed,
            kinds: arguments.faults,
            frozen: Duration::from_secs(arguments.frozen),
            pause: Duration::from_millis(arguments.pause),
            quiet: !arguments.logs,
        };
        say(&format!("{shape:?}, seed {seed}"));
        let mut drill = Drill::start(options).await;
        clean &= match arguments.soak {
            Some(seconds) => {
                let (time, every) = (Duration::from_secs(seconds), Duration::from_secs(arguments.every));
                let tell = |when: String, outcome: &Outcome| _ = told(&when, outcome);
                drill.soaks(time, every, tell).await.counts.is_clean()
            }
            None => rounds(&mut drill, arguments.rounds).await,
        };
    }
    say(if clean { "nothing was lost" } else { "NOT CLEAN" });
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Stops at the first round that is not clean: what follows it says nothing more.
async fn rounds(drill: &mut Drill, rounds: u32) -> bool {
    for round in 1..=rounds {
        let outcome = drill.round().await;
        if !told(&format!("round {round}"), &outcome) {
            return false;
        }
    }
    true
}

fn told(when: &str, outcome: &Outcome) -> bool {
    say(&format!("{when}: {outcome}"));
    outcome.notes.iter().for_each(|note| say(&format!("  {note}")));
    outcome.counts.is_clean()
}

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("standard output is there");
}
