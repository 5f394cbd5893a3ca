//! Exchanges, queues and bindings, named and bound as MassTransit does. A queue that is there already is taken as it is: who made it
//! may have wanted another type.

use std::time::Duration;

use amqprs::{
    FieldValue,
    channel::{
        Channel, ExchangeBindArguments, ExchangeDeclareArguments, ExchangeUnbindArguments, QueueBindArguments,
        QueueDeclareArguments,
    },
    connection::Connection,
};

use super::{
    super::{BusError, QueueSpec, exchange_of},
    QueueType,
    connect::ANSWER_WITHIN,
    properties::arguments,
};

/// How many refusals a connection stands: the library loses the number of a channel with each, of 2,047.
const REFUSALS: u32 = 1000;
/// How often the broker delivers a message whose consumers end without an answer, before it goes to the error queue.
const DELIVERY_LIMIT: i32 = 20;

/// The error queue of a queue.
pub(super) fn error_queue(queue: &str) -> String {
    format!("{queue}_error")
}

/// Where a queue's messages go that its consumer does not understand.
pub(super) fn skipped_queue(queue: &str) -> String {
    format!("{queue}_skipped")
}

/// Where a queue's messages wait for so long.
pub(super) fn delay_queue(queue: &str, after: Duration) -> String {
    format!("{queue}_delay_{}", after.as_millis())
}

/// A channel for declaring, which a refusal closes and the next request opens again.
pub(super) struct Control {
    connection: Connection,
    channel: Option<Channel>,
    queue_type: QueueType,
    refusals: u32,
}

impl Control {
    pub(super) fn new(connection: Connection, queue_type: QueueType) -> Self {
        Self { connection, channel: None, queue_type, refusals: 0 }
    }

    /// Whether so much was refused on this connection that another one must be made.
    pub(super) const fn is_worn(&self) -> bool {
        self.refusals >= REFUSALS
    }

    /// Declares everything of a queue, and takes it away from kinds that it had before.
    pub(super) async fn queue(&mut self, queue: &QueueSpec, gone: &[String]) -> Result<(), BusError> {
        // Where messages go that were delivered too often: it must be there before.
        self.plain_queue(&error_queue(&queue.name)).await?;
        self.exchange(&queue.name).await?;
        if self.depth(&queue.name).await?.is_none() {
            self.main_queue(&queue.name).await?;
        }
        self.bind_queue(&queue.name).await?;
        for kind in &queue.kinds {
            let source = exchange_of(kind);
            self.exchange(&source).await?;
            self.bind(&queue.name, &source).await?;
        }
        for kind in gone {
            let (name, source) = (queue.name.clone(), exchange_of(kind));
            self.ask(async move |channel| {
                channel.exchange_unbind(ExchangeUnbindArguments::new(&name, &source, "")).await
            })
            .await?;
        }
        Ok(())
    }

    /// Declares the queue in which messages wait for so long, and from which they come back by themselves.
    pub(super) async fn delays(&mut self, queue: &str, after: Duration) -> Result<(), BusError> {
        let name = delay_queue(queue, after);
        if self.depth(&name).await?.is_some() {
            return Ok(());
        }
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let back: FieldValue = queue.into();
        let mut table = match self.queue_type {
            QueueType::Quorum => durable_dead_letters(back),
            QueueType::Classic => arguments([("x-dead-letter-exchange", back)]),
        };
        if let Ok(key) = "x-message-ttl".try_into() {
            table.insert(key, FieldValue::l(millis));
        }
        self.make(&name, table).await
    }

    /// Declares a queue without limits with an exchange of its name, for messages that wait for a person. It is a classic one: looking
    /// into it must not count as a delivery.
    pub(super) async fn plain_queue(&mut self, name: &str) -> Result<(), BusError> {
        self.exchange(name).await?;
        if self.depth(name).await?.is_none() {
            self.make(name, arguments([])).await?;
        }
        self.bind_queue(name).await
    }

