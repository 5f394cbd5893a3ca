//! What an operator sees and does: how much is in the queues, and what is in the error queues.
//!
//! The broker has no way to look at a message. Those of an error queue are taken and given back by closing the channel, so for a
//! moment another one who looks sees fewer.

use amqprs::{
    BasicProperties,
    channel::{BasicAckArguments, BasicGetArguments, Channel},
    connection::Connection,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::{BusError, Envelope, FailedMessage, FailedReason, QueueSpec, QueueStatus, envelope::derived_id, fault},
    AmqpBus,
    connect::ANSWER_WITHIN,
    properties,
    publisher::{Place, Post},
    topology::{Control, delay_queue, error_queue, skipped_queue},
};
use crate::audit::Note;

/// The most messages of one error queue that are looked at. Further ones come into sight as those before them go.
const SIGHT: usize = 2000;

/// A message that was taken from an error queue and not yet acknowledged.
struct Taken {
    tag: u64,
    properties: BasicProperties,
    failed: FailedMessage,
}

/// The channel that messages were taken on, with its connection, which ends when nobody has it.
struct Held {
    channel: Channel,
    _connection: Connection,
}

impl AmqpBus {
    pub(in super::super) async fn queues(&self) -> Result<Vec<QueueStatus>, BusError> {
        let mut look = self.0.looks.look().await?;
        let mut told = Vec::new();
        for queue in self.0.shared.all() {
            told.push(self.status(&mut look.control, &queue).await?);
        }
        Ok(told)
    }

    async fn status(&self, control: &mut Control, queue: &QueueSpec) -> Result<QueueStatus, BusError> {
        let mut depth = async |name: String| control.depth(&name).await.map(|depth| u64::from(depth.unwrap_or(0)));
        let ready = depth(queue.name.clone()).await?;
        let mut delayed = 0;
        for after in queue.policy().delays {
            delayed += depth(delay_queue(&queue.name, after)).await?;
        }
        let failed = depth(error_queue(&queue.name)).await?;
        let skipped = depth(skipped_queue(&queue.name)).await?;
        let counts = self.0.stats.of(&queue.name);
        let in_flight = counts.in_flight();
        let seen = self.busy_since(&queue.name, ready + delayed + in_flight > 0);
        Ok(QueueStatus {
            name: queue.name.clone(),
            ready,
            in_flight,
            delayed,
            failed,
            skipped,
            // Messages are taken in order, so the oldest one that is being handled is about the oldest of all.
            oldest_at: seen.map(|since| counts.oldest().unwrap_or(since)),
            handled: counts.handled,
            failures: counts.failures,
        })
    }

    /// Since when a queue was not seen empty.
    fn busy_since(&self, queue: &str, busy: bool) -> Option<OffsetDateTime> {
        let mut since = self.0.busy_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if busy {
            return Some(*since.entry(queue.to_owned()).or_insert_with(|| self.0.clock.now()));
        }
        since.remove(queue);
        None
    }

    pub(in super::super) async fn failed(
        &self,
        queue: &str,
        size: u64,
        token: &str,
    ) -> Result<(Vec<FailedMessage>, String), BusError> {
        let from: usize = match token {
            "" => 0,
            token => token.parse().map_err(|_| BusError::PageToken)?,
        };
        let mut all = Vec::new();
        for name in self.names(queue) {
            for reason in [FailedReason::Fault, FailedReason::Skipped] {
                let (_, taken) = self.take(&name, reason, |_| false).await?;
                all.extend(taken.into_iter().map(|taken| taken.failed));
            }
        }
        all.sort_by_key(|failed| std::cmp::Reverse(failed.failed_at));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let next = if all.len() > from.saturating_add(size) { (from + size).to_string() } else { String::new() };
        Ok((all.into_iter().skip(from).take(size).collect(), next))
    }

    pub(in super::super) async fn failed_one(&self, id: Uuid) -> Result<Option<FailedMessage>, BusError> {
        Ok(self.find(id).await?.map(|(_, taken)| taken.failed))
    }

    /// Puts it back first, and takes it away then: in between it is in both places, and consumers know a repetition.
    pub(in super::super) async fn retry(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        let Some((held, taken)) = self.find(id).await? else { return Ok(false) };
        noting(note, &taken.failed, self.put_back(held, &taken)).await
    }

    async fn put_back(&self, held: Held, taken: &Taken) -> Result<(), BusError> {
        let place = Place::Queue(taken.failed.queue.clone());
        let (properties, body) = (properties::fresh(&taken.properties), taken.failed.body.to_vec());
        self.post(Post { place, properties, body, must_arrive: true }).await?;
        acknowledge(held, taken.tag).await
    }

    pub(in super::super) async fn discard(&self, id: Uuid, note: &Note) -> Result<bool, BusError> {
        let Some((held, taken)) = self.find(id).await? else { return Ok(false) };
        noting(note, &taken.failed, acknowledge(held, taken.tag)).await
    }

    fn names(&self, queue: &str) -> Vec<String> {
        let all = self.0.shared.all().into_iter().map(|spec| spec.name);
        all.filter(|name| queue.is_empty() || name == queue).collect()
    }

