//! When sockets are written to: at once, unless writing already takes more than half of the time. Then what comes in the meantime
//! is written together: a system call for each of two events costs almost twice as much as one for both.

use std::time::Duration;

use tokio::time::Instant;

/// Writing that took less is not worth waiting for: a timer is not that exact.
const WORTH_WAITING: Duration = Duration::from_micros(200);

/// How the last round of writing went.
pub(super) struct Pace {
    ended: Instant,
    took: Duration,
}

impl Pace {
    /// Nothing was written yet.
    pub(super) fn new() -> Self {
        Self { ended: Instant::now(), took: Duration::ZERO }
    }

    /// Notes a round.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant) {
        *self = Self { ended, took: ended - began };
    }

    /// When the next round may begin; nothing when that is now.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        let until = self.ended + self.took;
        (self.took >= WORTH_WAITING && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_for_long_rests_as_long_before_the_next_round() {
        let mut pace = Pace::new();
        let began = Instant::now();
        assert_eq!(pace.rests_until(began), None, "the first round begins at once");
        let millis = Duration::from_millis;
        pace.wrote(began, began + millis(3));
        assert_eq!(pace.rests_until(began + millis(4)), Some(began + millis(6)));
        assert_eq!(pace.rests_until(began + millis(6)), None, "by then it was quiet for half of the time");
        pace.wrote(began, began + Duration::from_micros(50));
        assert_eq!(pace.rests_until(began + Duration::from_micros(60)), None, "a short round is soon over");
    }
}
