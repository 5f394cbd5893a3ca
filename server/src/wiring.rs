//! Which service gets which parts, and how it reaches the others: directly in this process, or over a channel.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::BoxFuture;
use gateway::{Gateway, Upstreams};
use mesh::{
    authn::{Authn, FetchKeys, KeyStore, MeshSecret, VerifyKey},
    blobs::Blobs,
    bus::{AmqpConfig, Bus},
    cache::Cache,
    clock::Clock,
    db::{Db, DbConfig},
    errors,
    lifecycle::Tasks,
    rpc::{Caller, Guard, Upstream, caller, connect, connect_tls, protect},
    service::Service,
};
use proto::auth::internal::v1::{GetKeysRequest, key_service_client::KeyServiceClient};
use tokio::net::TcpListener;

use crate::{
    StartError, compat,
    config::{BusConfig, Config, Role, Roles},
};

/// Everything that a process runs.
#[derive(Default)]
pub(crate) struct Wired {
    /// The services of this process.
    pub(crate) services: BTreeMap<Role, Upstream>,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) background: Vec<(&'static str, BoxFuture<'static, ()>)>,
    pub(crate) databases: Vec<(&'static str, Db)>,
    pub(crate) bus: Option<Bus>,
}

impl Wired {
    /// The bus, for a role that cannot do without.
    fn bus(&self) -> Result<Bus, StartError> {
        self.bus
            .clone()
            .ok_or_else(|| StartError("this role needs a bus; the configuration should have been refused".into()))
    }
}

/// What all services of a process share.
struct Parts<'a> {
    config: &'a Config,
    roles: &'a Roles,
    tasks: &'a Tasks,
    listeners: &'a [(Role, TcpListener)],
    clock: Clock,
    secret: MeshSecret,
    authn: Authn,
    /// How keys are fetched; known once auth-svc is.
    auth: Arc<OnceLock<Upstream>>,
}

/// Starts the services that `roles` names, in the order in which they need each other.
pub(crate) async fn wire(
    config: &Config,
    roles: &Roles,
    tasks: &Tasks,
    listeners: &[(Role, TcpListener)],
    clock: Clock,
) -> Result<Wired, StartError> {
    let secret =
        MeshSecret::open(&config.mesh.secret, &config.data_dir.join("keys/mesh.secret")).map_err(StartError::new)?;
    let auth = Arc::new(OnceLock::new());
    let keys = KeyStore::new(fetch_keys(auth.clone()), clock.clone());
    let authn = Authn::new(&config.auth.issuer, keys, secret.clone(), clock.clone());
    let parts = Parts { config, roles, tasks, listeners, clock, secret, authn, auth };
    let mut wired = Wired::default();
    let cache = Cache::open(&config.cache.url, tasks).map_err(StartError::new)?;
    if roles.iter().any(|role| *role != Role::Gateway) {
        services(&parts, roles, cache.clone(), &mut wired).await?;
    }
    let caller = Role::ALL.into_iter().find(|role| roles.contains(role));
    let auth = parts.calling(&wired, Role::Auth, caller.unwrap_or(Role::Auth))?;
    let watch = crate::revocations::watch(parts.authn.clone(), auth.clone(), tasks.stopping());
    wired.background.push(("revocations", Box::pin(watch)));
    let _ = parts.auth.set(auth);
    if roles.contains(&Role::Gateway) {
        wired.gateway = Some(start_gateway(&parts, cache, &wired)?);
    }
    Ok(wired)
}

async fn services(parts: &Parts<'_>, roles: &Roles, cache: Cache, wired: &mut Wired) -> Result<(), StartError> {
    let Parts { config, .. } = parts;
    let worker_db = match roles.contains(&Role::Worker) {
        true => Some(open("worker", &config.worker.db, wired).await?),
        false => None,
    };
    wired.bus = open_bus(parts, worker_db.as_ref()).await?;
    if roles.contains(&Role::Auth) {
        auth(parts, wired.bus()?, cache.clone(), wired).await?;
    }
    if roles.contains(&Role::Chat) {
        chat(parts, wired.bus.clone(), cache, wired).await?;
    }
    if !roles.contains(&Role::File) && worker_db.is_none() {
        return Ok(());
    }
    let blobs =
        Blobs::open(&config.file.blobs, &config.file.s3).map_err(|cause| StartError(format!("file.blobs: {cause}")))?;
    if roles.contains(&Role::File) {
        files(parts, wired.bus()?, blobs.clone(), wired).await?;
    }
    match worker_db {
        Some(db) => worker(parts, db, wired.bus()?, blobs, wired).await,
        None => Ok(()),
    }
}

