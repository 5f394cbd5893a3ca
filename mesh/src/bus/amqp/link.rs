//! The connection that consumes: made again whenever it ends, and handed to every consumer.

use std::{sync::Arc, time::Duration};

use amqprs::connection::Connection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    super::{BusError, Health},
    QueueType, Shared,
    connect::{ANSWER_WITHIN, Address, Connected, connect, pauses},
    topology::Control,
};

/// The broker is asked for a sign of life this often.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A living connection, by its number.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) number: u64,
}

/// The way to the connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    live: watch::Receiver<Option<Live>>,
    queue_type: QueueType,
}

/// Keeps the connection.
pub(super) struct Linking {
    address: Arc<Address>,
    shared: Arc<Shared>,
    live: watch::Sender<Option<Live>>,
}

/// Makes both.
pub(super) fn link(address: Arc<Address>, shared: Arc<Shared>) -> (Link, Linking) {
    let (told, live) = watch::channel(None);
    let link = Link { live, queue_type: shared.queue_type };
    (link, Linking { address, shared, live: told })
}

impl Link {
    /// The connection, as soon as there is one.
    pub(super) async fn live(&self) -> Option<Live> {
        self.live.clone().wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Returns when the connection of this number is no longer the one.
    pub(super) async fn changed(&self, number: u64) {
        let other = |live: &Option<Live>| live.as_ref().is_none_or(|live| live.number != number);
        // An error says that nobody makes connections any more.
        let _ = self.live.clone().wait_for(other).await;
    }

    /// A channel for asking and declaring, if there is a connection.
    pub(super) fn control(&self) -> Result<Control, BusError> {
        let live = self.live.borrow().clone().ok_or_else(|| BusError::Away("there is no connection".into()))?;
        Ok(Control::new(live.connection, self.queue_type))
    }
}

impl Linking {
    /// Runs until `stop`; the connection then stays for consumers that are finishing.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (mut pause, mut number) = (pauses(), 0);
        while !stop.is_cancelled() {
            let why = match connect(&self.address, "loquat consumes").await {
                Ok(connected) => {
                    pause = pauses();
                    number += 1;
                    Shared::say(&self.shared.consuming, Health::Good);
                    self.live.send_replace(Some(Live { connection: connected.connection.clone(), number }));
                    let ended = tokio::select! {
                        why = until_lost(&connected) => why,
                        () = stop.cancelled() => return,
                    };
                    self.live.send_replace(None);
                    connected.close().await;
                    ended
                }
                Err(cause) => cause.to_string(),
            };
            Shared::say(&self.shared.consuming, Health::Away(why));
            tokio::select! {
                () = tokio::time::sleep(pause.next().unwrap_or(PING_EVERY)) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Returns when the connection has ended or the broker no longer answers on it, and says why.
async fn until_lost(connected: &Connected) -> String {
    loop {
        tokio::select! {
            () = connected.ended() => return "the connection ended".into(),
            () = tokio::time::sleep(PING_EVERY) => {}
        }
        let ping = async { connected.connection.open_channel(None).await?.close().await };
        match tokio::time::timeout(ANSWER_WITHIN, ping).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => return cause.to_string(),
            Err(_) => return "it does not answer".into(),
        }
    }
}
