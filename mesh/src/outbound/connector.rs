//! Makes connections, and only to addresses that were judged.

use std::{
    error::Error as _,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;

use super::{Lookup, OutboundError, network::class};

/// The connector. Cheap to clone.
#[derive(Clone)]
pub(super) struct Guarded(Arc<Inner>);

struct Inner {
    lookup: Lookup,
    allowed: Vec<IpNet>,
    dialled: AtomicU64,
}

impl Guarded {
    pub(super) fn new(lookup: Lookup, allowed: Vec<IpNet>) -> Self {
        Self(Arc::new(Inner { lookup, allowed, dialled: AtomicU64::new(0) }))
    }

    pub(super) fn dialled(&self) -> u64 {
        self.0.dialled.load(Ordering::Relaxed)
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().ok_or_else(|| io::Error::other("there is no host"))?;
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => (self.0.lookup)(host.to_owned()).await?,
        };
        // One address that is refused refuses all: a name that has such a one is up to no good.
        for address in &addresses {
            self.judge(*address)?;
        }
        let mut last = io::Error::other("the name has no address");
        for address in addresses {
            self.0.dialled.fetch_add(1, Ordering::Relaxed);
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(TokioIo::new(stream)),
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }

    fn judge(&self, address: IpAddr) -> io::Result<()> {
        let plain = match address {
            IpAddr::V6(sixth) => sixth.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        match class(address) {
            Some(class) if !self.0.allowed.iter().any(|network| network.contains(&plain)) => {
                Err(io::Error::other(Refusal(format!("{address} is {class}"))))
            }
            _ => Ok(()),
        }
    }
}

impl tower::Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// An address that gets no connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// Why a request failed: the refusal, wherever it is among the causes, or the last cause.
pub(super) fn error(cause: &hyper_util::client::legacy::Error) -> OutboundError {
    let mut current: Option<&(dyn std::error::Error + 'static)> = cause.source();
    let mut last = cause.to_string();
    while let Some(error) = current {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return OutboundError::Refused(refusal.0.clone());
        }
        last = error.to_string();
        current = error.source();
    }
    OutboundError::Connection(last)
}
