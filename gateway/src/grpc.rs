//! gRPC and gRPC-Web: every public service by its path, streams included, nothing buffered. Internal packages do not exist
//! here.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use mesh::{
    authn::{IDENTITY_PREFIX, Origin},
    errors,
    rpc::{Body, Upstream},
};
use tonic::{Code, Status, service::Routes};
use tonic_health::server::HealthReporter;
use tower::{Layer as _, ServiceExt as _, util::BoxCloneSyncService};

use crate::{edge, methods::Known, programs, state::Shared};

/// Answers any gRPC request.
pub(crate) fn service(state: Shared) -> Upstream {
    let edge = edge::service(state.clone());
    let plain = tower::service_fn(move |request: Request<Body>| {
        let (state, edge) = (state.clone(), edge.clone());
        async move { Ok::<_, Status>(answer(&state, edge, request).await.unwrap_or_else(Status::into_http)) }
    });
    // Passes plain gRPC through and translates gRPC-Web.
    Upstream::new(tonic_web::GrpcWebLayer::new().layer(BoxCloneSyncService::new(plain)))
}

async fn answer(state: &Shared, edge: Upstream, mut request: Request<Body>) -> Result<Response<Body>, Status> {
    let path = request.uri().path();
    let upstream = if path.starts_with("/loquat.edge.v1.") { Some(edge) } else { state.route(path).cloned() };
    let upstream = upstream.ok_or_else(|| {
        errors::plain(Code::Unimplemented, "UNKNOWN_METHOD", format!("There is no method {path} here."))
    })?;
    let Known { class, asks_origin: asked } = state.methods.of(path);
    let program = is_of_program(request.headers());
    state.limits.arrives(state.limits.network(state.origins.address(&request)).as_deref())?;
    strip(request.headers_mut());
    // Most calls need neither, and finding out from where they come costs something.
    if asked || program {
        let origin = state.origins.of(&request);
        if asked {
            state.origins.tell(&origin, request.headers_mut());
        }
        if program {
            sign(state, request.headers_mut(), &origin).await?;
        }
    }
    if let Ok(Some(token)) = mesh::authn::bearer(request.headers()) {
        state.counted(token, class).await?;
    }
    upstream.oneshot(request).await.map_err(|cause| {
        tracing::warn!(%cause, "a service cannot be reached");
        let text = "The service that answers this is not available just now.";
        errors::unavailable("SERVICE_UNAVAILABLE", text, Duration::from_secs(1))
    })
}

/// Whether a call is signed in with a program's own token.
fn is_of_program(headers: &HeaderMap) -> bool {
    matches!(mesh::authn::bearer(headers), Ok(Some(token)) if programs::is_one(token))
}

/// A program's own token becomes a signed one, which every service can verify.
async fn sign(state: &Shared, headers: &mut HeaderMap, origin: &Origin) -> Result<(), Status> {
    let Ok(Some(token)) = mesh::authn::bearer(headers) else { return Ok(()) };
    let signed = state.programs.signed(token, origin).await?;
    let mut value = HeaderValue::from_str(&format!("Bearer {signed}")).map_err(|_| mesh::authn::invalid_token())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// Nobody outside says who somebody is but by a token.
fn strip(headers: &mut HeaderMap) {
    let identity: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(IDENTITY_PREFIX)).cloned().collect();
    for name in identity {
        headers.remove(name);
    }
    headers.remove(http::header::COOKIE);
}

/// The health of the public services.
pub(crate) fn health() -> (Upstream, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut routes = Routes::builder();
    routes.add_service(health);
    (mesh::rpc::local(routes.routes()), reporter)
}

/// Reflection of the public services.
pub(crate) fn reflection() -> Upstream {
    mesh::rpc::lazily(|| {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::PUBLIC_DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::builder();
        // Older grpcurl speaks only v1alpha.
        routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?);
        Ok::<_, tonic_reflection::server::Error>(routes.routes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_from_outside_is_stripped() {
        let mut headers = HeaderMap::new();
        headers.insert("x-loquat-user", "root".parse().unwrap());
        headers.insert("cookie", "loquat=x".parse().unwrap());
        headers.insert("authorization", "Bearer x".parse().unwrap());
        strip(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    }
}
