//! The ledger on made-up histories: a good one is clean, and every fault is counted as what it is.

use prost::Message as _;
use proto::chat::v1::{Event, Member, MemberJoined, MemberLeft, MessagePosted, RoomCreated, event::Body};

use super::*;
use crate::load::check;

const ROOM: &str = "room";
const KEYS: [Key; 3] = [1 << 32 | 1, 1 << 32 | 2, 2 << 32 | 1];

/// The log of a room with two members, `alice` who made it and `bob`, and three messages from number 3 on.
struct Story {
    ledger: Ledger,
    log: Vec<Bytes>,
    ordinal: u64,
}

impl Story {
    fn new(since_joined: bool) -> Self {
        let users = vec!["alice".to_owned(), "bob".to_owned()];
        let ledger = Ledger::new(vec![(ROOM.to_owned(), since_joined)], users);
        let mut story = Self { ledger, log: Vec::new(), ordinal: 0 };
        story.happens("alice", Body::RoomCreated(RoomCreated::default()));
        story.joins("bob");
        story.ledger.snapshot(0, ROOM, 2);
        story.ledger.snapshot(1, ROOM, 2);
        story
    }

    /// Also three messages, all answered.
    fn with_messages() -> Self {
        let mut story = Self::new(false);
        for key in KEYS {
            story.ledger.attempt(key);
            let seq = story.posts(key);
            story.ledger.acknowledge(key, &Message { seq, ..Message::default() });
        }
        story
    }

    fn happens(&mut self, actor: &str, body: Body) -> u64 {
        let seq = self.log.len() as u64 + 1;
        let event = Event { feed_id: ROOM.into(), seq, actor_id: actor.into(), body: Some(body), ..Event::default() };
        self.log.push(event.encode_to_vec().into());
        seq
    }

    fn joins(&mut self, user: &str) -> u64 {
        let member = Member { user_id: user.into(), ..Member::default() };
        self.happens(user, Body::MemberJoined(MemberJoined { member: Some(member), room_id: ROOM.into() }))
    }

    fn leaves(&mut self, user: &str) -> u64 {
        self.happens(user, Body::MemberLeft(MemberLeft { user_id: user.into(), room_id: ROOM.into() }))
    }

    fn posts(&mut self, key: Key) -> u64 {
        self.ordinal += 1;
        let seq = self.log.len() as u64 + 1;
        let text = check::text(key, 0, 40);
        let message = Message { text, seq, ordinal: self.ordinal, ..Message::default() };
        self.happens("alice", Body::MessagePosted(MessagePosted { message: Some(message) }))
    }

    fn gets(&mut self, member: usize, numbers: impl IntoIterator<Item = u64>) {
        for seq in numbers {
            let bytes = self.log[usize::try_from(seq).unwrap() - 1].clone();
            self.ledger.event(member, ROOM, seq, &bytes, false);
        }
    }

    fn counts(mut self) -> Counts {
        self.ledger.read(0, &self.log);
        self.ledger.check();
        self.ledger.counts().clone()
    }
}

/// What is counted when bob gets these numbers and alice gets all.
fn when_bob_gets(numbers: &[u64]) -> Counts {
    let mut story = Story::with_messages();
    story.gets(0, 3..=5);
    story.gets(1, numbers.iter().copied());
    story.counts()
}

#[test]
fn a_good_history_is_clean() {
    let counts = when_bob_gets(&[3, 4, 5]);
    assert!(counts.is_clean(), "{counts:?}");
    assert_eq!((counts.tally.attempted, counts.tally.acknowledged), (3, 3));
}

#[test]
fn what_does_not_arrive_comes_twice_or_leaves_a_hole_is_counted() {
    assert_eq!(when_bob_gets(&[3, 4]).tally.lost, 1);
    assert_eq!(when_bob_gets(&[3, 4, 4, 5]).tally.duplicated, 1);
    assert_eq!(when_bob_gets(&[3, 5]).tally.holes, 1);
}

#[test]
fn what_is_answered_and_not_stored_is_lost() {
    let mut story = Story::new(false);
    story.ledger.attempt(KEYS[0]);
    story.ledger.acknowledge(KEYS[0], &Message { seq: 3, ..Message::default() });
    assert_eq!(story.counts().tally.lost, 1);
}