    async fn main_queue(&mut self, name: &str) -> Result<(), BusError> {
        let errors: FieldValue = error_queue(name).into();
        let table = match self.queue_type {
            QueueType::Quorum => {
                let mut table = durable_dead_letters(errors);
                if let Ok(key) = "x-delivery-limit".try_into() {
                    table.insert(key, FieldValue::I(DELIVERY_LIMIT));
                }
                table
            }
            QueueType::Classic => arguments([("x-dead-letter-exchange", errors)]),
        };
        self.make(name, table).await
    }

    async fn make(&mut self, name: &str, table: amqprs::FieldTable) -> Result<(), BusError> {
        let name = name.to_owned();
        self.ask(async move |channel| {
            let arguments = QueueDeclareArguments::new(&name).durable(true).arguments(table).finish();
            channel.queue_declare(arguments).await.map(drop)
        })
        .await
    }

    /// How many messages wait in a queue; nothing when it is not there.
    pub(super) async fn depth(&mut self, name: &str) -> Result<Option<u32>, BusError> {
        let asked = name.to_owned();
        let told = self
            .ask(async move |channel| {
                channel.queue_declare(QueueDeclareArguments::new(&asked).passive(true).finish()).await
            })
            .await;
        match told {
            Ok(told) => Ok(told.map(|(_, messages, _)| messages)),
            Err(BusError::Refused(_)) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Whether an exchange is there.
    pub(super) async fn has_exchange(&mut self, name: &str) -> Result<bool, BusError> {
        let name = name.to_owned();
        let told = self
            .ask(async move |channel| {
                channel.exchange_declare(ExchangeDeclareArguments::new(&name, "fanout").passive(true).finish()).await
            })
            .await;
        match told {
            Ok(()) => Ok(true),
            Err(BusError::Refused(_)) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// Declares the exchange of a kind, or of a queue.
    pub(super) async fn exchange(&mut self, name: &str) -> Result<(), BusError> {
        let name = name.to_owned();
        self.ask(async move |channel| {
            channel.exchange_declare(ExchangeDeclareArguments::new(&name, "fanout").durable(true).finish()).await
        })
        .await
    }

    /// Lets everything that reaches `source` reach `target` as well.
    pub(super) async fn bind(&mut self, target: &str, source: &str) -> Result<(), BusError> {
        let arguments = ExchangeBindArguments::new(target, source, "");
        self.ask(async move |channel| channel.exchange_bind(arguments).await).await
    }

    async fn bind_queue(&mut self, name: &str) -> Result<(), BusError> {
        let arguments = QueueBindArguments::new(name, name, "");
        self.ask(async move |channel| channel.queue_bind(arguments).await).await
    }

    /// Asks something on the channel. A refusal closes the channel; a connection that ended is another error.
    async fn ask<T>(
        &mut self,
        request: impl AsyncFnOnce(Channel) -> Result<T, amqprs::error::Error>,
    ) -> Result<T, BusError> {
        let asked = async {
            let channel = match self.channel.take().filter(Channel::is_open) {
                Some(channel) => channel,
                None => self.connection.open_channel(None).await.map_err(|cause| BusError::Away(cause.to_string()))?,
            };
            let answer = request(channel.clone()).await;
            let answer = answer.map_err(|cause| BusError::Refused(cause.to_string()));
            Ok::<_, BusError>((channel, answer))
        };
        let (channel, answer) = tokio::time::timeout(ANSWER_WITHIN, asked)
            .await
            .map_err(|_| BusError::Away("it does not answer".into()))??;
        if answer.is_ok() {
            self.channel = Some(channel);
            return answer;
        }
        if !self.connection.is_open() {
            return Err(BusError::Away("the connection ended".into()));
        }
        self.refusals += 1;
        answer
    }
}

/// Messages that leave a queue of this kind are kept there until the next one has them.
fn durable_dead_letters(to: FieldValue) -> amqprs::FieldTable {
    arguments([
        ("x-queue-type", "quorum".into()),
        ("x-dead-letter-exchange", to),
        ("x-dead-letter-strategy", "at-least-once".into()),
        ("x-overflow", "reject-publish".into()),
    ])
}
