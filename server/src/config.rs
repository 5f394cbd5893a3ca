//! The whole configuration: every section, every default, and the rules that tie them to the chosen roles.

mod bus;

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf, str::FromStr};

pub use auth_svc::Registration;
use mesh::{
    blobs::Blobs,
    config::{ConfigError, Secret, without_password},
    db::DbConfig,
    rpc::Tls,
    telemetry::TelemetryConfig,
};
use serde::{Deserialize, Serialize};

pub use self::bus::BusConfig;

/// Everything that can be configured. Keys in the environment: `LOQUAT_CHAT__DB__URL` sets `chat.db.url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where databases, blobs and keys are kept. Default `data`.
    pub data_dir: PathBuf,
    /// Where browsers find the server, such as `https://chat.example.org`. Empty (the default): wherever they ask, over http.
    pub public_url: String,
    /// The edge.
    pub gateway: gateway::Config,
    /// Accounts.
    pub auth: auth_svc::Config,
    /// Rooms and messages.
    pub chat: chat_svc::Config,
    /// Files.
    pub file: file_svc::Config,
    /// Background work.
    pub worker: worker_svc::Config,
    /// Events between services.
    pub bus: BusConfig,
    /// What may be forgotten.
    pub cache: CacheConfig,
    /// How roles find and trust each other.
    pub mesh: MeshConfig,
    /// Health and metrics.
    pub ops: OpsConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            public_url: String::new(),
            gateway: gateway::Config::default(),
            auth: auth_svc::Config::default(),
            chat: chat_svc::Config::default(),
            file: file_svc::Config::default(),
            worker: worker_svc::Config::default(),
            bus: BusConfig::default(),
            cache: CacheConfig::default(),
            mesh: MeshConfig::default(),
            ops: OpsConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

/// The section `cache`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// `memory:` (the default): within one process. `redis://HOST:PORT`: shared by several.
    pub url: String,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { url: "memory:".into() }
    }
}

/// The section `mesh`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshConfig {
    /// What roles prove themselves with; at least 32 bytes, the same for all processes. Default: made on the first start and
    /// kept in `data_dir/keys/mesh.secret`.
    pub secret: Secret,
    /// A folder with `ca.pem` and, for each role of this process, `ROLE.pem` and `ROLE.key`, as `loquat certs init` makes them.
    /// When it is set, roles that are apart speak TLS, and take only callers with a certificate of the same authority. Default:
    /// none, for networks where nobody else is.
    pub certs: PathBuf,
    /// Roles of one process call each other directly (the default). Off: each has its own port even then.
    pub in_process: bool,
    /// Seconds that a stop waits for what is under way. Default 10.
    pub stop_seconds: u64,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self { secret: Secret::default(), certs: PathBuf::new(), in_process: true, stop_seconds: 10 }
    }
}

/// The section `ops`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConfig {
    /// Health, metrics and reflection of internal services. Default: port 9090 on loopback, or 9091 to 9094 for a process
    /// without the gateway whose first role is auth, chat, file or worker.
    pub listen: String,
}

/// What a process can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Role {
    /// The edge.
    Gateway,
    /// Accounts.
    Auth,
    /// Rooms and messages.
    Chat,
    /// Files.
    File,
    /// Background work.
    Worker,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Auth, Self::Chat, Self::File, Self::Worker];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Auth => "auth",
            Self::Chat => "chat",
            Self::File => "file",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The roles of one process.
pub type Roles = BTreeSet<Role>;

/// All roles.
pub fn all_roles() -> Roles {
    Role::ALL.into_iter().collect()
}

impl MeshConfig {
    /// The certificate of a role; nothing when roles speak without TLS.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tls(&self, role: Role) -> Result<Option<Tls>, String> {
        if self.certs.as_os_str().is_empty() {
            return Ok(None);
        }
        Tls::open(&self.certs, role.name()).map(Some).map_err(|cause| format!("mesh.certs: {cause}"))
    }
}

impl Config {
    /// Fills what depends on other keys.
    #[must_use]
    pub fn complete(mut self) -> Self {
        let folder = self.data_dir.clone();
        let fill = |db: &mut DbConfig, name: &str| {
            if db.url.is_empty() {
                db.url = format!("sqlite:{}", folder.join(format!("{name}.db")).display());
            }
        };
        fill(&mut self.auth.db, "auth");
        fill(&mut self.chat.db, "chat");
        fill(&mut self.file.db, "file");
        fill(&mut self.worker.db, "worker");
        if self.file.blobs.is_empty() {
            self.file.blobs = format!("file:{}", folder.join("blobs").display());
        }
        self
    }

    /// Whether the roles of this process listen on ports of their own.
    pub fn apart(&self, roles: &Roles) -> bool {
        roles.len() < Role::ALL.len() || !self.mesh.in_process
    }

