//! Several of everything: two processes' worth of chat-svc on one log, and two gateways, each on a chat-svc of its own.

use std::net::SocketAddr;

use mesh::config::Secret;
use server::{
    Server,
    config::{Config, Role, Roles},
};
use tempfile::TempDir;

use crate::{Person, person::SETUP_TOKEN, servers::Backends, town::anywhere};

/// What the servers prove themselves with to each other.
pub const SECRET: &str = "a secret of more than thirty-two bytes";

/// Running servers that work on the same data.
pub struct Cluster {
    /// The public ports: the first gateway is on the first chat-svc, the second on the second.
    pub gateways: [SocketAddr; 2],
    /// The ops ports of the two processes with chat-svc.
    pub chats: [SocketAddr; 2],
    /// Where the second chat-svc answers other roles.
    pub inside: SocketAddr,
    servers: Vec<Server>,
    _folders: Vec<TempDir>,
    /// Dropped after the servers.
    _backends: Backends,
}

impl Cluster {
    /// Starts four servers: auth, chat, file and worker; another chat; and two gateways.
    ///
    /// # Panics
    /// When one cannot start.
    pub async fn start(backends: Backends) -> Self {
        Self::start_with(backends, |_| {}).await
    }

    /// The same with gateways of a changed configuration.
    ///
    /// # Panics
    /// When one cannot start.
    pub async fn start_with(backends: Backends, change: impl Fn(&mut Config)) -> Self {
        Self::start_changed(backends, |_| {}, change).await
    }

    /// The same with every server of a changed configuration.
    ///
    /// # Panics
    /// When one cannot start.
    pub async fn start_all_with(backends: Backends, change: impl Fn(&mut Config)) -> Self {
        Self::start_changed(backends, &change, &change).await
    }

    async fn start_changed(backends: Backends, inside: impl Fn(&mut Config), change: impl Fn(&mut Config)) -> Self {
        let mut starting = Starting { backends, folders: Vec::new() };
        let services = [Role::Auth, Role::Chat, Role::File, Role::Worker];
        let first = starting.start(&services, &inside).await;
        let at = |role: Role| format!("http://{}", first.services[&role]);
        let urls = services.map(at);
        let reach = |config: &mut Config| {
            [&mut config.auth.url, &mut config.chat.url, &mut config.file.url, &mut config.worker.url]
                .into_iter()
                .zip(&urls)
                .for_each(|(url, at)| url.clone_from(at));
        };
        let second = starting
            .start(&[Role::Chat], |config| {
                reach(config);
                inside(config);
                // A bus over a broker, every process brings its own events to.
                config.bus.relay = !config.bus.is_memory();
            })
            .await;
        let inner = second.services[&Role::Chat];
        let second_chat = format!("http://{inner}");
        let near = starting
            .start(&[Role::Gateway], |config| {
                reach(config);
                change(config);
            })
            .await;
        let far = starting
            .start(&[Role::Gateway], |config| {
                reach(config);
                change(config);
                config.chat.url.clone_from(&second_chat);
            })
            .await;
        let gateways = [&near, &far].map(|gateway| gateway.public.expect("there is a gateway"));
        let chats = [first.ops, second.ops];
        let servers = vec![near, far, second, first];
        Self { gateways, chats, inside: inner, servers, _folders: starting.folders, _backends: starting.backends }
    }

    /// Somebody registers, and is at the first gateway.
    ///
    /// # Panics
    /// When they may not.
    pub async fn registers(&self, name: &str) -> Person {
        Person::registers(self.gateways[0], name).await
    }

    /// The same person at the second gateway.
    #[must_use]
    pub fn far(&self, person: &Person) -> Person {
        person.at(self.gateways[1])
    }

    /// Stops every server, gateways first.
    pub async fn stops(&mut self) {
        for server in std::mem::take(&mut self.servers) {
            server.stop().await;
        }
    }
}

/// What the servers are started on.
struct Starting {
    backends: Backends,
    folders: Vec<TempDir>,
}

impl Starting {
    async fn start(&mut self, roles: &[Role], change: impl FnOnce(&mut Config)) -> Server {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut config = anywhere(folder.path());
        self.backends.apply(&mut config);
        config.mesh.secret = Secret::new(SECRET);
        // With the gateways apart, nobody becomes the owner without it.
        config.auth.setup_token = Secret::new(SETUP_TOKEN);
        change(&mut config);
        let roles: Roles = roles.iter().copied().collect();
        let server = Server::start(config, &roles).await.expect("the server starts");
        self.folders.push(folder);
        server
    }
}
