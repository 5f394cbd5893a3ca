//! Private RabbitMQ servers, each with the port mapper that its kind of node needs.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use super::{TRIES, beside, free_port, guard::Guard, on_path, run};
use crate::DEADLINE;

const MISSING: &str = "RabbitMQ is not here: run `tests/needs.sh rabbitmq`";
/// Where Debian has the programs that need no account of their own.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// It starts in seconds, on a busy machine in many.
const START_WITHIN: Duration = Duration::from_secs(90);
/// Virtual hosts are made so many at a time: one alone takes as long.
const VHOSTS: usize = 12;

/// A private RabbitMQ. It ends when it is dropped or the test is gone.
pub struct RabbitMq {
    guard: Guard,
    /// Ended after the server.
    _mapper: Guard,
    folder: TempDir,
    _mapper_folder: TempDir,
    ports: Ports,
    next: AtomicUsize,
    made: Mutex<usize>,
}

#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    nodes: u16,
    mapper: u16,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start.
    pub async fn start() -> Self {
        beside(|| {
            let mut tries = 0;
            loop {
                let (folder, mapper_folder) = (tempfile::tempdir(), tempfile::tempdir());
                let folder = folder.expect("a folder for RabbitMQ");
                let mapper_folder = mapper_folder.expect("a folder for its port mapper");
                let ports = Ports { clients: free_port(), nodes: free_port(), mapper: free_port() };
                let mapper = map_ports(mapper_folder.path(), ports);
                match launch(folder.path(), ports) {
                    Ok(guard) => {
                        return Self {
                            guard,
                            _mapper: mapper,
                            folder,
                            _mapper_folder: mapper_folder,
                            ports,
                            next: AtomicUsize::new(0),
                            made: Mutex::new(0),
                        };
                    }
                    Err(cause) => {
                        tries += 1;
                        assert!(tries < TRIES, "RabbitMQ does not start: {cause}");
                    }
                }
            }
        })
        .await
    }

    /// The URL of a virtual host that nobody else has.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn fresh_vhost(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut made = self.made.lock().await;
        while *made <= number {
            let (from, to) = (*made, *made + VHOSTS - 1);
            self.control(&["eval", &vhosts(from, to)]).await;
            *made = to + 1;
        }
        self.url(&format!("v{number}"))
    }

    /// The URL of a virtual host.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.ports.clients)
    }

    /// What `rabbitmqctl` answers.
    ///
    /// # Panics
    /// When it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut command = program("rabbitmqctl", self.folder.path(), self.ports);
        command.arg("--quiet").args(arguments);
        beside(move || run(&mut command)).await.expect("rabbitmqctl works")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Ends it with `kill -9`. What it confirmed is on disk.
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

    /// Kills it if it runs, and starts it again on the same ports and data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let (folder, ports) = (self.folder.path().to_owned(), self.ports);
        self.guard = beside(move || launch(&folder, ports)).await.expect("RabbitMQ starts again");
    }
}

/// The URL of a virtual host of its own on the server that the tests share.
///
/// # Panics
/// When there is no server.
pub async fn fresh_broker() -> String {
    shared_broker().await.fresh_vhost().await
}

/// The server that the tests share: it is neither killed nor frozen.
///
/// # Panics
/// When there is none.
pub async fn shared_broker() -> &'static RabbitMq {
    static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
    SHARED.get_or_init(RabbitMq::start).await
}

/// Makes virtual hosts, and lets the one user do everything in them.
fn vhosts(from: usize, to: usize) -> String {
    format!(
        "[begin V = list_to_binary(\"v\" ++ integer_to_list(I)), rabbit_vhost:add(V, <<\"tests\">>), \
         rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, V, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"tests\">>) \
         end || I <- lists:seq({from}, {to})], ok."
    )
}

/// One of its programs, with an environment in which nothing is shared with another server.
fn program(name: &str, folder: &Path, ports: Ports) -> Command {
    let file = PathBuf::from(PROGRAMS).join(name);
    let file = if file.is_file() { file } else { on_path(name).expect(MISSING) };
    let mut command = Command::new(on_path("env").expect("env is there"));
    let at = |name: &str| folder.join(name).display().to_string();
    for (name, value) in [
        ("HOME", at("")),
        ("ERL_EPMD_PORT", ports.mapper.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODENAME", format!("loquat{}@localhost", ports.clients)),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", ports.clients.to_string()),
        ("RABBITMQ_DIST_PORT", ports.nodes.to_string()),
        ("RABBITMQ_MNESIA_BASE", at("mnesia")),
        ("RABBITMQ_LOG_BASE", at("logs")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq")),
        ("RABBITMQ_CONF_ENV_FILE", at("nothing")),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none".into()),
        // The script becomes the server, whose process id is the one that the tests have.
        ("RUNNING_UNDER_SYSTEMD", "1".into()),
    ] {
        command.arg(format!("{name}={value}"));
    }
    command.arg(file);
    command
}

fn map_ports(folder: &Path, ports: Ports) -> Guard {
    let mut mapper = Command::new(on_path("epmd").expect(MISSING));
    mapper.args(["-port", &ports.mapper.to_string(), "-address", "127.0.0.1"]);
    Guard::start(&mapper, folder, "KILL")
}

/// Starts the server and waits until it answers.
fn launch(folder: &Path, ports: Ports) -> Result<Guard, String> {
    std::fs::write(folder.join("plugins"), "[].").expect("its folder can be written to");
    std::fs::write(folder.join("rabbitmq.conf"), "").expect("its folder can be written to");
    Guard::start(&program("rabbitmq-server", folder, ports), folder, "KILL").until(
        folder,
        START_WITHIN.max(DEADLINE),
        |_| answers(ports.clients),
    )
}

/// Whether a broker greets.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut greeting = [0; 7];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting[0] == 1
}
