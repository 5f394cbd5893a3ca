//! Real servers for the stories that need them: private ones, on loopback, on ports and folders of their own.
//!
//! A test that breaks a server starts one for itself ([`Postgres::start`], [`Redis::start`], [`RabbitMq::start`]). The others share one per test
//! binary and keep apart by a database, a key prefix or a virtual host of their own ([`fresh_database`], [`fresh_redis`], [`fresh_broker`]); `LOQUAT_TEST_POSTGRES`
//! and `LOQUAT_TEST_REDIS` name servers that run already and are shared instead.

mod backends;
mod guard;
mod postgres;
mod rabbitmq;
mod redis;
mod s3;

use std::{net::TcpListener, path::PathBuf, process::Command, sync::atomic::AtomicU32, sync::atomic::Ordering};

pub use backends::Backends;
pub(crate) use guard::{signal, state};
pub use postgres::{Postgres, assert_durable, fresh_database};
pub use rabbitmq::{RabbitMq, fresh_broker, shared_broker};
pub use redis::{Redis, fresh_redis};
pub use s3::{Mood, S3};

/// How often a server is started on another port, when somebody else was quicker to take the first.
const TRIES: usize = 5;
/// Below the ports that the system hands out by itself: nobody takes the port of a server that is down for a moment.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// Runs blocking work beside the runtime of the test: what a test runs itself must go on meanwhile.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// A port that is free now, and that the system gives to nobody unasked.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries that run at once begin at different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + step % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("the range is one of ports");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("loopback has no free port in {PORTS:?}");
}

/// A server that runs already, named by the environment.
#[allow(clippy::disallowed_methods, reason = "the tests' own switch, not configuration of the product")]
fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}

/// A program on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|cause| format!("{command:?}: {cause}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
