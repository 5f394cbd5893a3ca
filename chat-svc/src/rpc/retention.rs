//! The internal `RetentionService`.

use mesh::fields::Fields;
use proto::chat::internal::v1::{
    ExpireMessagesRequest, ExpireMessagesResponse, retention_service_server::RetentionService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::retention;

#[async_trait]
impl RetentionService for Rpc {
    async fn expire_messages(
        &self,
        request: Request<ExpireMessagesRequest>,
    ) -> Result<Response<ExpireMessagesResponse>, Status> {
        let run = async {
            let mut fields = Fields::default();
            let from = fields.optional_id("page_token", &request.get_ref().page_token);
            fields.done()?;
            let shared = &self.0;
            let (from, now) = (from.unwrap_or_default(), shared.clock.now());
            retention::step(shared.db.reader(), &shared.appender, shared.retention_days, now, from).await
        };
        answer(run.await)
    }
}
