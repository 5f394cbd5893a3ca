//! The accept loop: HTTP/1.1 and HTTP/2 on one port, without TLS or between roles with it, with limits, drained on stop.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::{BoxError, Gathering, Tls};
use crate::lifecycle::Tasks;

/// What one listener accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time, upgraded ones included; further ones wait in the kernel's queue.
    pub connections: usize,
    /// HTTP/2 streams at a time on one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, streams: 200 }
    }
}

/// How many connections the kernel holds ready until they are accepted; it takes no more than `net.core.somaxconn`. Who finds no
/// room tries again after a second, so that a crowd that comes back would otherwise come by hundreds a second.
const BACKLOG: u32 = 4096;

/// Listens on `ADDRESS:PORT`, or on the first address of `NAME:PORT` that can be listened on.
///
/// # Errors
/// When there is no such address, or another process has it.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let mut last = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        let listen = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // So that a server that is started again need not wait for connections of the one before.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        match listen() {
            Ok(listener) => return Ok(listener),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// Serves until `stop`, then finishes what is under way. A connection that is never done is ended by the hard stop of
/// [`Tasks`].
pub async fn serve<S, B>(listener: TcpListener, service: S, limits: Limits, tasks: Tasks, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    serve_tls(listener, None, service, limits, tasks, stop).await;
}

/// The same, with TLS when there is a certificate.
pub async fn serve_tls<S, B>(
    listener: TcpListener,
    tls: Option<Tls>,
    service: S,
    limits: Limits,
    tasks: Tasks,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let builder = Arc::new(builder(limits));
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accept = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        // The stop comes first, also when no further connection could be taken.
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept => accepted,
        };
        let (permit, stream, peer) = match accepted {
            (Ok(permit), Ok((stream, peer))) => (permit, stream, peer),
            // The semaphore is never closed.
            (Err(_), _) => break,
            (_, Err(cause)) => {
                // Out of file descriptors, most likely: wait for some to be given back.
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let counted = counted(service.clone(), Place(Arc::new(permit)), Peer(peer));
        let service = TowerToHyperService::new(counted);
        let Some(tls) = tls.clone() else {
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(Gathering::new(stream)), service);
            let connection = graceful.watch(connection.into_owned());
            tasks.spawn("connection", async move {
                if let Err(cause) = connection.await {
                    tracing::debug!(%cause, "a connection ended badly");
                }
            });
            continue;
        };
        let (watcher, builder) = (graceful.watcher(), builder.clone());
        tasks.spawn("connection", async move {
            let stream = match tls.accept(stream).await {
                Ok(stream) => stream,
                Err(cause) => {
                    return tracing::warn!(%peer, %cause, "a connection without a good certificate was refused");
                }
            };
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(Gathering::new(stream)), service);
            if let Err(cause) = watcher.watch(connection.into_owned()).await {
                tracing::debug!(%cause, "a connection ended badly");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A connection's place among those that a listener takes, as an extension of its requests: who takes a connection over, as an
/// upgrade does, keeps it.
#[derive(Clone, Debug)]
pub struct Place(#[allow(dead_code, reason = "kept for what its end does")] Arc<OwnedSemaphorePermit>);

/// Who is at the other end of a connection, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The service of one connection, which has its place for as long as it lasts.
fn counted<S, B>(
    service: S,
    place: Place,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        request.extensions_mut().insert(peer);
        service.clone().oneshot(request)
    })
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(16 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(Some(20))
        .max_local_error_reset_streams(Some(256))
        .max_header_list_size(16 * 1024)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
