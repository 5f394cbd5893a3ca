//! The floor of gRPC: tonic with the same contracts, and nothing behind them.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt as _};
use proto::{
    chat::v1::{
        self as chat, Event, Message, MessagePosted,
        event::Body,
        message_service_server::{MessageService, MessageServiceServer},
    },
    edge::v1::{
        CaughtUp, ServerFrame, SubscribeRequest,
        edge_service_server::{EdgeService, EdgeServiceServer},
        server_frame::Frame,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait, transport::Server};

/// Frames that may wait for one stream; the measurement never has more under way.
const QUEUE: usize = 8192;

type Streams = Arc<Mutex<Vec<mpsc::Sender<ServerFrame>>>>;

/// Answers sends and passes them on to every stream.
#[derive(Clone, Default)]
struct Bare {
    streams: Streams,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the address is taken.
pub async fn serve(listen: SocketAddr) -> Result<(), tonic::transport::Error> {
    let bare = Bare::default();
    Server::builder()
        .tcp_nodelay(true)
        .add_service(MessageServiceServer::new(bare.clone()))
        .add_service(EdgeServiceServer::new(bare))
        .serve(listen)
        .await
}

#[async_trait]
impl MessageService for Bare {
    async fn send_message(
        &self,
        request: Request<chat::SendMessageRequest>,
    ) -> Result<Response<chat::SendMessageResponse>, Status> {
        let request = request.into_inner();
        let message = Message {
            id: request.op_id.clone(),
            room_id: request.room_id.clone(),
            seq: 1,
            ordinal: 1,
            author_id: request.op_id.clone(),
            text: request.text,
            created_at: Some(proto::timestamp(1_700_000_000_000_000)),
            op_id: request.op_id.clone(),
            ..Message::default()
        };
        let event = Event {
            feed_id: request.room_id,
            seq: 1,
            at: message.created_at,
            actor_id: request.op_id,
            body: Some(Body::MessagePosted(MessagePosted { message: Some(message.clone()) })),
        };
        let frame = ServerFrame { frame: Some(Frame::Event(event)) };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.try_send(frame.clone()).is_ok());
        Ok(Response::new(chat::SendMessageResponse { message: Some(message) }))
    }

    async fn edit_message(
        &self,
        _: Request<chat::EditMessageRequest>,
    ) -> Result<Response<chat::EditMessageResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn delete_message(
        &self,
        _: Request<chat::DeleteMessageRequest>,
    ) -> Result<Response<chat::DeleteMessageResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn remove_previews(
        &self,
        _: Request<chat::RemovePreviewsRequest>,
    ) -> Result<Response<chat::RemovePreviewsResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn list_messages(
        &self,
        _: Request<chat::ListMessagesRequest>,
    ) -> Result<Response<chat::ListMessagesResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }
}

#[async_trait]
impl EdgeService for Bare {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<ServerFrame, Status>> + Send>>;

    async fn subscribe(&self, _: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let (sender, frames) = mpsc::channel(QUEUE);
        let caught_up = ServerFrame { frame: Some(Frame::CaughtUp(CaughtUp::default())) };
        let _ = sender.try_send(caught_up);
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(Response::new(Box::pin(ReceiverStream::new(frames).map(Ok))))
    }
}
