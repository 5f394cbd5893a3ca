//! The internal `MentionService`.

use mesh::fields::Fields;
use proto::chat::internal::v1::{CheckMentionsRequest, CheckMentionsResponse, mention_service_server::MentionService};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::mentions::{self, Asked};

/// How many mentions one question is about.
const MOST: usize = 100;

#[async_trait]
impl MentionService for Rpc {
    async fn check_mentions(
        &self,
        request: Request<CheckMentionsRequest>,
    ) -> Result<Response<CheckMentionsResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            if request.mentions.len() > MOST {
                fields.wrong("mentions", format!("must have at most {MOST} entries"));
            }
            let mut asked = Vec::with_capacity(request.mentions.len());
            for (place, mention) in request.mentions.iter().enumerate() {
                match Asked::read(mention) {
                    Some(mention) => asked.push(mention),
                    None => fields.wrong(&format!("mentions[{place}]"), "must have a user, a room and a message"),
                }
            }
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let mut states = Vec::with_capacity(asked.len());
            for mention in &asked {
                states.push(mentions::state(&tx, &self.0.presence, mention).await?);
            }
            Ok(CheckMentionsResponse { states })
        };
        answer(self.0.db.within(run).await)
    }
}
