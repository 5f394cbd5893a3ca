//! Where one client stands in each feed that it follows.

use uuid::Uuid;

/// A feed that is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    feed: Uuid,
    /// The number of the newest event that was put among the outgoing frames.
    pub(super) sent: u64,
    /// The newest number that the hub has heard of.
    told: u64,
    /// `sent` at the last heartbeat, and at the one before.
    beat: u64,
    beat_before: u64,
    /// It had a beginning, even if that must be asked for again.
    begun: bool,
    mode: Mode,
    /// The lowest number that the client may read.
    first: u64,
    /// When it was made, by the clock of [`Places`].
    made: u32,
}

/// When feeds were opened. A beginning that was asked for then is of use while nothing else was made of a feed since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u32);

/// What became of a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The client is there, or will be when it is asked about anew, and goes on from it.
    Yes,
    /// The client was put out of the feed meanwhile.
    Left,
    /// It was put out and brought back meanwhile: what follows on that begins it.
    Anew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Its beginning is not known yet.
    Opening,
    /// Events are passed on as they come.
    Live,
    /// The log is read until nothing is missing.
    Reading,
}

impl Place {
    /// Whether an event is the next one of a client that is live, and one that it may read: not about something (0 for nothing)
    /// from before it may read. Of such a one the log has what is left for it.
    pub(super) fn is_next(&self, seq: u64, about: u64) -> bool {
        self.mode == Mode::Live && seq == self.sent + 1 && (about == 0 || about >= self.first)
    }

    /// The event was put among the outgoing frames.
    pub(super) fn pass(&mut self, seq: u64) {
        self.sent = seq;
        self.told = self.told.max(seq);
    }
}

/// The feeds that are followed, by id. Few for most, so a sorted list is smaller and faster than a table.
#[derive(Debug, Default)]
pub(super) struct Places {
    list: Vec<Place>,
    /// How many are being read from the log.
    reading: usize,
    /// Where the next search for one to read begins, so that each has its turn.
    turn: usize,
    /// Counts openings and suspensions.
    clock: u32,
    /// When everything was suspended.
    suspended: u32,
}

impl Places {
    fn find(&self, feed: Uuid) -> Result<usize, usize> {
        self.list.binary_search_by(|place| place.feed.cmp(&feed))
    }

    pub(super) fn get(&self, feed: Uuid) -> Option<&Place> {
        self.find(feed).ok().and_then(|at| self.list.get(at))
    }

    fn change<T>(&mut self, feed: Uuid, change: impl FnOnce(&mut Place) -> T) -> Option<T> {
        let at = self.find(feed).ok()?;
        let place = self.list.get_mut(at)?;
        let was_reading = place.mode == Mode::Reading;
        let result = change(place);
        match (was_reading, place.mode == Mode::Reading) {
            (false, true) => self.reading += 1,
            (true, false) => self.reading -= 1,
            _ => {}
        }
        Some(result)
    }

    /// The same, for an event that is the next one ([`Place::pass`]): nothing else may be changed.
    pub(super) fn get_mut(&mut self, feed: Uuid) -> Option<&mut Place> {
        self.find(feed).ok().and_then(|at| self.list.get_mut(at))
    }

    /// There is an event that cannot be passed on now. True when the log must be read from now on.
    pub(super) fn told(&mut self, feed: Uuid, seq: u64) -> bool {
        self.change(feed, |place| {
            place.told = place.told.max(seq);
            let behind = place.mode == Mode::Live && place.told > place.sent;
            if behind {
                place.mode = Mode::Reading;
            }
            behind
        })
        .unwrap_or(false)
    }

    /// Counts events without passing them on.
    pub(super) fn open(&mut self, feeds: &[Uuid]) -> Ticket {
        self.clock += 1;
        for feed in feeds {
            let known = self.change(*feed, |place| place.mode = Mode::Opening).is_some();
            if let (false, Err(at)) = (known, self.find(*feed)) {
                let (feed, mode, made) = (*feed, Mode::Opening, self.clock);
                let new = Place { feed, sent: 0, told: 0, beat: 0, beat_before: 0, begun: false, mode, first: 1, made };
                self.list.insert(at, new);
            }
        }
        Ticket(self.clock)
    }

    pub(super) fn suspend(&mut self) {
        self.clock += 1;
        self.suspended = self.clock;
        self.list.iter_mut().for_each(|place| place.mode = Mode::Opening);
        self.reading = 0;
    }

