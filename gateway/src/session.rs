//! The browser's cookie: it holds the refresh token, which no script ever sees, and counts only from our own pages.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use mesh::{authn::Authn, rpc::Upstream};
use proto::auth::internal::v1::{ResolveSessionRequest, session_service_client::SessionServiceClient};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};

/// A resolved cookie is remembered for so long; signing out forgets it at once in this process.
const REMEMBER: Duration = Duration::from_secs(5);
const MAX_REMEMBERED: u64 = 100_000;
/// As long as a session may be idle.
const MAX_AGE_SECONDS: u64 = 30 * 86_400;

/// Reads and writes the cookie.
pub(crate) struct Cookies {
    name: &'static str,
    secure: bool,
    /// The origin of our own pages; nothing means that of the request's own host, over http.
    origin: Option<String>,
    sessions: SessionServiceClient<Upstream>,
    authn: Authn,
    resolved: moka::future::Cache<[u8; 32], Resolved>,
}

/// Whose cookie it is.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) access_token: String,
}

impl Cookies {
    /// `public_url` is where browsers find us; empty means wherever they ask, over http. `auth` is called as
    /// `service:gateway`.
    pub(crate) fn new(public_url: &str, auth: Upstream, authn: Authn) -> Self {
        let secure = public_url.starts_with("https://");
        let resolved = moka::future::Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(REMEMBER).build();
        Self {
            name: if secure { "__Host-loquat" } else { "loquat" },
            secure,
            origin: origin_of(public_url),
            sessions: SessionServiceClient::new(auth),
            authn,
            resolved,
        }
    }

    /// Whether there is a cookie of ours.
    pub(crate) fn present(&self, headers: &HeaderMap) -> bool {
        self.value(headers).is_some()
    }

    /// What the cookie holds.
    pub(crate) fn value<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, value)| *name == self.name && !value.is_empty()).map(|(_, value)| value)
    }

    /// Whether the request comes from a page of our own: the Origin must match to the letter, and be there.
    pub(crate) fn origin_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) else {
            return false;
        };
        if let Some(ours) = &self.origin {
            return origin == ours;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| origin.strip_prefix("http://") == Some(host))
    }

    /// Whose cookie it is; nothing when there is none or it no longer counts.
    pub(crate) async fn resolve(&self, headers: &HeaderMap) -> Result<Option<Resolved>, Status> {
        let Some(token) = self.value(headers) else {
            return Ok(None);
        };
        let key: [u8; 32] = Sha256::digest(token).into();
        // Not what was taken away, or lost its rights, since it was asked for.
        if let Some(known) = self.resolved.get(&key).await
            && self.authn.verify(&known.access_token).await.is_ok()
        {
            return Ok(Some(known));
        }
        let request = ResolveSessionRequest { refresh_token: token.to_owned() };
        let answer = match self.sessions.clone().resolve_session(request).await {
            Ok(answer) => answer.into_inner(),
            Err(refused) if refused.code() == Code::Unauthenticated => return Ok(None),
            Err(cause) => return Err(cause),
        };
        let resolved = Resolved { access_token: answer.access_token };
        self.resolved.insert(key, resolved.clone()).await;
        Ok(Some(resolved))
    }

    /// Forgets whose cookie it was.
    pub(crate) async fn forget(&self, headers: &HeaderMap) {
        if let Some(token) = self.value(headers) {
            self.resolved.invalidate(&<[u8; 32]>::from(Sha256::digest(token))).await;
        }
    }

    /// Sets the cookie; an empty token takes it away.
    pub(crate) fn set(&self, token: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = if token.is_empty() { 0 } else { MAX_AGE_SECONDS };
        let name = self.name;
        let text = format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(public_url: &str) -> Cookies {
        let nobody = tower::service_fn(|_| async {
            Err::<http::Response<mesh::rpc::Body>, Status>(Status::unavailable("none"))
        });
        let clock = mesh::clock::Clock::system();
        let keys =
            mesh::authn::KeyStore::new(std::sync::Arc::new(|| Box::pin(async { Ok(Vec::new()) })), clock.clone());
        let secret = mesh::config::Secret::new("0123456789abcdef0123456789abcdef");
        let secret = mesh::authn::MeshSecret::open(&secret, "/nowhere".as_ref()).unwrap();
        let authn = Authn::new("loquat", keys, secret, clock);
        Cookies::new(public_url, mesh::rpc::Upstream::new(nobody), authn)
    }

    fn headers(origin: Option<&str>, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn only_the_exact_origin_counts() {
        let ours = cookies("https://chat.example.org/");
        let table = [
            (Some("https://chat.example.org"), true),
            (None, false),
            (Some("null"), false),
            (Some(""), false),
            (Some("http://chat.example.org"), false),
            (Some("https://chat.example.org:444"), false),
            (Some("https://chat.example.org.evil.test"), false),
            (Some("https://evilchat.example.org"), false),
            (Some("https://evil.test/https://chat.example.org"), false),
            (Some("https://chat.example.org@evil.test"), false),
            (Some("HTTPS://CHAT.EXAMPLE.ORG"), false),
            (Some("https://chat.example.org/"), false),
            (Some("https://ch\u{0430}t.example.org"), false),
            (Some("wss://chat.example.org"), false),
        ];
        for (origin, allowed) in table {
            assert_eq!(ours.origin_allowed(&headers(origin, "chat.example.org")), allowed, "{origin:?}");
        }
    }

    #[tokio::test]
    async fn without_a_public_url_the_own_host_counts() {
        let ours = cookies("");
        assert!(ours.origin_allowed(&headers(Some("http://localhost:8080"), "localhost:8080")));
        assert!(!ours.origin_allowed(&headers(Some("http://localhost:8081"), "localhost:8080")));
        assert!(!ours.origin_allowed(&headers(Some("https://localhost:8080"), "localhost:8080")));
        assert!(!ours.origin_allowed(&headers(None, "localhost:8080")));
    }

    #[tokio::test]
    async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let set = cookies("https://chat.example.org").set("t").unwrap();
        assert_eq!(set, "__Host-loquat=t; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure");
        let set = cookies("http://chat.example.org").set("").unwrap();
        assert_eq!(set, "loquat=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[tokio::test]
    async fn our_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; loquat=token; c=d".parse().unwrap());
        assert_eq!(cookies("").value(&headers), Some("token"));
        assert_eq!(cookies("https://x.test").value(&headers), None);
    }
}
