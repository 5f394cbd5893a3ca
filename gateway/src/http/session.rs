//! `/session/{register,login,refresh,logout}`: signing in from a browser. The refresh token stays in a cookie that scripts
//! cannot read; the page gets access tokens only.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use mesh::{authn::Origin, errors, rpc::Body};
use proto::auth::v1::{
    LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest, User, auth_service_client::AuthServiceClient,
};
use serde::Deserialize;
use tonic::{Code, Status};

use super::{error_response, json};
use crate::state::State;

/// The largest request.
const MAX_BODY_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    username: String,
    password: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    setup_token: String,
    #[serde(default)]
    invite_token: String,
    #[serde(default)]
    email: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

/// A started or renewed session.
struct SignedIn {
    access_token: String,
    refresh_token: String,
    expires_in: u32,
    user: Option<User>,
}

/// Answers `/session/*`.
pub(crate) async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let origin = state.origins.of(&request);
    let (parts, body) = request.into_parts();
    let result = match check(state, &parts) {
        Ok(()) => run(state, &origin, parts.uri.path(), &parts.headers, body).await,
        Err(refused) => Err(refused),
    };
    result.unwrap_or_else(|refused| {
        let mut response = error_response(&refused);
        // A cookie that no longer counts is taken away; when the service is only away, it stays.
        let spent = refused.code() == Code::Unauthenticated && parts.uri.path() == "/session/refresh";
        if let Some(cookie) = state.cookies.set("").filter(|_| spent) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    })
}

/// A page of another origin can neither send JSON without asking nor has our Origin.
fn check(state: &State, parts: &http::request::Parts) -> Result<(), Status> {
    if parts.method != Method::POST {
        return Err(errors::plain(Code::Unimplemented, "METHOD_NOT_ALLOWED", "Use POST."));
    }
    if parts.headers.contains_key(header::ORIGIN) && !state.cookies.origin_allowed(&parts.headers) {
        return Err(errors::plain(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED", "This page is not one of ours."));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(errors::plain(Code::InvalidArgument, "INVALID_REQUEST", "Send application/json."));
    }
    Ok(())
}

async fn run(
    state: &State,
    origin: &Origin,
    path: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<Body>, Status> {
    let device: String = origin.agent.chars().take(128).collect();
    let mut auth = AuthServiceClient::new(state.upstreams.auth.clone());
    let signed_in = match path {
        "/session/register" => {
            let Register { username, password, display_name, setup_token, invite_token, email } = read(body).await?;
            let request =
                RegisterRequest { username, password, display_name, setup_token, device, invite_token, email };
            let answer = auth.register(from(state, origin, request)).await?.into_inner();
            SignedIn {
                access_token: answer.access_token,
                refresh_token: answer.refresh_token,
                expires_in: answer.expires_in,
                user: answer.user,
            }
        }
        "/session/login" => {
            let Login { username, password } = read(body).await?;
            let request = LoginRequest { username, password, device };
            let answer = auth.login(from(state, origin, request)).await?.into_inner();
            SignedIn {
                access_token: answer.access_token,
                refresh_token: answer.refresh_token,
                expires_in: answer.expires_in,
                user: answer.user,
            }
        }
        "/session/refresh" => {
            let request = RefreshRequest { refresh_token: cookie(state, headers)? };
            let answer = auth.refresh(from(state, origin, request)).await?.into_inner();
            state.cookies.forget(headers).await;
            SignedIn {
                access_token: answer.access_token,
                refresh_token: answer.refresh_token,
                expires_in: answer.expires_in,
                user: answer.user,
            }
        }
        "/session/logout" => return logout(state, origin, headers, auth).await,
        _ => {
            return Err(errors::plain(Code::NotFound, "NOT_FOUND", "There is nothing at this address."));
        }
    };
    signed_in_response(state, signed_in)
}

/// A request that says from where it comes.
fn from<T>(state: &State, origin: &Origin, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    state.origins.tell(origin, request.metadata_mut().as_mut());
    request
}

async fn logout(
    state: &State,
    origin: &Origin,
    headers: &HeaderMap,
    mut auth: AuthServiceClient<mesh::rpc::Upstream>,
) -> Result<Response<Body>, Status> {
    if let Ok(refresh_token) = cookie(state, headers) {
        auth.logout(from(state, origin, LogoutRequest { refresh_token })).await?;
        state.cookies.forget(headers).await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(cookie) = state.cookies.set("") {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn cookie(state: &State, headers: &HeaderMap) -> Result<String, Status> {
    let missing = || errors::plain(Code::Unauthenticated, "COOKIE_MISSING", "This browser is not signed in.");
    state.cookies.value(headers).map(str::to_owned).ok_or_else(missing)
}

async fn read<T: for<'de> Deserialize<'de>>(body: Incoming) -> Result<T, Status> {
    let wrong = |text: String| errors::plain(Code::InvalidArgument, "INVALID_REQUEST", text);
    let body = Limited::new(body, MAX_BODY_BYTES)
        .collect()
        .await
        .map_err(|cause| wrong(format!("The body cannot be read: {cause}.")))?;
    let bytes: Bytes = body.to_bytes();
    serde_json::from_slice(&bytes).map_err(|cause| wrong(format!("The body is not what is expected: {cause}.")))
}

fn signed_in_response(state: &State, signed_in: SignedIn) -> Result<Response<Body>, Status> {
    let SignedIn { access_token, refresh_token, expires_in, user } = signed_in;
    let user = proto::to_json(&user.unwrap_or_default()).map_err(|cause| Status::internal(cause.to_string()))?;
    let document = serde_json::json!({"access_token": access_token, "expires_in": expires_in, "user": user});
    let mut response = json(StatusCode::OK, &document);
    if let Some(cookie) = state.cookies.set(&refresh_token) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
