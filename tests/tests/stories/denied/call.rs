//! Any method by its path, with the bytes of any request: no generated client, so that new methods need none here.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// Calls a method with one message and returns the first of its answer. A unary call is a stream of one message, too.
pub async fn call(channel: &Channel, path: &str, token: Option<&str>, request: Vec<u8>) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|cause| Status::unknown(cause.to_string()))?;
    let mut request = Request::new(futures::stream::iter([Bytes::from(request)]));
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().map_err(|_| Status::internal("a token that is no header"))?;
        request.metadata_mut().insert("authorization", bearer);
    }
    let path = path.parse().map_err(|_| Status::internal("a path that is none"))?;
    let call = async {
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        answers.message().await?.ok_or_else(|| Status::unknown("an answer without a message"))
    };
    tests::within("an answer", call).await
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
