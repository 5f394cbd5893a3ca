//! Previews of links: fetches the pages that messages link to, by the guarded way out, and reports what they say of themselves.
//!
//! What a page said is remembered for a day, so that a message that is delivered again, and a link that many post, is asked for once. A
//! page that cannot be had is no failure that anybody could mend: it is tried a few times, and then the link has no preview.

mod page;

use futures::future::join_all;
use http::{HeaderMap, StatusCode, header, response::Parts};
use mesh::{
    bus::{Bus, Delivery, HandlerError, QueueSpec},
    clock::Clock,
    db::{Db, micros},
    outbound::{Limits, Outbound, OutboundError},
    rpc::Upstream,
};
use mime::Mime;
use prost::Message as _;
use proto::chat::{
    internal::v1::{AttachPreviewsRequest, preview_service_client::PreviewServiceClient},
    v1::{LinkPreview, LinksPosted},
};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::store::link_preview;

/// What one page may take: what it says of itself is at its beginning.
pub(crate) const LIMITS: Limits =
    Limits { within: std::time::Duration::from_secs(10), bytes: 512 * 1024, redirects: 3 };
/// How many messages are worked on at a time.
const PREFETCH: usize = 8;
/// For how long it is known what a page said.
pub(crate) const REMEMBERED: time::Duration = time::Duration::days(1);
/// A page that does not answer is tried again after so many of the queue's pauses, as far as there are so many. It is no failure of
/// the message, so that it never gets to the error queue.
const PAGE_RETRIES: u32 = 2;
/// What is asked for.
const ACCEPT: &str = "text/html, application/xhtml+xml, image/*;q=0.5";

/// The queue of messages with links.
pub(crate) fn queue() -> QueueSpec {
    // A page that failed a moment ago is not asked again at once.
    QueueSpec::new("WorkerLinksPosted", [proto::event_kind::<LinksPosted>()]).never_at_once()
}

/// What previews are made with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Previews {
    /// Otherwise what comes is let go.
    pub(crate) enabled: bool,
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbound: Outbound,
    pub(crate) chat: PreviewServiceClient<Upstream>,
}

/// Why nothing is known of a page for now.
#[derive(Debug, thiserror::Error)]
enum Passing {
    #[error("the page: {0}")]
    Page(String),
    #[error("the database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

impl Previews {
    /// Makes previews until `stop`.
    pub(crate) async fn run(self, bus: Bus, stop: CancellationToken) {
        bus.consume(&queue(), PREFETCH, stop, move |came| self.clone().handle(came)).await;
    }

    /// Makes the previews of one message.
    pub(crate) async fn handle(mut self, came: Delivery) -> Result<(), HandlerError> {
        if !self.enabled {
            return Ok(());
        }
        let posted: LinksPosted =
            proto::from_json(&came.envelope.body).map_err(|cause| HandlerError::Poison(cause.into()))?;
        let (mut previews, mut missing) = (Vec::new(), None);
        for found in join_all(posted.urls.iter().map(|url| self.preview(url))).await {
            match found {
                Ok(preview) => previews.extend(preview),
                Err(Passing::Page(why)) => missing = Some(why),
                Err(cause) => return Err(HandlerError::Retry(cause.into())),
            }
        }
        if !previews.is_empty() {
            let LinksPosted { room_id, message_id, seq, .. } = posted;
            let request = AttachPreviewsRequest { room_id, message_id, seq, previews };
            self.chat.attach_previews(request).await.map_err(|cause| HandlerError::Retry(cause.into()))?;
        }
        match missing {
            Some(why) if came.redelivery < PAGE_RETRIES && !came.last => Err(HandlerError::Retry(anyhow::anyhow!(why))),
            _ => Ok(()),
        }
    }

    /// What a page says of itself: as it is remembered, or as it says now. Nothing when there is nothing to show.
    async fn preview(&self, url: &str) -> Result<Option<LinkPreview>, Passing> {
        let (key, now) = (Sha256::digest(url).to_vec(), self.clock.now());
        if let Some(known) = link_preview::find(self.db.reader(), &key, micros(now - REMEMBERED)).await? {
            return Ok(LinkPreview::decode(known.as_slice()).ok().filter(|known| !known.url.is_empty()));
        }
        let preview = match self.fetch(url).await {
            Ok(preview) => preview,
            Err(why) => {
                metrics::counter!("loquat_worker_previews_total", "outcome" => "failed").increment(1);
                tracing::debug!(url, why, "a page cannot be had for a preview");
                return Err(Passing::Page(format!("{url}: {why}")));
            }
        };
        let outcome = if preview.is_some() { "made" } else { "nothing" };
        metrics::counter!("loquat_worker_previews_total", "outcome" => outcome).increment(1);
        let bytes = preview.as_ref().map(LinkPreview::encode_to_vec).unwrap_or_default();
        let tx = self.db.begin().await?;
        link_preview::save(&tx, key, bytes, micros(now)).await?;
        tx.commit().await?;
        Ok(preview)
    }

    /// Asks a page. An error may pass; nothing is what there is for good.
    async fn fetch(&self, url: &str) -> Result<Option<LinkPreview>, String> {
        let (at, answer) = match self.outbound.get_beginning(url, ACCEPT, |head| kind(head).is_some()).await {
            Ok(answer) => answer,
            Err(cause @ (OutboundError::TooLate | OutboundError::Connection(_))) => return Err(cause.to_string()),
            Err(cause) => {
                tracing::debug!(url, %cause, "a page is not asked for a preview");
                return Ok(None);
            }
        };
        let (head, body) = answer.into_parts();
        if head.status.is_server_error() || head.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("answered {}", head.status));
        }
        Ok(match kind(&head) {
            Some(Kind::Page(charset)) => page::read(&body, charset.as_deref(), url, &at),
            Some(Kind::Picture) => page::picture(url, &at),
            None => {
                tracing::debug!(url, status = %head.status, "this is no page that has a preview");
                None
            }
        })
    }
}

/// What can have a preview.
enum Kind {
    /// HTML, in the encoding that the server names.
    Page(Option<String>),
    Picture,
}

fn kind(head: &Parts) -> Option<Kind> {
    if !head.status.is_success() || encoded(&head.headers) {
        return None;
    }
    let said: Mime = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()?;
    match (said.type_().as_str(), said.subtype().as_str(), said.suffix().map(|suffix| suffix.as_str())) {
        ("text", "html", _) | ("application", "xhtml", Some("xml")) => {
            Some(Kind::Page(said.get_param(mime::CHARSET).map(|charset| charset.as_str().to_owned())))
        }
        ("image", ..) => Some(Kind::Picture),
        _ => None,
    }
}

/// Compressed, which nobody asked for.
fn encoded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}

/// The host as people know it.
fn host(at: &Url) -> String {
    let host = at.host_str().unwrap_or_default();
    host.strip_prefix("www.").unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests;
