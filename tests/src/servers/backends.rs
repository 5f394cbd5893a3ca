//! What a server stands on when its roles run apart: a PostgreSQL database for each service, Redis, S3, and RabbitMQ.

use server::config::Config;
use tokio::sync::OnceCell;

use super::{
    S3,
    postgres::{self, Postgres, assert_durable},
};

/// Databases of their own, a cache, and a store of blobs.
pub struct Backends {
    /// Of auth, chat, file and worker.
    databases: [String; 4],
    cache: String,
    blobs: S3,
    /// The bus within one process, without it.
    bus: Option<String>,
    /// The databases are on a server that outlives the tests.
    lasting: bool,
}

impl Backends {
    /// On the servers that the tests share.
    ///
    /// # Panics
    /// When there are none.
    pub async fn shared() -> Self {
        static DURABLE: OnceCell<()> = OnceCell::const_new();
        let backends = Self::with(postgres::shared().await, super::fresh_redis().await).await;
        DURABLE.get_or_init(|| assert_durable(&backends.databases[1])).await;
        backends
    }

    /// On a PostgreSQL of their own, and the Redis that the tests share.
    ///
    /// # Panics
    /// When there is no Redis.
    pub async fn on_postgres(postgres: &Postgres) -> Self {
        let mut backends = Self::with(postgres.url(), super::fresh_redis().await).await;
        backends.lasting = false;
        backends
    }

    /// On the PostgreSQL that the tests share, and a Redis of their own.
    ///
    /// # Panics
    /// When there is no PostgreSQL.
    pub async fn on_redis(url: String) -> Self {
        Self::with(postgres::shared().await, url).await
    }

    /// With a virtual host of their own on the RabbitMQ that the tests share.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub async fn with_broker(self) -> Self {
        self.with_bus(super::fresh_broker().await)
    }

    /// With a bus over this broker.
    #[must_use]
    pub fn with_bus(mut self, url: String) -> Self {
        self.bus = Some(url);
        self
    }

    async fn with(postgres: String, cache: String) -> Self {
        let databases = postgres::create_databases(postgres, ["auth", "chat", "file", "worker"]).await;
        Self { databases, cache, blobs: S3::start().await, bus: None, lasting: postgres::is_named() }
    }

    /// Where files are kept.
    pub const fn blobs(&self) -> &S3 {
        &self.blobs
    }

    /// The same databases by way of another port of loopback, which must forward to the server.
    #[must_use]
    pub fn through(mut self, server: u16, port: u16) -> Self {
        for url in &mut self.databases {
            *url = url.replace(&format!(":{server}/"), &format!(":{port}/"));
        }
        self
    }

    /// Puts a server on them, with few connections: several servers share one PostgreSQL.
    pub fn apply(&self, config: &mut Config) {
        let all = [&mut config.auth.db, &mut config.chat.db, &mut config.file.db, &mut config.worker.db];
        for (db, url) in all.into_iter().zip(&self.databases) {
            db.url.clone_from(url);
            db.max_connections = 2;
        }
        config.cache.url.clone_from(&self.cache);
        config.file.blobs = "s3://loquat".into();
        config.file.s3 = self.blobs.config();
        if let Some(bus) = &self.bus {
            config.bus.url.clone_from(bus);
        }
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        // Dropping a database costs seconds of syncing, and a server that the tests started goes as a whole.
        if self.lasting {
            postgres::drop_databases(&self.databases);
        }
    }
}
