//! Where the broker is, and a connection to it.

use std::{sync::Arc, time::Duration};

use amqprs::{
    Close,
    callbacks::ConnectionCallback,
    connection::{Connection, OpenConnectionArguments},
};
use async_trait::async_trait;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;
use url::Url;

use super::super::BusError;

/// How long the broker may take to answer one request.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a connection may take to be closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Seconds between signs of life that both sides owe each other.
const HEARTBEAT: u16 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Where the broker is.
pub(super) struct Address {
    host: String,
    port: u16,
    user: String,
    password: String,
    vhost: String,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, BusError> {
        const WANTED: &str = "use amqp://USER:PASSWORD@HOST:PORT/VHOST";
        let wrong = |what: &str| BusError::Url(format!("not the URL of a broker ({what}); {WANTED}"));
        let url = Url::parse(text).map_err(|cause| wrong(&cause.to_string()))?;
        if url.scheme() != "amqp" {
            return Err(wrong(&format!("the scheme {} is not supported", url.scheme())));
        }
        let decoded = |part: &str, default: &str| {
            let text = percent_decode_str(part).decode_utf8().map_err(|_| wrong("it is not UTF-8"))?;
            Ok::<_, BusError>(if text.is_empty() { default.to_owned() } else { text.into_owned() })
        };
        let fits = |name: String| if name.len() <= 200 { Ok(name) } else { Err(wrong("a name is too long")) };
        Ok(Self {
            host: url.host_str().ok_or_else(|| wrong("it has no host"))?.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5672),
            user: decoded(url.username(), "guest")?,
            password: decoded(url.password().unwrap_or_default(), "guest")?,
            vhost: fits(decoded(url.path().trim_start_matches('/'), "/")?)?,
        })
    }

    /// The address of something on this broker, as envelopes have it.
    pub(super) fn of(&self, name: &str) -> String {
        let port = if self.port == 5672 { String::new() } else { format!(":{}", self.port) };
        let vhost = if self.vhost == "/" { String::new() } else { format!("{}/", self.vhost) };
        format!("rabbitmq://{}{port}/{vhost}{name}", self.host)
    }
}

/// A connection, and what tells that it ended. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: Connection,
    /// Told when the broker closes it.
    pub(super) closed: Arc<Notify>,
}

/// Connects.
pub(super) async fn connect(address: &Address, name: &str) -> Result<Connected, BusError> {
    let away = |cause: String| BusError::Away(cause);
    let mut arguments = OpenConnectionArguments::new(&address.host, address.port, &address.user, &address.password);
    arguments.virtual_host(&address.vhost).heartbeat(HEARTBEAT).connection_name(name);
    let connection = tokio::time::timeout(CONNECT_WITHIN, Connection::open(&arguments)).await;
    let connection =
        connection.map_err(|_| away("it does not answer".into()))?.map_err(|cause| away(cause.to_string()))?;
    let closed = Arc::new(Notify::new());
    connection.register_callback(Closing(closed.clone())).await.map_err(|cause| away(cause.to_string()))?;
    Ok(Connected { connection, closed })
}

impl Connected {
    /// Returns when the connection has ended, however.
    pub(super) async fn ended(&self) {
        let mut looking = tokio::time::interval(Duration::from_millis(500));
        let failure = self.connection.listen_network_io_failure();
        tokio::pin!(failure);
        loop {
            tokio::select! {
                _ = &mut failure => return,
                () = self.closed.notified() => return,
                // It may have ended before anybody listened.
                _ = looking.tick() => if !self.connection.is_open() { return },
            }
        }
    }

    /// Closes it, if the broker still answers.
    pub(super) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.connection.clone().close()).await;
    }
}

/// Pauses between tries to connect.
pub(super) fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

struct Closing(Arc<Notify>);

#[async_trait]
impl ConnectionCallback for Closing {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), amqprs::error::Error> {
        tracing::warn!(%close, "the broker closed a connection");
        self.0.notify_one();
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, reason: String) {
        tracing::warn!(reason, "the broker says that it takes nothing");
    }

    async fn unblocked(&mut self, _: &Connection) {
        tracing::info!("the broker says that it takes messages again");
    }

    async fn secret_updated(&mut self, _: &Connection) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_passwords_not_repeated() {
        let address = Address::parse("amqp://me:p%40ss@broker:5673/shop").unwrap();
        assert_eq!((address.user.as_str(), address.password.as_str(), address.vhost.as_str()), ("me", "p@ss", "shop"));
        assert_eq!(address.of("A:B"), "rabbitmq://broker:5673/shop/A:B");
        let address = Address::parse("amqp://broker").unwrap();
        assert_eq!((address.user.as_str(), address.vhost.as_str(), address.port), ("guest", "/", 5672));
        assert_eq!(address.of("A:B"), "rabbitmq://broker/A:B");
        for wrong in ["http://me:secret@broker", "amqp:", "broker", "amqps://me:secret@broker"] {
            let refused = Address::parse(wrong).err().unwrap().to_string();
            assert!(refused.contains("amqp://USER") && !refused.contains("secret"), "{refused}");
        }
    }
}
