//! `MessageService`.

use mesh::fields::Fields;
use proto::chat::v1::{self as v1, message_service_server::MessageService};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer};
use crate::{
    command::{Action, Actor, Place},
    errors::ChatError,
    fields::{MAX_FILES, op_id, text},
    files,
    messages::{self, Bound},
};

#[async_trait]
impl MessageService for Rpc {
    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let (op_id, action) = self.decode_send(actor, &request)?;
            // What people say is not audited.
            self.commit(actor, Place::default(), "SendMessage", op_id, &request, action).await
        };
        answer(run.await)
    }

    async fn edit_message(
        &self,
        request: Request<v1::EditMessageRequest>,
    ) -> Result<Response<v1::EditMessageResponse>, Status> {
        self.change("EditMessage", request, |fields, request: &v1::EditMessageRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let message_id = fields.id("message_id", &request.message_id);
            // A message with files may lose its text; whether it has some is known only inside the transaction.
            let text = text(fields, &request.text, true);
            (op_id(fields, &request.op_id), Action::EditMessage { room_id, message_id, text: text.into() })
        })
        .await
    }

    async fn delete_message(
        &self,
        request: Request<v1::DeleteMessageRequest>,
    ) -> Result<Response<v1::DeleteMessageResponse>, Status> {
        self.change("DeleteMessage", request, |fields, request: &v1::DeleteMessageRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let message_id = fields.id("message_id", &request.message_id);
            (op_id(fields, &request.op_id), Action::DeleteMessage { room_id, message_id })
        })
        .await
    }

    async fn remove_previews(
        &self,
        request: Request<v1::RemovePreviewsRequest>,
    ) -> Result<Response<v1::RemovePreviewsResponse>, Status> {
        self.change("RemovePreviews", request, |fields, request: &v1::RemovePreviewsRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let message_id = fields.id("message_id", &request.message_id);
            (op_id(fields, &request.op_id), Action::RemovePreviews { room_id, message_id })
        })
        .await
    }

    async fn list_messages(
        &self,
        request: Request<v1::ListMessagesRequest>,
    ) -> Result<Response<v1::ListMessagesResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let size = fields.page_size(request.page_size, 50, 200);
            let bound = match (request.before_seq, request.after_seq) {
                (0, 0) => Bound::Newest,
                (before, 0) => Bound::Before(before),
                (0, after) => Bound::After(after),
                _ => {
                    fields.wrong("after_seq", "must not be given together with before_seq");
                    Bound::Newest
                }
            };
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let (messages, more) = messages::list(&tx, actor, room_id, bound, size).await?;
            Ok(v1::ListMessagesResponse { messages, more })
        };
        answer(self.0.db.within(run).await)
    }
}

impl Rpc {
    fn decode_send(&self, actor: Actor, request: &v1::SendMessageRequest) -> Result<(Option<Uuid>, Action), ChatError> {
        let mut fields = Fields::default();
        let room_id = fields.id("room_id", &request.room_id);
        let text = text(&mut fields, &request.text, !request.file_ids.is_empty());
        let op_id = op_id(&mut fields, &request.op_id);
        if request.file_ids.len() > MAX_FILES {
            fields.wrong("file_ids", format!("must have at most {MAX_FILES} entries"));
        }
        fields.done()?;
        let now = self.0.clock.now();
        let claim = |text: &String| files::claim(text, room_id, actor.user_id, &self.0.secret, now);
        let files = request.file_ids.iter().map(claim).collect::<Result<_, _>>()?;
        Ok((op_id, Action::SendMessage { room_id, text: text.into(), files }))
    }
}
