//! The process ends at each named moment of a send's way, under load: whatever was acknowledged is there once, retries get the
//! first answer, numbers have no holes, members hold what the log has, and files are announced once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use tests::drill::{Drill, Options, fault::Kinds, world::Shape};

const SIGABRT: i32 = 6;

/// Whether something is in the log by then that no member was told of, and that they find there when they come back.
#[derive(Clone, Copy, PartialEq)]
enum Untold {
    Certainly,
    Perhaps,
}

/// Ends the process the nth time that it passes a point, for each of `times`. `linger`: so many milliseconds after it got there.
async fn ends_at(point: &str, times: &[u32], linger: u64, untold: Untold) {
    let options = Options {
        shape: Shape::Embedded,
        seed: 1,
        kinds: Kinds::Kill,
        frozen: Duration::ZERO,
        pause: Duration::from_millis(30),
        quiet: true,
    };
    let mut drill = Drill::start(options).await;
    for nth in times {
        let node = &mut drill.world.nodes[0];
        node.kill();
        node.start(&[("LOQUAT_CRASH_AT", format!("{point}:{nth}:{linger}"))]).await;
        drill.begins();
        let ended = drill.world.nodes[0].take().expect("it runs").exits().await;
        assert_eq!(ended.signal(), Some(SIGABRT), "{point}: {ended}");
        drill.world.start().await;
        let outcome = drill.ends(format!("{point} for the {nth}th time"), Instant::now()).await;
        assert!(outcome.counts.is_clean(), "{outcome}\n{}", outcome.notes.join("\n"));
        assert!(outcome.counts.tally.acknowledged > 0, "{outcome}");
        assert!(untold == Untold::Perhaps || outcome.counts.tally.recovered > 0, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_insert_and_before_the_commit() {
    ends_at("chat.inserted", &[5, 40], 0, Untold::Perhaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_commit_and_before_the_answer() {
    ends_at("chat.committed", &[5, 40], 0, Untold::Certainly).await;
}

/// The answers go out while the writer stands still: they are acknowledged, and nobody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_answer_and_before_the_telling() {
    ends_at("chat.answered", &[5, 40], 50, Untold::Certainly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_telling() {
    ends_at("chat.told", &[5, 40], 50, Untold::Perhaps).await;
}

/// What was published is published again after the restart; its effect is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_publishing_and_before_the_mark() {
    ends_at("outbox.published", &[1, 2, 5], 0, Untold::Perhaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_mark() {
    ends_at("outbox.forgotten", &[1, 4], 0, Untold::Perhaps).await;
}
