//! How often one webhook posts, in windows of a minute.

use std::{num::NonZeroU32, time::Duration};

use mesh::cache::{Cache, Counters};
use uuid::Uuid;

use crate::errors::ChatError;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts posts.
pub(crate) struct Posts {
    counters: Counters,
    most: u64,
}

impl Posts {
    /// `here` is a cache of this process, `most` how many a minute has.
    pub(crate) fn new(shared: Cache, here: Cache, most: NonZeroU32) -> Self {
        Self { counters: Counters::new(shared, here, "loquat_chat_webhook_posts_local_total"), most: most.get().into() }
    }

    /// Counts one, of a webhook whose secret is known: who does not know it cannot use its posts up.
    pub(crate) async fn count(&self, webhook_id: Uuid) -> Result<(), ChatError> {
        let key = format!("chat.webhook.posts.{webhook_id}");
        if self.counters.increment(&key, WINDOW).await > self.most {
            metrics::counter!("loquat_chat_webhook_posts_refused_total").increment(1);
            return Err(ChatError::WebhookPosts(WINDOW));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mesh::lifecycle::Tasks;

    use super::*;

    #[tokio::test]
    async fn posts_are_limited_whether_the_cache_is_there_or_not() {
        let tasks = Tasks::new();
        // Nobody listens on port 1.
        for shared in ["memory:", "redis://127.0.0.1:1"] {
            let open = |url| Cache::open(url, &tasks).unwrap();
            let posts = Posts::new(open(shared), open("memory:"), NonZeroU32::new(2).unwrap());
            let (one, other) = (mesh::ids::new_id(), mesh::ids::new_id());
            for _ in 0..2 {
                posts.count(one).await.unwrap();
            }
            assert!(matches!(posts.count(one).await, Err(ChatError::WebhookPosts(_))), "{shared}");
            posts.count(other).await.unwrap();
        }
        tasks.stop(Duration::from_secs(5)).await;
    }
}
