//! Has chat-svc take away what rooms no longer keep, step by step.

use std::time::Duration;

use mesh::rpc::Upstream;
use proto::chat::internal::v1::{ExpireMessagesRequest, retention_service_client::RetentionServiceClient};
use tokio::time::Instant;

/// What waits for its time waits for this job as well, so it ends after a while and goes on when it comes back.
const WITHIN: Duration = Duration::from_secs(5);

/// Goes through all rooms, or as far as it comes.
pub(crate) async fn run(chat: Upstream) -> anyhow::Result<()> {
    let mut retention = RetentionServiceClient::new(chat);
    let end = Instant::now() + WITHIN;
    let (mut page_token, mut expired) = (String::new(), 0);
    loop {
        let step = retention.expire_messages(ExpireMessagesRequest { page_token }).await?.into_inner();
        expired += step.expired;
        page_token = step.next_page_token;
        let whole = page_token.is_empty();
        if whole || Instant::now() > end {
            if expired > 0 {
                tracing::info!(expired, whole, "old messages are gone");
            }
            return Ok(());
        }
    }
}