    /// The address of the ops port.
    pub fn ops_listen(&self, roles: &Roles) -> String {
        if !self.ops.listen.is_empty() {
            return self.ops.listen.clone();
        }
        let port = match roles.iter().next() {
            Some(Role::Auth) => 9091,
            Some(Role::Chat) => 9092,
            Some(Role::File) => 9093,
            Some(Role::Worker) => 9094,
            Some(Role::Gateway) | None => 9090,
        };
        format!("127.0.0.1:{port}")
    }

    /// Whether people reach the public port only from this machine. Where another process has it, nobody here knows.
    pub fn on_loopback(&self, roles: &Roles) -> bool {
        let listen = &self.gateway.listen;
        roles.contains(&Role::Gateway)
            && (SocketAddr::from_str(listen).is_ok_and(|address| address.ip().is_loopback())
                || listen.starts_with("localhost:"))
    }

    /// The database of each service.
    pub fn databases(&self) -> [(&'static str, &DbConfig); 4] {
        [("auth", &self.auth.db), ("chat", &self.chat.db), ("file", &self.file.db), ("worker", &self.worker.db)]
    }

    /// Refuses backends that cannot work with these roles, with the rule and what to configure.
    ///
    /// # Errors
    /// When a rule is broken.
    pub fn check(&self, roles: &Roles) -> Result<(), ConfigError> {
        if roles.is_empty() {
            return Err(ConfigError("choose at least one role".into()));
        }
        let services = [Role::Auth, Role::Chat, Role::File, Role::Worker];
        let here: Vec<&str> = services.iter().filter(|role| roles.contains(role)).map(|role| role.name()).collect();
        let replica = self.check_bus(&here, services.len())?;
        self.bus.check_retries()?;
        self.check_stores(&here, replica)?;
        self.check_blobs()?;
        let url = &self.public_url;
        if !(url.is_empty() || url.starts_with("http://") || url.starts_with("https://")) {
            return Err(ConfigError(format!("public_url: {:?} must begin with http:// or https://", self.public_url)));
        }
        Ok(())
    }

    /// A bus within one process needs the services in one process. Returns whether this one only works beside such a process.
    fn check_bus(&self, here: &[&str], services: usize) -> Result<bool, ConfigError> {
        let url = without_password(&self.bus.url);
        if !self.bus.is_memory() {
            if !self.bus.url.starts_with("amqp://") {
                return Err(ConfigError(format!(
                    "bus.url: {url:?} is not supported; use memory: or amqp://USER:PASSWORD@HOST:PORT/VHOST"
                )));
            }
            if !self.bus.relay {
                return Err(ConfigError(
                    "bus.relay is false, which is for bus.url = memory: only: over a broker every process brings its own events, \
                     and several on one database take turns. Leave it true"
                        .into(),
                ));
            }
            return Ok(false);
        }
        let replica = here == ["chat"] && !self.bus.relay;
        if !here.is_empty() && here.len() < services && !replica {
            return Err(ConfigError(format!(
                "bus.url is memory:, which works only when auth, chat, file and worker run in one process, and this one has only \
                 {}. Set bus.url to amqp://USER:PASSWORD@HOST:PORT/VHOST, or run those four together (the gateway may run apart); a \
                 further process with the role chat alone may work on the same PostgreSQL database with bus.relay = false",
                here.join(", ")
            )));
        }
        if !self.bus.relay && !replica {
            return Err(ConfigError(
                "bus.relay is false, which is for a further process with the role chat alone: here nobody would bring its \
                 events to the bus. Leave it true"
                    .into(),
            ));
        }
        Ok(replica)
    }

    /// The same with every password hidden: to be shown.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let databases = [&mut self.auth.db, &mut self.chat.db, &mut self.file.db, &mut self.worker.db];
        let urls = databases.into_iter().map(|db| &mut db.url);
        for url in urls.chain([&mut self.cache.url, &mut self.bus.url, &mut self.file.blobs]) {
            *url = without_password(url);
        }
        self
    }

    /// What is configured for files must be something that the store can do.
    fn check_blobs(&self) -> Result<(), ConfigError> {
        if self.file.blobs.starts_with("s3://") {
            let opened = Blobs::open(&self.file.blobs, &self.file.s3);
            return opened.map(drop).map_err(|cause| ConfigError(format!("file.blobs: {cause}")));
        }
        for (wanted, key) in [(self.file.redirect, "file.redirect"), (self.file.direct, "file.direct")] {
            if wanted {
                return Err(ConfigError(format!(
                    "{key} needs a store that signs addresses, and file.blobs is a folder. Set file.blobs to s3://BUCKET"
                )));
            }
        }
        Ok(())
    }

