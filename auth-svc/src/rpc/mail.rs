//! The internal `MailService`.

use std::sync::Arc;

use proto::auth::internal::v1::{
    FindRecipientsRequest, FindRecipientsResponse, SendMentionMailRequest, SendMentionMailResponse,
    mail_service_server::MailService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, Shared, answer};
use crate::mentions;

#[async_trait]
impl MailService for Rpc {
    async fn find_recipients(
        &self,
        request: Request<FindRecipientsRequest>,
    ) -> Result<Response<FindRecipientsResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let found = mentions::recipients(&self.0, &request.usernames).await?;
            Ok(FindRecipientsResponse { user_ids: found.iter().map(Uuid::to_string).collect() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn send_mention_mail(
        &self,
        request: Request<SendMentionMailRequest>,
    ) -> Result<Response<SendMentionMailResponse>, Status> {
        let work = async move |shared: Arc<Shared>| mentions::send(&shared, request.into_inner()).await;
        let sent = self.detached(work).await;
        answer(sent.map(|sent| SendMentionMailResponse { sent }))
    }
}