    /// Everything up to `sent` is there, and the log reached `head`; the client may read it from `first` on. This was asked for
    /// with `ticket`: a feed that the hub has closed since is not begun by it.
    pub(super) fn begin(&mut self, ticket: Ticket, feed: Uuid, sent: u64, head: u64, first: u64) -> Begun {
        let suspended = self.suspended > ticket.0;
        self.change(feed, |place| {
            if place.made > ticket.0 {
                return Begun::Anew;
            }
            place.first = first;
            place.sent = sent;
            place.beat = sent;
            place.beat_before = sent;
            place.begun = true;
            place.told = place.told.max(head);
            place.mode = match place.told > sent {
                // Nobody knows whether that still holds. It is asked for again, from here.
                _ if suspended => Mode::Opening,
                true => Mode::Reading,
                false => Mode::Live,
            };
            Begun::Yes
        })
        .unwrap_or(Begun::Left)
    }

    /// What came after `after` was read up to `sent`. False when that is of no use any more.
    pub(super) fn page(&mut self, feed: Uuid, after: u64, sent: u64, head: u64) -> bool {
        self.change(feed, |place| {
            if place.mode != Mode::Reading || place.sent != after {
                return false;
            }
            place.sent = sent;
            // What the hub has heard of is in the log; that there was nothing after `after` says that there is nothing to wait for.
            if sent >= place.told.max(head) || sent == after {
                place.told = sent;
                place.mode = Mode::Live;
            }
            true
        })
        .unwrap_or(false)
    }

    /// Whether the client has the beginning of a feed, which says that it may see it.
    pub(super) fn is_open(&self, feed: Uuid) -> bool {
        self.get(feed).is_some_and(|place| place.mode != Mode::Opening)
    }

    /// Whether the beginning of a feed that is followed is not known yet.
    pub(super) fn is_opening(&self, feed: Uuid) -> bool {
        self.get(feed).is_some_and(|place| place.mode == Mode::Opening)
    }

    /// The client says what it holds. True when something was lost on the way: what was sent before the last heartbeat but one
    /// should have arrived.
    pub(super) fn holds(&mut self, feed: Uuid, seq: u64) -> bool {
        self.change(feed, |place| {
            let lost = place.mode == Mode::Live && seq < place.beat_before;
            if lost {
                place.sent = seq;
                place.beat = seq;
                place.beat_before = seq;
                place.mode = Mode::Reading;
            }
            lost
        })
        .unwrap_or(false)
    }

    pub(super) fn close(&mut self, feed: Uuid) {
        self.change(feed, |place| place.mode = Mode::Opening);
        if let Ok(at) = self.find(feed) {
            self.list.remove(at);
        }
    }

    pub(super) fn close_all(&mut self) -> Vec<Uuid> {
        self.reading = 0;
        std::mem::take(&mut self.list).into_iter().map(|place| place.feed).collect()
    }

    /// Whether anything is to be read from the log.
    pub(super) const fn reading(&self) -> bool {
        self.reading > 0
    }

    /// A feed to be read from the log, each in turn.
    pub(super) fn next_to_read(&mut self) -> Option<(Uuid, u64)> {
        if self.reading == 0 {
            return None;
        }
        let count = self.list.len();
        let at = (0..count).map(|step| (self.turn + step) % count).find(|at| self.list[*at].mode == Mode::Reading)?;
        self.turn = (at + 1) % count;
        Some((self.list[at].feed, self.list[at].sent))
    }

    /// Every feed, and what was sent of it once it had a beginning.
    pub(super) fn cursors(&self) -> Vec<(Uuid, Option<u64>)> {
        self.list.iter().map(|place| (place.feed, place.begun.then_some(place.sent))).collect()
    }