    /// Databases and cache must be such that every process that could run works on the same.
    fn check_stores(&self, here: &[&str], replica: bool) -> Result<(), ConfigError> {
        if !(self.cache.url == "memory:" || self.cache.url.starts_with("redis://")) {
            return Err(ConfigError(format!(
                "cache.url: {:?} is not supported; use memory: or redis://HOST:PORT",
                without_password(&self.cache.url)
            )));
        }
        for (name, db) in self.databases().into_iter().filter(|(name, _)| here.contains(name)) {
            if !db.url.starts_with("sqlite:") && !db.is_shared() {
                return Err(ConfigError(format!(
                    "{name}.db.url: {:?} is not supported; use sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME",
                    without_password(&db.url)
                )));
            }
            if db.is_shared() && self.cache.url == "memory:" {
                return Err(ConfigError(format!(
                    "cache.url is memory:, which works only while no two processes of one role can run, and {name}.db.url is \
                     PostgreSQL, on which several can. Set cache.url to redis://HOST:PORT"
                )));
            }
        }
        if replica && !self.chat.db.is_shared() {
            return Err(ConfigError(format!(
                "chat.db.url: {:?} cannot be shared with the process that relays its events; use PostgreSQL for both",
                self.chat.db.url
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(roles: &[Role]) -> Roles {
        roles.iter().copied().collect()
    }

    #[test]
    fn the_default_runs_everything() {
        Config::default().complete().check(&all_roles()).unwrap();
        assert!(!Config::default().apart(&all_roles()));
    }

    #[test]
    fn a_bus_of_one_process_needs_the_services_in_one_process() {
        let config = Config::default().complete();
        config.check(&roles(&[Role::Gateway])).unwrap();
        config.check(&roles(&[Role::Auth, Role::Chat, Role::File, Role::Worker])).unwrap();
        let refused = config.check(&roles(&[Role::Gateway, Role::Chat])).unwrap_err().to_string();
        assert!(refused.contains("bus.url") && refused.contains("has only chat"), "{refused}");
    }

    #[test]
    fn backends_that_do_not_exist_are_refused_by_key() {
        let mut config = Config::default().complete();
        config.chat.db.url = "mysql://x".into();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("chat.db.url"));
        let mut config = Config::default().complete();
        config.cache.url = "memcached://x".into();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("cache.url"));
        let mut config = Config::default().complete();
        config.bus.url = "kafka://me:secret@x".into();
        let refused = config.check(&all_roles()).unwrap_err().to_string();
        assert!(refused.contains("bus.url") && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn over_a_broker_every_role_may_run_apart() {
        let mut config = Config::default().complete();
        config.bus.url = "amqp://x".into();
        for role in Role::ALL {
            config.check(&roles(&[role])).unwrap();
        }
        config.bus.relay = false;
        assert!(config.check(&roles(&[Role::Chat])).unwrap_err().to_string().contains("bus.relay"));
    }

    #[test]
    fn no_password_is_shown() {
        let mut config = Config::default();
        for url in [&mut config.chat.db.url, &mut config.cache.url, &mut config.bus.url, &mut config.file.blobs] {
            *url = "any://me:sesame@host/x".into();
        }
        let shown = toml::to_string_pretty(&config.complete().shown()).unwrap();
        assert!(!shown.contains("sesame"), "{shown}");
        assert_eq!(shown.matches("any://me:(hidden)@host/x").count(), 4, "{shown}");
    }

    #[test]
    fn files_on_s3_need_keys_and_a_folder_signs_nothing() {
        let mut config = Config::default().complete();
        config.file.redirect = true;
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("file.redirect needs"));
        config.file.blobs = "s3://loquat".into();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("file.s3.access_key"));
        config.file.s3.access_key = "key".into();
        config.file.s3.secret_key = Secret::new("secret");
        config.check(&all_roles()).unwrap();
        config.file.blobs = "s3://loquat/folder".into();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("file.blobs"));
    }

    #[test]
    fn what_several_processes_share_must_be_shareable() {
        let mut config = Config::default().complete();
        config.chat.db.url = "postgres://x/chat".into();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("cache.url is memory:"));
        config.cache.url = "redis://x".into();
        config.check(&all_roles()).unwrap();
        let chat = roles(&[Role::Chat]);
        assert!(config.check(&chat).unwrap_err().to_string().contains("bus.relay = false"));
        config.bus.relay = false;
        config.check(&chat).unwrap();
        assert!(config.check(&all_roles()).unwrap_err().to_string().contains("bus.relay"));
        config.chat.db.url = "sqlite:x".into();
        assert!(config.check(&chat).unwrap_err().to_string().contains("PostgreSQL"));
    }

    #[test]
    fn only_loopback_addresses_are_on_loopback() {
        let mut config = Config::default();
        for (listen, loopback) in
            [("127.0.0.1:8080", true), ("[::1]:80", true), ("0.0.0.0:8080", false), ("10.0.0.1:80", false)]
        {
            config.gateway.listen = listen.into();
            assert_eq!(config.on_loopback(&all_roles()), loopback, "{listen}");
            let apart = roles(&[Role::Auth, Role::Chat, Role::File, Role::Worker]);
            assert!(!config.on_loopback(&apart), "{listen} is not where the gateway of another process listens");
        }
    }
}
