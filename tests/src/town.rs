//! A running server in one of its shapes, with a folder of its own.

use std::net::SocketAddr;

use mesh::{bus::Bus, clock::Clock, config::Secret, rpc::Upstream};
use server::{
    Server,
    config::{Config, Role, Roles, all_roles},
};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::{Person, person::SETUP_TOKEN, servers::Backends};

/// How the roles run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All roles in one process, calling each other directly.
    Embedded,
    /// Each role on a listener of its own, calling each other over the network.
    Split,
    /// Each role a server of its own with nothing shared but the folder, every service on a PostgreSQL database of its own, on Redis,
    /// RabbitMQ, and files on S3.
    Full,
}

/// A running server.
pub struct Town {
    /// How its roles run.
    pub shape: Shape,
    /// Where its public port listens.
    pub public: SocketAddr,
    /// Where its ops port listens.
    pub ops: SocketAddr,
    /// What time it is there.
    pub clock: Clock,
    /// Gateway first, as they are stopped.
    servers: Vec<Server>,
    config: Config,
    folder: TempDir,
    /// Dropped after the server.
    _backends: Option<Backends>,
}

impl Town {
    /// Starts a server on an empty folder.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start(shape: Shape) -> Self {
        Self::start_with(shape, |_| {}).await
    }

    /// Starts a server with a changed configuration.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_with(shape: Shape, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(Clock::system(), shape, change).await
    }

    /// Starts a server with a changed configuration, by a clock that may be moved by hand.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start_by(clock: Clock, shape: Shape, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut config = anywhere(folder.path());
        config.mesh.in_process = shape == Shape::Embedded;
        let backends = match shape {
            Shape::Full => Some(Backends::shared().await.with_broker().await),
            Shape::Embedded | Shape::Split => None,
        };
        if let Some(backends) = &backends {
            backends.apply(&mut config);
            // With the gateway apart, nobody becomes the owner without it.
            config.auth.setup_token = Secret::new(SETUP_TOKEN);
        }
        change(&mut config);
        let servers = start(&clock, shape, &config).await;
        let (public, ops) = addresses(&servers);
        Self { shape, public, ops, clock, servers, config, folder, _backends: backends }
    }

    /// Stops the server and starts it again on the same data.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn restarts(mut self) -> Self {
        self.stops().await;
        self.servers = start(&self.clock, self.shape, &self.config).await;
        (self.public, self.ops) = addresses(&self.servers);
        self
    }

    /// Stops the server.
    pub async fn stops(&mut self) {
        for server in std::mem::take(&mut self.servers) {
            server.stop().await;
        }
    }

    /// A gRPC channel to the public port.
    ///
    /// # Panics
    /// When the address is not one.
    pub fn channel(&self) -> Channel {
        channel(self.public)
    }

    /// The folder with the server's data.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A service with every layer that a call passes, without a network in between.
    ///
    /// # Panics
    /// When the server was stopped.
    pub fn local(&self, role: Role) -> Upstream {
        self.servers.iter().find_map(|server| server.local.get(&role)).expect("the server runs").clone()
    }

    /// The bus, as another program on it has it.
    ///
    /// # Panics
    /// When the server was stopped.
    pub fn bus(&self) -> Bus {
        self.servers.iter().find_map(|server| server.bus.clone()).expect("the server runs")
    }

    /// Where a role listens that is apart.
    ///
    /// # Panics
    /// When there is none.
    pub fn service(&self, role: Role) -> SocketAddr {
        *self.servers.iter().find_map(|server| server.services.get(&role)).expect("the role has a port of its own")
    }

    /// Somebody registers.
    ///
    /// # Panics
    /// When they may not.
    pub async fn registers(&self, name: &str) -> Person {
        Person::registers(self.public, name).await
    }

    /// An address of the public port.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }
}

/// Starts one server with all roles, or one for each role.
async fn start(clock: &Clock, shape: Shape, config: &Config) -> Vec<Server> {
    if shape != Shape::Full {
        return vec![start_roles(clock, config, &all_roles()).await];
    }
    let mut config = config.clone();
    let mut servers = Vec::new();
    // Each is told where those are that it calls.
    for role in [Role::Auth, Role::Chat, Role::File, Role::Worker, Role::Gateway] {
        let server = start_roles(clock, &config, &Roles::from([role])).await;
        if let Some(address) = server.services.get(&role) {
            let url = match role {
                Role::Auth => &mut config.auth.url,
                Role::Chat => &mut config.chat.url,
                Role::File => &mut config.file.url,
                Role::Worker | Role::Gateway => &mut config.worker.url,
            };
            *url = format!("http://{address}");
        }
        servers.insert(0, server);
    }
    servers
}

async fn start_roles(clock: &Clock, config: &Config, roles: &Roles) -> Server {
    Server::start_by(clock.clone(), config.clone(), roles).await.expect("the server starts")
}

/// The public port and its ops port.
fn addresses(servers: &[Server]) -> (SocketAddr, SocketAddr) {
    let gateway = servers.iter().find(|server| server.public.is_some()).expect("there is a gateway");
    (gateway.public.expect("it has a public port"), gateway.ops)
}

/// A configuration with data in this folder, and every port a free one.
pub(crate) fn anywhere(folder: &std::path::Path) -> Config {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    let anywhere = || "127.0.0.1:0".to_owned();
    config.gateway.listen = anywhere();
    config.ops.listen = anywhere();
    config.auth.listen = anywhere();
    config.chat.listen = anywhere();
    config.file.listen = anywhere();
    config.worker.listen = anywhere();
    config.mesh.stop_seconds = 3;
    // A test is not the program that looks at files.
    config.worker.program = crate::process::binary();
    config
}

/// A gRPC channel to an address; connects when it is first used.
///
/// # Panics
/// When the address is not one.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}
