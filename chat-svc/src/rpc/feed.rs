//! The public `FeedService`.

use mesh::fields::Fields;
use proto::chat::v1::{VerifyRangeRequest, VerifyRangeResponse, feed_service_server::FeedService};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, actor, answer};
use crate::feeds;

#[async_trait]
impl FeedService for Rpc {
    async fn verify_range(
        &self,
        request: Request<VerifyRangeRequest>,
    ) -> Result<Response<VerifyRangeResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let feed_id = fields.id("feed_id", &request.feed_id);
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let (count, digest) = feeds::verify(&tx, actor.user_id, feed_id, request.from_seq, request.to_seq).await?;
            Ok(VerifyRangeResponse { count, digest: digest.into() })
        };
        answer(self.0.db.within(run).await)
    }
}
