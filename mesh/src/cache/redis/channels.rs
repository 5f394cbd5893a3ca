//! Who listens to which channel, and which channels flow.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, broadcast, watch};

use super::super::{HINTS, Told};

/// The channels that somebody listens to.
#[derive(Default)]
pub(super) struct Channels {
    channels: Mutex<HashMap<String, Channel>>,
    /// A channel was added.
    wanted: Notify,
    /// A channel flows.
    flows: watch::Sender<()>,
}

struct Channel {
    told: broadcast::Sender<Told>,
    /// Redis has confirmed the subscription on the connection that there is now.
    flows: bool,
    /// Something may have been published since somebody began to listen that did not come here.
    lost: bool,
}

impl Channels {
    /// Listens; nothing flows before Redis has confirmed it.
    pub(super) fn subscribe(&self, name: &str) -> broadcast::Receiver<Told> {
        let new = || Channel { told: broadcast::channel(HINTS).0, flows: false, lost: false };
        let told = self.channels().entry(name.to_owned()).or_insert_with(new).told.subscribe();
        self.wanted.notify_one();
        told
    }

    /// Returns when a channel flows.
    pub(super) async fn flows(&self, name: &str) {
        let flows = |(): &()| self.channels().get(name).is_some_and(|channel| channel.flows);
        // An error is impossible: the sender is here.
        let _ = self.flows.subscribe().wait_for(flows).await;
    }

    /// Somebody listens and did not wait until the channel flows.
    pub(super) fn began_late(&self, name: &str) {
        if let Some(channel) = self.channels().get_mut(name).filter(|channel| !channel.flows) {
            channel.lost = true;
        }
    }

    /// Returns when a channel was added.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The channels that do not flow and should.
    pub(super) fn silent(&self) -> Vec<String> {
        let channels = self.channels();
        channels.iter().filter(|(_, channel)| !channel.flows).map(|(name, _)| name.clone()).collect()
    }

    /// Redis has confirmed a subscription.
    pub(super) fn flowing(&self, name: &str) {
        if let Some(channel) = self.channels().get_mut(name) {
            channel.flows = true;
            if std::mem::take(&mut channel.lost) {
                // An error says that nobody listens.
                let _ = channel.told.send(Told::Lost);
            }
        }
        self.flows.send_replace(());
    }

    /// There is a new connection, on which nothing is subscribed to yet.
    pub(super) fn interrupted(&self) {
        for channel in self.channels().values_mut() {
            // One that never flowed loses nothing: who listens to it still waits, or has said that it did not.
            channel.lost |= channel.flows;
            channel.flows = false;
        }
    }

    /// More was published than could be passed on.
    pub(super) fn lost(&self) {
        for channel in self.channels().values() {
            let _ = channel.told.send(Told::Lost);
        }
    }

    /// Passes a hint on.
    pub(super) fn pass(&self, name: &str, hint: Bytes) {
        if let Some(channel) = self.channels().get(name) {
            let _ = channel.told.send(Told::Hint(hint));
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
