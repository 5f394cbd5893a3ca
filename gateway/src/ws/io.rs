//! The stream that the WebSocket library reads from and writes to. It reads from the socket; what it writes (answers to pings,
//! to a close) goes among the frames of the session, between two of them and never into one.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::socket::Writer;

/// A socket whose writing half is shared.
pub(super) struct SharedSocket {
    socket: Arc<TcpStream>,
    /// What had come before the upgrade was done.
    before: Bytes,
    writer: Writer,
}

impl SharedSocket {
    pub(super) const fn new(socket: Arc<TcpStream>, before: Bytes, writer: Writer) -> Self {
        Self { socket, before, writer }
    }

    /// From now on, writes go among the frames of a session.
    pub(super) fn write_to(&mut self, writer: Writer) {
        self.writer = writer;
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let taken = self.before.len().min(into.remaining());
            into.put_slice(&self.before[..taken]);
            self.before.advance(taken);
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            match self.socket.try_read(into.initialize_unfilled()) {
                Ok(taken) => {
                    into.advance(taken);
                    return Poll::Ready(Ok(()));
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                Err(cause) => return Poll::Ready(Err(cause)),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.write(&self.socket, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
