//! What is measured: the floors and the shapes of Loquat, each as processes on the server's core.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::server::{self, Cpu};
use crate::{
    process::free_address,
    servers::{Postgres, Redis},
};

/// The core that servers run on.
pub const SERVER_CORE: u32 = 0;
/// The core that the generator runs on.
pub const GENERATOR_CORE: u32 = 1;
/// Limits that the defaults of a server would reach before the machine does; printed with the results.
pub const RAISED: [(&str, &str); 14] = [
    ("LOQUAT_AUTH__TRIES_PER_ACCOUNT", "1000000"),
    ("LOQUAT_AUTH__TRIES_PER_ADDRESS", "1000000"),
    ("LOQUAT_AUTH__TRIES_ALTOGETHER", "1000000"),
    ("LOQUAT_FILE__MAX_BYTES", "4294967296"),
    ("LOQUAT_GATEWAY__MAX_CONNECTIONS", "60000"),
    ("LOQUAT_GATEWAY__SIGN_ONS_PER_SECOND", "1000000"),
    ("LOQUAT_GATEWAY__RESUMES_PER_SECOND", "1000000"),
    // High rather than none, so that what counting costs is measured as well.
    ("LOQUAT_GATEWAY__LIMITS__CALLS_PER_ACCOUNT", "1000000"),
    ("LOQUAT_GATEWAY__LIMITS__CALLS_ALTOGETHER", "1000000"),
    ("LOQUAT_GATEWAY__LIMITS__SENDS_PER_ACCOUNT", "1000000"),
    ("LOQUAT_GATEWAY__LIMITS__ROOMS_PER_ACCOUNT", "1000000"),
    ("LOQUAT_GATEWAY__LIMITS__UPLOADS_PER_ACCOUNT", "1000000"),
    ("LOQUAT_GATEWAY__LIMITS__SOCKETS_PER_ACCOUNT", "60000"),
    ("LOQUAT_GATEWAY__LIMITS__SOCKETS_ALTOGETHER", "60000"),
];
/// What processes of one mesh prove themselves with.
const SECRET: (&str, &str) = ("LOQUAT_MESH__SECRET", "a secret of the measurement, longer than needed");

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A broadcast with nothing behind it.
    Bare,
    /// A broadcast of what was made durable in SQLite, in groups.
    Durable,
    /// A broadcast of what was made durable in SQLite, one by one.
    Each,
    /// tonic with nothing behind it.
    BareGrpc,
    /// axum that takes a file and gives it back.
    BareFiles,
    /// Loquat in one process on SQLite.
    Embedded,
    /// Loquat's gateway in one process, the services in another, on SQLite.
    Apart,
    /// The same on PostgreSQL and Redis.
    Mesh,
}

impl Kind {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Durable => "durable",
            Self::Each => "each",
            Self::BareGrpc => "bare-grpc",
            Self::BareFiles => "bare-files",
            Self::Embedded => "embedded",
            Self::Apart => "apart",
            Self::Mesh => "mesh",
        }
    }

    /// Whether it is a floor.
    pub const fn is_floor(self) -> bool {
        matches!(self, Self::Bare | Self::Durable | Self::Each | Self::BareGrpc | Self::BareFiles)
    }
}

/// An account, and a token that lives ten minutes.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// Its id.
    pub user_id: String,
    /// For `Authorization`.
    pub access_token: String,
}

