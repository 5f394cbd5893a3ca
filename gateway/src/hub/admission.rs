//! Who may begin when: clients that bring cursors apart from those that need everything, which cost more, so that a crowd that
//! comes back is not held up by one that comes for the first time. Nobody is turned away; each waits for its turn.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Mutex;

/// How many clients may begin a second.
pub(crate) struct Admission {
    new: Line,
    resumed: Line,
}

/// Those who wait for the same, in the order in which they came. Only the first asks the limiter: in a crowd of thousands all
/// would otherwise wake up for every turn.
struct Line {
    first: Mutex<()>,
    limiter: DefaultDirectRateLimiter,
}

impl Admission {
    /// At most so many a second of each.
    pub(crate) fn new(new: NonZeroU32, resumed: NonZeroU32) -> Self {
        Self { new: Line::new(new), resumed: Line::new(resumed) }
    }

    /// Waits for one's turn.
    pub(crate) async fn admit(&self, resumes: bool) {
        let line = if resumes { &self.resumed } else { &self.new };
        let _first = line.first.lock().await;
        line.limiter.until_ready().await;
    }
}

impl Line {
    fn new(a_second: NonZeroU32) -> Self {
        Self { first: Mutex::new(()), limiter: RateLimiter::direct(Quota::per_second(a_second)) }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures::{StreamExt as _, stream::FuturesUnordered};
    use tokio::time::Instant;

    use super::*;

    fn per_second(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[tokio::test]
    async fn who_resumes_does_not_wait_behind_who_is_new_and_everybody_is_admitted_in_turn() {
        let admission = Arc::new(Admission::new(per_second(5), per_second(1000)));
        let began = Instant::now();
        let new = async {
            let mut waiting: FuturesUnordered<_> = (0..8)
                .map(|number| {
                    let admission = admission.clone();
                    async move {
                        admission.admit(false).await;
                        number
                    }
                })
                .collect();
            let mut order = Vec::new();
            while let Some(number) = waiting.next().await {
                order.push(number);
            }
            (order, began.elapsed())
        };
        let resumed = async {
            for _ in 0..500 {
                admission.admit(true).await;
            }
            began.elapsed()
        };
        let ((order, last), resumed) = tokio::join!(new, resumed);
        assert_eq!(order, (0..8).collect::<Vec<_>>());
        assert!(last >= Duration::from_millis(550), "three of eight wait 200 ms each, and not {last:?}");
        assert!(resumed < last, "500 that resume are through while three wait");
    }

    #[tokio::test]
    async fn who_gives_up_while_waiting_holds_up_nobody() {
        let admission = Admission::new(per_second(1), per_second(1));
        let began = Instant::now();
        admission.admit(false).await;
        for _ in 0..5 {
            // Whether it was admitted is left to the clock.
            let _ = tokio::time::timeout(Duration::ZERO, admission.admit(false)).await;
        }
        admission.admit(false).await;
        assert!(began.elapsed() < Duration::from_millis(2900), "a turn that nobody took is there for the next");
    }
}
