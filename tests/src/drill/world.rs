//! The servers of a shape: processes on fixed ports, the proxies between them, and the stores behind them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    process::{Process, binary},
    proxy::Proxy,
    servers::{self, Postgres, Redis, free_port},
};

/// How the roles run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One process on SQLite.
    Embedded,
    /// A gateway and the services, each a process, on SQLite.
    Edge,
    /// Two gateways, the services and a further chat process, on PostgreSQL and Redis.
    Mesh,
}

/// One process, which may be down.
pub struct Node {
    /// What it is called in reports.
    pub name: &'static str,
    roles: &'static [&'static str],
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Where it listens once it is ready.
    address: SocketAddr,
    process: Option<Process>,
}

/// A way between two parts that can break.
pub struct Wire {
    /// What it is called in reports.
    pub name: &'static str,
    /// What breaks.
    pub proxy: Proxy,
}

/// The stores of the shape `mesh`.
pub struct Stores {
    /// One database for each service.
    pub postgres: Postgres,
    /// Hints and limits.
    pub redis: Redis,
}

/// Everything that runs.
pub struct World {
    /// The processes, in the order in which they are started.
    pub nodes: Vec<Node>,
    /// The ways between them.
    pub wires: Vec<Wire>,
    /// PostgreSQL and Redis.
    pub stores: Option<Stores>,
    /// Where clients connect: one for each gateway.
    pub doors: Vec<SocketAddr>,
    /// Everything on disk goes with it.
    folder: TempDir,
}

