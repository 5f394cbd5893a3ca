//! When sockets are written to: at once, unless writing takes more than its share of the time. Then what comes in the meantime is
//! written together: a system call for each of two events costs almost twice as much as one for both.

use std::time::Duration;

use tokio::time::Instant;

/// The part of the time that writing may take for long: one out of so many. What is left is for what brings the events.
const SHARE: u32 = 4;
/// How much more than its share it may have taken at a time: a burst goes out at once.
const BURST: Duration = Duration::from_millis(2);
/// A shorter rest is not worth it: a timer is not that exact.
const WORTH_WAITING: Duration = Duration::from_micros(200);

/// How much was written lately.
pub(super) struct Pace {
    /// When writing will have had no more than its share.
    even: Instant,
}

impl Pace {
    /// Nothing was written yet.
    pub(super) fn new() -> Self {
        Self { even: Instant::now() }
    }

    /// Notes a round.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant) {
        self.even = self.even.max(began) + (ended - began) * SHARE;
    }

    /// When the next round may begin; nothing when that is now.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        let until = self.even.checked_sub(BURST)?;
        (until > now + WORTH_WAITING).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of so many microseconds, each as soon as it may begin and there is something, for a second: how many there were.
    fn rounds(took: u64, every: u64) -> u32 {
        let mut pace = Pace::new();
        let began = Instant::now();
        let (mut now, mut rounds) = (began, 0);
        while now < began + Duration::from_secs(1) {
            if let Some(until) = pace.rests_until(now) {
                assert!(until < now + Duration::from_micros(took) * SHARE, "no rest is longer than what it is for");
                now = until;
            }
            let ended = now + Duration::from_micros(took);
            pace.wrote(now, ended);
            now = ended.max(now + Duration::from_micros(every));
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn who_writes_little_never_rests() {
        // 250 rounds of 0.8 ms are a fifth of the time.
        assert_eq!(rounds(800, 4000), 250);
        assert_eq!(rounds(50, 250), 4000);
    }

    #[test]
    fn writing_takes_its_share_of_the_time_and_no_more() {
        // However much there is to write: of a second, a quarter, and what a burst may have taken in advance.
        for took in [300, 1000, 4000] {
            let written = u64::from(rounds(took, 0)) * took;
            assert!((240_000..262_000).contains(&written), "{written} us in rounds of {took}");
        }
    }

    #[test]
    fn a_burst_goes_out_at_once() {
        let mut pace = Pace::new();
        let began = Instant::now();
        assert_eq!(pace.rests_until(began), None, "the first round begins at once");
        pace.wrote(began, began + Duration::from_micros(600));
        assert_eq!(pace.rests_until(began + Duration::from_micros(600)), None, "nor is a single one worth a rest");
    }
}