#[test]
fn what_is_received_and_not_stored_is_told() {
    let mut story = Story::new(false);
    story.ledger.attempt(KEYS[0]);
    story.posts(KEYS[0]);
    story.gets(1, [3]);
    story.log.pop();
    let counts = story.counts();
    assert_eq!((counts.not_stored, counts.tally.failed), (1, 1));
}

#[test]
fn what_is_stored_twice_or_was_refused_or_never_sent_is_counted() {
    let mut story = Story::new(false);
    story.ledger.attempt(KEYS[0]);
    story.posts(KEYS[0]);
    story.posts(KEYS[0]);
    story.ledger.acknowledge(KEYS[0], &Message { seq: 3, ..Message::default() });
    story.ledger.attempt(KEYS[2]);
    story.posts(KEYS[2]);
    story.ledger.refuse(KEYS[2], false);
    story.posts(9 << 32 | 1);
    for member in [0, 1] {
        story.gets(member, 3..=6);
    }
    let counts = story.counts();
    assert_eq!((counts.tally.duplicated, counts.tally.unexpected), (1, 2), "{counts:?}");
}

#[test]
fn two_answers_to_one_send_are_counted() {
    let mut story = Story::new(false);
    story.ledger.attempt(KEYS[0]);
    for seq in [3, 3, 4] {
        story.ledger.acknowledge(KEYS[0], &Message { seq, ..Message::default() });
    }
    assert_eq!(story.ledger.counts().tally.duplicated, 1);
}

#[test]
fn a_sender_whose_messages_change_places_is_told() {
    let mut story = Story::new(false);
    for key in [KEYS[1], KEYS[0]] {
        story.ledger.attempt(key);
        let seq = story.posts(key);
        story.ledger.acknowledge(key, &Message { seq, ..Message::default() });
    }
    for member in [0, 1] {
        story.gets(member, 3..=4);
    }
    assert_eq!(story.counts().reordered, 1);
}

#[test]
fn other_bytes_under_a_number_are_told() {
    let mut story = Story::with_messages();
    story.gets(0, 3..=5);
    let other = story.log[0].clone();
    story.ledger.event(1, ROOM, 3, &other, false);
    story.gets(1, 4..=5);
    assert_eq!(story.counts().tally.disagreeing_rooms, 1);
}

/// Bob is put out with number 3, number 4 is said without him, and he is brought back with number 5.
fn out_and_back(since_joined: bool, before: bool, after: bool) -> Counts {
    let mut story = Story::new(since_joined);
    story.leaves("bob");
    story.gets(1, [3]);
    story.ledger.attempt(KEYS[0]);
    let seq = story.posts(KEYS[0]);
    story.ledger.acknowledge(KEYS[0], &Message { seq, ..Message::default() });
    if before {
        story.gets(1, [4]);
    }
    story.ledger.readd(1, 0);
    story.joins("bob");
    if after {
        story.gets(1, [4, 5]);
    } else if before {
        story.gets(1, [5]);
    } else {
        story.ledger.snapshot(1, ROOM, 5);
    }
    story.gets(0, 3..=5);
    story.counts()
}

#[test]
fn nothing_is_seen_while_one_is_out() {
    assert!(out_and_back(true, false, false).is_clean());
    assert!(out_and_back(false, false, false).is_clean());
    assert_eq!(out_and_back(false, true, false).tally.violations, 1);
    assert!(out_and_back(false, false, true).is_clean(), "history = ALL shows it once they are back");
    assert_eq!(out_and_back(true, false, true).tally.violations, 1);
}

#[test]
fn a_start_above_what_is_held_needs_a_reason() {
    let mut story = Story::with_messages();
    story.gets(0, 3..=5);
    story.gets(1, [3]);
    story.ledger.snapshot(1, ROOM, 4);
    story.gets(1, [5]);
    assert_eq!(story.counts().tally.lost, 1);
}

#[test]
fn a_foreign_feed_is_a_violation() {
    let mut story = Story::with_messages();
    let bytes = story.log[0].clone();
    story.ledger.event(1, "alice", 1, &bytes, false);
    assert_eq!(story.ledger.counts().tally.violations, 1);
}
