//! The one way to addresses that people give: link previews, webhooks. Nothing else may dial them.
//!
//! A name is looked up once; every address that it has is judged, and the connection is made to one that was judged, so a name that
//! means something else a moment later gains nothing. Addresses of this machine and of private networks get no connection, unless
//! the configuration names their network.

mod connector;
mod network;

use std::{future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri, header, response::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
pub use ipnet::IpNet;
use url::Url;

use self::connector::Guarded;
pub use self::network::class;

/// The longest URL that is taken.
const LONGEST_URL: usize = 2000;

/// Looks a name up: the system's way, or a test's.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// The way out. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    guarded: Guarded,
    limits: Limits,
}

/// What one request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the beginning to the last byte, redirects included.
    pub within: Duration,
    /// The most bytes of an answer.
    pub bytes: usize,
    /// How many redirects are followed.
    pub redirects: usize,
}

/// How much of an answer is read.
#[derive(Clone, Copy)]
enum Reading<'r> {
    /// All of it, and none when there is more than may be.
    Whole,
    /// As much as may be, of answers with such a head.
    Beginning(&'r (dyn Fn(&Parts) -> bool + Send + Sync)),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL is none that can be asked.
    #[error("the URL {0}")]
    Url(&'static str),
    /// The address is in a network that gets no connection.
    #[error("the address is refused: {0}")]
    Refused(String),
    /// The answer has too many bytes.
    #[error("the answer is too large")]
    TooLarge,
    /// There was no answer in time.
    #[error("there was no answer in time")]
    TooLate,
    /// There are too many redirects.
    #[error("there are too many redirects")]
    Redirects,
    /// The connection could not be made, or ended.
    #[error("{0}")]
    Connection(String),
}

impl Outbound {
    /// A way out with these limits, which also reaches the networks of `allowed`.
    #[allow(clippy::missing_panics_doc, reason = "the protocol versions are those that the provider has")]
    pub fn new(limits: Limits, allowed: Vec<IpNet>) -> Self {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        Self::with_lookup(limits, allowed, lookup)
    }

    /// The same with another way to look names up.
    pub fn with_lookup(limits: Limits, allowed: Vec<IpNet>, lookup: Lookup) -> Self {
        let guarded = Guarded::new(lookup, allowed);
        let https = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(guarded.clone());
        // A connection is not kept: the next request has its addresses judged anew.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Self { client, guarded, limits }
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// When there is no answer within the limits, or the address is refused.
    pub async fn get(&self, url: &str) -> Result<(Url, Response<Bytes>), OutboundError> {
        let request = |uri: &Uri| Request::get(uri.clone()).body(Full::default());
        self.ask(url, request, Reading::Whole).await
    }

    /// Fetches the beginning of a page: what comes after the most bytes of an answer is not waited for, and nothing is read of an
    /// answer that is not `wanted`. `accept` is what the server is told to be wanted.
    ///
    /// # Errors
    /// When there is no answer within the limits, or the address is refused.
    pub async fn get_beginning(
        &self,
        url: &str,
        accept: &'static str,
        wanted: impl Fn(&Parts) -> bool + Send + Sync,
    ) -> Result<(Url, Response<Bytes>), OutboundError> {
        let request = |uri: &Uri| Request::get(uri.clone()).header(header::ACCEPT, accept).body(Full::default());
        self.ask(url, request, Reading::Beginning(&wanted)).await
    }

    /// Posts something.
    ///
    /// # Errors
    /// When there is no answer within the limits, or the address is refused.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Response<Bytes>, OutboundError> {
        let request = |uri: &Uri| {
            let request = Request::post(uri.clone()).header(header::CONTENT_TYPE, "application/json");
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
            request.body(Full::new(body.clone()))
        };
        Ok(self.ask(url, request, Reading::Whole).await?.1)
    }

    /// How many connections were begun.
    pub fn dialled(&self) -> u64 {
        self.guarded.dialled()
    }

    async fn ask(
        &self,
        url: &str,
        request: impl Fn(&Uri) -> http::Result<Request<Full<Bytes>>>,
        reading: Reading<'_>,
    ) -> Result<(Url, Response<Bytes>), OutboundError> {
        let asked = async {
            let mut url = parse(url)?;
            for _ in 0..=self.limits.redirects {
                let answer = self.once(&url, &request, reading).await?;
                let next = answer.headers().get(header::LOCATION).filter(|_| answer.status().is_redirection());
                let Some(next) = next.filter(|_| self.limits.redirects > 0) else {
                    return Ok((url, answer));
                };
                let next = next.to_str().map_err(|_| OutboundError::Url("of the redirect is no text"))?;
                let next = url.join(next).map_err(|_| OutboundError::Url("of the redirect is none"))?;
                url = parse(next.as_str())?;
            }
            Err(OutboundError::Redirects)
        };
        tokio::time::timeout(self.limits.within, asked).await.unwrap_or(Err(OutboundError::TooLate))
    }

    async fn once(
        &self,
        url: &Url,
        request: impl Fn(&Uri) -> http::Result<Request<Full<Bytes>>>,
        reading: Reading<'_>,
    ) -> Result<Response<Bytes>, OutboundError> {
        let uri: Uri = url.as_str().parse().map_err(|_| OutboundError::Url("cannot be asked"))?;
        let mut request = request(&uri).map_err(|cause| OutboundError::Connection(cause.to_string()))?;
        let agent = header::HeaderValue::from_static(concat!("loquat/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let answer = self.client.request(request).await.map_err(|cause| connector::error(&cause))?;
        let (parts, body) = answer.into_parts();
        let body = match reading {
            Reading::Whole => whole(body, self.limits.bytes).await?,
            Reading::Beginning(wanted) if wanted(&parts) => beginning(body, self.limits.bytes).await?,
            Reading::Beginning(_) => Bytes::new(),
        };
        Ok(Response::from_parts(parts, body))
    }
}

async fn whole(body: Incoming, most: usize) -> Result<Bytes, OutboundError> {
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|cause| match cause.downcast::<http_body_util::LengthLimitError>() {
        Ok(_) => OutboundError::TooLarge,
        Err(cause) => OutboundError::Connection(cause.to_string()),
    })?;
    Ok(body.to_bytes())
}

/// What is left unread goes with the connection, which is not used again.
async fn beginning(mut body: Incoming, most: usize) -> Result<Bytes, OutboundError> {
    let mut read = BytesMut::new();
    while read.len() < most
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|cause| OutboundError::Connection(cause.to_string()))?;
        let data = frame.data_ref().map(|data| &data[..data.len().min(most - read.len())]);
        read.extend_from_slice(data.unwrap_or_default());
    }
    Ok(read.freeze())
}

/// Reads a URL as browsers do: `http://2130706433/` and `http://0x7f.1/` are `http://127.0.0.1/`.
///
/// # Errors
/// When it is not http or https, has a name and password in it, or no host.
pub fn parse(text: &str) -> Result<Url, OutboundError> {
    if text.len() > LONGEST_URL {
        return Err(OutboundError::Url("is too long"));
    }
    let url = Url::parse(text).map_err(|_| OutboundError::Url("is none"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(OutboundError::Url("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OutboundError::Url("must not have a name and password in it"));
    }
    if url.host().is_none() {
        return Err(OutboundError::Url("has no host"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
