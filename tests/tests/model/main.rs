//! A hundred thousand random steps of people in rooms, each of which asks something, on a real server and on a reference: nothing is
//! seen that the reference forbids, and nothing is hidden that it allows.
//!
//! Stories come from seeds. One that goes wrong is made as short as it can be, and told with its seed, which
//! `LOQUAT_TEST_SEED` tells again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "how many steps were taken is what the test is asked")]

mod files;
mod people;
mod reference;
mod steps;
mod world;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use proto::chat::v1::{Event, event::Body};
use tests::{Shape, Town, cluster::Cluster, servers::Backends};

use self::{
    people::{Ears, People},
    steps::{PEOPLE, Step, story},
    world::{Difference, World},
};

/// How many stories are told, of how many steps each that ask something, and how many at a time.
const STORIES: u64 = 200;
const STEPS: usize = 500;
const AT_ONCE: usize = 32;
/// Where every answer comes over a network, so that stories that were begun end soon.
const AT_ONCE_APART: usize = 8;
/// How long a story that goes wrong may be shortened.
const SHORTEN_WITHIN: Duration = Duration::from_secs(30);
/// Who listens all the time: one who runs the workspace, a member, and a guest.
const LISTENERS: [usize; 3] = [1, 4, PEOPLE - 1];

/// What an event is.
fn kind_of(event: &Event) -> &'static str {
    match &event.body {
        Some(Body::RoomCreated(_)) => "created",
        Some(Body::RoomUpdated(_)) => "updated",
        Some(Body::RoomArchived(_)) => "archived",
        Some(Body::RoomUnarchived(_)) => "unarchived",
        Some(Body::MemberJoined(_)) => "joined",
        Some(Body::MemberLeft(_)) => "left",
        Some(Body::MemberRoleChanged(_)) => "promoted",
        Some(Body::MessagePosted(_)) => "posted",
        Some(Body::MessageEdited(_)) => "edited",
        Some(Body::MessageDeleted(_)) => "deleted",
        Some(Body::FileReady(_)) => "file_ready",
        Some(Body::FileRemoved(_)) => "file_removed",
        Some(Body::Redacted(_)) => "redacted",
        _ => "other",
    }
}

/// The text that an event brings; empty for what brings none.
fn text_of(event: &Event) -> &str {
    let message = match &event.body {
        Some(Body::MessagePosted(posted)) => posted.message.as_ref(),
        Some(Body::MessageEdited(edited)) => edited.message.as_ref(),
        _ => None,
    };
    message.map_or("", |message| message.text.as_str())
}

/// Plays a story in a world of its own, to its end or until it has asked enough. How often it asked something; or where it went
/// wrong, and how.
async fn play(
    people: &People,
    ears: &Ears,
    story: impl Iterator<Item = Step>,
    seed: u64,
) -> Result<usize, (usize, Difference)> {
    let (mut world, mut asked) = (World::new(people), 0);
    let mut story = story.enumerate().peekable();
    while let Some((at, step)) = story.next() {
        let asks = world.asks(step);
        if asks {
            world.play(step).await.map_err(|difference| (at, format!("{step:?}: {difference}")))?;
            asked += 1;
        }
        let ends = asked == STEPS || story.peek().is_none();
        if ends || (asks && asked == STEPS / 2) {
            let who = (seed as usize).wrapping_add(at) % PEOPLE;
            world.look_back(ears, who).await.map_err(|difference| (at, format!("looking back: {difference}")))?;
        }
        if ends {
            break;
        }
    }
    Ok(asked)
}

/// Leaves out what a story does without, and still goes wrong.
async fn shorten(people: &People, ears: &Ears, mut story: Vec<Step>, seed: u64) -> Vec<Step> {
    let started = Instant::now();
    let mut part = story.len() / 2;
    while part > 0 && started.elapsed() < SHORTEN_WITHIN {
        let mut at = 0;
        while at < story.len() && started.elapsed() < SHORTEN_WITHIN {
            let mut shorter = story.clone();
            shorter.drain(at..(at + part).min(story.len()));
            match play(people, ears, shorter.iter().copied(), seed).await {
                Err((wrong, _)) => {
                    shorter.truncate(wrong + 1);
                    story = shorter;
                }
                Ok(_) => at += part,
            }
        }
        part /= 2;
    }
    story
}

/// Tells so many stories, so many at a time; none is begun after some time. How many steps asked something.
async fn tell(people: &People, stories: u64, at_once: usize, time: Duration) -> usize {
    let ears = Ears::open(people, &LISTENERS).await;
    let first = tests::seed().unwrap_or_else(rand::random);
    let started = Instant::now();
    let one = async |seed: u64| {
        if started.elapsed() > time {
            return Ok(0);
        }
        play(people, &ears, story(seed), seed).await.map_err(|wrong| (seed, wrong))
    };
    let mut told =
        futures::stream::iter((0..stories).map(|number| one(first.wrapping_add(number)))).buffer_unordered(at_once);
    let (mut steps, mut failed) = (0, None);
    while let Some(outcome) = told.next().await {
        match outcome {
            Ok(some) => steps += some,
            Err(wrong) => {
                failed = Some(wrong);
                break;
            }
        }
    }
    drop(told);
    if let Some((seed, (at, difference))) = failed {
        let short = shorten(people, &ears, story(seed).take(at + 1).collect(), seed).await;
        let again = play(people, &ears, short.iter().copied(), seed).await;
        panic!("seed {seed}: {difference}\nshortened to {short:#?}\nwhich gives {again:?}");
    }
    assert!(steps > 0);
    eprintln!("{steps} steps that asked something from seed {first} in {:?}", started.elapsed());
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_what_the_reference_allows_and_nothing_else() {
    let town = Town::start(Shape::Embedded).await;
    let people = People::of_town(&town).await;
    let steps = tell(&people, STORIES, AT_ONCE, Duration::MAX).await;
    assert_eq!(steps, 100_000, "steps that asked the server something");
}

/// Five roles on PostgreSQL, Redis, RabbitMQ and S3, with two gateways, each on a chat-svc of its own; `LOQUAT_TEST_MODEL_SECONDS`
/// says for how long stories are begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_with_everything_apart_and_twice() {
    let backends = Backends::shared().await.with_broker().await;
    let mut cluster = Cluster::start(backends).await;
    let people = People::of_cluster(&cluster).await;
    tell(&people, STORIES, AT_ONCE_APART, seconds()).await;
    drop(people);
    cluster.stops().await;
}

#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
fn seconds() -> Duration {
    let asked = std::env::var("LOQUAT_TEST_MODEL_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(20))
}
