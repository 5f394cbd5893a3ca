//! Incoming webhooks: made, renamed and deleted by those who run a room, and what is posted as one.
//!
//! What a webhook posts has the webhook as its author, so that nobody can edit it and nobody is said to have said it.

pub(crate) mod posts;
pub(crate) mod secret;

use bytes::Bytes;
use prost::Message as _;
use proto::chat::v1::{
    CreateIncomingWebhookResponse, DeleteIncomingWebhookResponse, IncomingWebhook, Message, MessageWebhook,
    RenameIncomingWebhookResponse,
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    append::Work,
    command::{Actor, NewWebhook},
    errors::ChatError,
    messages,
    policy::{self, Action},
    rooms,
    said::Said,
    store::{self, room, webhook},
};

/// The most that one room may have.
const MOST: u64 = 50;

/// Makes one.
pub(crate) async fn create(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    new: &NewWebhook,
) -> Result<Bytes, ChatError> {
    rooms::open(work.tx().await?, room_id, actor, Action::AddWebhook).await?;
    // The room's counter is locked: nobody else makes one meanwhile.
    if webhook::count(work.tx().await?, room_id).await? >= MOST {
        return Err(ChatError::TooManyWebhooks);
    }
    let row = webhook::Model {
        id: new.id,
        room_id,
        name: new.name.clone(),
        hash: new.hash.to_vec(),
        created_by: actor.user_id,
        created_at: store::micros(work.now),
    };
    webhook::insert(work.tx().await?, row.clone()).await?;
    work.wrote();
    work.audit(actor, "webhook.created", room_id, &facts(&row));
    Ok(CreateIncomingWebhookResponse { webhook: Some(row.to_proto()), url: String::new() }.encode_to_vec().into())
}

/// Calls one something else from now on.
pub(crate) async fn rename(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    webhook_id: Uuid,
    name: &str,
) -> Result<Bytes, ChatError> {
    let mut row = open(work, actor, room_id, webhook_id, Action::AddWebhook).await?;
    if row.name != name {
        let [id, before] = facts(&row);
        name.clone_into(&mut row.name);
        webhook::rename(work.tx().await?, webhook_id, name).await?;
        work.wrote();
        work.audit(actor, "webhook.renamed", room_id, &[id, ("name", name.to_owned()), ("before", before.1)]);
    }
    Ok(RenameIncomingWebhookResponse { webhook: Some(row.to_proto()) }.encode_to_vec().into())
}

/// Takes one away. What it posted stays.
pub(crate) async fn delete(
    work: &mut Work<'_>,
    actor: Actor,
    room_id: Uuid,
    webhook_id: Uuid,
) -> Result<Bytes, ChatError> {
    let row = open(work, actor, room_id, webhook_id, Action::ManageWebhooks).await?;
    webhook::delete(work.tx().await?, webhook_id).await?;
    work.wrote();
    work.audit(actor, "webhook.deleted", room_id, &facts(&row));
    Ok(DeleteIncomingWebhookResponse {}.encode_to_vec().into())
}

/// A webhook of a room for somebody who wants to change it.
async fn open(
    work: &Work<'_>,
    actor: Actor,
    room_id: Uuid,
    webhook_id: Uuid,
    action: Action,
) -> Result<webhook::Model, ChatError> {
    rooms::open(work.tx().await?, room_id, actor, action).await?;
    webhook::find(work.tx().await?, room_id, webhook_id).await?.ok_or(ChatError::WebhookNotFound)
}

/// What the audit log says of one.
fn facts(row: &webhook::Model) -> [(&'static str, String); 2] {
    [("webhook", row.id.to_string()), ("name", row.name.clone())]
}

/// Those of a room, for somebody who may see them.
pub(crate) async fn list<C: ConnectionTrait>(
    db: &C,
    actor: Actor,
    room_id: Uuid,
) -> Result<Vec<IncomingWebhook>, ChatError> {
    rooms::open(db, room_id, actor, Action::ManageWebhooks).await?;
    Ok(webhook::of_room(db, room_id).await?.iter().map(webhook::Model::to_proto).collect())
}

/// Posts a message as one. That its secret is known was proven before; that it was not deleted since is looked at here.
pub(crate) async fn post(
    work: &mut Work<'_>,
    room_id: Uuid,
    webhook_id: Uuid,
    said: &Said,
    name: Option<&str>,
    op_id: Option<Uuid>,
) -> Result<Bytes, ChatError> {
    let row = webhook::find(work.tx().await?, room_id, webhook_id).await?.ok_or(ChatError::WebhookNotFound)?;
    let room = room::find(work.tx().await?, room_id).await?.ok_or(ChatError::WebhookNotFound)?;
    policy::allow_webhook(room.rules())?;
    let name = name.map_or(row.name, str::to_owned);
    let posted = Message {
        author_id: webhook_id.to_string(),
        op_id: op_id.map(|id| id.to_string()).unwrap_or_default(),
        webhook: Some(MessageWebhook { id: webhook_id.to_string(), name }),
        ..Message::default()
    };
    messages::put(work, room_id, webhook_id, said, posted)
}
