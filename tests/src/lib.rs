//! The harness of the whole-system tests: towns (running servers), people in them, and what people do and see.
//!
//! Starts the production builder, never a copy of its wiring. Ports are 0; nothing sleeps: what is expected is awaited with a
//! deadline.

#![allow(clippy::expect_used, reason = "a harness fails a test by panicking, with a text that says what was expected")]

pub mod cluster;
pub mod drill;
pub mod ear;
pub mod files;
pub mod forge;
pub mod load;
pub mod person;
pub mod post;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod socket;
pub mod strace;
pub mod town;

pub use ear::{Ear, Ended, Transport};
pub use forge::Forge;
pub use person::Person;
pub use town::{Shape, Town};

use std::time::Duration;

/// How long anything expected may take. Generous, because the machine may be busy; never waited for when things work.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The queues of every role, by name: written out, so that one that is new or gone shows.
pub const QUEUES: [&str; 11] = [
    "ChatFileReady",
    "ChatInviteAccepted",
    "FileAvatarChanged",
    "FileMessageDeleted",
    "WorkerFileUploaded",
    "WorkerLinksPosted",
    "WorkerMembersMentioned",
    "WorkerMentionMail",
    "WorkerWebhookEvents",
    "WorkerWebhookRequests",
    "scheduler",
];

/// Awaits something expected.
///
/// # Panics
/// When it does not happen in time.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("this did not happen within {DEADLINE:?}: {what}"),
    }
}

/// The seed of random stories that `LOQUAT_TEST_SEED` asks for.
#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
pub fn seed() -> Option<u64> {
    std::env::var("LOQUAT_TEST_SEED").ok()?.parse().ok()
}

/// A fresh operation id.
pub fn op_id() -> String {
    mesh::ids::new_id().to_string()
}

/// Runs each story in each shape: `stories!(fn_name, …)` in a test file that has `async fn fn_name(town: Town)`; or, with
/// `stories!(by path; fn_name, …)`, each on what the function of that path makes of a [`Shape`].
#[macro_export]
macro_rules! stories {
    (by $begin:path; $($story:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($begin($crate::Shape::Embedded).await).await;
            })+
        }
        mod split {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($begin($crate::Shape::Split).await).await;
            })+
        }
        mod full {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story($begin($crate::Shape::Full).await).await;
            })+
        }
    };
    ($($story:ident),+ $(,)?) => {
        $crate::stories!(by $crate::Town::start; $($story),+);
    };
}
