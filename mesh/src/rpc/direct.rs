//! Unary calls inside one process without what only a network needs: the message goes to the handler, and its answer comes back,
//! as bytes. Nothing is framed, and no routes are gone through; the layers that every call passes are the same.
//!
//! Worth it for what is called with every message or by every client. Whatever is not offered here goes the usual way.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Extensions, HeaderMap};
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::MAX_MESSAGE_BYTES;

type Handler = Arc<dyn Fn(Request<()>, Bytes) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync>;

/// The methods of a service that can be called directly, by path.
#[derive(Clone, Default)]
pub struct Direct(HashMap<&'static str, Handler>);

impl std::fmt::Debug for Direct {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

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
        let handler = move |head: Request<()>, message: Bytes| {
            let request = decode(message).map(|message| {
                let (metadata, extensions, ()) = head.into_parts();
                call(service.clone(), Request::from_parts(metadata, extensions, message))
            });
            let answer = async move { Ok(request?.await?.into_inner().encode_to_vec().into()) };
            Box::pin(answer) as BoxFuture<'static, _>
        };
        self.0.insert(path, Arc::new(handler));
        self
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Whether a method is offered.
    pub(super) fn offers(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Calls a method that is offered.
    pub(super) fn call(
        &self,
        path: &str,
        headers: HeaderMap,
        extensions: Extensions,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Status>> {
        let head = Request::from_parts(MetadataMap::from_headers(headers), extensions, ());
        match self.0.get(path) {
            Some(handler) => handler(head, message),
            None => Box::pin(async { Err(Status::unimplemented("")) }),
        }
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
