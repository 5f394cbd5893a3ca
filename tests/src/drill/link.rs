//! Connections of clients that expect them to break: sockets and streams, with deadlines, and the bytes of events as they came.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf as _, Bytes};
use futures::{SinkExt as _, StreamExt as _};
use prost::{Message as _, encoding::decode_varint};
use proto::edge::v1::{
    Call, ClientFrame, Cursor, Ping, ServerFrame, SubscribeRequest, client_frame,
    edge_service_client::EdgeServiceClient, server_frame::Frame,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};
use tonic::{Streaming, transport::Endpoint};

/// How long a connection, an answer, or a sign of life may take. Then the client connects anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A client that hears nothing asks whether the server is there.
const QUIET: Duration = Duration::from_secs(2);

/// The connection is of no use any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

/// A live stream.
pub(super) enum Link {
    /// Over a WebSocket.
    Socket(Box<Socket>),
    /// Over gRPC, whose own pings find out that nobody is there.
    Stream(Box<Streaming<ServerFrame>>),
}

/// Something from the live stream. Events come with their bytes.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) frame: Frame,
    pub(super) event: Bytes,
}

impl Link {
    /// Subscribes over a socket.
    pub(super) async fn socket(address: SocketAddr, token: &str, request: SubscribeRequest) -> Result<Self, Broken> {
        let mut socket = Socket::connect(address, token).await?;
        socket.send(client_frame::Frame::Subscribe(request)).await?;
        Ok(Self::Socket(Box::new(socket)))
    }

    /// Subscribes over gRPC.
    pub(super) async fn stream(address: SocketAddr, token: &str, subscribe: SubscribeRequest) -> Result<Self, Broken> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| Broken)?;
        let endpoint = endpoint
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(QUIET)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true);
        let channel = timeout(PATIENCE, endpoint.connect()).await.map_err(|_| Broken)?.map_err(|_| Broken)?;
        let mut request = tonic::Request::new(subscribe);
        let bearer = format!("Bearer {token}").parse().map_err(|_| Broken)?;
        request.metadata_mut().insert("authorization", bearer);
        let mut client = EdgeServiceClient::new(channel);
        let answer = timeout(PATIENCE, client.subscribe(request)).await.map_err(|_| Broken)?.map_err(|_| Broken)?;
        Ok(Self::Stream(Box::new(answer.into_inner())))
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Result<Incoming, Broken> {
        match self {
            Self::Socket(socket) => socket.next().await,
            Self::Stream(stream) => {
                let frame = stream.message().await.map_err(|_| Broken)?.and_then(|frame| frame.frame).ok_or(Broken)?;
                // Encoded again: the same writer makes the same bytes.
                let event = match &frame {
                    Frame::Event(event) => event.encode_to_vec().into(),
                    _ => Bytes::new(),
                };
                Ok(Incoming { frame, event })
            }
        }
    }
}

/// A WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
    calls: u64,
}

impl Socket {
    pub(super) async fn connect(address: SocketAddr, token: &str) -> Result<Self, Broken> {
        let connecting = async {
            let mut request = format!("ws://{address}/ws").into_client_request().map_err(|_| Broken)?;
            let headers = request.headers_mut();
            headers.insert("sec-websocket-protocol", HeaderValue::from_static("loquat.v1"));
            headers.insert("authorization", format!("Bearer {token}").parse().map_err(|_| Broken)?);
            let stream = TcpStream::connect(address).await.map_err(|_| Broken)?;
            let (stream, _) = tokio_tungstenite::client_async(request, stream).await.map_err(|_| Broken)?;
            Ok(Self { stream, calls: 0 })
        };
        timeout(PATIENCE, connecting).await.unwrap_or(Err(Broken))
    }

    async fn send(&mut self, frame: client_frame::Frame) -> Result<(), Broken> {
        let bytes = ClientFrame { frame: Some(frame) }.encode_to_vec();
        let sending = self.stream.send(Message::Binary(bytes.into()));
        timeout(PATIENCE, sending).await.map_err(|_| Broken)?.map_err(|_| Broken)
    }

    /// The next frame. Whoever says nothing for long is asked, and given up when they do not answer.
    async fn next(&mut self) -> Result<Incoming, Broken> {
        if let Ok(incoming) = timeout(QUIET, self.read()).await {
            return incoming;
        }
        self.send(client_frame::Frame::Ping(Ping { nonce: 1, cursors: Vec::new() })).await?;
        timeout(PATIENCE, self.read()).await.unwrap_or(Err(Broken))
    }

    async fn read(&mut self) -> Result<Incoming, Broken> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    let event = event_bytes(bytes.clone()).unwrap_or_default();
                    let frame = ServerFrame::decode(bytes).map_err(|_| Broken)?.frame.ok_or(Broken)?;
                    return Ok(Incoming { frame, event });
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Broken),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Calls a method and awaits its answer: the payload, or the code of the refusal.
    pub(super) async fn call(&mut self, method: &str, payload: Vec<u8>) -> Result<Result<Bytes, i32>, Broken> {
        self.calls += 1;
        let id = self.calls;
        self.send(client_frame::Frame::Call(Call { id, method: method.into(), payload: payload.into() })).await?;
        let answer = async {
            loop {
                match self.read().await?.frame {
                    Frame::Reply(reply) if reply.id == id => return Ok(Ok(reply.payload)),
                    Frame::Error(error) if error.id == id => return Ok(Err(error.status.unwrap_or_default().code)),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, answer).await.unwrap_or(Err(Broken))
    }
}

/// Asks for everything from these cursors on.
pub(super) fn subscribe(cursors: Vec<(String, u64)>, epoch: &str, only_listed: bool) -> SubscribeRequest {
    let cursors = cursors.into_iter().map(|(feed_id, seq)| Cursor { feed_id, seq }).collect();
    SubscribeRequest { cursors, epoch: epoch.to_owned(), only_listed, look_at: Vec::new() }
}

/// The very bytes of `ServerFrame.event`, when that is what a frame has.
fn event_bytes(mut frame: Bytes) -> Option<Bytes> {
    // Field 3, length-delimited.
    if decode_varint(&mut frame).ok()? != 3 << 3 | 2 {
        return None;
    }
    let length = usize::try_from(decode_varint(&mut frame).ok()?).ok()?;
    (frame.remaining() == length).then_some(frame)
}

#[cfg(test)]
mod tests {
    use proto::{chat::v1::Event, edge::v1::CaughtUp};

    use super::*;

    #[test]
    fn the_bytes_of_an_event_are_cut_out_of_its_frame() {
        let event = Event { feed_id: "f".into(), seq: 300, ..Event::default() };
        let frame = ServerFrame { frame: Some(Frame::Event(event.clone())) };
        assert_eq!(event_bytes(frame.encode_to_vec().into()).unwrap(), event.encode_to_vec());
        let other = ServerFrame { frame: Some(Frame::CaughtUp(CaughtUp { epoch: "e".into() })) };
        assert!(event_bytes(other.encode_to_vec().into()).is_none());
    }
}
