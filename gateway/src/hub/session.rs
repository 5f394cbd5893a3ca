//! One client: where it stands in each feed, what waits to be sent to it, and what its task has to do.
//!
//! The hub puts an event straight into the outgoing frames of a client that has everything before it; for a socket it also
//! writes them, so that no task is woken for a delivery. A client that has a hole, or cannot keep up, only notes how far its
//! feed has come; its own task (`subscriber`) reads the log until it has caught up. What waits is bounded by count and bytes.

mod out;
mod places;
mod word;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use proto::edge::v1::Cursor;
use tokio::{
    net::TcpStream,
    sync::{Notify, SetOnce},
};
use uuid::Uuid;

pub(super) use self::out::report_writes;
pub(super) use self::places::{Begun, Ticket};
pub(crate) use self::word::{End, Word};
use self::{out::Out, places::Places};
use super::frame::{self, Frame};

/// How many frames of a socket's own may wait before it is not read any further.
const MAX_OWN_FRAMES: usize = 64;
/// How many words may wait before a socket is not read any further.
const MAX_WORDS: usize = 64;

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique in this process.
    pub(crate) id: u64,
    /// The account.
    pub(crate) user_id: Uuid,
    /// The session of the account, for revocation.
    pub(crate) session_id: Uuid,
    /// The socket that frames are written to at once; nothing for a client whose transport takes them itself.
    socket: Option<Arc<TcpStream>>,
    inner: Mutex<Inner>,
    /// There is something for the client's task.
    filled: Notify,
    emptied: Notify,
    /// Nothing more is sent, and why. Not a word among others, so that nothing that takes long delays it.
    ended: SetOnce<End>,
    /// What is seen of it without touching it.
    pub(super) vitals: Arc<Vitals>,
}

/// What is looked at of thousands of clients that do nothing: apart from everything else, so that many of these lie in few pages of memory.
#[derive(Debug)]
pub(super) struct Vitals {
    /// Nobody takes anything any more.
    gone: AtomicBool,
    /// Something waits and was not taken at once.
    waits: AtomicBool,
    /// Its frames are written to a socket, which answers pings.
    is_socket: bool,
    /// When something was heard of the client, in the hub's seconds.
    heard: AtomicU32,
}

impl Vitals {
    /// Whether nobody takes anything from the client any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether something waits that was not taken at once.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// For how many seconds nothing was heard of a socket's client.
    pub(super) fn silence(&self, now: u32) -> u32 {
        if self.is_socket { now.saturating_sub(self.heard.load(Ordering::Relaxed)) } else { 0 }
    }
}

#[derive(Debug, Default)]
struct Inner {
    words: VecDeque<Word>,
    places: Places,
    out: Out,
    /// The socket takes no more for now; the client's task waits for it.
    blocked: bool,
    /// Frames were added since the last flush.
    dirty: bool,
    /// When the client last took something while more was waiting, in the hub's seconds.
    progress: u32,
}

/// What a client's task finds to do.
#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) words: VecDeque<Word>,
    /// A feed to read from the log, and the number after which.
    pub(super) read: Option<(Uuid, u64)>,
    /// The socket must become writable before anything more is sent.
    pub(super) blocked: bool,
}

impl Session {
    pub(crate) fn new(id: u64, user_id: Uuid, session_id: Uuid, socket: Option<Arc<TcpStream>>, now: u32) -> Self {
        let vitals = Vitals {
            gone: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            is_socket: socket.is_some(),
            heard: AtomicU32::new(now),
        };
        Self {
            id,
            user_id,
            session_id,
            socket,
            inner: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            ended: SetOnce::new(),
            vitals: Arc::new(vitals),
        }
    }

    /// Passes an event on, or notes that there is one. `about` is the number of what it changes, or 0. True when the client must be
    /// flushed and was not yet to be.
    pub(super) fn event(&self, feed: Uuid, seq: u64, about: u64, frame: &Frame) -> bool {
        let mut inner = self.inner();
        let Inner { places, out, .. } = &mut *inner;
        let Some(place) = places.get_mut(feed) else {
            return false;
        };
        if place.is_next(seq, about) && out.takes_event(frame.len()) {
            place.pass(seq);
            out.push(frame.clone());
            return self.dirty(&mut inner);
        }
        self.note(inner, feed, seq);
        false
    }

    /// The feed has come so far: whoever does not have that reads the log.
    pub(super) fn stands(&self, feed: Uuid, seq: u64) {
        self.note(self.inner(), feed, seq);
    }

