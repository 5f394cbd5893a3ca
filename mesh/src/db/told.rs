//! Words between processes on one PostgreSQL database. A hint: what is said while nobody listens is lost. A database of one process
//! has nobody to tell.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait as _, DbErr, Statement, sqlx::postgres::PgListener};

use super::{Db, DbConfig};

/// Waited before the connection that listens is made again.
const PAUSE: Duration = Duration::from_secs(2);

/// Hears what other processes say.
pub struct Told {
    config: Option<Arc<DbConfig>>,
    channel: &'static str,
    listener: Option<PgListener>,
}

impl Db {
    /// Says a word to the processes on this database that listen to it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tell(&self, channel: &'static str) -> Result<(), DbErr> {
        if !self.is_shared() {
            return Ok(());
        }
        let word = Statement::from_sql_and_values(self.backend(), "SELECT pg_notify($1, '')", [channel.into()]);
        self.within(async { self.reader.execute_raw(word).await.map(drop) }).await
    }

    /// Listens to a word.
    pub fn told(&self, channel: &'static str) -> Told {
        Told { config: self.url.clone(), channel, listener: None }
    }
}

impl Told {
    /// Returns when the word is said, and when it may have been said while nobody listened.
    pub async fn next(&mut self) {
        let Some(config) = &self.config else {
            return std::future::pending().await;
        };
        if let Some(listener) = &mut self.listener {
            match listener.recv().await {
                Ok(_) => return,
                Err(cause) => {
                    tracing::debug!(%cause, "the database is not listened to; trying again");
                    self.listener = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        loop {
            match listen(config, self.channel).await {
                Ok(listener) => {
                    self.listener = Some(listener);
                    return;
                }
                Err(cause) => tracing::debug!(%cause, "the database cannot be listened to; trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn listen(config: &DbConfig, channel: &str) -> Result<PgListener, sea_orm::sqlx::Error> {
    let mut listener = PgListener::connect(&config.url).await?;
    listener.listen(channel).await?;
    Ok(listener)
}
