//! The frames that wait for one client, in order, bounded by count and bytes.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::atomic::{AtomicU64, Ordering},
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::Frame;

/// How many events may wait.
pub(super) const MAX_EVENTS: usize = 256;
/// How many bytes may wait before events are left to the log.
const MAX_BYTES: usize = 1024 * 1024;
/// Something passing is dropped when more than this waits.
const MAX_BEFORE_EPHEMERAL: usize = 64;
/// The next page of the log is read when less than this waits.
const MAX_BEFORE_PAGE: usize = 64;
/// How many frames one system call takes at most.
const AT_ONCE: usize = 64;
/// A transport that takes whole frames gets more than this many bytes at a time only as one frame: what it was given and has not
/// sent yet waits as well.
const BYTES_AT_ONCE: usize = 64 * 1024;
/// A queue that grew longer than this is given back when it is empty.
const KEPT: usize = 8;

/// Writes to sockets, and frames that were written, of all clients of this process.
static WRITES: AtomicU64 = AtomicU64::new(0);
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Tells how many system calls the frames to sockets took so far.
pub(in crate::hub) fn report_writes() {
    metrics::counter!("loquat_gateway_socket_writes_total").absolute(WRITES.load(Ordering::Relaxed));
    metrics::counter!("loquat_gateway_socket_frames_total").absolute(FRAMES.load(Ordering::Relaxed));
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Out {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// How much of the first frame is written already.
    written: usize,
}

impl Out {
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether an event of this length may be added. One that is longer than everything that may wait goes alone.
    pub(super) fn takes_event(&self, length: usize) -> bool {
        self.frames.is_empty() || (self.frames.len() < MAX_EVENTS && self.bytes + length <= MAX_BYTES)
    }

    pub(super) fn takes_ephemeral(&self) -> bool {
        self.frames.len() < MAX_BEFORE_EPHEMERAL
    }

    pub(super) fn takes_page(&self) -> bool {
        self.frames.len() < MAX_BEFORE_PAGE && self.bytes < MAX_BYTES / 2
    }

    /// The first frames, all if they are not large, for a transport that takes whole frames.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        if self.bytes <= BYTES_AT_ONCE {
            self.bytes = 0;
            return std::mem::take(&mut self.frames).into();
        }
        let mut bytes = 0;
        let mut count = 0;
        while let Some(next) = self.frames.get(count).map(Frame::len)
            && (count == 0 || bytes + next <= BYTES_AT_ONCE)
        {
            bytes += next;
            count += 1;
        }
        self.bytes -= bytes;
        self.frames.drain(..count).collect()
    }

    /// Drops everything except a frame of which a part was written.
    pub(super) fn keep_started(&mut self) {
        self.frames.truncate(usize::from(self.written > 0));
        self.frames.shrink_to_fit();
        self.bytes = self.frames.iter().map(Frame::len).sum();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// One write of as many frames as one system call takes.
    pub(super) fn write(&mut self, socket: &TcpStream) -> std::io::Result<()> {
        let Some(first) = self.frames.front() else {
            return Ok(());
        };
        let first = &first.wire()[self.written..];
        let taken = if self.frames.len() == 1 {
            // Past the runtime, which is asked only when the socket takes nothing and somebody must wait for it.
            match SockRef::from(socket).send(first) {
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => socket.try_write(first)?,
                sent => sent?,
            }
        } else {
            let rest = self.frames.iter().skip(1).take(AT_ONCE - 1).map(|frame| IoSlice::new(frame.wire()));
            let slices: Vec<IoSlice<'_>> = std::iter::once(IoSlice::new(first)).chain(rest).collect();
            match SockRef::from(socket).send_vectored(&slices) {
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => socket.try_write_vectored(&slices)?,
                sent => sent?,
            }
        };
        WRITES.fetch_add(1, Ordering::Relaxed);
        self.advance(taken);
        Ok(())
    }

    /// Forgets what was written.
    fn advance(&mut self, taken: usize) {
        let before = self.frames.len();
        self.drop_written(taken);
        FRAMES.fetch_add((before - self.frames.len()) as u64, Ordering::Relaxed);
    }

    fn drop_written(&mut self, taken: usize) {
        self.written += taken;
        while let Some(first) = self.frames.front() {
            let length = first.len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.bytes -= length;
            self.frames.pop_front();
        }
        if self.frames.capacity() > KEPT {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::hub::frame;

    #[test]
    fn what_was_written_in_part_goes_on_where_it_stopped() {
        let mut out = Out::default();
        for length in [10, 20, 30] {
            out.push(frame::event(&vec![1; length].into()));
        }
        let lengths: Vec<usize> = out.frames.iter().map(Frame::len).collect();
        out.advance(lengths[0] + 3);
        assert_eq!((out.len(), out.written, out.bytes), (2, 3, lengths[1] + lengths[2]));
        out.advance(lengths[1] - 3);
        assert_eq!((out.len(), out.written), (1, 0));
        out.advance(lengths[2]);
        assert_eq!((out.len(), out.written, out.bytes), (0, 0, 0));
    }

    #[test]
    fn a_transport_that_takes_whole_frames_gets_little_at_a_time() {
        let mut out = Out::default();
        for length in [60_000, 3000, 3000, 100_000, 10] {
            out.push(frame::event(&vec![1; length].into()));
        }
        let counts: Vec<usize> = (0..4).map(|_| out.take().len()).collect();
        assert_eq!((counts, out.len(), out.bytes), (vec![2, 1, 1, 1], 0, 0));
    }

    #[test]
    fn what_is_given_up_keeps_the_frame_that_was_begun() {
        let mut out = Out::default();
        out.push(frame::event(&vec![1; 100].into()));
        out.push(frame::event(&vec![2; 100].into()));
        let first = out.frames[0].len();
        out.advance(3);
        out.keep_started();
        assert_eq!((out.len(), out.written, out.bytes), (1, 3, first));
        out.advance(first - 3);
        out.push(frame::event(&vec![2; 100].into()));
        out.keep_started();
        assert_eq!((out.len(), out.bytes), (0, 0));
    }

    #[test]
    fn events_are_bounded_by_count_and_bytes() {
        let mut out = Out::default();
        let small = frame::event(&Bytes::from_static(b"x"));
        assert!(out.takes_event(MAX_BYTES * 2), "alone");
        for _ in 0..MAX_EVENTS {
            assert!(out.takes_event(small.len()));
            out.push(small.clone());
        }
        assert!(!out.takes_event(small.len()) && !out.takes_ephemeral() && !out.takes_page());
        out.clear();
        out.push(frame::event(&vec![0; MAX_BYTES - 100].into()));
        assert!(out.takes_event(20) && !out.takes_event(200) && !out.takes_page());
    }
}
