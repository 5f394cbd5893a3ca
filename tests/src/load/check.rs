//! The checker: what every member got, against what was sent and acknowledged.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

/// A message: which sender, and the how-many-eth of theirs.
pub type Key = u64;

/// Writes a message's text: its key, when it should have been sent (nanoseconds of the generator's clock), and filling.
pub fn text(key: Key, due: u64, length: usize) -> String {
    let mut text = format!("L{key:016x}{due:016x}");
    while text.len() < length {
        text.push('.');
    }
    text
}

/// Reads what [`text`] wrote.
pub fn parse(text: &[u8]) -> Option<(Key, u64)> {
    let hex = |bytes: &[u8]| u64::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok();
    if text.first() != Some(&b'L') {
        return None;
    }
    Some((hex(text.get(1..17)?)?, hex(text.get(17..33)?)?))
}

/// What one member holds of their room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Member {
    /// The number of the newest event.
    pub last: u64,
    /// How many messages.
    pub messages: u64,
}

/// One room: the order in which its messages came to whoever got them first.
#[derive(Debug, Default)]
struct Room {
    /// The number of the first event in `order`.
    first: u64,
    order: Vec<Key>,
    attempted: u64,
    acknowledged: u64,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Checker {
    rooms: Vec<Room>,
    acknowledged: HashSet<Key>,
    room_of: HashMap<Key, usize>,
    tally: Tally,
    disagreeing: HashSet<usize>,
}

/// The counts. All but the first two, and `recovered`, must be 0.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were sent.
    pub attempted: u64,
    /// Messages whose sending was answered well.
    pub acknowledged: u64,
    /// Acknowledged messages that a member did not get, once for each member.
    pub lost: u64,
    /// Events that came again.
    pub duplicated: u64,
    /// Messages that came through a resume.
    pub recovered: u64,
    /// Messages that nobody sent.
    pub unexpected: u64,
    /// Numbers that were left out.
    pub holes: u64,
    /// Rooms whose members saw different orders.
    pub disagreeing_rooms: u64,
    /// Events of rooms that the client is not in.
    pub violations: u64,
    /// Calls that failed.
    pub failed: u64,
}

impl Tally {
    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.lost
            + self.duplicated
            + self.unexpected
            + self.holes
            + self.disagreeing_rooms
            + self.violations
            + self.failed
            == 0
    }
}

impl Checker {
    /// For so many rooms.
    pub fn new(rooms: usize) -> Self {
        Self { rooms: (0..rooms).map(|_| Room::default()).collect(), ..Self::default() }
    }

    /// A message is being sent.
    pub fn attempt(&mut self, room: usize, key: Key) {
        self.tally.attempted += 1;
        self.rooms[room].attempted += 1;
        self.room_of.insert(key, room);
    }

    /// The sending was answered well.
    pub fn acknowledge(&mut self, key: Key) {
        if self.acknowledged.insert(key) {
            self.tally.acknowledged += 1;
            if let Some(room) = self.room_of.get(&key) {
                self.rooms[*room].acknowledged += 1;
            }
        }
    }

    /// The sending failed.
    pub fn fail(&mut self) {
        self.tally.failed += 1;
    }

    /// An event of a room that the client is not in.
    pub fn violate(&mut self) {
        self.tally.violations += 1;
    }

    /// A member got an event; without a key it posts no message of this run. `resumed` says that it came through a resume.
    pub fn deliver(&mut self, room: usize, member: &mut Member, seq: u64, key: Option<Key>, resumed: bool) {
        if seq <= member.last {
            self.tally.duplicated += 1;
            return;
        }
        if seq > member.last + 1 {
            self.tally.holes += 1;
        }
        member.last = seq;
        let Some(key) = key else { return };
        member.messages += 1;
        self.tally.recovered += u64::from(resumed);
        let log = &mut self.rooms[room];
        let place = usize::try_from(seq.saturating_sub(log.first)).unwrap_or(usize::MAX);
        // What somebody got before was looked up then: the usual case costs one comparison.
        if log.order.get(place) == Some(&key) {
            return;
        }
        if self.room_of.get(&key) != Some(&room) {
            self.tally.unexpected += 1;
            return;
        }
        if log.order.is_empty() {
            log.first = seq;
            log.order.push(key);
        } else if place == log.order.len() {
            log.order.push(key);
        } else {
            self.disagreeing.insert(room);
        }
    }

    /// Whether a member has everything that was acknowledged in their room.
    pub fn has_all(&self, room: usize, member: &Member) -> bool {
        member.messages >= self.rooms[room].acknowledged
    }

    /// How many sends are not answered yet.
    pub fn unanswered(&self) -> u64 {
        self.tally.attempted.saturating_sub(self.tally.acknowledged + self.tally.failed)
    }

    /// Adds up, with what each member holds in the end.
    pub fn finish<'m>(mut self, members: impl Iterator<Item = (usize, &'m Member)>) -> Tally {
        for (room, member) in members {
            let log = &self.rooms[room];
            // Members hold an unbroken beginning of the room's order, or a hole was counted.
            let got = log.order.iter().take(usize::try_from(member.messages).unwrap_or(usize::MAX));
            let got = got.filter(|key| self.acknowledged.contains(key)).count() as u64;
            self.tally.lost += log.acknowledged.saturating_sub(got);
        }
        self.tally.disagreeing_rooms = self.disagreeing.len() as u64;
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room with two members and three acknowledged messages, of which the members got what is listed.
    fn run(first: &[(u64, Key)], second: &[(u64, Key)]) -> Tally {
        let mut checker = Checker::new(1);
        for key in [1, 2, 3] {
            checker.attempt(0, key);
            checker.acknowledge(key);
        }
        let mut members = [Member { last: 4, messages: 0 }; 2];
        for (member, got) in members.iter_mut().zip([first, second]) {
            for (seq, key) in got {
                checker.deliver(0, member, *seq, Some(*key), false);
            }
        }
        checker.finish(members.iter().map(|member| (0, member)))
    }

    const ALL: &[(u64, Key)] = &[(5, 1), (6, 2), (7, 3)];

    #[test]
    fn a_good_run_is_clean() {
        let tally = run(ALL, ALL);
        assert!(tally.is_clean(), "{tally:?}");
        assert_eq!((tally.attempted, tally.acknowledged), (3, 3));
    }

    #[test]
    fn every_fault_is_counted_as_what_it_is() {
        assert_eq!(run(ALL, &[(5, 1), (6, 2)]).lost, 1);
        assert_eq!(run(ALL, &[(5, 1), (6, 2), (6, 2), (7, 3)]).duplicated, 1);
        assert_eq!(run(ALL, &[(5, 1), (7, 3)]).holes, 1);
        assert_eq!(run(ALL, &[(5, 1), (6, 3), (7, 2)]).disagreeing_rooms, 1);
        assert_eq!(run(ALL, &[(5, 1), (6, 2), (7, 3), (8, 9)]).unexpected, 1);
    }

    #[test]
    fn a_text_tells_what_was_written_into_it() {
        let text = text(7 << 32 | 5, 123_456_789, 120);
        assert_eq!(text.len(), 120);
        assert_eq!(parse(text.as_bytes()), Some((7 << 32 | 5, 123_456_789)));
        assert_eq!(parse(b"hello"), None);
    }
}
