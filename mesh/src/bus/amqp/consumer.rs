//! One consumer of one queue: takes what comes, at most so many at a time, and acknowledges a message when what came of it is kept.

use std::{future::Future, time::Duration};

use amqprs::{
    BasicProperties,
    channel::{
        BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage,
    },
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        BusError, Delivery, Destination, Envelope, HandlerError, QueueSpec,
        attempt::{self, Outcome, Verdict},
        fault,
    },
    AmqpBus,
    connect::ANSWER_WITHIN,
    link::Live,
    properties,
    publisher::{Place, Post},
};

/// The consumer's name on its channel.
const TAG: &str = "loquat";
/// Waited before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long what is being handled may go on when the connection has ended: its messages come again in any case.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Consumer<'c, H> {
    pub(super) bus: &'c AmqpBus,
    pub(super) queue: &'c QueueSpec,
    pub(super) prefetch: usize,
    pub(super) stop: CancellationToken,
    pub(super) handler: &'c H,
}

/// A message as it came.
struct Came {
    tag: u64,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl<H, F> Consumer<'_, H>
where
    H: Fn(Delivery) -> F + Send + Sync,
    F: Future<Output = Result<(), HandlerError>> + Send,
{
    /// Consumes until the stop, on one connection after the other.
    pub(super) async fn run(&self) {
        loop {
            let live = tokio::select! {
                live = self.bus.0.link.live() => live,
                () = self.stop.cancelled() => return,
            };
            let Some(live) = live else { return };
            if let Err(cause) = self.session(&live).await {
                tracing::warn!(queue = self.queue.name, %cause, "the queue is not consumed; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Consumes until the stop or the end of the channel.
    async fn session(&self, live: &Live) -> Result<(), BusError> {
        let (channel, mut messages) = self.begin(live).await?;
        let mut running = FuturesUnordered::new();
        let mut stopped = false;
        loop {
            if stopped && running.is_empty() {
                // What was sent ahead and not begun goes back to the queue with the channel.
                let _ = tokio::time::timeout(ANSWER_WITHIN, channel.clone().close()).await;
                return Ok(());
            }
            tokio::select! {
                message = messages.recv(), if !stopped => match message.and_then(came) {
                    Some(came) => running.push(self.handle(&channel, came)),
                    None => break,
                },
                Some(()) = running.next() => {}
                () = self.bus.0.link.changed(live.number) => break,
                () = self.stop.cancelled(), if !stopped => {
                    stopped = true;
                    let cancel = channel.basic_cancel(BasicCancelArguments::new(TAG));
                    let _ = tokio::time::timeout(ANSWER_WITHIN, cancel).await;
                }
            }
        }
        let rest = async { while running.next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_WITHIN, rest).await;
        Err(BusError::Away("the channel ended".into()))
    }

    /// Declares the queue and begins to consume it.
    async fn begin(&self, live: &Live) -> Result<(Channel, mpsc::UnboundedReceiver<ConsumerMessage>), BusError> {
        let shared = &self.bus.0.shared;
        let declared = shared.queues().get(&self.queue.name).cloned().unwrap_or_else(|| self.queue.clone());
        let mut control = self.bus.0.link.control()?;
        control.queue(&declared, &[]).await?;
        let begun = async {
            let channel = live.connection.open_channel(None).await?;
            let ahead = u16::try_from(self.prefetch).unwrap_or(u16::MAX);
            channel.basic_qos(BasicQosArguments::new(0, ahead, false)).await?;
            let arguments = BasicConsumeArguments::new(&self.queue.name, TAG).manual_ack(true).finish();
            let (_, messages) = channel.basic_consume_rx(arguments).await?;
            Ok((channel, messages))
        };
        let begun = tokio::time::timeout(ANSWER_WITHIN, begun).await;
        let begun = begun.map_err(|_| BusError::Away("it does not answer".into()))?;
        begun.map_err(|cause: amqprs::error::Error| BusError::Away(cause.to_string()))
    }

    async fn handle(&self, channel: &Channel, came: Came) {
        let read = Envelope::read(&came.body, properties::message_id(&came.properties));
        let sent = read.as_ref().ok().and_then(|envelope| envelope.sent_time);
        let _under_way = self.bus.0.stats.begin(&self.queue.name, sent.unwrap_or_else(|| self.bus.0.clock.now()));
        let redelivery = properties::number(&came.properties, properties::REDELIVERY);
        let outcome = attempt::round(self.queue, &read, redelivery, self.handler).await;
        // With the channel goes the right to acknowledge: the message comes again.
        while channel.is_open() && channel.is_connection_open() {
            match self.settle(channel, &came, &read, redelivery, &outcome).await {
                Ok(()) => break,
                Err(cause) => {
                    tracing::warn!(queue = self.queue.name, %cause, "a handled message cannot be settled; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.bus.0.stats.count(&self.queue.name, matches!(outcome.verdict, Verdict::Done), outcome.failures());
        let queue = self.queue.name.clone();
        metrics::counter!("loquat_bus_handled_total", "queue" => queue, "outcome" => outcome.name()).increment(1);
    }

    /// Puts a message where it belongs now, and acknowledges it when it is there.
    async fn settle(
        &self,
        channel: &Channel,
        came: &Came,
        read: &Result<Envelope, serde_json::Error>,
        redelivery: u32,
        outcome: &Outcome,
    ) -> Result<(), BusError> {
        let now = self.bus.0.clock.now();
        let attempts = properties::number(&came.properties, properties::ATTEMPTS) + outcome.tries;
        let name = || self.queue.name.clone();
        match &outcome.verdict {
            Verdict::Done => {}
            Verdict::Later { after, .. } => {
                let headers = [
                    (properties::REDELIVERY.to_owned(), (redelivery + 1).to_string()),
                    (properties::ATTEMPTS.to_owned(), attempts.to_string()),
                ];
                self.pass(Place::Delay { queue: name(), after: *after }, came, &headers).await?;
            }
            Verdict::Failed { error } => {
                let message = came.properties.message_id().map(String::as_str).unwrap_or_default();
                tracing::error!(queue = self.queue.name, message, error, "a message failed for good");
                let (told, to) = fault::fault(read, &came.body, error, now);
                self.tell(told, to).await?;
                let mut headers = fault::headers(self.queue, read, error, attempts, now);
                headers.push((properties::ATTEMPTS.to_owned(), attempts.to_string()));
                self.pass(Place::Error(name()), came, &headers).await?;
            }
            Verdict::Skipped => self.pass(Place::Skipped(name()), came, &fault::skipped(now)).await?,
        }
        let acknowledged = channel.basic_ack(BasicAckArguments::new(came.tag, false)).await;
        acknowledged.map_err(|cause| BusError::Away(cause.to_string()))
    }

    /// The same message elsewhere: its bytes as they came, with what is noted beside it.
    async fn pass(&self, place: Place, came: &Came, headers: &[(String, String)]) -> Result<(), BusError> {
        let properties = properties::with(&came.properties, headers);
        self.bus.post(Post { place, properties, body: came.body.clone(), must_arrive: true }).await
    }

    /// That a message failed is told where it asks for; to everybody who listens, otherwise or when nobody is there.
    async fn tell(&self, fault: Envelope, to: Option<Destination>) -> Result<(), BusError> {
        if let Some(to) = to {
            match self.bus.send(&to, Some(fault.message_id), serde_json::to_vec(&fault)?.into()).await {
                Err(BusError::Returned(_)) => {}
                sent => return sent,
            }
        }
        self.bus.publish(vec![fault]).await
    }
}

fn came(message: ConsumerMessage) -> Option<Came> {
    Some(Came {
        tag: message.deliver?.delivery_tag(),
        properties: message.basic_properties?,
        body: message.content.unwrap_or_default(),
    })
}
