//! The cache on Redis: one connection for values, counters and publishing, another one that listens.
//!
//! Owns that a Redis that is away, frozen or slow costs its callers at most [`PATIENCE`], that both connections come back by
//! themselves, and that whoever listens learns of every interruption.

mod channels;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface as _, KeysInterface as _, LuaInterface as _, PubsubInterface as _},
    types::{
        Builder, Expiration, Message, RespVersion,
        config::{Config, Options, ReconnectPolicy, Server, UnresponsiveConfig},
    },
};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, watch};
use tokio_util::sync::CancellationToken;

use self::channels::Channels;
use super::{CacheError, HINTS, PATIENCE, Told};
use crate::lifecycle::Tasks;

/// Every key and every channel begins with this.
const PREFIX: &str = "loquat:";
/// How many calls may be under way; further ones are refused at once.
const UNDER_WAY: usize = 1024;
/// A server that answers nothing for so long has lost the connection. Longer than a slow network needs for a round trip.
const SILENCE: Duration = Duration::from_secs(3);
/// A connection is asked for a sign of life this often.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Waited before a connection that ended for good is made anew, and before a channel is subscribed to again.
const PAUSE: Duration = Duration::from_millis(500);
/// Counts, and lets the first count decide when the window ends: both or neither.
const INCREMENT: &str = "local n = redis.call('INCR', KEYS[1]) \
                         if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
                         return n";

/// When a bucket will be empty, in microseconds of the server's clock, is all that is kept of it.
const POUR: &str = "local t = redis.call('TIME') \
                    local now = t[1] * 1000000 + t[2] \
                    local empty = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1] \
                    if empty > now then \
                      redis.call('SET', KEYS[1], string.format('%.0f', empty), 'PX', math.ceil((empty - now) / 1000)) \
                    end \
                    return empty - now";
/// A hash of what each member said, and until when that is believed in milliseconds of the server's clock.
const GAUGE: &str = "local t = redis.call('TIME') \
                     local now = t[1] * 1000 + math.floor(t[2] / 1000) \
                     local said = ARGV[2] .. ':' .. string.format('%.0f', now + ARGV[3]) \
                     redis.call('HSET', KEYS[1], ARGV[1], said) \
                     if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end \
                     local all, sum = redis.call('HGETALL', KEYS[1]), 0 \
                     for i = 1, #all, 2 do \
                       local count, ends = string.match(all[i + 1], '^(%d+):(%d+)$') \
                       if tonumber(ends) > now then sum = sum + count else redis.call('HDEL', KEYS[1], all[i]) end \
                     end \
                     return sum";

#[derive(Clone)]
pub(super) struct Redis(Arc<Inner>);

struct Inner {
    /// The client that there is now. One whose connection was given up is not used again: it goes on counting the commands that it
    /// had not sent, waits for them before it sends what comes later, and so sends nothing at once any more.
    commands: watch::Sender<Client>,
    prefix: String,
    channels: Channels,
    under_way: Semaphore,
}

impl Redis {
    pub(super) fn open(url: &str, tasks: &Tasks) -> Result<Self, CacheError> {
        let refused = || CacheError::Url(crate::config::without_password(url));
        if !url.starts_with("redis://") {
            return Err(refused());
        }
        let inner = Arc::new(Inner {
            commands: watch::Sender::new(client(url, PATIENCE).map_err(|_| refused())?),
            prefix: format!("{PREFIX}{}", prefix(url)),
            channels: Channels::default(),
            under_way: Semaphore::new(UNDER_WAY),
        });
        // Nobody waits for its commands, and a slow server should still be listened to.
        let listener = client(url, SILENCE).map_err(|_| refused())?;
        tasks.spawn("cache-connection", command(inner.clone(), tasks.stopping()));
        tasks.spawn("cache-listener", hear(inner.clone(), listener, tasks.stopping()));
        Ok(Self(inner))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.ask(async |client| client.get(self.name(key)).await).await
    }

    pub(super) async fn set(&self, key: &str, bytes: Bytes, ttl: Duration) -> Result<(), CacheError> {
        let Some(millis) = millis(ttl) else {
            // Redis refuses a value that ends before it began.
            return self.delete(key).await;
        };
        let ends = Some(Expiration::PX(millis));
        self.ask(async |client| client.set(self.name(key), bytes, ends, None, false).await).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), CacheError> {
        self.ask(async |client| client.del(self.name(key)).await).await
    }

    pub(super) async fn increment(&self, key: &str, ttl: Duration) -> Result<u64, CacheError> {
        let (keys, arguments) = (vec![self.name(key)], vec![millis(ttl).unwrap_or(0)]);
        self.ask(async |client| client.eval(INCREMENT, keys, arguments).await).await
    }

    pub(super) async fn pour(&self, key: &str, amount: Duration) -> Result<Duration, CacheError> {
        let micros = i64::try_from(amount.as_micros()).unwrap_or(i64::MAX);
        let (keys, arguments) = (vec![self.name(key)], vec![micros]);
        let level: u64 = self.ask(async |client| client.eval(POUR, keys, arguments).await).await?;
        Ok(Duration::from_micros(level))
    }

    pub(super) async fn gauge(&self, key: &str, member: &str, count: u64, ttl: Duration) -> Result<u64, CacheError> {
        // What is believed for less than a moment is believed for that moment, in which it is asked.
        let millis = millis(ttl).unwrap_or(1);
        let arguments = vec![member.to_owned(), count.to_string(), millis.to_string()];
        let keys = vec![self.name(key)];
        self.ask(async |client| client.eval(GAUGE, keys, arguments).await).await
    }

