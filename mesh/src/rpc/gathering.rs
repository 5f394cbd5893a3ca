//! A connection that writes what several tasks have for it at once.
//!
//! Answers to calls that were committed together are ready together, each in a task of its own. Without this, the connection is
//! woken by the first of them and writes that alone, then the next: a system call for each, and on HTTP/2 sometimes two. Here a
//! flush first lets the tasks run that are ready as well. There is no timer: when none is, it goes on at once.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is gathered, in bytes; what is larger is written at once, together with what was gathered.
const MOST: usize = 16 * 1024;

/// A stream whose writes are gathered until a flush.
#[derive(Debug)]
pub struct Gathering<S> {
    stream: S,
    waiting: BytesMut,
    /// The flush under way has let others run.
    rested: bool,
}

impl<S> Gathering<S> {
    /// Nothing waits yet.
    pub fn new(stream: S) -> Self {
        Self { stream, waiting: BytesMut::new(), rested: false }
    }

    /// The stream itself. What was written and not flushed is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        // Thousands of connections that are quiet hold no room for it.
        self.waiting = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if this.waiting.len() + bytes.len() <= MOST {
                this.waiting.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            let before = this.waiting.len();
            let both = [IoSlice::new(&this.waiting), IoSlice::new(bytes)];
            let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, &both))?;
            if written > before {
                this.waiting.clear();
                return Poll::Ready(Ok(written - before));
            }
            if written == 0 {
                return Poll::Ready(Ok(0));
            }
            this.waiting.advance(written);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.waiting.is_empty() {
            if !this.rested {
                this.rested = true;
                // Behind all that are ready.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(this.poll_empty(context))?;
        }
        this.rested = false;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::lifecycle::Tasks;

    /// Counts how often it was written to.
    struct Counting {
        inner: tokio::io::DuplexStream,
        writes: usize,
    }

    impl AsyncWrite for Counting {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes += 1;
            Pin::new(&mut self.inner).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(context)
        }
    }

    #[tokio::test]
    async fn everything_arrives_in_order_whatever_its_size_and_however_slowly_it_is_taken() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut gathering = Gathering::new(Counting { inner: near, writes: 0 });
        let pieces: Vec<Vec<u8>> = [1, 9, 300, MOST - 310, 1, MOST, 9, 40_000, 9, 0, MOST + 1, 5]
            .into_iter()
            .zip(0..)
            .map(|(n, i)| vec![i; n])
            .collect();
        let all = pieces.concat();
        let mut got = Vec::new();
        let write = async {
            for (number, piece) in pieces.iter().enumerate() {
                gathering.write_all(piece).await.unwrap();
                if number % 4 == 3 {
                    gathering.flush().await.unwrap();
                    assert!(gathering.waiting.is_empty());
                }
            }
            gathering.shutdown().await.unwrap();
            drop(gathering);
        };
        let (read, ()) = tokio::join!(far.read_to_end(&mut got), write);
        assert_eq!(read.unwrap(), all.len());
        assert_eq!(got, all);
    }

    #[tokio::test]
    async fn what_is_ready_in_other_tasks_is_written_together() {
        let (near, _far) = tokio::io::duplex(64 * 1024);
        let gathering =
            std::sync::Arc::new(tokio::sync::Mutex::new(Gathering::new(Counting { inner: near, writes: 0 })));
        let tasks = Tasks::default();
        let write = |number: u8| {
            let gathering = gathering.clone();
            async move {
                let write = |context: &mut Context<'_>| {
                    Pin::new(&mut *gathering.try_lock().unwrap()).poll_write(context, &[number; 100])
                };
                std::future::poll_fn(write).await.unwrap();
                gathering
            }
        };
        // The first writes and flushes, which lets the others write.
        let flush = async {
            let gathering = write(0).await;
            let flush = |context: &mut Context<'_>| Pin::new(&mut *gathering.try_lock().unwrap()).poll_flush(context);
            std::future::poll_fn(flush).await.unwrap();
        };
        let others: Vec<_> = (1..10).map(|number| tasks.spawn("write", write(number))).collect();
        flush.await;
        for other in others {
            other.await.unwrap();
        }
        let gathering = gathering.try_lock().unwrap();
        assert_eq!((gathering.stream.writes, gathering.waiting.len()), (1, 0));
    }
}
