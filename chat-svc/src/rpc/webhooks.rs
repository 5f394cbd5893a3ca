//! `IncomingWebhookService`, and what is posted as a webhook.

use mesh::fields::Fields;
use proto::chat::{
    internal::v1::{PostFromWebhookRequest, PostFromWebhookResponse, webhook_post_service_server::WebhookPostService},
    v1::{self as v1, SendMessageResponse, incoming_webhook_service_server::IncomingWebhookService},
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer, place};
use crate::{
    command::{Action, Actor, NewWebhook, Place},
    errors::ChatError,
    fields::{MAX_TEXT_BYTES, optional_op_id, text, webhook_name},
    store::webhook,
    webhooks::{self, secret},
};

#[async_trait]
impl IncomingWebhookService for Rpc {
    async fn create_incoming_webhook(
        &self,
        request: Request<v1::CreateIncomingWebhookRequest>,
    ) -> Result<Response<v1::CreateIncomingWebhookResponse>, Status> {
        let (actor, place) = (actor(request.extensions())?, place(request.extensions()));
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let name = webhook_name(&mut fields, &request.name);
            fields.done()?;
            let (secret, hash) = secret::new();
            let webhook = NewWebhook { id: mesh::ids::new_id(), name, hash };
            let url = format!("{}/hooks/{}/{secret}", self.0.public_url.trim_end_matches('/'), webhook.id);
            let action = Action::CreateWebhook { room_id, webhook: Box::new(webhook) };
            let made = self.commit(actor, place, "CreateIncomingWebhook", None, &request, action).await?;
            // Only this answer has the secret: what the writer remembers has not.
            Ok(v1::CreateIncomingWebhookResponse { url, ..made })
        };
        answer(run.await)
    }

    async fn list_incoming_webhooks(
        &self,
        request: Request<v1::ListIncomingWebhooksRequest>,
    ) -> Result<Response<v1::ListIncomingWebhooksResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let webhooks = webhooks::list(&tx, actor, room_id).await?;
            Ok::<_, ChatError>(v1::ListIncomingWebhooksResponse { webhooks })
        };
        answer(self.0.db.within(run).await)
    }

    async fn rename_incoming_webhook(
        &self,
        request: Request<v1::RenameIncomingWebhookRequest>,
    ) -> Result<Response<v1::RenameIncomingWebhookResponse>, Status> {
        self.change("RenameIncomingWebhook", request, |fields, request: &v1::RenameIncomingWebhookRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let webhook_id = fields.id("webhook_id", &request.webhook_id);
            let name = webhook_name(fields, &request.name);
            (None, Action::RenameWebhook { room_id, webhook_id, name })
        })
        .await
    }

    async fn delete_incoming_webhook(
        &self,
        request: Request<v1::DeleteIncomingWebhookRequest>,
    ) -> Result<Response<v1::DeleteIncomingWebhookResponse>, Status> {
        self.change("DeleteIncomingWebhook", request, |fields, request: &v1::DeleteIncomingWebhookRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let webhook_id = fields.id("webhook_id", &request.webhook_id);
            (None, Action::DeleteWebhook { room_id, webhook_id })
        })
        .await
    }
}

#[async_trait]
impl WebhookPostService for Rpc {
    async fn post_from_webhook(
        &self,
        request: Request<PostFromWebhookRequest>,
    ) -> Result<Response<PostFromWebhookResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let webhook = self.known(&request).await?;
            self.0.webhook_posts.count(webhook.id).await?;
            let (op_id, action) = read(&webhook, &request)?;
            // A webhook is who it is by its secret, so it is no part of what was asked for.
            let asked = PostFromWebhookRequest { webhook_id: webhook.id.to_string(), secret: String::new(), ..request };
            let actor = Actor { user_id: webhook.id, ..Actor::SYSTEM };
            let sent = self.commit(actor, Place::default(), "PostFromWebhook", op_id, &asked, action).await;
            let SendMessageResponse { message } = sent?;
            let message = message.ok_or_else(|| ChatError::internal("an answer without a message"))?;
            Ok(PostFromWebhookResponse { message_id: message.id, seq: message.seq })
        };
        answer(run.await)
    }
}

impl Rpc {
    /// The webhook whose address it is. A wrong id and a wrong secret answer alike, after as long.
    async fn known(&self, request: &PostFromWebhookRequest) -> Result<webhook::Model, ChatError> {
        let reading = async {
            match Uuid::try_parse(&request.webhook_id) {
                Ok(id) => Ok::<_, ChatError>(webhook::by_id(self.0.db.reader(), id).await?),
                Err(_) => Ok(None),
            }
        };
        let found = self.0.db.within(reading).await?;
        let good = secret::is_of(&request.secret, found.as_ref().map(|row| row.hash.as_slice()));
        found.filter(|_| good).ok_or(ChatError::WebhookNotFound)
    }
}

fn read(webhook: &webhook::Model, request: &PostFromWebhookRequest) -> Result<(Option<Uuid>, Action), ChatError> {
    if request.text.len() > MAX_TEXT_BYTES {
        return Err(ChatError::TextTooLong(request.text.len()));
    }
    let mut fields = Fields::default();
    let text = text(&mut fields, &request.text, false);
    let name = (!request.name.is_empty()).then(|| webhook_name(&mut fields, &request.name));
    let op_id = optional_op_id(&mut fields, &request.op_id);
    fields.done()?;
    Ok((op_id, Action::PostFromWebhook { room_id: webhook.room_id, webhook_id: webhook.id, said: text.into(), name }))
}