    pub(super) async fn publish(&self, channel: &str, hint: Bytes) -> Result<(), CacheError> {
        self.ask(async |client| client.publish(self.name(channel), hint).await).await
    }

    pub(super) async fn subscribe(&self, channel: &str) -> broadcast::Receiver<Told> {
        let channel = self.name(channel);
        let told = self.0.channels.subscribe(&channel);
        if tokio::time::timeout(PATIENCE, self.0.channels.flows(&channel)).await.is_err() {
            self.0.channels.began_late(&channel);
        }
        told
    }

    /// Asks Redis when it is this call's turn. Boxed: the client's futures take 14 KiB, which every call that may ask would carry and
    /// copy, also where there is no Redis.
    async fn ask<T>(&self, command: impl AsyncFnOnce(Client) -> Result<T, Error>) -> Result<T, CacheError> {
        let _turn = self.turn()?;
        let client = self.0.commands.borrow().clone();
        Box::pin(command(client)).await.map_err(away)
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.0.prefix)
    }

    /// One of the calls under way. What the client has taken in and cannot send must not grow without end, and nobody waits
    /// while it is known that there is no connection. (The client's own `fail_fast` does not reach scripts.)
    fn turn(&self) -> Result<SemaphorePermit<'_>, CacheError> {
        if !self.0.commands.borrow().is_connected() {
            return Err(CacheError::Away("there is no connection".into()));
        }
        self.0.under_way.try_acquire().map_err(|_| CacheError::Away("too many calls wait for it".into()))
    }
}

fn client(url: &str, patience: Duration) -> Result<Client, Error> {
    // Not connecting at once is no failure: it is tried again for ever.
    let config = Config { fail_fast: false, version: RespVersion::RESP3, ..Config::from_url_centralized(url)? };
    let mut builder = Builder::from_config(config);
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = patience;
            performance.broadcast_channel_capacity = HINTS;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = SILENCE;
            connection.internal_command_timeout = SILENCE;
            connection.max_command_attempts = 1;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(SILENCE), interval: PAUSE };
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 100, 2000, 2))
        .build()
}

/// What the URL puts behind [`PREFIX`].
fn prefix(url: &str) -> &str {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    parameters.split('&').find_map(|parameter| parameter.strip_prefix("prefix=")).unwrap_or_default()
}

/// Whole milliseconds; nothing for less than one.
fn millis(ttl: Duration) -> Option<i64> {
    i64::try_from(ttl.as_millis()).ok().filter(|millis| *millis > 0)
}

#[allow(clippy::needless_pass_by_value, reason = "fits map_err")]
fn away(cause: Error) -> CacheError {
    CacheError::Away(cause.to_string())
}

/// Keeps the client for commands connected, until `stop`.
async fn command(inner: Arc<Inner>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let client = inner.commands.borrow().clone();
        live(&client, &stop, std::future::pending()).await;
        inner.commands.send_replace(client.clone_new());
    }
}

/// Keeps a client that listens connected, until `stop`.
async fn hear(inner: Arc<Inner>, mut client: Client, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Both are there before the first connection, whose making must not be missed.
        let (messages, connected) = (client.message_rx(), client.reconnect_rx());
        live(&client, &stop, listen(&inner, &client, messages, connected)).await;
        inner.channels.interrupted();
        client = client.clone_new();
    }
}

/// The life of a client, until it gives up or is given up, or `stop`; with what is done over it meanwhile. The client makes broken
/// connections anew by itself; this finds those that are silent without being broken.
async fn live(client: &Client, stop: &CancellationToken, meanwhile: impl Future<Output = ()>) {
    let mut driving = client.connect();
    tokio::select! {
        ended = &mut driving => {
            let cause = ended.ok().and_then(Result::err).map(|cause| cause.to_string()).unwrap_or_default();
            tracing::warn!(cause, "the connection to the cache ended; it is made anew");
        }
        () = silent(client) => tracing::warn!("the cache is silent; the connection is made anew"),
        () = meanwhile => {}
        () = stop.cancelled() => {}
    }
    driving.abort();
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => {}
        () = stop.cancelled() => {}
    }
}

/// Returns when a connection that should work does not answer.
async fn silent(client: &Client) {
    let client = client.with_options(&Options { timeout: Some(SILENCE), ..Options::default() });
    loop {
        tokio::time::sleep(PING_EVERY).await;
        if client.is_connected() {
            let answer: Result<(), Error> = client.ping(None).await;
            if answer.is_err_and(|cause| *cause.kind() == ErrorKind::Timeout) {
                return;
            }
        }
    }
}

/// Passes on what is published, and subscribes: to new channels, and to all of them on every new connection. What was
/// published in between is gone, and those who listen are told so. Returns when the client is gone.
async fn listen(
    inner: &Inner,
    client: &Client,
    mut messages: broadcast::Receiver<Message>,
    mut connected: broadcast::Receiver<Server>,
) {
    let mut retry = tokio::time::interval(PAUSE);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            // An error says that several were made, which comes to the same.
            _ = connected.recv() => inner.channels.interrupted(),
            message = messages.recv() => {
                match message {
                    Ok(message) => {
                        if let Ok(hint) = message.value.convert() {
                            inner.channels.pass(&message.channel, hint);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => inner.channels.lost(),
                    Err(broadcast::error::RecvError::Closed) => return,
                }
                continue;
            }
            () = inner.channels.wanted() => {}
            _ = retry.tick() => {}
        }
        for channel in inner.channels.silent() {
            match client.subscribe(channel.clone()).await {
                Ok(()) => inner.channels.flowing(&channel),
                Err(cause) => tracing::debug!(channel, %cause, "the cache cannot be listened to just now"),
            }
        }
    }
}
