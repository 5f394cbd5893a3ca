//! The database of one service: SQLite in a file, with one connection that writes and several that read; or PostgreSQL.
//!
//! What is committed is on disk: every SQLite connection is set to WAL and `synchronous=FULL`, every PostgreSQL one to
//! `synchronous_commit=on`. Owns the rule that two processes never work on one SQLite file.

mod append_only;
mod at_once;
mod group;
mod kept;
mod one_trip;
mod together;
mod told;

use std::{
    fs::File,
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    AccessMode, ConnAcquireErr, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection,
    DatabaseTransaction, DbBackend, DbErr, IsolationLevel, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
    sqlx::{
        self,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use sea_orm_migration::{MigratorTrait, prelude::ColumnDef};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::{
    append_only::append_only,
    at_once::{Insert, Rows, Shape, portions},
    one_trip::{Counters, Expected},
    together::Together,
    told::Told,
};
use self::{group::Group, kept::Kept};

/// How long a caller waits for a connection. Shorter than the two seconds after which a caller is told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long a process that starts waits for a file's connections.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the beginning of a transaction may take: the connection, and the server's answer on it.
const BEGIN_TIMEOUT: Duration = Duration::from_millis(1800);
/// How long a caller waits for reads on a database that is another process. One that was frozen or cut off answers never.
const PATIENCE: Duration = Duration::from_millis(1900);
/// How long SQLite waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What PostgreSQL is told for every connection.
const POSTGRES_SETTINGS: [(&str, &str); 3] =
    [("synchronous_commit", "on"), ("statement_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s")];
/// SQLite copies its log into the file after so many pages, and begins the log anew. Less than a processor's cache, 1 MiB: in a log of 16
/// MiB, pages that nobody touched for seconds were a third of what a message costs. Fewer would mean more syncs.
const CHECKPOINT_PAGES: &str = "250";
/// What the connection that writes keeps of the file in memory, as SQLite counts: KiB, negated. With less, a large transaction
/// writes pages to the log more than once and reads them again.
const WRITER_CACHE: &str = "-2048";
/// The same for each connection that reads. There are several for each of four databases, and the system keeps the file's pages as well.
const READER_CACHE: &str = "-512";

/// Where a service's database is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME`. Empty means a SQLite file of the service's name in `data_dir`.
    pub url: String,
    /// How many connections read at a time. SQLite has one more that writes, PostgreSQL as many again. Default 4.
    pub max_connections: u32,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self { url: String::new(), max_connections: 4 }
    }
}

impl DbConfig {
    /// Whether several processes can work on it.
    pub fn is_shared(&self) -> bool {
        is_postgres(&self.url)
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL names no database that this build can use.
    #[error("{0}: not a database URL that is supported; use sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME")]
    Url(String),
    /// Another process has it.
    #[error(
        "{0} is in use by another process. Two processes cannot work on one SQLite file: stop the other one, or give this one a \
         data_dir of its own"
    )]
    Locked(PathBuf),
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The database refused.
    #[error("{0}")]
    Query(#[from] DbErr),
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    writer: Arc<Mutex<DatabaseConnection>>,
    /// The writing connection of a SQLite file, between commits at once.
    kept: Arc<Kept>,
    /// How the writing connections are made anew.
    url: Option<Arc<DbConfig>>,
    reader: DatabaseConnection,
    /// The writing connection may be in a transaction whose caller hung up.
    open: Arc<AtomicBool>,
    /// Of a SQLite file; held for as long as the database is open.
    lock: Option<Arc<File>>,
    group: Arc<Group>,
}

impl Db {
    /// Opens a database, and makes it when it is not there.
    ///
    /// # Errors
    /// When the URL is not supported, another process has the file, or it cannot be opened.
    pub async fn open(config: &DbConfig) -> Result<Self, DbError> {
        if is_postgres(&config.url) {
            return Self::open_postgres(config).await;
        }
        let path = config
            .url
            .strip_prefix("sqlite:")
            .ok_or_else(|| DbError::Url(crate::config::without_password(&config.url)))?;
        let path = PathBuf::from(path.trim_start_matches("//").split('?').next().unwrap_or_default());
        let lock = lock(&path)?;
        let url = format!("sqlite://{}?mode=rwc", path.display());
        // The writer first: it makes the file and switches it to WAL.
        let writer = connect(sqlite_writer(&url)).await?;
        let reader = connect(sqlite_readers(&url, config.max_connections.max(1))).await?;
        Ok(Self {
            writer: Arc::new(Mutex::new(writer)),
            kept: Arc::default(),
            url: None,
            reader,
            open: Arc::default(),
            lock: Some(Arc::new(lock)),
            group: Arc::default(),
        })
    }

