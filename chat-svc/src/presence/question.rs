//! Whether somebody is online, asked about single people and not about a room: as if somebody looked, for a while.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Presence, State};

/// Who was asked about is wanted to be known for so long: whoever asks once asks again.
const WANTED: Duration = Duration::from_secs(3600);
/// After so many intervals every gateway and every other process has told.
const TOLD_AFTER: u32 = 2;

/// Since when, and until when, it is wanted to be known who is online.
pub(super) struct Question {
    since: Instant,
    until: Instant,
}

impl Presence {
    /// Whether somebody is online; nothing while it is not known yet, which it is after two intervals.
    pub(crate) fn is_online(&self, user: Uuid) -> Option<bool> {
        let now = Instant::now();
        let mut state = self.state();
        let asked = state.question.as_ref().filter(|question| question.until > now).map(|question| question.since);
        let since = asked.unwrap_or(now);
        state.question = Some(Question { since, until: now + WANTED });
        state.ask_gateways();
        let online = state.is_online(&user);
        drop(state);
        if asked.is_none() {
            self.tell_others.notify_one();
        }
        (online || now.duration_since(since) >= self.every * TOLD_AFTER).then_some(online)
    }
}

impl State {
    /// Whether this process wants to know who is online elsewhere.
    pub(super) fn wants_to_know(&self) -> bool {
        self.looks() || self.question.as_ref().is_some_and(|question| question.until > Instant::now())
    }
}
