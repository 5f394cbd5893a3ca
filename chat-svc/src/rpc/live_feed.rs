//! The internal `FeedService`: the log and the live stream for gateways.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use mesh::{errors, fields::Fields};
use proto::chat::internal::v1::{
    AttachRequest, AttachResponse, OpenFeedsRequest, OpenFeedsResponse, ReadFeedRequest, ReadFeedResponse,
    attach_request::Action, feed_service_server::FeedService,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use uuid::Uuid;

use super::{Rpc, Shared, answer};
use crate::{
    feeds::{self, Opening},
    live::Attachment,
    presence::Gateway,
    store,
};

#[async_trait]
impl FeedService for Rpc {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<AttachResponse, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        let (attachment, items) = self.0.live.attach();
        let gateway = self.0.presence.attach(attachment.items());
        let drive = drive(self.0.clone(), attachment, gateway, request.into_inner());
        let items = ReceiverStream::new(items).map(Ok);
        let ended = futures::stream::once(async {
            let text = "The gateway read too slowly or the server is stopping; attach again.";
            Err(errors::unavailable("ATTACH_BEHIND", text, Duration::from_millis(100)))
        });
        // The driver runs as a part of the stream, so that it ends with it.
        let stream =
            futures::stream::select(items.chain(ended), futures::stream::once(drive).filter_map(|()| async { None }));
        let stop = self.0.stopping.clone().cancelled_owned();
        Ok(Response::new(Box::pin(stream.take_until(stop))))
    }

    async fn open_feeds(&self, request: Request<OpenFeedsRequest>) -> Result<Response<OpenFeedsResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let user_id = fields.id("user_id", &request.user_id);
            fields.done()?;
            let cursors = request.cursors.into_iter().map(|cursor| (cursor.feed_id, cursor.seq)).collect();
            let only = request.feed_ids.into_iter().collect();
            let opening = Opening { user_id, cursors, epoch: request.epoch, only };
            let epoch = self.0.epoch.clone();
            let feeds = feeds::open(self.0.db.reader(), &opening, &epoch).await?;
            Ok(OpenFeedsResponse { epoch, feeds })
        };
        answer(self.0.db.within(run).await)
    }

    async fn read_feed(&self, request: Request<ReadFeedRequest>) -> Result<Response<ReadFeedResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let user_id = fields.id("user_id", &request.user_id);
            let feed_id = fields.id("feed_id", &request.feed_id);
            let rows = fields.page_size(request.page_size, 200, 1000);
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let (events, head) = feeds::page(&tx, user_id, feed_id, request.after_seq, rows).await?;
            Ok(ReadFeedResponse { events, head })
        };
        answer(self.0.db.within(run).await)
    }
}

/// Does what a gateway asks for on its stream.
async fn drive(shared: Arc<Shared>, attachment: Attachment, gateway: Gateway, mut asked: Streaming<AttachRequest>) {
    while let Some(Ok(request)) = asked.next().await {
        match request.action {
            Some(Action::Add(add)) => {
                let followed = follow(&shared, &attachment, &ids(&add.feed_ids)).await;
                if let Err(cause) = followed {
                    return tracing::debug!(%cause, "a gateway must attach again");
                }
            }
            Some(Action::Drop(drop)) => attachment.drop_feeds(&ids(&drop.feed_ids)),
            Some(Action::Online(change)) => gateway.online(&change),
            Some(Action::Look(change)) => gateway.look(&change),
            None => {}
        }
    }
}

/// Sends feeds from now on, and says so. An error ends the stream: its gateway attaches again.
async fn follow(shared: &Shared, attachment: &Attachment, feeds: &[Uuid]) -> Result<(), Status> {
    let behind = || errors::plain(Code::Aborted, "ATTACH_BEHIND", "The stream has ended.");
    attachment.add(feeds);
    // Interest first, then where they stand: what is committed in between is heard of or missing, never neither. The gateway is
    // told as well, for it may have given a feed up and taken it again, and something was committed in between.
    let heads = shared.db.within(store::feed::heads(shared.db.reader(), feeds)).await.map_err(|cause| {
        tracing::warn!(%cause, "the heads of feeds could not be read");
        errors::plain(Code::Unavailable, "STORE_UNAVAILABLE", "The heads could not be read.")
    })?;
    let heads: HashMap<Uuid, u64> =
        feeds.iter().map(|feed| (*feed, heads.get(feed).map_or(0, |head| head.seq))).collect();
    if shared.live.is_shared() {
        attachment.stood(&heads);
    }
    for (feed, head) in heads {
        if !attachment.flows(feed, head).await {
            return Err(behind());
        }
    }
    Ok(())
}

fn ids(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect()
}