    /// Connects when it is first used, so that a database that is away for the moment does not keep a process from starting.
    async fn open_postgres(config: &DbConfig) -> Result<Self, DbError> {
        // A transaction that finds its connection broken gets another one, so a check of each would be wasted.
        let writer = Database::connect(postgres_options(config, false)).await?;
        let reader = Database::connect(postgres_options(config, true)).await?;
        Ok(Self {
            writer: Arc::new(Mutex::new(writer)),
            kept: Arc::default(),
            url: Some(Arc::new(config.clone())),
            reader,
            open: Arc::default(),
            lock: None,
            group: Arc::default(),
        })
    }

    fn writer(&self) -> DatabaseConnection {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives connections up that do not answer, and makes new ones when they are needed. Their transactions fail or never end;
    /// whether they were committed, only the database knows.
    pub async fn renew(&self) {
        let Some(config) = &self.url else { return };
        // Boxed, like whatever else is seldom and large: every transaction's future would have room for it.
        match Box::pin(Database::connect(postgres_options(config, false))).await {
            Ok(fresh) => *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = fresh,
            Err(cause) => tracing::warn!(%cause, "the connections to the database cannot be made anew"),
        }
    }

    fn left_open(&self) {
        self.open.store(true, Ordering::Release);
    }

    fn left_nothing(&self) {
        self.open.store(false, Ordering::Release);
    }

    fn take_left_open(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }

    /// Ends a transaction that was left open. There is one writing connection: who gets it may end what it finds, for nobody
    /// else is using it.
    async fn roll_back_what_was_left(&self) {
        if self.take_left_open() {
            // An error says that there is no transaction, which is as good.
            let _ = self.writer().execute_unprepared("ROLLBACK").await;
        }
    }

    /// The kind of database, for statements that are written out.
    pub fn backend(&self) -> DbBackend {
        self.reader.get_database_backend()
    }

    /// Whether several processes can work on it.
    pub const fn is_shared(&self) -> bool {
        self.lock.is_none()
    }

    /// Brings the tables up to date.
    ///
    /// # Errors
    /// When a migration fails.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<(), DbError> {
        if !self.is_shared() {
            let _wanted = self.kept.give_back().await?;
            return Ok(M::up(&self.writer(), None).await?);
        }
        // Processes that start together wait for each other. The lock is given back with its transaction.
        let turn = self.begin().await?;
        turn.execute_unprepared("SELECT pg_advisory_xact_lock(7165918)").await?;
        M::up(&self.reader, None).await?;
        Ok(turn.commit().await?)
    }

    /// For single reads.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Starts a transaction that writes. Rolled back when it is dropped without a commit.
    ///
    /// # Errors
    /// When no connection is free in time, or the database cannot be reached.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        if self.is_shared() {
            let begun = tokio::time::timeout(BEGIN_TIMEOUT, self.begin_on_a_living_connection()).await;
            if begun.is_err() {
                self.renew().await;
            }
            return begun.unwrap_or_else(|_| Err(away()));
        }
        let _wanted = self.kept.give_back().await?;
        self.roll_back_what_was_left().await;
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
        // Why ever it cannot begin: the next one looks again whether something was left.
        self.writer().begin_with_options(options).await.inspect_err(|_| self.left_open())
    }

    /// A server that was started again has ended every connection; one broken connection means that all of them are.
    async fn begin_on_a_living_connection(&self) -> Result<DatabaseTransaction, DbErr> {
        match self.writer().begin().await {
            Err(cause) if !matches!(cause, DbErr::ConnectionAcquire(_)) => {
                self.renew().await;
                self.writer().begin().await
            }
            begun => begun,
        }
    }

    /// Waits for something that only reads, but not for ever.
    ///
    /// # Errors
    /// Those of the reading, and the database's when it takes too long.
    pub async fn within<T, E: From<DbErr>>(&self, reading: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if !self.is_shared() {
            return reading.await;
        }
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err(away().into()))
    }

    /// Starts a transaction that only reads: all its reads see one state.
    ///
    /// # Errors
    /// When no connection is free in time, or the database cannot be reached.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        if self.is_shared() {
            let (level, mode) = (Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly));
            return self.reader.begin_with_config(level, mode).await;
        }
        self.reader.begin().await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.within(self.reader.ping()).await
    }

    /// Closes every connection, once the transactions that hold them are done.
    ///
    /// # Errors
    /// When a connection cannot be closed.
    pub async fn close(self) -> Result<(), DbErr> {
        let _wanted = self.kept.give_back().await?;
        let writer = self.writer();
        self.reader.close().await?;
        writer.close().await?;
        // Other clones can do nothing any more, so the file is free for the next process.
        match &self.lock {
            Some(lock) => lock.unlock().map_err(|cause| DbErr::Custom(format!("the lock file: {cause}"))),
            None => Ok(()),
        }
    }
}

/// Opens a file's connections. That may take longer than anybody waits for one later: the machine may be busy with starting, and
/// after a crash SQLite first looks through its log.
async fn connect(options: ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    let deadline = tokio::time::Instant::now() + OPEN_TIMEOUT;
    loop {
        match Database::connect(options.clone()).await {
            Err(DbErr::Conn(RuntimeErr::SqlxError(cause)))
                if matches!(*cause, sqlx::Error::PoolTimedOut) && tokio::time::Instant::now() < deadline => {}
            connected => return connected,
        }
    }
}

