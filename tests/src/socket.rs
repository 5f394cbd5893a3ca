//! A client of `/ws`.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use proto::edge::v1::{Call, ClientFrame, ServerFrame, client_frame, server_frame::Frame};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::within;

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    calls: u64,
    /// What the server said when it closed the socket.
    pub close_reason: String,
}

/// What a socket ended with.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close code; 0 when there was none.
    pub code: u16,
}

impl Socket {
    /// Connects with some headers.
    ///
    /// # Errors
    /// When the server refuses the upgrade.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("loquat.v1"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let (stream, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { stream, calls: 0, close_reason: String::new() })
    }

    /// Connects with a token.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn signed_in(address: SocketAddr, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::connect(address, &[("authorization", bearer.as_str())]).await.expect("the socket opens")
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the socket is closed.
    pub async fn send(&mut self, frame: client_frame::Frame) {
        let bytes = ClientFrame { frame: Some(frame) }.encode_to_vec();
        self.stream.send(Message::Binary(bytes.into())).await.expect("the socket is open");
    }

    /// Sends anything.
    ///
    /// # Panics
    /// When the socket is closed.
    pub async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.expect("the socket is open");
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the socket was closed.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn next(&mut self) -> Result<Frame, Closed> {
        loop {
            match within("the next frame", self.stream.next()).await {
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = ServerFrame::decode(bytes).expect("a ServerFrame").frame;
                    return Ok(frame.expect("a frame that is known"));
                }
                Some(Ok(Message::Close(close))) => {
                    self.close_reason = close.as_ref().map(|close| close.reason.to_string()).unwrap_or_default();
                    return Err(Closed { code: close.map_or(0, |close| close.code.into()) });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed { code: 0 }),
            }
        }
    }

    /// Calls a method and waits for its answer; other frames are passed over.
    ///
    /// # Errors
    /// When the call fails.
    ///
    /// # Panics
    /// When the socket is closed or the answer is not of that type.
    pub async fn call<Q: prost::Message, A: prost::Message + Default>(
        &mut self,
        method: &str,
        request: &Q,
    ) -> Result<A, tonic_types::pb::Status> {
        self.calls += 1;
        let id = self.calls;
        let call = Call { id, method: method.into(), payload: request.encode_to_vec().into() };
        self.send(client_frame::Frame::Call(call)).await;
        loop {
            match self.next().await.expect("the socket is open") {
                Frame::Reply(reply) if reply.id == id => {
                    return Ok(A::decode(reply.payload).expect("the method's answer"));
                }
                Frame::Error(error) if error.id == id => return Err(error.status.unwrap_or_default()),
                _ => {}
            }
        }
    }
}
