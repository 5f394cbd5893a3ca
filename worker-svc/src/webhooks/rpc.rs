//! `WebhookService`.

use mesh::{db::micros, fields::Invalid, ids, outbound};
use proto::{
    timestamp,
    worker::v1::{self as v1, webhook_service_server::WebhookService},
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Webhooks, known, sign};
use crate::{
    audit::{self, Operator},
    errors::WorkerError,
    jobs::{answer, page_size},
    store::{delivery, webhook},
};

/// The handlers.
pub(crate) struct WebhookRpc(pub(crate) Webhooks);

#[async_trait]
impl WebhookService for WebhookRpc {
    async fn create_webhook(
        &self,
        request: Request<v1::CreateWebhookRequest>,
    ) -> Result<Response<v1::CreateWebhookResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let (url, room_id, events) = read(request.get_ref())?;
            let row = webhook::Model {
                id: ids::new_id(),
                url,
                room_id,
                events,
                secret: sign::secret(),
                created_by: operator.id.to_string(),
                created_at: micros(self.0.clock.now()),
            };
            let tx = self.0.db.begin().await?;
            webhook::add(&tx, row.clone()).await?;
            let host = outbound::parse(&row.url).ok().and_then(|url| url.host_str().map(str::to_owned));
            // An address may hold a secret of the other program, so that only its host is noted.
            let entry = operator.did("webhook.created", row.id).with("host", host.unwrap_or_default());
            audit::commit(tx, entry.with("events", &row.events), &self.0.clock).await?;
            self.0.listen().await?;
            let secret = sign::shown(&row.secret);
            Ok(v1::CreateWebhookResponse { webhook: Some(shown(row)), secret })
        };
        answer(run.await)
    }

    async fn list_webhooks(
        &self,
        _: Request<v1::ListWebhooksRequest>,
    ) -> Result<Response<v1::ListWebhooksResponse>, Status> {
        let run = async {
            let rows = webhook::list(self.0.db.reader()).await?;
            Ok(v1::ListWebhooksResponse { webhooks: rows.into_iter().map(shown).collect() })
        };
        answer(run.await)
    }

    async fn delete_webhook(
        &self,
        request: Request<v1::DeleteWebhookRequest>,
    ) -> Result<Response<v1::DeleteWebhookResponse>, Status> {
        let operator = Operator::of(request.extensions())?;
        let run = async {
            let id = Uuid::try_parse(&request.get_ref().id).map_err(|_| WorkerError::WebhookNotFound("id"))?;
            let tx = self.0.db.begin().await?;
            if !webhook::delete(&tx, id).await? {
                return Err(WorkerError::WebhookNotFound("id"));
            }
            delivery::forget(&tx, id).await?;
            audit::commit(tx, operator.did("webhook.deleted", id), &self.0.clock).await?;
            self.0.listen().await?;
            Ok(v1::DeleteWebhookResponse {})
        };
        answer(run.await)
    }

    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        let run = async {
            let request = request.get_ref();
            let missing = || WorkerError::WebhookNotFound("webhook_id");
            let id = Uuid::try_parse(&request.webhook_id).map_err(|_| missing())?;
            webhook::find(self.0.db.reader(), id).await?.ok_or_else(missing)?;
            let size = page_size(request.page_size)?;
            let token = WorkerError::Invalid { field: "page_token", description: "is not one that this call gave" };
            let below = match request.page_token.as_str() {
                "" => None,
                text => Some(Uuid::try_parse(text).map_err(|_| token)?),
            };
            let mut rows = delivery::list(self.0.db.reader(), id, below, size + 1).await?;
            let more = mesh::db::cut_page(&mut rows, size);
            let next_page_token = rows.last().filter(|_| more).map(|row| row.id.to_string()).unwrap_or_default();
            Ok(v1::ListDeliveriesResponse { deliveries: rows.into_iter().map(logged).collect(), next_page_token })
        };
        answer(run.await)
    }
}

/// The URL, the room and the events of a webhook.
fn read(request: &v1::CreateWebhookRequest) -> Result<(String, Option<Uuid>, String), WorkerError> {
    let invalid = |field: &'static str, description: String| WorkerError::Fields(Invalid::one(field, &description));
    let url = outbound::parse(&request.url).map_err(|cause| {
        let text = cause.to_string();
        invalid("url", text.strip_prefix("the URL ").unwrap_or(&text).to_owned())
    })?;
    let room_id = match request.room_id.as_str() {
        "" => None,
        text => Some(Uuid::try_parse(text).map_err(|_| invalid("room_id", "must be a UUID, or empty".into()))?),
    };
    let names = known().map(|(name, _)| name);
    let unknown = request.events.iter().find(|event| !names.contains(&event.as_str()));
    if request.events.is_empty() || unknown.is_some() {
        return Err(invalid("events", format!("must be some of {}", names.join(", "))));
    }
    let mut events = request.events.clone();
    events.sort();
    events.dedup();
    Ok((url.into(), room_id, events.join(",")))
}

fn shown(row: webhook::Model) -> v1::Webhook {
    v1::Webhook {
        id: row.id.to_string(),
        events: row.events().map(str::to_owned).collect(),
        url: row.url,
        room_id: row.room_id.map(|id| id.to_string()).unwrap_or_default(),
        created_by: row.created_by,
        created_at: Some(timestamp(row.created_at)),
    }
}

fn logged(row: delivery::Model) -> v1::Delivery {
    v1::Delivery {
        id: row.id.to_string(),
        message_id: row.message_id.to_string(),
        event: row.event,
        at: Some(timestamp(row.at)),
        status: u32::try_from(row.status).unwrap_or(0),
        error: row.error,
        duration_ms: u32::try_from(row.duration_ms).unwrap_or(u32::MAX),
    }
}