/// The bus of this process; none for one whose events another process brings there.
async fn open_bus(parts: &Parts<'_>, worker_db: Option<&Db>) -> Result<Option<Bus>, StartError> {
    let Parts { config, clock, tasks, .. } = parts;
    if !config.bus.is_memory() {
        let bus = Bus::open_amqp(broker(&config.bus), clock.clone(), tasks).await;
        let bus = bus.map_err(|cause| StartError(format!("bus.url: {cause}")))?;
        return Ok(Some(bus.retrying(config.bus.retry())));
    }
    // The configuration was checked: without a worker here this is a process beside another one.
    let Some(db) = worker_db else { return Ok(None) };
    db.migrate::<worker_svc::Migrator>().await.map_err(StartError::new)?;
    let bus = Bus::open_memory(db.clone(), clock.clone()).await.map_err(StartError::new)?;
    Ok(Some(bus.retrying(config.bus.retry())))
}

/// How the broker is used: with the queues of every service, whichever run here.
pub fn broker(config: &BusConfig) -> AmqpConfig {
    let (queues, retry) = ([chat_svc::queues(), file_svc::queues(), worker_svc::queues()].concat(), config.retry());
    AmqpConfig {
        url: config.url.clone(),
        queue_type: config.queue_type,
        queues: queues.into_iter().map(|queue| queue.retrying(&retry)).collect(),
        translate: config.compat.then(compat::translation),
    }
}

async fn auth(parts: &Parts<'_>, bus: Bus, cache: Cache, wired: &mut Wired) -> Result<(), StartError> {
    let Parts { config, roles, tasks, clock, .. } = parts;
    let deps = auth_svc::Deps {
        db: open("auth", &config.auth.db, wired).await?,
        bus,
        cache,
        clock: clock.clone(),
        tasks: (*tasks).clone(),
        off_loopback: !config.on_loopback(roles),
        public_url: config.public_url.clone(),
    };
    parts.add(wired, Role::Auth, auth_svc::start(&config.auth, deps).await.map_err(StartError::new)?);
    Ok(())
}

async fn chat(parts: &Parts<'_>, bus: Option<Bus>, cache: Cache, wired: &mut Wired) -> Result<(), StartError> {
    let Parts { config, tasks, clock, .. } = parts;
    let deps = chat_svc::Deps {
        db: open("chat", &config.chat.db, wired).await?,
        bus,
        cache,
        others: config.chat.db.is_shared(),
        clock: clock.clone(),
        tasks: (*tasks).clone(),
        secret: parts.secret.clone(),
        auth: parts.calling(wired, Role::Auth, Role::Chat)?,
        public_url: config.public_url.clone(),
    };
    parts.add(wired, Role::Chat, chat_svc::start(&config.chat, deps).await.map_err(StartError::new)?);
    Ok(())
}

async fn files(parts: &Parts<'_>, bus: Bus, blobs: Blobs, wired: &mut Wired) -> Result<(), StartError> {
    let Parts { config, tasks, clock, .. } = parts;
    let deps = file_svc::Deps {
        db: open("file", &config.file.db, wired).await?,
        blobs,
        bus,
        clock: clock.clone(),
        tasks: (*tasks).clone(),
        secret: parts.secret.clone(),
        chat: parts.calling(wired, Role::Chat, Role::File)?,
    };
    parts.add(wired, Role::File, file_svc::start(&config.file, deps).await.map_err(StartError::new)?);
    Ok(())
}

async fn worker(parts: &Parts<'_>, db: Db, bus: Bus, blobs: Blobs, wired: &mut Wired) -> Result<(), StartError> {
    let file = parts.calling(wired, Role::File, Role::Worker)?;
    let chat = parts.calling(wired, Role::Chat, Role::Worker)?;
    let auth = parts.calling(wired, Role::Auth, Role::Worker)?;
    let (clock, tasks) = (parts.clock.clone(), parts.tasks.clone());
    let deps = worker_svc::Deps { db, bus, blobs, clock, tasks, file, chat, auth };
    parts.add(wired, Role::Worker, worker_svc::start(&parts.config.worker, deps).await.map_err(StartError::new)?);
    Ok(())
}

