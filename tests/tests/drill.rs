//! Drills, bounded: a few rounds of faults in each shape, with fixed seeds. `make drill` has the long form.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tests::drill::{
    Drill, Options,
    fault::{Fault, Kinds, Plan, Target},
    world::Shape,
};

fn options(shape: Shape, kinds: Kinds, seed: u64) -> Options {
    Options { shape, seed, kinds, frozen: Duration::from_secs(3), pause: Duration::from_millis(80), quiet: true }
}

async fn rounds(shape: Shape, kinds: Kinds, seed: u64, rounds: u32) {
    let mut drill = Drill::start(options(shape, kinds, seed)).await;
    for round in 1..=rounds {
        let outcome = drill.round().await;
        let notes = outcome.notes.join("\n");
        assert!(outcome.counts.is_clean(), "{shape:?}, seed {seed}, round {round}: {outcome}\n{notes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_is_killed() {
    rounds(Shape::Embedded, Kinds::Kill, 3, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_meets_any_fault() {
    rounds(Shape::Embedded, Kinds::All, 4, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_and_its_services_are_killed() {
    rounds(Shape::Edge, Kinds::Kill, 5, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_and_its_services_meet_any_fault() {
    rounds(Shape::Edge, Kinds::All, 6, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_is_killed() {
    rounds(Shape::Mesh, Kinds::Kill, 7, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_meets_any_fault() {
    rounds(Shape::Mesh, Kinds::All, 8, 3).await;
}

/// Half a minute without an answer is longer than every deadline and every client's patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_stand_still_for_half_a_minute() {
    let mut drill = Drill::start(options(Shape::Edge, Kinds::Freeze, 1)).await;
    let plan =
        Plan { before: Duration::from_secs(1), fault: Fault::Freeze(Target::Node(0)), lasts: Duration::from_secs(30) };
    let outcome = drill.runs(&plan).await;
    assert!(outcome.counts.is_clean(), "{outcome}\n{}", outcome.notes.join("\n"));
}

/// The way of `make soak`, for a few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_without_faults_loses_nothing() {
    let mut drill = Drill::start(options(Shape::Embedded, Kinds::All, 8)).await;
    let mut checks = 0;
    let outcome = drill.soaks(Duration::from_secs(10), Duration::from_secs(4), |_, _| checks += 1).await;
    assert!(outcome.counts.is_clean(), "{outcome}\n{}", outcome.notes.join("\n"));
    assert!(outcome.counts.tally.acknowledged > 0 && checks > 2, "{checks} checks: {outcome}");
}
