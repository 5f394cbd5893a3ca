//! Messages that were published and are not yet confirmed. The broker numbers them by the order in which they came on the channel.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, Nack, Return, callbacks::ChannelCallback, channel::Channel};
use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::super::BusError;

/// A message that waits for its confirm.
pub(super) struct Waiting {
    pub(super) exchange: String,
    pub(super) key: String,
    pub(super) message_id: Option<String>,
    /// Whether it counts as lost when no queue took it.
    pub(super) must_arrive: bool,
    pub(super) returned: bool,
    pub(super) since: Instant,
    pub(super) done: Option<oneshot::Sender<Result<(), BusError>>>,
    /// Its place in the window.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    fn settle(self, outcome: Result<(), BusError>) {
        if let Some(done) = self.done {
            // Nobody waits any more.
            let _ = done.send(outcome);
        }
    }
}

/// What waits on one channel.
#[derive(Default)]
pub(super) struct Confirms {
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    /// Told when the channel was closed.
    pub(super) closed: Notify,
    /// Told when something was confirmed.
    pub(super) confirmed: Notify,
}

impl Confirms {
    pub(super) fn add(&self, tag: u64, waiting: Waiting) {
        self.waiting().insert(tag, waiting);
    }

    /// For how long the oldest has waited.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.waiting().values().next().map(|waiting| waiting.since.elapsed())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Ends all of them: what became of them is not known.
    pub(super) fn fail(&self, why: &str) {
        for (_, waiting) in std::mem::take(&mut *self.waiting()) {
            waiting.settle(Err(BusError::Unconfirmed(why.to_owned())));
        }
    }

    fn settle(&self, tag: u64, multiple: bool, taken: bool) {
        let settled: Vec<Waiting> = {
            let mut waiting = self.waiting();
            if multiple {
                let later = waiting.split_off(&(tag + 1));
                std::mem::replace(&mut *waiting, later).into_values().collect()
            } else {
                waiting.remove(&tag).into_iter().collect()
            }
        };
        self.confirmed.notify_one();
        for one in settled {
            // The broker confirms a message that no queue took; it has said so before.
            let outcome = match (taken, one.returned && one.must_arrive) {
                (false, _) => Err(BusError::Refused("it could not keep the message".into())),
                (true, true) => Err(BusError::Returned(format!("{}{}", one.exchange, one.key))),
                (true, false) => Ok(()),
            };
            one.settle(outcome);
        }
    }

    /// Returns come in the order of publishing, each before its confirm.
    fn returned(&self, exchange: &str, key: &str, message_id: Option<&String>) {
        let mut waiting = self.waiting();
        let found = waiting.values_mut().find(|one| {
            !one.returned && one.exchange == exchange && one.key == key && one.message_id.as_ref() == message_id
        });
        if let Some(one) = found {
            one.returned = true;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what the broker says on the channel.
pub(super) struct Hears(pub(super) Arc<Confirms>);

#[async_trait]
impl ChannelCallback for Hears {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), amqprs::error::Error> {
        tracing::warn!(%close, "the broker closed the channel for publishing");
        self.0.closed.notify_one();
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.0.settle(ack.delivery_tag(), ack.mutiple(), true);
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.0.settle(nack.delivery_tag(), nack.multiple(), false);
    }

    async fn publish_return(&mut self, _: &Channel, told: Return, properties: BasicProperties, _: Vec<u8>) {
        self.0.returned(told.exchange(), told.routing_key(), properties.message_id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(confirms: &Confirms, tag: u64, must_arrive: bool) -> oneshot::Receiver<Result<(), BusError>> {
        let (done, confirm) = oneshot::channel();
        let waiting = Waiting {
            exchange: "E".into(),
            key: String::new(),
            message_id: Some(tag.to_string()),
            must_arrive,
            returned: false,
            since: Instant::now(),
            done: Some(done),
            _room: None,
        };
        confirms.add(tag, waiting);
        confirm
    }

    #[test]
    fn one_confirm_may_be_for_several_and_a_returned_message_is_not_delivered() {
        let confirms = Confirms::default();
        let mut waits: Vec<_> = (1..=5).map(|tag| wait(&confirms, tag, tag != 2)).collect();
        confirms.returned("E", "", Some(&"2".to_owned()));
        confirms.returned("E", "", Some(&"3".to_owned()));
        confirms.settle(3, true, true);
        confirms.settle(5, false, false);
        let outcomes: Vec<_> = waits.iter_mut().map(|wait| wait.try_recv().map_err(drop)).collect();
        assert!(matches!(outcomes[0], Ok(Ok(()))));
        assert!(matches!(outcomes[1], Ok(Ok(()))), "nobody has to listen to it");
        assert!(matches!(outcomes[2], Ok(Err(BusError::Returned(_)))));
        assert!(outcomes[3].is_err(), "the fourth still waits");
        assert!(matches!(outcomes[4], Ok(Err(BusError::Refused(_)))));
        confirms.fail("gone");
        assert!(matches!(waits[3].try_recv(), Ok(Err(BusError::Unconfirmed(_)))));
        assert!(confirms.is_empty());
    }
}