fn start_gateway(parts: &Parts<'_>, cache: Cache, wired: &Wired) -> Result<Gateway, StartError> {
    let upstreams = Upstreams {
        auth: parts.upstream(wired, Role::Auth, Role::Gateway)?,
        chat: parts.upstream(wired, Role::Chat, Role::Gateway)?,
        file: parts.upstream(wired, Role::File, Role::Gateway)?,
        worker: parts.upstream(wired, Role::Worker, Role::Gateway)?,
    };
    let deps = gateway::Deps {
        upstreams,
        auth: parts.calling(wired, Role::Auth, Role::Gateway)?,
        chat: parts.calling(wired, Role::Chat, Role::Gateway)?,
        edge: Caller::new("gateway", parts.secret.clone(), parts.clock.clone()),
        authn: parts.authn.clone(),
        cache,
        // Wherever they run: their tables are part of this program.
        methods: crate::methods().map(|(_, method)| *method).collect(),
        tasks: parts.tasks.clone(),
        public_url: parts.config.public_url.clone(),
    };
    gateway::start(&parts.config.gateway, deps).map_err(StartError::new)
}

async fn open(name: &'static str, config: &DbConfig, wired: &mut Wired) -> Result<Db, StartError> {
    let db = Db::open(config).await.map_err(|cause| StartError(format!("{name}.db.url: {cause}")))?;
    wired.databases.push((name, db.clone()));
    Ok(db)
}

impl Parts<'_> {
    /// Puts the layers around a service that every call passes.
    fn add(&self, wired: &mut Wired, role: Role, service: Service) {
        let guard = Guard { role: role.name(), authn: self.authn.clone(), methods: service.methods };
        wired.services.insert(role, protect(service.routes, service.direct, guard));
        wired.background.extend(service.background);
    }

    /// A role as this process reaches it, as another role.
    fn upstream(&self, wired: &Wired, role: Role, as_role: Role) -> Result<Upstream, StartError> {
        if self.config.mesh.in_process
            && let Some(local) = wired.services.get(&role)
        {
            return Ok(local.clone());
        }
        let bound = self.listeners.iter().find(|(bound, _)| *bound == role);
        let url = match bound.and_then(|(_, listener)| listener.local_addr().ok()) {
            Some(address) => format!("http://{address}"),
            None => self.url(role).to_owned(),
        };
        let connected = match self.config.mesh.tls(as_role).map_err(StartError)? {
            Some(tls) => connect_tls(&url, role.name(), tls),
            None => connect(&url),
        };
        connected.map_err(|cause| StartError(format!("{role}.url: {cause}")))
    }

    /// A role, called as another role.
    fn calling(&self, wired: &Wired, role: Role, as_role: Role) -> Result<Upstream, StartError> {
        let upstream = self.upstream(wired, role, as_role)?;
        Ok(caller(upstream, Caller::new(as_role.name(), self.secret.clone(), self.clock.clone())))
    }

    fn url(&self, role: Role) -> &str {
        match role {
            Role::Auth => &self.config.auth.url,
            Role::Chat => &self.config.chat.url,
            Role::Worker => &self.config.worker.url,
            Role::File => &self.config.file.url,
            Role::Gateway => "",
        }
    }
}

/// Asks auth-svc for its keys, once it is known how to reach it.
fn fetch_keys(auth: Arc<OnceLock<Upstream>>) -> FetchKeys {
    Arc::new(move || {
        let auth = auth.clone();
        Box::pin(async move {
            let not_yet = || errors::unavailable("STARTING", "The server is starting.", Duration::from_secs(1));
            let upstream = auth.get().cloned().ok_or_else(not_yet)?;
            let keys = KeyServiceClient::new(upstream).get_keys(GetKeysRequest {}).await?.into_inner().keys;
            Ok(keys.into_iter().map(|key| VerifyKey { kid: key.kid, ed25519: key.ed25519.to_vec() }).collect())
        })
    })
}