type Environment = Vec<(&'static str, String)>;

const SERVICES: &[&str] = &["auth", "chat", "file", "worker"];
const SECRET: &str = "a secret of more than thirty-two bytes";

impl World {
    /// Prepares a shape on empty stores; no process is started yet. `quiet` hides what they log.
    ///
    /// # Panics
    /// When a store cannot be started.
    pub async fn prepare(shape: Shape, quiet: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the servers");
        let mut world = Self { nodes: Vec::new(), wires: Vec::new(), stores: None, doors: Vec::new(), folder };
        let mut common = vec![("LOQUAT_MESH__SECRET", SECRET.to_owned())];
        if quiet {
            common.push(("LOQUAT_TELEMETRY__LOG", "off".to_owned()));
        }
        match shape {
            Shape::Embedded => world.embedded(common).await,
            Shape::Edge => world.edge(common).await,
            Shape::Mesh => world.mesh(common).await,
        }
        world
    }

    async fn embedded(&mut self, common: Environment) {
        let public = self.door("client-gateway").await;
        self.node("loquat", &[], with(&common, [("LOQUAT_GATEWAY__LISTEN", public.to_string())]), public);
    }

    async fn edge(&mut self, common: Environment) {
        let (common, chat) = services(common);
        self.node("services", SERVICES, common.clone(), chat);
        self.gateway("gateway", &common, ["client-gateway", "gateway-chat"], chat).await;
    }

    async fn mesh(&mut self, common: Environment) {
        let stores = Stores { postgres: Postgres::start().await, redis: Redis::start().await };
        servers::assert_durable(&stores.postgres.url()).await;
        let (mut common, chat) = services(common);
        for (key, name) in [
            ("LOQUAT_AUTH__DB__URL", "auth"),
            ("LOQUAT_CHAT__DB__URL", "chat"),
            ("LOQUAT_FILE__DB__URL", "file"),
            ("LOQUAT_WORKER__DB__URL", "worker"),
        ] {
            common.push((key, stores.postgres.fresh_database(name).await));
        }
        let (postgres, redis) = (stores.postgres.port(), stores.redis.port());
        self.stores = Some(stores);
        let first = self.with_stores(&common, ["chat-postgres", "chat-redis"], postgres, redis).await;
        self.node("services", SERVICES, first, chat);
        let second = free_address();
        let further = self.with_stores(&common, ["chat2-postgres", "chat2-redis"], postgres, redis).await;
        let own = [("LOQUAT_CHAT__LISTEN", second.to_string()), ("LOQUAT_BUS__RELAY", "false".to_owned())];
        self.node("chat2", &["chat"], with(&further, own), second);
        self.gateway("gateway", &common, ["client-gateway", "gateway-chat"], chat).await;
        self.gateway("gateway2", &common, ["client-gateway2", "gateway2-chat2"], second).await;
    }

    /// The chat database and the cache behind proxies of their own.
    async fn with_stores(
        &mut self,
        common: &Environment,
        names: [&'static str; 2],
        postgres: u16,
        redis: u16,
    ) -> Environment {
        let database = self.wire(names[0], loopback(postgres)).await;
        let cache = self.wire(names[1], loopback(redis)).await;
        let behind = |(key, value): &(&'static str, String)| match *key {
            "LOQUAT_CHAT__DB__URL" => {
                (*key, value.replace(&format!(":{postgres}/"), &format!(":{}/", database.port())))
            }
            _ => (*key, value.clone()),
        };
        let changed: Environment = common.iter().map(behind).collect();
        with(&changed, [("LOQUAT_CACHE__URL", format!("redis://{cache}"))])
    }

    async fn gateway(&mut self, name: &'static str, common: &Environment, wires: [&'static str; 2], chat: SocketAddr) {
        let public = self.door(wires[0]).await;
        let chat = self.wire(wires[1], chat).await;
        let own = [("LOQUAT_GATEWAY__LISTEN", public.to_string()), ("LOQUAT_CHAT__URL", format!("http://{chat}"))];
        self.node(name, &["gateway"], with(common, own), public);
    }

    /// A public port behind a proxy. Returns where the gateway listens.
    async fn door(&mut self, name: &'static str) -> SocketAddr {
        let public = free_address();
        let door = self.wire(name, public).await;
        self.doors.push(door);
        public
    }

    async fn wire(&mut self, name: &'static str, to: SocketAddr) -> SocketAddr {
        let proxy = Proxy::to(to).await;
        let address = proxy.address();
        self.wires.push(Wire { name, proxy });
        address
    }

    fn node(
        &mut self,
        name: &'static str,
        roles: &'static [&'static str],
        environment: Environment,
        address: SocketAddr,
    ) {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).expect("a folder for a process");
        self.nodes.push(Node { name, roles, folder, environment, address, process: None });
    }

    /// Runs `loquat user import` for so many accounts, and returns what it wrote about their sessions.
    ///
    /// # Panics
    /// When it fails.
    pub fn import(&self, names: &[String]) -> String {
        let services = &self.nodes[0];
        let (list, sessions) = (self.folder.path().join("names"), self.folder.path().join("sessions"));
        std::fs::write(&list, names.join("\n")).expect("a list of names");
        let output = Command::new(std::path::absolute(binary()).expect("a path"))
            .args(["user", "import"])
            .arg(&list)
            .arg("--sessions")
            .arg(&sessions)
            .current_dir(&services.folder)
            .env("LOQUAT_DATA_DIR", &services.folder)
            .envs(services.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "loquat user import: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(sessions).expect("the sessions")
    }

    /// Starts what is not running, in order.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(&mut self) {
        for node in &mut self.nodes {
            if node.process.is_none() {
                node.start(&[]).await;
            }
        }
    }

    /// The ids of all processes of ours that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.process.as_ref()).map(Process::id).collect()
    }

    /// Where everything is kept on disk.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Node {
    /// Starts it, with more in its environment.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(&mut self, more: &[(&'static str, String)]) {
        let environment: Environment = self.environment.iter().chain(more).cloned().collect();
        let process = Process::start_roles(&binary(), &self.folder, self.roles, &environment, self.address).await;
        self.process = Some(process);
    }

    /// Ends it with `kill -9`.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Takes the process away, for whoever waits for its end.
    pub fn take(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Freezes it.
    pub async fn freezes(&self) {
        if let Some(process) = &self.process {
            process.freezes().await;
        }
    }

    /// Lets it go on.
    pub fn thaws(&self) {
        if let Some(process) = &self.process {
            process.thaws();
        }
    }
}

/// Where the services listen and are found. Returns where chat-svc does.
fn services(mut common: Environment) -> (Environment, SocketAddr) {
    let mut chat = None;
    for (listen, url) in [
        ("LOQUAT_AUTH__LISTEN", "LOQUAT_AUTH__URL"),
        ("LOQUAT_CHAT__LISTEN", "LOQUAT_CHAT__URL"),
        ("LOQUAT_FILE__LISTEN", "LOQUAT_FILE__URL"),
        ("LOQUAT_WORKER__LISTEN", "LOQUAT_WORKER__URL"),
    ] {
        let address = free_address();
        if listen == "LOQUAT_CHAT__LISTEN" {
            chat = Some(address);
        }
        common.push((listen, address.to_string()));
        common.push((url, format!("http://{address}")));
    }
    (common, chat.expect("chat is among them"))
}

/// More environment; what comes later counts.
fn with<const N: usize>(common: &Environment, more: [(&'static str, String); N]) -> Environment {
    common.iter().cloned().chain(more).collect()
}

/// An address that is free and stays so while its process is down.
fn free_address() -> SocketAddr {
    loopback(free_port())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
