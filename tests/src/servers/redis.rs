//! Private Redis servers.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{TRIES, beside, free_port, guard::Guard, named, on_path};
use crate::DEADLINE;

const MISSING: &str = "redis-server is not here: run `tests/needs.sh redis`";

/// A private Redis that keeps nothing on disk. It ends when it is dropped or the test is gone.
pub struct Redis {
    guard: Guard,
    folder: TempDir,
    port: u16,
}

impl Redis {
    /// Starts one.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    pub async fn start() -> Self {
        beside(|| {
            let folder = tempfile::tempdir().expect("a folder for Redis");
            let mut tries = 0;
            loop {
                let port = free_port();
                match launch(folder.path(), port) {
                    Ok(guard) => return Self { guard, folder, port },
                    Err(cause) => {
                        tries += 1;
                        assert!(tries < TRIES, "Redis does not start: {cause}");
                    }
                }
            }
        })
        .await
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Ends it with `kill -9`. It forgets everything.
    pub fn kill(&mut self) {
        self.guard.kill();
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn stop(&self) {
        self.guard.stop();
    }

    /// Lets a frozen server go on.
    pub fn cont(&self) {
        self.guard.cont();
    }

    /// Kills it if it runs, and starts it again on the same port, empty.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let (folder, port) = (self.folder.path().to_owned(), self.port);
        self.guard = beside(move || launch(&folder, port)).await.expect("Redis starts again");
    }
}

/// The URL of the server that the tests share, with a prefix that keeps this caller's keys and channels apart.
///
/// # Panics
/// When there is no server.
pub async fn fresh_redis() -> String {
    static SHARED: OnceCell<Redis> = OnceCell::const_new();
    let url = match named("LOQUAT_TEST_REDIS") {
        Some(url) => url,
        None => SHARED.get_or_init(Redis::start).await.url(),
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}prefix={}:", mesh::ids::new_id().simple())
}

/// Starts the server and waits until it answers.
fn launch(folder: &Path, port: u16) -> Result<Guard, String> {
    let mut server = Command::new(on_path("redis-server").expect(MISSING));
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.arg("--dir").arg(folder);
    Guard::start(&server, folder, "KILL").until(folder, DEADLINE, |pid| answering(port) == Some(pid))
}

/// Which process answers on a port: somebody else's server on the same port must not pass for this one.
fn answering(port: u16) -> Option<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"INFO server\r\nQUIT\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()
}
