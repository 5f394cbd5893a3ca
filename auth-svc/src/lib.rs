//! Accounts, sessions and tokens. Owns the account database and the key that signs access tokens.
//!
//! Calls nobody. Refuses to say whether an account exists to those who cannot sign in.

mod accounts;
mod admin;
mod errors;
mod fields;
mod import;
mod invites;
mod limits;
mod mail;
mod mentions;
mod migration;
mod passwords;
mod programs;
mod resets;
mod rpc;
mod sessions;
mod store;
mod tokens;

use std::time::Duration;

use mesh::{
    bus::Bus,
    cache::Cache,
    clock::Clock,
    config::Secret,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    outbox::{Relay, Wake},
    rpc::Direct,
    service::Service,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::store::{account, secret};
pub use self::{
    accounts::{NewAccount, add_account},
    errors::AuthError,
    fields::SCOPES,
    import::{Imported, import_accounts},
    mail::MailConfig,
    migration::Migrator,
    programs::PREFIX as TOKEN_PREFIX,
    rpc::METHODS,
};

/// The section `auth` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The role's own port when it runs apart. Default `127.0.0.1:8081`.
    pub listen: String,
    /// Where other processes reach the role. Default `http://127.0.0.1:8081`.
    pub url: String,
    /// The database. Default: `auth.db` in `data_dir`.
    pub db: DbConfig,
    /// Who may register: `open` (everybody, the default), `invite` or `closed`.
    pub registration: Registration,
    /// What the first account needs when this is set, the public port is not on loopback, or the gateway is another process, of
    /// which nobody here knows who reaches it. Default: made and printed on the first start, where one is needed.
    pub setup_token: Secret,
    /// The `iss` of access tokens; the same for all processes of one server. Default `loquat`.
    pub issuer: String,
    /// Days after which a session that was not used has ended. Default 30.
    pub session_days: u32,
    /// Tries to sign in to one account from one network in a minute; and ten times as many from all those networks together
    /// where nobody who is signed in to it was last. Default 30.
    pub tries_per_account: u64,
    /// Tries from one IPv4 address or IPv6 /64 network in a minute, to sign in, to register, or with tokens and links that are
    /// not good. Loopback is not counted. Default 100.
    pub tries_per_address: u64,
    /// The same altogether. Asking for links to reset a password is limited like signing in, and counted apart. Default 3,000.
    pub tries_altogether: u64,
    /// How links are sent to people.
    pub mail: MailConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8081".into(),
            url: "http://127.0.0.1:8081".into(),
            db: DbConfig::default(),
            registration: Registration::Open,
            setup_token: Secret::default(),
            issuer: "loquat".into(),
            session_days: 30,
            tries_per_account: 30,
            tries_per_address: 100,
            tries_altogether: 3000,
            mail: MailConfig::default(),
        }
    }
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody.
    Open,
    /// Whoever has an invitation, and the first account.
    Invite,
    /// Nobody but the first account.
    Closed,
}

/// What auth-svc needs.
pub struct Deps {
    /// Its database, open and not yet migrated.
    pub db: Db,
    /// Events between services.
    pub bus: Bus,
    /// Limits, and hints about ended sessions.
    pub cache: Cache,
    /// The time.
    pub clock: Clock,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Others than those at this machine may reach the public port, as far as this process knows: the first account needs the
    /// setup token, whether one is configured or not.
    pub off_loopback: bool,
    /// Where browsers find us, for links; may be empty.
    pub public_url: String,
}

/// Why auth-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated.
    #[error("the account database: {0}")]
    Db(#[from] mesh::db::DbError),
    /// The database could not be read.
    #[error("the account database: {0}")]
    Query(#[from] sea_orm::DbErr),
    /// No cache of this process could be made.
    #[error("the cache: {0}")]
    Cache(#[from] mesh::cache::CacheError),
    /// The signing key cannot be used.
    #[error("the signing key: {0}")]
    Key(AuthError),
    /// No thread for passwords could be had.
    #[error("a thread for passwords: {0}")]
    Thread(#[from] std::io::Error),
    /// Mail is configured in a way that cannot work.
    #[error("{0}")]
    Mail(String),
}

/// Makes auth-svc ready.
///
/// # Errors
/// When the database cannot be migrated or its keys cannot be used.
pub async fn start(config: &Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { db, bus, cache, clock, tasks, off_loopback, public_url } = deps;
    db.migrate::<Migrator>().await?;
    let tx = db.begin().await?;
    let seed = secret::keep(&tx, secret::SIGNING_SEED, mesh::ids::random::<32>().to_vec()).await?;
    let needs_setup_token = off_loopback || !config.setup_token.is_empty();
    if needs_setup_token && account::count(&tx).await? == 0 {
        prepare_setup_token(&tx, &config.setup_token).await?;
    }
    tx.commit().await?;
    let seed = <[u8; 32]>::try_from(seed.as_slice()).map_err(|cause| StartError::Key(AuthError::internal(cause)))?;
    let signer = tokens::Signer::new(&config.issuer, &seed).map_err(StartError::Key)?;

    let here = Cache::open("memory:", &tasks)?;
    let most = limits::Most {
        per_account: config.tries_per_account,
        per_network: config.tries_per_address,
        altogether: config.tries_altogether,
    };
    let limits = limits::Limits::new(cache.clone(), here, most);
    let mail = mail::Mail::open(&config.mail, tasks.clone()).map_err(StartError::Mail)?;
    let wake = Wake::default();
    let relay = Relay::new(db.clone(), bus, wake.clone(), clock.clone()).run(tasks.stopping());
    let routes = rpc::routes(rpc::Shared {
        db,
        cache,
        clock,
        tasks,
        wake,
        passwords: passwords::Passwords::new()?,
        signer,
        registration: config.registration,
        needs_setup_token,
        idle: Duration::from_secs(u64::from(config.session_days) * 86_400),
        limits,
        mail,
        public_url,
    });
    Ok(Service {
        routes,
        direct: Direct::default(),
        methods: METHODS,
        background: vec![("auth-relay", Box::pin(relay))],
    })
}

/// Keeps the hash of the configured token, or of one that is made and printed now, once.
async fn prepare_setup_token<C: sea_orm::ConnectionTrait>(db: &C, configured: &Secret) -> Result<(), sea_orm::DbErr> {
    if !configured.is_empty() {
        return secret::replace(db, secret::SETUP_TOKEN_HASH, Sha256::digest(configured.reveal()).to_vec()).await;
    }
    let made = hex::encode(mesh::ids::random::<16>());
    let hash = Sha256::digest(&made).to_vec();
    if secret::keep(db, secret::SETUP_TOKEN_HASH, hash.clone()).await? == hash {
        tracing::warn!("there is no account yet: the first one needs this setup token: {made}");
    }
    Ok(())
}
