//! What one member holds of one feed: stretches of numbers, the last of which may still grow.

use super::Hash;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is the next one.
    Next,
    /// It was there already.
    Again,
    /// Something is missing before it, or the feed has no beginning.
    Hole,
}

/// Consecutive events.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    /// The number before the first.
    pub(super) after: u64,
    /// Each with the step at which it came.
    pub(super) events: Vec<(Hash, u64)>,
}

impl Stretch {
    pub(super) fn end(&self) -> u64 {
        self.after + self.events.len() as u64
    }
}

/// A member's feed.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) stretches: Vec<Stretch>,
    /// The last stretch goes on.
    open: bool,
    /// The highest number that was ever held.
    top: u64,
}

impl Held {
    pub(super) fn take(&mut self, seq: u64, hash: Hash, step: u64) -> Taken {
        if seq <= self.top {
            return Taken::Again;
        }
        self.top = seq;
        let next = self.stretches.last().filter(|_| self.open).is_some_and(|stretch| stretch.end() + 1 == seq);
        if !next {
            self.start(seq - 1);
        }
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.events.push((hash, step));
        }
        if next { Taken::Next } else { Taken::Hole }
    }

    /// Everything up to `head` is known otherwise.
    pub(super) fn start(&mut self, head: u64) {
        self.stretches.push(Stretch { after: head, events: Vec::new() });
        self.open = true;
    }

    /// Nothing follows on what is held.
    pub(super) fn end(&mut self) {
        self.open = false;
    }

    /// The newest number, when it can be continued.
    pub(super) fn cursor(&self) -> Option<u64> {
        self.stretches.last().filter(|_| self.open).map(Stretch::end)
    }

    /// Forgets what was checked.
    pub(super) fn settle(&mut self) {
        let last = self.stretches.pop();
        self.stretches.clear();
        self.stretches.extend(last.map(|stretch| Stretch { after: stretch.end(), events: Vec::new() }));
    }
}
