//! `JobService`: the queues, and what failed in them.

mod waiting;
mod watch;

use mesh::{
    audit::{Entry, Note},
    bus::{Bus, FailedMessage, FailedReason, QueueStatus},
    errors,
};
use proto::worker::v1::{self as v1, job_service_server::JobService};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::{audit::Operator, errors::WorkerError, schedule::Schedule};

/// How many bytes of a failed message are shown.
const SHOWN: usize = 64 * 1024;

/// The handlers.
pub(crate) struct Jobs {
    pub(crate) bus: Bus,
    pub(crate) schedule: Schedule,
    /// Ends what is watched.
    pub(crate) stopping: CancellationToken,
}

#[async_trait]
impl JobService for Jobs {
    type WatchQueuesStream = watch::Watching;

    async fn watch_queues(
        &self,
        _: Request<v1::WatchQueuesRequest>,
    ) -> Result<Response<Self::WatchQueuesStream>, Status> {
        Ok(Response::new(watch::watch(self.schedule.clone(), self.stopping.clone())))
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let run = async {
            let size = page_size(request.get_ref().page_size)?;
            Ok(v1::ListJobsResponse { jobs: waiting::list(&self.schedule, size).await? })
        };
        answer(run.await)
    }

    async fn run_job(&self, request: Request<v1::RunJobRequest>) -> Result<Response<v1::RunJobResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let id = &request.get_ref().id;
            let found = self.schedule.hurry(id, operator.did("job.started", id)).await?;
            found.then_some(v1::RunJobResponse {}).ok_or(WorkerError::JobNotFound)
        };
        answer(run.await)
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::CancelJobResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let token = Uuid::try_parse(&request.get_ref().id).map_err(|_| WorkerError::JobNotFound)?;
            let found = self.schedule.cancel(token, operator.did("job.cancelled", token)).await?;
            found.then_some(v1::CancelJobResponse {}).ok_or(WorkerError::JobNotFound)
        };
        answer(run.await)
    }

    async fn list_queues(&self, _: Request<v1::ListQueuesRequest>) -> Result<Response<v1::ListQueuesResponse>, Status> {
        let run = async {
            let queues = self.bus.queues().await?;
            Ok(v1::ListQueuesResponse { queues: queues.into_iter().map(queue).collect() })
        };
        answer(run.await)
    }

    async fn list_failed_messages(
        &self,
        request: Request<v1::ListFailedMessagesRequest>,
    ) -> Result<Response<v1::ListFailedMessagesResponse>, Status> {
        let run = async {
            let request = request.get_ref();
            let size = page_size(request.page_size)?;
            let (failed, next_page_token) = self.bus.failed(&request.queue, size, &request.page_token).await?;
            let messages = failed.iter().map(|message| failed_message(message, false)).collect();
            Ok(v1::ListFailedMessagesResponse { messages, next_page_token })
        };
        answer(run.await)
    }

    async fn get_failed_message(
        &self,
        request: Request<v1::GetFailedMessageRequest>,
    ) -> Result<Response<v1::GetFailedMessageResponse>, Status> {
        let run = async {
            let found = self.bus.failed_one(id(&request.get_ref().id)?).await?;
            let message = found.ok_or(WorkerError::FailedMessageNotFound)?;
            Ok(v1::GetFailedMessageResponse { message: Some(failed_message(&message, true)) })
        };
        answer(run.await)
    }

    async fn retry_failed_message(
        &self,
        request: Request<v1::RetryFailedMessageRequest>,
    ) -> Result<Response<v1::RetryFailedMessageResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let id = id(&request.get_ref().id)?;
            let done = self.bus.retry(id, &self.note(operator.did("message.retried", id))).await?;
            done.then_some(v1::RetryFailedMessageResponse {}).ok_or(WorkerError::FailedMessageNotFound)
        };
        answer(run.await)
    }

    async fn discard_failed_message(
        &self,
        request: Request<v1::DiscardFailedMessageRequest>,
    ) -> Result<Response<v1::DiscardFailedMessageResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let id = id(&request.get_ref().id)?;
            let done = self.bus.discard(id, &self.note(operator.did("message.discarded", id))).await?;
            done.then_some(v1::DiscardFailedMessageResponse {}).ok_or(WorkerError::FailedMessageNotFound)
        };
        answer(run.await)
    }
}

impl Jobs {
    /// What the bus notes of a change.
    fn note(&self, entry: Entry) -> Note {
        Note::new(self.schedule.db.clone(), entry, self.schedule.clock.now())
    }
}

/// How many entries a page has.
pub(crate) fn page_size(asked: u32) -> Result<u64, WorkerError> {
    match asked {
        0 => Ok(50),
        size if size <= 200 => Ok(size.into()),
        _ => Err(WorkerError::Invalid { field: "page_size", description: "must be at most 200" }),
    }
}

pub(crate) fn answer<T>(result: Result<T, WorkerError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(errors::status)
}

fn id(text: &str) -> Result<Uuid, WorkerError> {
    Uuid::try_parse(text).map_err(|_| WorkerError::Invalid { field: "id", description: "must be a UUID" })
}

fn queue(status: QueueStatus) -> v1::Queue {
    let QueueStatus { name, ready, in_flight, delayed, failed, skipped, oldest_at, handled, failures } = status;
    let oldest_at = oldest_at.map(timestamp);
    v1::Queue { name, ready, in_flight, delayed, failed, oldest_at, skipped, handled, failures }
}

fn failed_message(message: &FailedMessage, whole: bool) -> v1::FailedMessage {
    let envelope = message.envelope.as_ref();
    let text = || String::from_utf8_lossy(&message.body[..message.body.len().min(SHOWN)]).into_owned();
    let reason = match message.reason {
        FailedReason::Fault => v1::FailedReason::Fault,
        FailedReason::Skipped => v1::FailedReason::Skipped,
    };
    v1::FailedMessage {
        id: message.id.to_string(),
        queue: message.queue.clone(),
        message_id: envelope.map(|envelope| envelope.message_id.to_string()).unwrap_or_default(),
        message_type: envelope.and_then(|envelope| envelope.message_type.first().cloned()).unwrap_or_default(),
        error: message.error.clone(),
        attempts: message.attempts,
        failed_at: Some(timestamp(message.failed_at)),
        envelope_json: if whole { text() } else { String::new() },
        reason: reason.into(),
        traceparent: envelope.and_then(|envelope| envelope.header("traceparent")).unwrap_or_default().to_owned(),
        sent_at: envelope.and_then(|envelope| envelope.sent_time).map(timestamp),
    }
}

pub(crate) fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) }
}
