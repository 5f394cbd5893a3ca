//! `loquat`: the one binary.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use mesh::{
    blobs::{BlobError, Blobs},
    bus::{Bus, Health},
    cache::Cache,
    clock::Clock,
    config::without_password,
    db::Db,
    lifecycle::Tasks,
};
use proto::auth::v1::WorkspaceRole;
use server::{
    Server,
    config::{Config, Role, Roles, all_roles},
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Self-hosted team chat: one command, or a mesh.
#[derive(Parser)]
#[command(name = "loquat", version)]
struct Arguments {
    /// The configuration file. Default: loquat.toml, if there is one.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all roles, or those that are named.
    Serve {
        /// A role to run; may be given several times. Default: all.
        #[arg(long = "role", value_enum)]
        roles: Vec<Role>,
    },
    /// Looks at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Brings the databases up to date.
    Migrate,
    /// Checks that this machine can run the server as configured.
    Doctor,
    /// Asks a running server on this machine whether it is ready: for health checks of containers.
    Health,
    /// Manages the certificates with which roles that are apart know each other.
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Manages accounts.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Says whether the configuration can work.
    Check,
    /// Prints the whole configuration with its defaults; secrets are hidden.
    Dump,
}

#[derive(Subcommand)]
enum CertsCommand {
    /// Makes a private authority, and a certificate for each role; an authority that is there already makes new ones.
    Init {
        /// The folder. Default: mesh.certs, or certs in data_dir.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Makes an account while the server is stopped. The password is read from standard input.
    Add {
        /// The username.
        name: String,
        /// What people see. Default: the username.
        #[arg(long, default_value = "")]
        display_name: String,
        /// Makes it an administrator of the workspace.
        #[arg(long)]
        admin: bool,
    },
    /// Makes many accounts without passwords while the server is stopped; names that are there already are kept.
    Import {
        /// A file with one account a line: the username, and behind a comma, if wanted, what people see.
        file: PathBuf,
        /// Opens a session for each, and writes one JSON object a line here: username, user_id, access_token, refresh_token.
        #[arg(long)]
        sessions: Option<PathBuf>,
    },
}

/// How long the end waits for threads that cannot be aborted, such as one that reads a file.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Before anything else, since it may have next to nothing.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == worker_svc::LOOK_AT_FILE) {
        return worker_svc::look_at_file();
    }
    match run_to_end(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            let _ = writeln!(std::io::stderr(), "loquat: {cause}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn run_to_end(arguments: Arguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(arguments));
    runtime.shutdown_timeout(LEAVE_WITHIN);
    outcome
}

async fn run(arguments: Arguments) -> Outcome {
    let default = PathBuf::from("loquat.toml");
    let file = arguments.config.or_else(|| default.is_file().then_some(default));
    let config: Config = mesh::config::load(file.as_deref())?;
    mesh::telemetry::start_logs(&config.telemetry)?;
    match arguments.command {
        Command::Serve { roles } => serve(config, chosen(roles)).await,
        Command::Config { command: ConfigCommand::Check } => {
            config.complete().check(&all_roles())?;
            say("the configuration is good")
        }
        Command::Config { command: ConfigCommand::Dump } => say(&toml::to_string_pretty(&config.complete().shown())?),
        Command::Migrate => migrate(config.complete()).await,
        Command::Doctor => doctor(config.complete()).await,
        Command::Health => health(&config).await,
        Command::Certs { command: CertsCommand::Init { dir } } => make_certs(&config, dir),
        Command::User { command: UserCommand::Add { name, display_name, admin } } => {
            let role = if admin { WorkspaceRole::Admin } else { WorkspaceRole::Member };
            add_user(&config.complete(), name, display_name, role).await
        }
        Command::User { command: UserCommand::Import { file, sessions } } => {
            import_users(&config.complete(), &file, sessions.as_deref()).await
        }
    }
}

fn chosen(roles: Vec<Role>) -> Roles {
    if roles.is_empty() { all_roles() } else { roles.into_iter().collect() }
}

fn say(text: &str) -> Outcome {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

async fn serve(config: Config, roles: Roles) -> Outcome {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let server = Server::start(config, &roles).await?;
    if let Some(public) = server.public {
        // People click on this; `localhost` is where a browser keeps the cookie.
        let host = if public.ip().is_loopback() { "localhost".to_owned() } else { public.ip().to_string() };
        say(&format!("Loquat is ready at http://{host}:{}", public.port()))?;
    }
    tracing::info!(roles = names.join(","), ops = %server.ops, "serving");
    stop_signal().await?;
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

async fn migrate(config: Config) -> Outcome {
    config.check(&all_roles())?;
    Db::open(&config.auth.db).await?.migrate::<auth_svc::Migrator>().await?;
    Db::open(&config.chat.db).await?.migrate::<chat_svc::Migrator>().await?;
    Db::open(&config.file.db).await?.migrate::<file_svc::Migrator>().await?;
    Db::open(&config.worker.db).await?.migrate::<worker_svc::Migrator>().await?;
    say("the databases are up to date")
}

/// Tries everything that a start needs, and says what it found.
/// Puts something into the store and takes it away again.
async fn file_store(config: &Config) -> Result<String, String> {
    let told = |cause: BlobError| cause.to_string();
    let blobs = Blobs::open(&config.file.blobs, &config.file.s3).map_err(told)?;
    let key = format!("doctor/{}", mesh::ids::new_id());
    blobs.put(&key, "anybody there?".into()).await.map_err(told)?;
    blobs.delete(&key).await.map_err(told)?;
    Ok(config.file.blobs.clone())
}

async fn doctor(config: Config) -> Outcome {
    let mut wrong = 0;
    let mut report = |name: &str, outcome: Result<String, String>| {
        let line = match outcome {
            Ok(text) => format!("ok     {name}: {text}"),
            Err(text) => {
                wrong += 1;
                format!("WRONG  {name}: {text}")
            }
        };
        say(&line)
    };
    report("configuration", config.check(&all_roles()).map(|()| "can work".into()).map_err(|cause| cause.to_string()))?;
    for (name, db) in config.databases() {
        let outcome = match Db::open(db).await {
            Ok(open) => open.ping().await.map(|()| without_password(&db.url)).map_err(|cause| cause.to_string()),
            Err(cause) => Err(cause.to_string()),
        };
        report(&format!("{name} database"), outcome)?;
    }
    report("cache", cache(&config.cache.url).await)?;
    report("file store", file_store(&config).await)?;
    report("bus", bus(&config).await)?;
    for (key, address) in
        [("gateway.listen", config.gateway.listen.clone()), ("ops.listen", config.ops_listen(&all_roles()))]
    {
        let bound = tokio::net::TcpListener::bind(&address).await;
        report(key, bound.map(|_| format!("{address} is free")).map_err(|cause| format!("{address}: {cause}")))?;
    }
    if wrong > 0 { Err(format!("{wrong} of these must be mended").into()) } else { Ok(()) }
}

/// Whether the cache answers within a moment.
async fn cache(url: &str) -> Result<String, String> {
    let tasks = Tasks::new();
    let cache = Cache::open(url, &tasks).map_err(|cause| cause.to_string())?;
    let mut outcome = cache.get("doctor").await;
    for _ in 0..20 {
        if outcome.is_ok() {
            break;
        }
        // It is being connected to.
        tokio::time::sleep(Duration::from_millis(100)).await;
        outcome = cache.get("doctor").await;
    }
    tasks.stop(Duration::from_secs(1)).await;
    outcome.map(|_| without_password(url)).map_err(|cause| cause.to_string())
}

/// Whether the broker takes messages within a moment.
async fn bus(config: &Config) -> Result<String, String> {
    if config.bus.is_memory() {
        return Ok("within one process".into());
    }
    let tasks = Tasks::new();
    let broker = server::broker(&config.bus);
    let bus = Bus::open_amqp(broker, Clock::system(), &tasks).await.map_err(|cause| cause.to_string())?;
    let health = bus.health();
    tasks.stop(Duration::from_secs(1)).await;
    match health {
        Health::Good => Ok(without_password(&config.bus.url)),
        Health::Away(why) | Health::Blocked(why) => Err(format!("{}: {why}", without_password(&config.bus.url))),
    }
}

fn make_certs(config: &Config, dir: Option<PathBuf>) -> Outcome {
    let configured = Some(config.mesh.certs.clone()).filter(|folder| !folder.as_os_str().is_empty());
    let folder = dir.or(configured).unwrap_or_else(|| config.data_dir.join("certs"));
    server::certs::init(&folder, Clock::system().now())?;
    let shown = folder.display();
    say(&format!("certificates are in {shown}: give each process ca.pem and those of its roles, and set mesh.certs"))?;
    say("keep ca.key away from them: whoever has it can be any role")
}

/// Asks the ops port.
async fn health(config: &Config) -> Outcome {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = config.ops_listen(&all_roles());
    let mut stream = tokio::net::TcpStream::connect(&address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200") { say("ready") } else { Err("not ready".into()) }
}

async fn add_user(config: &Config, username: String, display_name: String, role: WorkspaceRole) -> Outcome {
    let mut password = String::new();
    write!(std::io::stderr(), "Password: ")?;
    std::io::stdin().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let db = Db::open(&config.auth.db).await?;
    let new = auth_svc::NewAccount { username, display_name, password, role, email: String::new() };
    let user = auth_svc::add_account(&db, &new, Clock::system().now()).await?;
    say(&format!("{} is {} ({})", user.username, user.id, user.role().as_str_name()))
}

async fn import_users(config: &Config, file: &Path, sessions: Option<&Path>) -> Outcome {
    let text = std::fs::read_to_string(file).map_err(|cause| format!("{}: {cause}", file.display()))?;
    let names: Vec<(String, String)> = text
        .lines()
        .map(|line| line.split_once(',').unwrap_or((line, "")))
        .map(|(username, display_name)| (username.trim().to_owned(), display_name.trim().to_owned()))
        .filter(|(username, _)| !username.is_empty())
        .collect();
    let db = Db::open(&config.auth.db).await?;
    let imported = auth_svc::import_accounts(&db, &config.auth.issuer, &names, Clock::system().now()).await?;
    db.close().await?;
    if let Some(path) = sessions {
        let mut lines = String::new();
        for one in &imported {
            let line = serde_json::json!({
                "username": one.user.username,
                "user_id": one.user.id,
                "access_token": one.access_token,
                "refresh_token": one.refresh_token,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        write_secret(path, &lines)?;
    }
    say(&format!("{} accounts are there", imported.len()))
}

/// Tokens are for their owner's eyes only.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
