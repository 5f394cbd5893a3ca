//! One room's log, as the database tells it.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use proto::chat::v1::{Event, Message, event::Body};

use super::{Hash, Key, hash};
use crate::load::check;

/// From which number to which somebody was a member; the last may have no end.
pub(super) type Span = (u64, Option<u64>);

/// A room's log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) id: String,
    /// Members see only what happened since they joined.
    pub(super) since_joined: bool,
    /// How many events were checked and forgotten.
    base: u64,
    /// The others: the hash of each, and the message it posts.
    events: Vec<(Hash, Option<Key>)>,
    /// When each user was a member.
    spans: HashMap<String, Vec<Span>>,
    pub(super) ordinal: u64,
    /// The newest message of each sender.
    pub(super) newest: HashMap<u64, Key>,
    /// How often each file was announced.
    pub(super) files: HashMap<String, u64>,
}

impl Log {
    pub(super) fn new(id: String, since_joined: bool) -> Self {
        Self {
            id,
            since_joined,
            base: 0,
            events: Vec::new(),
            spans: HashMap::new(),
            ordinal: 0,
            newest: HashMap::new(),
            files: HashMap::new(),
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    /// What stands under a number that was not forgotten.
    pub(super) fn at(&self, seq: u64) -> Option<&(Hash, Option<Key>)> {
        self.events.get(usize::try_from(seq.checked_sub(self.base + 1)?).ok()?)
    }

    /// Forgets what was checked.
    pub(super) fn settle(&mut self) {
        self.base = self.head();
        self.events.clear();
    }

    /// Takes the next event and returns the message that it posts.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Option<(Message, Option<Key>)> {
        let event = Event::decode(bytes.clone()).unwrap_or_default();
        let seq = self.head() + 1;
        let mut posted = None;
        match event.body {
            Some(Body::RoomCreated(_)) => self.joins(event.actor_id, seq),
            Some(Body::MemberJoined(joined)) => self.joins(joined.member.unwrap_or_default().user_id, seq),
            Some(Body::MemberLeft(left)) => {
                if let Some(span) = self.spans.entry(left.user_id).or_default().last_mut() {
                    span.1 = Some(seq);
                }
            }
            Some(Body::FileReady(ready)) => *self.files.entry(ready.file.unwrap_or_default().id).or_default() += 1,
            Some(Body::MessagePosted(message)) => posted = message.message,
            _ => {}
        }
        let posted = posted.map(|message| {
            let key = check::parse(message.text.as_bytes()).map(|(key, _)| key);
            (message, key)
        });
        self.events.push((hash(bytes), posted.as_ref().and_then(|(_, key)| *key)));
        posted
    }

    fn joins(&mut self, user: String, seq: u64) {
        let spans = self.spans.entry(user).or_default();
        // The room's maker is a member by its first event and may have one of their own as well.
        if spans.last().is_none_or(|(_, left)| left.is_some()) {
            spans.push((seq, None));
        }
    }

    pub(super) fn spans(&self, user: &str) -> &[Span] {
        self.spans.get(user).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody is a member at the end.
    pub(super) fn has(&self, user: &str) -> bool {
        self.spans(user).last().is_some_and(|(_, left)| left.is_none())
    }

    /// How many messages there are after one number, up to another.
    pub(super) fn messages(&self, after: u64, to: u64) -> u64 {
        (after + 1..=to).filter_map(|seq| self.at(seq)).filter(|(_, key)| key.is_some()).count() as u64
    }
}
