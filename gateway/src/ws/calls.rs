//! A `Call` frame carries any unary method by its path, so that there is no code per method.

use std::{collections::HashSet, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION, uri::PathAndQuery};
use mesh::{
    authn::Origin,
    errors,
    rpc::{MAX_MESSAGE_BYTES, Upstream},
};
use tonic::{Code, Extensions, Request, Status, metadata::MetadataMap};

use crate::{raw::RawCodec, state::State};

/// Calls a unary method of a public service with the socket's token, telling it from where if it asks.
pub(super) async fn unary(
    state: &State,
    token: &str,
    origin: &Origin,
    method: &str,
    asks_origin: bool,
    payload: Bytes,
) -> Result<Bytes, Status> {
    let Some(upstream) = unary_method(method).then(|| state.route(method)).flatten() else {
        return Err(errors::plain(
            Code::Unimplemented,
            "UNKNOWN_METHOD",
            format!("There is no unary method {method}."),
        ));
    };
    let token = state.programs.signed(token, origin).await?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
    let bearer =
        bearer.map_err(|_| errors::plain(Code::Unauthenticated, "TOKEN_INVALID", "The access token is not valid."))?;
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(AUTHORIZATION, bearer);
    if asks_origin {
        state.origins.tell(origin, &mut headers);
    }
    if let Some(offered) = upstream.direct(method) {
        return offered.call(headers, payload).await;
    }
    // Boxed, so that what goes the short way need not carry it.
    Box::pin(call(upstream.clone(), method, headers, payload)).await
}

async fn call(upstream: Upstream, method: &str, headers: HeaderMap, payload: Bytes) -> Result<Bytes, Status> {
    let path: PathAndQuery = method.parse().map_err(|_| Status::invalid_argument("method is not a path"))?;
    let request = Request::from_parts(MetadataMap::from_headers(headers), Extensions::new(), payload);
    let mut client = tonic::client::Grpc::new(upstream).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let unreachable = |_| {
        let text = "The service that answers this is not available just now.";
        errors::unavailable("SERVICE_UNAVAILABLE", text, std::time::Duration::from_secs(1))
    };
    client.ready().await.map_err(unreachable)?;
    Ok(client.unary(request, path, RawCodec).await?.into_inner())
}

/// Whether a path names a method without streams.
fn unary_method(path: &str) -> bool {
    static UNARY: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let methods = proto::SERVICES.iter().flat_map(|service| service.methods);
        methods.filter(|method| !method.streams).map(|method| method.path).collect()
    });
    UNARY.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unary_methods_can_be_called() {
        assert!(unary_method("/loquat.chat.v1.MessageService/SendMessage"));
        for other in [
            "/loquat.edge.v1.EdgeService/Subscribe",
            "/loquat.file.v1.FileService/UploadFile",
            "/loquat.chat.v1.MessageService/Nothing",
            "loquat.chat.v1.MessageService/SendMessage",
            "/x",
            "",
        ] {
            assert!(!unary_method(other), "{other}");
        }
    }
}