/// Makes a column of text compare by bytes on both databases, so that ranges and pages are the same on both. SQLite does by
/// itself; PostgreSQL by the language that the database was made for.
pub fn by_bytes(mut column: ColumnDef, backend: DbBackend) -> ColumnDef {
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

/// The database does not answer.
const fn away() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// Cuts what was read beyond a page of `size` rows, of which one more is asked for: true when there is more.
pub fn cut_page<T>(rows: &mut Vec<T>, size: u64) -> bool {
    let more = rows.len() as u64 > size;
    rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    more
}

/// Numbers are unsigned in contracts and signed in SQL; they never come near 2⁶³.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The reverse of [`signed`].
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Times are stored as microseconds since 1970.
pub fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// The reverse of [`micros`].
pub fn time_of(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .sqlx_logging(false);
    options
}

fn postgres_options(config: &DbConfig, check_before_use: bool) -> ConnectOptions {
    let mut options = options(&config.url, config.max_connections.max(1));
    options
        .min_connections(0)
        .connect_lazy(true)
        .test_before_acquire(check_before_use)
        .max_lifetime(Duration::from_secs(1800))
        .map_sqlx_postgres_opts(|postgres| {
            postgres.application_name("loquat").statement_cache_capacity(256).options(POSTGRES_SETTINGS)
        });
    options
}

/// The connection that writes keeps every page that a transaction changes in memory until its commit.
fn sqlite_writer(url: &str) -> ConnectOptions {
    let mut options = options(url, 1);
    options.map_sqlx_sqlite_opts(|options| {
        sqlite(options).pragma("cache_size", WRITER_CACHE).pragma("cache_spill", "OFF")
    });
    options
}

fn sqlite_readers(url: &str, connections: u32) -> ConnectOptions {
    let mut options = options(url, connections);
    options.map_sqlx_sqlite_opts(|options| sqlite(options).pragma("cache_size", READER_CACHE));
    options
}

fn sqlite(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        // What it notes to undo a single statement stays in memory instead of a file: it is of no use after a crash.
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256)
}

/// Takes the file for this process. The operating system gives it back however the process ends.
fn lock(path: &std::path::Path) -> Result<File, DbError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|cause| DbError::Io(folder.to_owned(), cause))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let io = |cause| DbError::Io(PathBuf::from(&name), cause);
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(DbError::Locked(path.to_owned())),
        Err(std::fs::TryLockError::Error(cause)) => Err(io(cause)),
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Statement;

    use super::*;

    fn config(folder: &tempfile::TempDir) -> DbConfig {
        DbConfig { url: format!("sqlite:{}", folder.path().join("a/test.db").display()), ..DbConfig::default() }
    }

    /// A database in this folder, as new.
    pub(super) async fn opened(folder: &tempfile::TempDir) -> Db {
        Db::open(&config(folder)).await.unwrap()
    }

    #[tokio::test]
    async fn a_second_process_is_refused_by_name_of_the_rule() {
        let folder = tempfile::tempdir().unwrap();
        let first = Db::open(&config(&folder)).await.unwrap();
        let refused = Db::open(&config(&folder)).await.err().unwrap();
        assert!(refused.to_string().contains("Two processes cannot work on one SQLite file"), "{refused}");
        drop(first);
        Db::open(&config(&folder)).await.unwrap();
    }

    #[tokio::test]
    async fn other_databases_are_refused_with_what_is_supported() {
        let wrong = DbConfig { url: "mysql://x".into(), ..DbConfig::default() };
        assert!(Db::open(&wrong).await.err().unwrap().to_string().contains("sqlite:PATH or postgres://"));
    }

    #[tokio::test]
    async fn every_connection_makes_commits_durable() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&config(&folder)).await.unwrap();
        let ask = |pragma: &str| Statement::from_string(sea_orm::DbBackend::Sqlite, format!("PRAGMA {pragma}"));
        for connection in [&db.writer(), &db.reader] {
            let row = connection.query_one_raw(ask("synchronous")).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 2, "FULL");
            let row = connection.query_one_raw(ask("journal_mode")).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "wal");
        }
    }

    #[tokio::test]
    async fn a_transaction_whose_caller_is_gone_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&config(&folder)).await.unwrap();
        let tx = db.begin().await.unwrap();
        tx.execute_unprepared("CREATE TABLE t (x INTEGER)").await.unwrap();
        tx.commit().await.unwrap();
        for _ in 0..20 {
            let abandoned = async {
                let tx = db.begin().await.unwrap();
                tx.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
                std::future::pending::<()>().await;
            };
            assert!(tokio::time::timeout(Duration::from_millis(5), abandoned).await.is_err());
        }
        let tx = db.begin().await.unwrap();
        let row = Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT count(*) FROM t");
        let row = tx.query_one_raw(row).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
    }
}
