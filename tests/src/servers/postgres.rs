//! Private PostgreSQL servers, and databases on them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{TRIES, beside, free_port, guard::Guard, named, on_path, run};
use crate::DEADLINE;

const MISSING: &str = "PostgreSQL is not here: run `tests/needs.sh postgres`, or name a server in LOQUAT_TEST_POSTGRES";

/// Names a server that is shared instead of a private one.
const VARIABLE: &str = "LOQUAT_TEST_POSTGRES";

/// A private PostgreSQL. It ends, and its folder goes, when it is dropped or the test is gone.
pub struct Postgres {
    guard: Guard,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one on an empty folder.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        beside(|| {
            let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
            give_to_postgres(folder.path());
            let data = folder.path().join("data");
            let mut initdb = as_postgres(&program("initdb"));
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
            initdb.arg("--pgdata").arg(&data);
            run(initdb.current_dir(folder.path())).expect("initdb makes a data folder");
            let mut tries = 0;
            loop {
                let port = free_port();
                match launch(folder.path(), port) {
                    Ok(guard) => return Self { guard, folder, port },
                    Err(cause) => {
                        tries += 1;
                        assert!(tries < TRIES, "PostgreSQL does not start: {cause}");
                    }
                }
            }
        })
        .await
    }

    /// The URL of its database `postgres`, for a user who may do everything.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Makes an empty database whose name begins with `name`, and returns its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn fresh_database(&self, name: &str) -> String {
        create_database(self.url(), name).await
    }

    /// Ends the server and all of its sessions with `kill -9`. What was committed is on disk.
    pub fn kill(&mut self) {
        self.guard.kill();
    }

    /// Freezes the server: connections stay open, nothing answers.
    pub fn stop(&self) {
        self.guard.stop();
    }

    /// Lets a frozen server go on.
    pub fn cont(&self) {
        self.guard.cont();
    }

    /// Kills the server if it runs, and starts it again on the same port and data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let (folder, port) = (self.folder.path().to_owned(), self.port);
        self.guard = beside(move || launch(&folder, port)).await.expect("PostgreSQL starts again");
    }
}

/// Makes an empty database on the server that the tests share, and returns its URL.
///
/// # Panics
/// When there is no server, or the database cannot be made.
pub async fn fresh_database(name: &str) -> String {
    create_database(shared().await, name).await
}

/// The URL of the server that the tests share.
pub(super) async fn shared() -> String {
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();
    match named(VARIABLE) {
        Some(url) => url,
        None => SHARED.get_or_init(Postgres::start).await.url(),
    }
}

/// Asserts that a commit that this server answers is on disk: what a measurement or a crash test is worth depends on it.
///
/// # Panics
/// When it is not.
pub async fn assert_durable(url: &str) {
    for setting in ["fsync", "synchronous_commit"] {
        let value = psql(url.to_owned(), vec![format!("SHOW {setting}")]).await;
        assert_eq!(value, "on", "{setting} of {url}");
    }
}

async fn create_database(url: String, name: &str) -> String {
    let [url] = create_databases(url, [name]).await;
    url
}

/// Whether the server that the tests share runs already, and goes on running.
pub(super) fn is_named() -> bool {
    named(VARIABLE).is_some()
}

/// Makes empty databases whose names begin with these, all with one connection.
pub(super) async fn create_databases<const N: usize>(url: String, names: [&str; N]) -> [String; N] {
    let names = names.map(|name| format!("{name}_{}", mesh::ids::new_id().simple()));
    psql(url.clone(), names.iter().map(|name| format!("CREATE DATABASE \"{name}\"")).collect()).await;
    names.map(|name| on_database(&url, &name))
}

/// Drops databases with whatever still uses them, when nobody waits for it.
pub(super) fn drop_databases(urls: &[String]) {
    let Some(url) = urls.first().map(|url| on_database(url, "postgres")) else { return };
    let name = |url: &String| url.split('?').next().and_then(|url| url.rsplit('/').next()).map(str::to_owned);
    let drop = |name: String| format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
    // A server that is gone has no databases either.
    let _ = run_psql(&url, &urls.iter().filter_map(name).map(drop).collect::<Vec<_>>());
}

/// The same server with another database: what follows the host, up to the parameters, is replaced.
fn on_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
    let (scheme, rest) = address.split_once("://").expect("a postgres:// URL");
    let host = rest.split('/').next().unwrap_or_default();
    let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
    format!("{scheme}://{host}/{name}{parameters}")
}

async fn psql(url: String, statements: Vec<String>) -> String {
    beside(move || run_psql(&url, &statements).expect("PostgreSQL does what psql asks")).await
}

fn run_psql(url: &str, statements: &[String]) -> Result<String, String> {
    let mut psql = Command::new(program("psql"));
    psql.args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align"]);
    psql.args(statements.iter().flat_map(|statement| ["--command", statement]));
    run(psql.arg(url))
}

/// Starts the server on a data folder and waits until it takes connections.
fn launch(folder: &Path, port: u16) -> Result<Guard, String> {
    let mut server = as_postgres(&program("postgres"));
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    for setting in [
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "max_connections=200",
    ] {
        server.args(["-c", setting]);
    }
    Guard::start(&server, folder, "QUIT").until(folder, DEADLINE, |pid| self::ready(folder, pid))
}

/// What the server itself says: its lock file names the process in line 1, and in line 8 whether it takes connections.
fn ready(folder: &Path, pid: u32) -> bool {
    let lock = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = lock.lines().map(str::trim).collect();
    lines.first().is_some_and(|line| *line == pid.to_string()) && lines.get(7) == Some(&"ready")
}

/// A program of PostgreSQL: of the newest version that Debian has installed, or on the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let file = entry.path().join("bin").join(name);
            let version = entry.file_name().to_str()?.parse().ok()?;
            file.is_file().then_some((version, file))
        })
        .collect();
    found.sort_unstable();
    found.pop().map(|(_, file)| file).or_else(|| on_path(name)).expect(MISSING)
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).expect("id tells who runs the tests") == "0"
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres:").arg(folder)).expect("the package postgresql has made its user");
    }
}
