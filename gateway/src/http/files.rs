//! `/files`: resumable uploads by tus 1.0 (<https://tus.io/protocols/resumable-upload>: core, creation,
//! creation-with-upload, checksum, expiration, termination) and downloads with ranges (RFC 9110 section 14).

mod download;
mod upload;

use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::Incoming;
use mesh::{
    authn::{self, Origin},
    errors,
    rpc::{Body, Upstream},
};
use proto::file::v1::file_service_client::FileServiceClient;
use tonic::{Code, Status, metadata::MetadataValue};

use super::error_response;
use crate::{limits::Class, state::State};

/// Answers `/files` and `/files/{id}`.
pub(crate) async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let id = request.uri().path().strip_prefix("/files/").filter(|id| !id.is_empty()).map(str::to_owned);
    let is_upload = request.headers().contains_key("tus-resumable");
    let origin = state.origins.of(&request);
    match (request.method().clone(), id) {
        (Method::OPTIONS, _) => upload::options(state, request.headers(), &origin).await,
        (Method::POST, None) => upload::checked(upload::create(state, request, &origin).await),
        (Method::PATCH, Some(id)) => upload::checked(upload::append(state, request, &origin, id).await),
        (Method::DELETE, Some(id)) => upload::checked(upload::cancel(state, request.headers(), &origin, id).await),
        (Method::HEAD, Some(id)) if is_upload => {
            upload::checked(upload::offset(state, request.headers(), &origin, id).await)
        }
        (Method::GET | Method::HEAD, Some(id)) => {
            download::answer(state, &request, &origin, id).await.unwrap_or_else(|refused| download::refusal(&refused))
        }
        _ => error_response(&errors::plain(
            Code::Unimplemented,
            "METHOD_NOT_ALLOWED",
            "This address does not know that method.",
        )),
    }
}

/// A client of file-svc that carries the caller's token: Bearer, or the cookie from a page of our own.
async fn client(
    state: &State,
    headers: &HeaderMap,
    origin: &Origin,
    reading: bool,
) -> Result<(FileServiceClient<Upstream>, Token), Status> {
    client_for(state, headers, origin, reading, None).await
}

/// The same for calls of a class.
async fn client_for(
    state: &State,
    headers: &HeaderMap,
    origin: &Origin,
    reading: bool,
    class: Option<Class>,
) -> Result<(FileServiceClient<Upstream>, Token), Status> {
    let token = match authn::bearer(headers)? {
        Some(token) => state.programs.signed(token, origin).await?.into_owned(),
        None => from_cookie(state, headers, reading).await?,
    };
    state.counted(&token, class).await?;
    let bearer = MetadataValue::try_from(format!("Bearer {token}"));
    let bearer =
        bearer.map_err(|_| errors::plain(Code::Unauthenticated, "TOKEN_INVALID", "The access token is not valid."))?;
    Ok((FileServiceClient::new(state.upstreams.file.clone()), Token(bearer)))
}

/// The cookie changes nothing unless one of our own pages asks. Reading needs no Origin, since browsers send none for
/// images; pages of other sites do not get the cookie sent (SameSite) and are told apart by `Sec-Fetch-Site`.
async fn from_cookie(state: &State, headers: &HeaderMap, reading: bool) -> Result<String, Status> {
    let missing = || errors::plain(Code::Unauthenticated, "TOKEN_MISSING", "Sign in first.");
    if !state.cookies.present(headers) {
        return Err(missing());
    }
    let fetched_from = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let foreign = matches!(fetched_from, Some("cross-site" | "same-site"));
    let ours =
        if reading && !headers.contains_key(header::ORIGIN) { !foreign } else { state.cookies.origin_allowed(headers) };
    if !ours {
        return Err(errors::plain(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED", "This page is not one of ours."));
    }
    state.cookies.resolve(headers).await?.map(|resolved| resolved.access_token).ok_or_else(missing)
}

/// The caller's token as metadata.
struct Token(MetadataValue<tonic::metadata::Ascii>);

impl Token {
    fn with<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", self.0.clone());
        request
    }
}