    async fn find(&self, id: Uuid) -> Result<Option<(Held, Taken)>, BusError> {
        for name in self.names("") {
            for reason in [FailedReason::Fault, FailedReason::Skipped] {
                let (held, mut taken) = self.take(&name, reason, |failed| failed.id == id).await?;
                if let Some(last) = taken.pop().filter(|last| last.failed.id == id) {
                    let held = held.ok_or_else(|| BusError::Away("the channel ended".into()))?;
                    return Ok(Some((held, last)));
                }
            }
        }
        Ok(None)
    }

    /// Takes what is in an error queue, up to one that is `enough`. All of it goes back when the channel is dropped.
    async fn take(
        &self,
        queue: &str,
        reason: FailedReason,
        enough: impl Fn(&FailedMessage) -> bool,
    ) -> Result<(Option<Held>, Vec<Taken>), BusError> {
        let name = match reason {
            FailedReason::Fault => error_queue(queue),
            FailedReason::Skipped => skipped_queue(queue),
        };
        let mut look = self.0.looks.look().await?;
        if look.control.depth(&name).await?.unwrap_or(0) == 0 {
            return Ok((None, Vec::new()));
        }
        let connection = look.connection();
        let away = |cause: amqprs::error::Error| BusError::Away(cause.to_string());
        let taking = async {
            let channel = connection.open_channel(None).await.map_err(away)?;
            let mut all = Vec::new();
            while all.len() < SIGHT {
                let got = channel.basic_get(BasicGetArguments::new(&name)).await.map_err(away)?;
                let Some((told, properties, body)) = got else { break };
                let failed = failed_message(queue, reason, &properties, body);
                let last = enough(&failed);
                all.push(Taken { tag: told.delivery_tag(), properties, failed });
                if last {
                    break;
                }
            }
            Ok::<_, BusError>((Some(channel), all))
        };
        let taken = tokio::time::timeout(ANSWER_WITHIN, taking).await;
        let (channel, all) = taken.map_err(|_| BusError::Away("it does not answer".into()))??;
        // Given back before anybody looks again, unless one was searched and found.
        if let Some(channel) = channel.clone()
            && !all.last().is_some_and(|last: &Taken| enough(&last.failed))
        {
            channel.close().await.map_err(away)?;
        }
        Ok((channel.map(|channel| Held { channel, _connection: connection }), all))
    }
}

/// The broker has no part in a transaction. So what it is asked for is noted before: nothing is changed that stands nowhere. When it
/// fails, that is noted as well.
async fn noting(
    note: &Note,
    failed: &FailedMessage,
    change: impl Future<Output = Result<(), BusError>>,
) -> Result<bool, BusError> {
    let message = failed.envelope.as_ref().map(|envelope| envelope.message_id.to_string()).unwrap_or_default();
    let note = note.with("queue", &failed.queue).with("message", message);
    note.commit().await?;
    if let Err(cause) = change.await {
        if let Err(unnoted) = note.with("failed", &cause).commit().await {
            tracing::error!(%unnoted, "it could not be noted that a change of a failed message failed");
        }
        return Err(cause);
    }
    Ok(true)
}

/// Takes one away; closing the channel gives the others back.
async fn acknowledge(held: Held, tag: u64) -> Result<(), BusError> {
    let acknowledged = async {
        held.channel.basic_ack(BasicAckArguments::new(tag, false)).await?;
        held.channel.close().await
    };
    let acknowledged = tokio::time::timeout(ANSWER_WITHIN, acknowledged).await;
    let acknowledged = acknowledged.map_err(|_| BusError::Away("it does not answer".into()))?;
    acknowledged.map_err(|cause| BusError::Away(cause.to_string()))
}

fn failed_message(queue: &str, reason: FailedReason, properties: &BasicProperties, body: Vec<u8>) -> FailedMessage {
    let headers = properties::texts(properties);
    let noted = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let failed_at = properties::time(&headers, "MT-Fault-Timestamp");
    let error = match (reason, headers.get("MT-Fault-Message")) {
        (_, Some(error)) => error.clone(),
        (FailedReason::Skipped, None) => fault::SKIPPED.to_owned(),
        (FailedReason::Fault, None) => match headers.get("x-first-death-reason") {
            Some(why) => format!("the broker gave it up: {why}"),
            None => noted("MT-Reason"),
        },
    };
    let retries = noted("MT-Fault-RetryCount").parse::<u32>().unwrap_or(0);
    let attempts = match (reason, properties::number(properties, properties::ATTEMPTS)) {
        (FailedReason::Skipped, _) => 0,
        (FailedReason::Fault, 0) => retries + 1,
        (FailedReason::Fault, counted) => counted,
    };
    let message_id = properties.message_id().cloned().unwrap_or_default();
    let at = noted("MT-Fault-Timestamp");
    FailedMessage {
        id: derived_id(&[queue.as_bytes(), message_id.as_bytes(), at.as_bytes(), &body]),
        queue: queue.to_owned(),
        reason,
        error,
        attempts,
        failed_at: failed_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        envelope: Envelope::read(&body, properties::message_id(properties)).ok(),
        body: body.into(),
        headers,
    }
}