    fn note(&self, mut inner: MutexGuard<'_, Inner>, feed: Uuid, seq: u64) {
        if inner.places.told(feed, seq) {
            metrics::counter!("loquat_gateway_sessions_behind_total").increment(1);
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Passes something passing on, unless much waits already or it is not known whether the client may see the feed: nothing
    /// then, and else as [`Session::event`].
    pub(super) fn ephemeral(&self, feed: Uuid, frame: &Frame) -> Option<bool> {
        let mut inner = self.inner();
        if !inner.out.takes_ephemeral() || !inner.places.is_open(feed) {
            return None;
        }
        inner.out.push(frame.clone());
        Some(self.dirty(&mut inner))
    }

    /// A client without a socket takes its frames itself and is only told.
    fn dirty(&self, inner: &mut Inner) -> bool {
        if self.socket.is_none() {
            self.vitals.waits.store(true, Ordering::Relaxed);
            self.filled.notify_one();
            return false;
        }
        !std::mem::replace(&mut inner.dirty, true)
    }

    /// Sends a frame that belongs to no feed. How many of these there can be is bounded where they come from: unanswered
    /// calls, rooms, and single words of the hub.
    pub(crate) fn send(&self, frame: Frame) {
        self.put(&mut self.inner(), frame);
    }

    /// Adds a frame and writes to the socket; a client without one takes it itself and is told.
    fn put(&self, inner: &mut Inner, frame: Frame) {
        inner.out.push(frame);
        self.write(inner);
        if self.socket.is_none() {
            self.filled.notify_one();
        }
    }

    /// Gives the client's task something to do.
    pub(crate) fn tell(&self, word: Word) {
        self.inner().words.push_back(word);
        self.filled.notify_one();
    }

    /// Says that nothing more is sent. Only the first reason counts.
    pub(crate) fn end(&self, end: End) {
        // An error says that it has ended already.
        let _ = self.ended.set(end);
        self.filled.notify_one();
    }

    /// Why nothing more is sent, once that is so.
    pub(super) fn ended(&self) -> Option<End> {
        self.ended.get().copied()
    }

    /// Waits until nothing more is sent.
    pub(super) async fn until_ended(&self) -> End {
        *self.ended.wait().await
    }

    /// Ends a client that is of no use any more, and gives back what waits for it: it may never be taken.
    pub(super) fn give_up(&self, end: End) {
        self.end(end);
        let mut inner = self.inner();
        inner.places.close_all();
        inner.out.keep_started();
    }

    /// Writes what waits to the socket, as far as it takes it.
    pub(crate) fn flush(&self) {
        let mut inner = self.inner();
        inner.dirty = false;
        self.write(&mut inner);
    }

    fn write(&self, inner: &mut Inner) {
        self.write_out(inner);
        self.vitals.waits.store(!inner.out.is_empty(), Ordering::Relaxed);
    }

    fn write_out(&self, inner: &mut Inner) {
        let Some(socket) = self.socket.as_ref().filter(|_| !inner.blocked) else {
            return;
        };
        while !inner.out.is_empty() {
            match inner.out.write(socket) {
                Ok(()) => inner.progress = 0,
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                    inner.blocked = true;
                    self.filled.notify_one();
                    return;
                }
                Err(_) => {
                    // The reading half finds out by itself and ends the socket.
                    inner.out.clear();
                    return;
                }
            }
        }
        self.emptied.notify_one();
        if inner.places.reading() {
            self.filled.notify_one();
        }
    }

    /// Waits until the socket takes more, and writes.
    pub(crate) async fn unblock(&self) {
        if let Some(socket) = &self.socket {
            // An error shows on the next write.
            let _ = socket.writable().await;
            let mut inner = self.inner();
            inner.blocked = false;
            self.write(&mut inner);
        }
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.inner().out.is_empty()
    }

    /// The frames of a client that takes them itself.
    pub(super) fn take_frames(&self) -> Vec<Frame> {
        let mut inner = self.inner();
        inner.progress = 0;
        self.emptied.notify_one();
        let taken = inner.out.take();
        self.vitals.waits.store(!inner.out.is_empty(), Ordering::Relaxed);
        taken
    }

    /// What its task has to do now.
    pub(super) fn todo(&self) -> Todo {
        let mut inner = self.inner();
        let read = if inner.out.takes_page() { inner.places.next_to_read() } else { None };
        if !inner.words.is_empty() {
            self.emptied.notify_one();
        }
        Todo { words: std::mem::take(&mut inner.words), read, blocked: inner.blocked }
    }

    /// Waits until there may be something to do.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Follows feeds whose beginning is not known yet: events are counted and not passed on.
    pub(super) fn open(&self, feeds: &[Uuid]) -> Ticket {
        self.inner().places.open(feeds)
    }

    /// Counts events of all feeds and passes none on until each has its beginning again.
    pub(super) fn suspend(&self) {
        let mut inner = self.inner();
        inner.places.suspend();
        inner.words.push_back(Word::Resync);
        drop(inner);
        self.filled.notify_one();
    }

    /// Begins a feed: everything up to `sent` is there, or is in the `snapshot` that goes out with this, and the log reached
    /// `head`; the client may read it from `first` on. The feed was opened with `ticket`, and this asked for afterwards. Nothing is
    /// done and nothing sent when the client was put out since.
    pub(super) fn begin(
        &self,
        ticket: Ticket,
        feed: Uuid,
        snapshot: Option<Frame>,
        (sent, head, first): (u64, u64, u64),
    ) -> Begun {
        let mut inner = self.inner();
        let begun = inner.places.begin(ticket, feed, sent, head, first);
        if let (Begun::Yes, Some(snapshot)) = (begun, snapshot) {
            self.put(&mut inner, snapshot);
        }
        begun
    }

    /// Opens a feed and begins it.
    #[cfg(test)]
    pub(super) fn begins(&self, feed: Uuid, sent: u64, head: u64, first: u64) {
        let ticket = self.open(&[feed]);
        assert_eq!(self.begin(ticket, feed, None, (sent, head, first)), Begun::Yes);
    }

    /// A page of the log: what came after `after`, up to `sent`, when the log reached `head`. Not taken when the feed was given
    /// up or begun anew meanwhile.
    pub(super) fn page(&self, feed: Uuid, after: u64, frames: Vec<Frame>, sent: u64, head: u64) {
        let mut inner = self.inner();
        if inner.places.page(feed, after, sent, head) {
            frames.into_iter().for_each(|frame| inner.out.push(frame));
            self.write(&mut inner);
        }
    }

    /// The client holds less than was sent before the last heartbeat: the rest is read from the log.
    pub(super) fn holds(&self, feed: Uuid, seq: u64) {
        if self.inner().places.holds(feed, seq) {
            tracing::warn!(%feed, seq, "a client did not get what was sent to it; it reads the log");
            self.filled.notify_one();
        }
    }

    /// Nothing of this feed is sent any more, unless it was begun anew since it was read after `after`. False then.
    pub(super) fn close_after(&self, feed: Uuid, after: u64) -> bool {
        let mut inner = self.inner();
        let same = !inner.places.is_opening(feed) && inner.places.get(feed).is_some_and(|place| place.sent == after);
        if same {
            inner.places.close(feed);
        }
        same
    }

    /// Nothing of this feed is sent any more.
    pub(super) fn close(&self, feed: Uuid) {
        self.inner().places.close(feed);
    }

    /// Every feed is given up.
    pub(super) fn close_all(&self) -> Vec<Uuid> {
        self.inner().places.close_all()
    }

    /// Whether a feed is followed and its beginning known.
    pub(super) fn has_begun(&self, feed: Uuid) -> bool {
        let inner = self.inner();
        inner.places.get(feed).is_some() && !inner.places.is_opening(feed)
    }

    /// Every feed that is followed, and what was sent of it; nothing while it never had a beginning.
    pub(super) fn cursors(&self) -> Vec<(Uuid, Option<u64>)> {
        self.inner().places.cursors()
    }

    /// What was sent of a feed.
    pub(super) fn sent(&self, feed: Uuid) -> Option<u64> {
        self.inner().places.get(feed).map(|place| place.sent)
    }

    /// Sends what was sent of feeds that moved since the last time, and asks a socket whether its client is there.
    pub(super) fn heartbeat(&self) {
        let mut inner = self.inner();
        if !inner.out.takes_ephemeral() {
            return;
        }
        let moved = inner.places.beat();
        if self.socket.is_some() {
            inner.out.push(frame::ping());
        }
        if !moved.is_empty() {
            let cursor = |(feed, seq): (Uuid, u64)| Cursor { feed_id: feed.to_string(), seq };
            inner.out.push(frame::heartbeat(moved.into_iter().map(cursor).collect()));
            if self.socket.is_none() {
                self.filled.notify_one();
            }
        }
        self.write(&mut inner);
    }

    /// How often it was asked while the client has taken nothing although something waits.
    pub(super) fn stuck(&self) -> u32 {
        let mut inner = self.inner();
        inner.progress = if inner.out.is_empty() { 0 } else { inner.progress + 1 };
        inner.progress
    }

    /// Something was heard of the client.
    pub(crate) fn heard(&self, now: u32) {
        self.vitals.heard.store(now, Ordering::Relaxed);
    }

    /// Waits until the client has taken enough of its answers, and enough of what it said is done, to be asked for more.
    pub(crate) async fn room_for_answers(&self) {
        while self.is_full() {
            self.emptied.notified().await;
        }
    }

    fn is_full(&self) -> bool {
        let inner = self.inner();
        inner.out.len() >= MAX_OWN_FRAMES + out::MAX_EVENTS || inner.words.len() >= MAX_WORDS
    }

    /// Says that nobody takes anything from here any more.
    pub(crate) fn leave(&self) {
        self.vitals.gone.store(true, Ordering::Release);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
