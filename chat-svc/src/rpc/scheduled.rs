//! `ScheduledMessageService`.

use mesh::fields::Fields;
use proto::chat::v1::{self as v1, scheduled_message_service_server::ScheduledMessageService};
use time::{Duration, OffsetDateTime};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer};
use crate::{
    errors::ChatError,
    fields::text,
    scheduled,
    store::{self, scheduled as rows},
};

/// How far ahead a message may be put off.
const FARTHEST: Duration = Duration::days(366);

#[async_trait]
impl ScheduledMessageService for Rpc {
    async fn schedule_message(
        &self,
        request: Request<v1::ScheduleMessageRequest>,
    ) -> Result<Response<v1::ScheduleMessageResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let (room_id, op_id, message, send_at) = read(request, self.0.clock.now())?;
            let scheduled = scheduled::schedule(&self.0.db, actor, room_id, op_id, &message, send_at).await?;
            Ok(v1::ScheduleMessageResponse { scheduled: Some(scheduled) })
        };
        answer(run.await)
    }

    async fn list_scheduled_messages(
        &self,
        request: Request<v1::ListScheduledMessagesRequest>,
    ) -> Result<Response<v1::ListScheduledMessagesResponse>, Status> {
        let actor = actor(request.extensions())?;
        let run = async {
            let mine = rows::of(self.0.db.reader(), actor.user_id).await?;
            Ok(v1::ListScheduledMessagesResponse { scheduled: mine.into_iter().map(scheduled::shown).collect() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn cancel_scheduled_message(
        &self,
        request: Request<v1::CancelScheduledMessageRequest>,
    ) -> Result<Response<v1::CancelScheduledMessageResponse>, Status> {
        let actor = actor(request.extensions())?;
        let run = async {
            let id = Uuid::try_parse(&request.get_ref().id).map_err(|_| ChatError::ScheduledMessageNotFound)?;
            let tx = self.0.db.begin().await?;
            let found = rows::forget(&tx, actor.user_id, id).await?;
            tx.commit().await?;
            found.then_some(v1::CancelScheduledMessageResponse {}).ok_or(ChatError::ScheduledMessageNotFound)
        };
        answer(run.await)
    }
}

/// The room, the operation, the message and the time.
fn read(
    request: v1::ScheduleMessageRequest,
    now: OffsetDateTime,
) -> Result<(Uuid, Uuid, v1::SendMessageRequest, OffsetDateTime), ChatError> {
    let mut fields = Fields::default();
    let message = request.request.unwrap_or_default();
    let room_id = fields.id("request.room_id", &message.room_id);
    let op_id = fields.id("request.op_id", &message.op_id);
    text(&mut fields, &message.text, false);
    if !message.file_ids.is_empty() {
        fields.wrong("request.file_ids", "must be empty: files cannot be put off yet");
    }
    let at = request.send_at.and_then(|at| {
        let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
    });
    let at = match at {
        Some(at) if at <= now + FARTHEST => store::micros(at),
        Some(_) => {
            fields.wrong("send_at", "must be at most one year ahead");
            0
        }
        None => {
            fields.wrong("send_at", "is required, and must be a time");
            0
        }
    };
    fields.done()?;
    Ok((room_id, op_id, message, mesh::db::time_of(at)))
}
