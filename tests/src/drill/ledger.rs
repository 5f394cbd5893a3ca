//! The ledger: what was sent and answered, what each member holds, and what the log has; and the counts that come out of
//! comparing the three.
//!
//! It is compared piece by piece: once a stretch of the log has been checked, only the hashes of its events are kept.

mod check;
mod held;
mod log;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proto::chat::v1::Message;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::{held::Held, log::Log};
pub use crate::load::check::{Key, Tally};

/// SHA-256 of an event's bytes.
pub type Hash = [u8; 32];

/// The hash of an event's bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// How many notes on what is wrong are kept.
const MAX_NOTES: usize = 30;

/// The counts. All but the first two of [`Tally`], `recovered` and `refused` must be 0.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// The six counts and their companions. `disagreeing_rooms` counts numbers at which a member holds other bytes than the
    /// log; `failed` counts sends that were never answered.
    #[serde(flatten)]
    pub tally: Tally,
    /// Sends that were refused, because the sender was out of the room. Need not be 0.
    pub refused: u64,
    /// Messages whose number is below that of a message that the same sender sent before.
    pub reordered: u64,
    /// Events that a member received and the database does not have.
    pub not_stored: u64,
    /// Ranges whose digest is not that of what the member received.
    pub digests: u64,
    /// Members who had not caught up in time.
    pub late: u64,
}

impl Counts {
    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.tally.is_clean() && self.reordered + self.not_stored + self.digests + self.late == 0
    }
}

/// How a send stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No answer that tells yet.
    Waiting,
    /// It has this number.
    Done(u64),
    /// Refused. `unknown`: an earlier try was not answered, and may arrive late.
    Refused { unknown: bool },
}

/// Everything that is known.
#[derive(Debug)]
pub struct Ledger {
    /// Counts what happens, so that "before" and "after" can be told without a clock.
    step: u64,
    logs: Vec<Log>,
    rooms: HashMap<String, usize>,
    users: Vec<String>,
    /// What each member holds of each room.
    held: Vec<Vec<Held>>,
    /// What each member holds of their own feed.
    own: Vec<Held>,
    sends: HashMap<Key, Answer>,
    /// Messages that the log has.
    stored: HashSet<Key>,
    /// When each member's coming back to a room was begun, one after the other.
    readded: HashMap<(usize, usize), Vec<u64>>,
    counts: Counts,
    notes: Vec<String>,
}

/// A feed's events that a member holds since the last check: the first number, the last, and the hashes.
pub struct Range {
    /// The feed.
    pub feed_id: String,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// SHA-256 over the hashes.
    pub digest: Hash,
}

impl Ledger {
    /// For these rooms (by id, and whether members see only what happened since they joined) and these members.
    pub fn new(rooms: Vec<(String, bool)>, users: Vec<String>) -> Self {
        let by_id = rooms.iter().enumerate().map(|(room, (id, _))| (id.clone(), room)).collect();
        Self {
            step: 0,
            held: users.iter().map(|_| rooms.iter().map(|_| Held::default()).collect()).collect(),
            own: users.iter().map(|_| Held::default()).collect(),
            logs: rooms.into_iter().map(|(id, since_joined)| Log::new(id, since_joined)).collect(),
            rooms: by_id,
            users,
            sends: HashMap::new(),
            stored: HashSet::new(),
            readded: HashMap::new(),
            counts: Counts::default(),
            notes: Vec::new(),
        }
    }

    /// A message is being sent.
    pub fn attempt(&mut self, key: Key) {
        self.counts.tally.attempted += 1;
        self.sends.insert(key, Answer::Waiting);
    }

    /// The sending was answered well; again with another answer is an error.
    pub fn acknowledge(&mut self, key: Key, message: &Message) {
        match self.sends.insert(key, Answer::Done(message.seq)) {
            Some(Answer::Done(first)) if first != message.seq => {
                self.counts.tally.duplicated += 1;
                self.note(format!("{key:x} was answered with number {first}, and again with {}", message.seq));
            }
            Some(Answer::Waiting) => self.counts.tally.acknowledged += 1,
            _ => {}
        }
    }

    /// The sending was refused; `unknown` when an earlier try was not answered.
    pub fn refuse(&mut self, key: Key, unknown: bool) {
        self.counts.refused += 1;
        self.sends.insert(key, Answer::Refused { unknown });
    }

    /// A member is about to be brought back into a room.
    pub fn readd(&mut self, member: usize, room: usize) {
        self.step += 1;
        self.readded.entry((member, room)).or_default().push(self.step);
    }

    /// A member received an event; `resumed` says that the stream had not caught up.
    pub fn event(&mut self, member: usize, feed: &str, seq: u64, bytes: &Bytes, resumed: bool) {
        self.step += 1;
        let step = self.step;
        let Some(held) = self.place(member, feed) else {
            self.counts.tally.violations += 1;
            return self.note(format!("member {member} got number {seq} of a foreign feed {feed}"));
        };
        let taken = held.take(seq, hash(bytes), step);
        match taken {
            held::Taken::Next => self.counts.tally.recovered += u64::from(resumed),
            held::Taken::Again => self.counts.tally.duplicated += 1,
            held::Taken::Hole => self.counts.tally.holes += 1,
        }
        if taken != held::Taken::Next {
            self.note(format!("member {member} got number {seq} of {feed} as {taken:?}"));
        }
    }

    /// A member's feed starts after `head`.
    pub fn snapshot(&mut self, member: usize, feed: &str, head: u64) {
        match self.place(member, feed) {
            Some(held) => held.start(head),
            None => {
                self.counts.tally.violations += 1;
                self.note(format!("member {member} got a snapshot of a foreign feed {feed}"));
            }
        }
    }

    /// What a member holds of a feed is not continued; an empty `feed` means all. `expected`: they were put out.
    pub fn reset(&mut self, member: usize, feed: &str, expected: bool) {
        if let Some(held) = self.place(member, feed) {
            held.end();
        }
        if !expected {
            self.counts.tally.unexpected += 1;
            self.note(format!("member {member} was reset in {feed:?}"));
        }
    }

    /// Something that should not be, besides what the ledger finds itself.
    pub fn wrong(&mut self, count: impl FnOnce(&mut Counts) -> &mut u64, note: String) {
        *count(&mut self.counts) += 1;
        self.note(note);
    }

    /// What a member resumes from.
    pub fn cursors(&self, member: usize) -> Vec<(String, u64)> {
        let rooms = self.held[member].iter().zip(&self.logs).map(|(held, log)| (log.id.clone(), held.cursor()));
        let own = std::iter::once((self.users[member].clone(), self.own[member].cursor()));
        rooms.chain(own).filter_map(|(feed, cursor)| Some((feed, cursor?))).collect()
    }

    /// The counts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What was wrong, in words; the first few.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn place(&mut self, member: usize, feed: &str) -> Option<&mut Held> {
        if let Some(room) = self.rooms.get(feed) {
            return Some(&mut self.held[member][*room]);
        }
        (self.users[member] == feed).then(|| &mut self.own[member])
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests;
