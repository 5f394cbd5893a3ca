//! The internal `PreviewService`.

use mesh::fields::Fields;
use proto::chat::internal::v1::{
    AttachPreviewsRequest, AttachPreviewsResponse, preview_service_server::PreviewService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::{
    command::{Action, Actor, Place},
    errors::ChatError,
};

/// The most previews of one message.
const MAX_PREVIEWS: usize = 5;
/// The most bytes of all of them: two links of the longest and the longest texts each, and some more.
const MAX_BYTES: usize = 5 * 8 * 1024;

#[async_trait]
impl PreviewService for Rpc {
    async fn attach_previews(
        &self,
        request: Request<AttachPreviewsRequest>,
    ) -> Result<Response<AttachPreviewsResponse>, Status> {
        let request = request.into_inner();
        answer(
            async { self.commit(Actor::SYSTEM, Place::default(), "", None, &request, decode(&request)?).await }.await,
        )
    }
}

fn decode(request: &AttachPreviewsRequest) -> Result<Action, ChatError> {
    let mut fields = Fields::default();
    let room_id = fields.id("room_id", &request.room_id);
    let message_id = fields.id("message_id", &request.message_id);
    let bytes: usize = request.previews.iter().map(prost::Message::encoded_len).sum();
    if request.previews.is_empty() || request.previews.len() > MAX_PREVIEWS || bytes > MAX_BYTES {
        fields
            .wrong("previews", format!("must have 1 to {MAX_PREVIEWS} entries of at most {MAX_BYTES} bytes together"));
    }
    fields.done()?;
    Ok(Action::AttachPreviews { room_id, message_id, seq: request.seq, previews: request.previews.clone() })
}