/// A running target.
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The accounts that were imported.
    pub accounts: Vec<Account>,
    /// Where metrics are told: first the gateway's process, then the services'.
    ops: Vec<SocketAddr>,
    children: Vec<Child>,
    /// How the processes were started.
    launches: Vec<Launch>,
    folder: TempDir,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl Target {
    /// Starts a target with so many accounts. `server` is the server's binary.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(kind: Kind, server: &Path, accounts: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut target = Self {
            kind,
            address: free_address(),
            accounts: Vec::new(),
            ops: Vec::new(),
            children: Vec::new(),
            launches: Vec::new(),
            folder,
            postgres: None,
            redis: None,
        };
        if kind.is_floor() {
            target.start_floor();
            return target;
        }
        let mut environment: Vec<(&str, String)> =
            RAISED.iter().chain([&SECRET]).map(|(name, value)| (*name, (*value).to_owned())).collect();
        environment.push(("LOQUAT_GATEWAY__LISTEN", target.address.to_string()));
        environment.push(("LOQUAT_DATA_DIR", target.folder.path().display().to_string()));
        if kind == Kind::Mesh {
            target.start_stores(&mut environment).await;
        }
        target.import(server, &environment, accounts);
        if kind == Kind::Embedded {
            target.spawn(server, &[], &environment, target.address);
            return target;
        }
        let addresses = listen(&mut environment);
        target.spawn(server, &["auth", "chat", "file", "worker"], &environment, addresses);
        target.spawn(server, &["gateway"], &environment, target.address);
        // The gateway's metrics come first.
        target.ops.reverse();
        target
    }

    fn start_floor(&mut self) {
        let own = std::env::current_exe().expect("a program knows its own path");
        let mut command = pinned(&own, SERVER_CORE);
        command.args(["floor", "--kind", self.kind.name(), "--listen", &self.address.to_string()]);
        command.arg("--file").arg(self.folder.path().join("floor.db"));
        self.children.push(command.stdin(Stdio::null()).spawn().expect("the floor starts"));
        wait_for(self.address);
    }

    async fn start_stores(&mut self, environment: &mut Vec<(&str, String)>) {
        let (postgres, redis) = (Postgres::start().await, Redis::start().await);
        for (name, variable) in [
            ("auth", "LOQUAT_AUTH__DB__URL"),
            ("chat", "LOQUAT_CHAT__DB__URL"),
            ("file", "LOQUAT_FILE__DB__URL"),
            ("worker", "LOQUAT_WORKER__DB__URL"),
        ] {
            environment.push((variable, postgres.fresh_database(name).await));
        }
        environment.push(("LOQUAT_CACHE__URL", redis.url()));
        for pid in [postgres.pid(), redis.pid()] {
            pin(pid, SERVER_CORE);
        }
        (self.postgres, self.redis) = (Some(postgres), Some(redis));
    }

    fn import(&mut self, server: &Path, environment: &[(&str, String)], accounts: usize) {
        let (names, sessions) = (self.folder.path().join("names"), self.folder.path().join("sessions"));
        let lines: String = (0..accounts).map(|number| format!("user{number}\n")).collect();
        std::fs::write(&names, lines).expect("a file of names");
        let mut command = Command::new(server);
        command.args(["user", "import"]).arg(&names).arg("--sessions").arg(&sessions);
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str()))).stdout(Stdio::null());
        assert!(command.status().expect("the server's binary runs").success(), "the accounts are imported");
        let sessions = std::fs::read_to_string(sessions).expect("the sessions were written");
        self.accounts = sessions.lines().map(|line| serde_json::from_str(line).expect("an account")).collect();
    }

    fn spawn(&mut self, server: &Path, roles: &[&str], environment: &[(&str, String)], ready: SocketAddr) {
        let ops = free_address();
        let mut command = pinned(server, SERVER_CORE);
        command.arg("serve").args(roles.iter().flat_map(|role| ["--role", role]));
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("LOQUAT_OPS__LISTEN", ops.to_string()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.launches.push(Launch { command, ready });
        self.ops.push(ops);
        self.launch(self.launches.len() - 1);
    }

    fn launch(&mut self, number: usize) {
        let Launch { command, ready } = &mut self.launches[number];
        self.children.push(command.spawn().expect("the server starts"));
        wait_for(*ready);
    }

    /// Kills Loquat's processes, and tells when they were started again, on the same data; they answer when it returns.
    pub fn restart(&mut self) -> Instant {
        self.end();
        let began = Instant::now();
        (0..self.launches.len()).for_each(|number| self.launch(number));
        began
    }

    fn end(&mut self) {
        for mut child in self.children.drain(..) {
            // An error says that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The processes, those of PostgreSQL and Redis included.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.children.iter().map(Child::id).collect();
        pids.extend(self.redis.as_ref().map(Redis::pid));
        if let Some(postgres) = &self.postgres {
            pids.push(postgres.pid());
            pids.extend(server::children(postgres.pid()));
        }
        pids
    }

    /// Loquat's own processes.
    pub fn own_pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// CPU time of all processes so far.
    pub fn cpu(&self) -> Cpu {
        Cpu::of(&self.pids())
    }

    /// Writes to sockets that carried frames, and frames that they carried, so far.
    pub fn writes(&self) -> (f64, f64) {
        if self.kind.is_floor() {
            let counts = get(self.address, "/counts");
            return (metric(&counts, "writes"), metric(&counts, "deliveries"));
        }
        let metrics = get(self.ops[0], "/metrics");
        (metric(&metrics, "loquat_gateway_socket_writes_total"), metric(&metrics, "loquat_gateway_socket_frames_total"))
    }

    /// Transactions that chat-svc committed so far, and changes in them.
    pub fn commits(&self) -> (f64, f64) {
        let metrics = get(*self.ops.last().expect("a server has metrics"), "/metrics");
        (metric(&metrics, "loquat_chat_batch_size_count"), metric(&metrics, "loquat_chat_batch_size_sum"))
    }
}

/// How a process is started, and where it answers then.
struct Launch {
    command: Command,
    ready: SocketAddr,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where each service listens; returns where chat-svc does.
fn listen(environment: &mut Vec<(&str, String)>) -> SocketAddr {
    let names = [
        ("LOQUAT_AUTH__LISTEN", "LOQUAT_AUTH__URL"),
        ("LOQUAT_FILE__LISTEN", "LOQUAT_FILE__URL"),
        ("LOQUAT_WORKER__LISTEN", "LOQUAT_WORKER__URL"),
        ("LOQUAT_CHAT__LISTEN", "LOQUAT_CHAT__URL"),
    ];
    let mut last = free_address();
    for (listen, url) in names {
        last = free_address();
        environment.push((listen, last.to_string()));
        environment.push((url, format!("http://{last}")));
    }
    last
}

/// A program that runs on one core only.
fn pinned(program: &Path, core: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(std::path::absolute(program).expect("a path"));
    command
}

/// Moves a running process, with all its threads, to one core.
pub fn pin(pid: u32, core: u32) {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", &core.to_string(), &pid.to_string()]);
    let moved = command.stdout(Stdio::null()).status().expect("taskset runs");
    assert!(moved.success(), "process {pid} is moved to core {core}");
}

/// Waits until somebody listens.
fn wait_for(address: SocketAddr) {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < crate::DEADLINE, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A page over HTTP.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    // The floor leaves the connection open; its answer is one piece.
    while let Ok(taken) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..taken]);
        if taken == 0 || answer.windows(11).any(|some| some == b"deliveries ") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The value of a metric without labels; 0 when it is not there yet.
fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

/// The server's binary beside this program, unless another one is named.
pub fn server_binary(named: Option<PathBuf>) -> PathBuf {
    let beside = || std::env::current_exe().expect("a program knows its own path").with_file_name("loquat");
    let binary = named.unwrap_or_else(beside);
    assert!(binary.is_file(), "{} is missing: build it, or name one with --server", binary.display());
    binary
}
