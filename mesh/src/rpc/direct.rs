//! Unary calls inside one process without what only a network needs: the message goes to the handler, and its answer comes back,
//! as bytes. Nothing is framed, and no routes are gone through; the layers that every call passes are the same.
//!
//! Worth it for what is called with every message or by every client. Whatever is not offered here goes the usual way.

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Extensions, HeaderMap};
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::MAX_MESSAGE_BYTES;

/// A method as a function of bytes.
pub(super) type Handler =
    Box<dyn Fn(HeaderMap, Extensions, Bytes) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync>;

/// The methods of a service that can be called directly, by path.
#[derive(Default)]
pub struct Direct(HashMap<&'static str, Handler>);

impl Direct {
    /// Offers a unary method. `path` must be that of the method that `call` calls.
    #[must_use]
    pub fn unary<S, Q, A, F>(
        mut self,
        path: &'static str,
        service: &S,
        call: impl Fn(S, Request<Q>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: Clone + Send + Sync + 'static,
        Q: Message + Default,
        A: Message,
        F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        let service = service.clone();
        let handler = move |headers: HeaderMap, extensions: Extensions, message: Bytes| {
            let answer = decode(message).map(|message| {
                let metadata = MetadataMap::from_headers(headers);
                call(service.clone(), Request::from_parts(metadata, extensions, message))
            });
            let answer = async move { Ok(answer?.await?.into_inner().encode_to_vec().into()) };
            Box::pin(answer) as BoxFuture<'static, _>
        };
        self.0.insert(path, Box::new(handler));
        self
    }

    /// Takes a method out.
    pub(super) fn take(&mut self, path: &str) -> Option<Handler> {
        self.0.remove(path)
    }

    /// The paths of the methods that were not taken.
    pub(super) fn paths(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}

/// Refuses what tonic refuses, as it does.
fn decode<Q: Message + Default>(message: Bytes) -> Result<Q, Status> {
    if message.len() > MAX_MESSAGE_BYTES {
        let text = format!("decoded message length too large: {} bytes of {MAX_MESSAGE_BYTES}", message.len());
        return Err(Status::out_of_range(text));
    }
    Q::decode(message).map_err(|cause| Status::internal(cause.to_string()))
}