    /// A heartbeat: the feeds that moved since the last one.
    pub(super) fn beat(&mut self) -> Vec<(Uuid, u64)> {
        let mut moved = Vec::new();
        for place in &mut self.list {
            place.beat_before = place.beat;
            if place.sent != place.beat {
                place.beat = place.sent;
                moved.push((place.feed, place.sent));
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Uuid {
        mesh::ids::new_id()
    }

    fn begin(places: &mut Places, feed: Uuid, sent: u64, head: u64, first: u64) {
        let ticket = places.open(&[feed]);
        assert_eq!(places.begin(ticket, feed, sent, head, first), Begun::Yes);
    }

    #[test]
    fn events_that_come_while_a_feed_is_opened_are_read_from_the_log() {
        let (mut places, feed) = (Places::default(), id());
        places.open(&[feed]);
        assert!(!places.told(feed, 4), "the task is busy with the beginning");
        begin(&mut places, feed, 3, 3, 1);
        assert_eq!(places.next_to_read(), Some((feed, 3)));
        assert!(places.page(feed, 3, 4, 4));
        assert!(places.get(feed).unwrap().is_next(5, 0));
        assert!(!places.reading());
    }

    #[test]
    fn what_never_had_a_beginning_has_no_cursor_to_go_on_from() {
        let (mut places, old, new) = (Places::default(), id(), id());
        begin(&mut places, old, 7, 7, 1);
        places.open(&[new]);
        places.suspend();
        let mut cursors = places.cursors();
        cursors.sort_unstable_by_key(|(_, cursor)| *cursor);
        assert_eq!(cursors, [(new, None), (old, Some(7))]);
    }

    #[test]
    fn a_beginning_from_before_the_client_was_put_out_begins_nothing() {
        let (mut places, feed) = (Places::default(), id());
        let ticket = places.open(&[feed]);
        places.close(feed);
        assert_eq!(places.begin(ticket, feed, 7, 7, 1), Begun::Left);
        assert!(places.get(feed).is_none());
        let back = places.open(&[feed]);
        assert_eq!(places.begin(ticket, feed, 7, 7, 1), Begun::Anew);
        assert!(places.is_opening(feed), "what brought the client back begins it");
        assert_eq!(places.begin(back, feed, 9, 9, 9), Begun::Yes);
        assert!(places.is_open(feed));
    }

    #[test]
    fn a_beginning_from_before_an_interruption_is_only_what_is_gone_on_from() {
        let (mut places, feed) = (Places::default(), id());
        let ticket = places.open(&[feed]);
        places.suspend();
        assert_eq!(places.begin(ticket, feed, 7, 9, 1), Begun::Yes);
        assert!(places.is_opening(feed) && !places.reading());
        assert_eq!(places.cursors(), [(feed, Some(7))]);
        let ticket = places.open(&[feed]);
        assert_eq!(places.begin(ticket, feed, 7, 9, 1), Begun::Yes);
        assert!(places.reading());
    }

    #[test]
    fn a_hole_is_read_once_and_live_goes_on_when_it_is_closed() {
        let (mut places, feed) = (Places::default(), id());
        begin(&mut places, feed, 1, 1, 1);
        assert!(places.told(feed, 3));
        assert!(!places.told(feed, 4), "the log is being read already");
        assert!(!places.get(feed).unwrap().is_next(2, 0), "nothing overtakes the log");
        assert!(places.page(feed, 1, 3, 3));
        assert!(places.reading(), "4 is missing");
        assert!(places.page(feed, 3, 4, 4));
        assert!(!places.reading());
    }

    #[test]
    fn what_is_about_something_from_before_is_read_from_the_log() {
        let (mut places, feed) = (Places::default(), id());
        begin(&mut places, feed, 8, 8, 5);
        let place = places.get(feed).unwrap();
        assert!(place.is_next(9, 0) && place.is_next(9, 5) && place.is_next(9, 8));
        assert!(!place.is_next(9, 4) && !place.is_next(9, 1));
    }

    #[test]
    fn a_page_of_a_feed_that_began_anew_is_not_taken() {
        let (mut places, feed) = (Places::default(), id());
        begin(&mut places, feed, 1, 9, 1);
        begin(&mut places, feed, 5, 9, 1);
        assert!(!places.page(feed, 1, 9, 9));
        places.close(feed);
        assert!(!places.page(feed, 5, 9, 9) && !places.reading());
    }

    #[test]
    fn each_feed_has_its_turn() {
        let mut places = Places::default();
        let mut feeds = [id(), id(), id()];
        feeds.sort_unstable();
        for feed in feeds {
            begin(&mut places, feed, 0, 100, 1);
        }
        let turns: Vec<Uuid> = (0..4).filter_map(|_| places.next_to_read()).map(|(feed, _)| feed).collect();
        assert_eq!(turns, [feeds[0], feeds[1], feeds[2], feeds[0]]);
    }

    #[test]
    fn what_was_sent_long_ago_and_did_not_arrive_is_sent_again() {
        let (mut places, feed) = (Places::default(), id());
        begin(&mut places, feed, 0, 0, 1);
        places.get_mut(feed).unwrap().pass(1);
        assert_eq!(places.beat(), [(feed, 1)]);
        assert!(!places.holds(feed, 0), "it may be on its way");
        assert!(places.beat().is_empty());
        assert!(places.holds(feed, 0));
        assert_eq!(places.next_to_read(), Some((feed, 0)));
    }
}
