//! How much was asked for: a bucket that fills with every call and drains by itself, in one number.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

const SECOND: u64 = 1_000_000_000;

/// How fast a bucket drains and how much it holds, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// What one call fills.
    cost: u64,
    /// What fits.
    depth: u64,
}

impl Rate {
    /// So many calls a second, and at once as many as are allowed in `burst` seconds. Nothing for 0, which is no limit.
    pub(super) fn per_second(calls: u32, burst: NonZeroU32) -> Option<Self> {
        let calls = NonZeroU32::new(calls)?;
        Some(Self { cost: (SECOND / u64::from(calls.get())).max(1), depth: SECOND * u64::from(burst.get()) })
    }

    /// So many a minute, all at once if need be.
    pub(super) fn per_minute(calls: u32) -> Option<Self> {
        let calls = NonZeroU32::new(calls)?;
        Some(Self { cost: 60 * SECOND / u64::from(calls.get()), depth: 60 * SECOND })
    }

    /// Fewer calls than this are not worth telling others of: an eighth of what a second allows.
    fn worth_telling(self) -> u32 {
        u32::try_from(SECOND / 8 / self.cost).unwrap_or(u32::MAX).max(1)
    }
}

/// A bucket (a leaky bucket as a meter, which is what GCRA counts). Unlike those of libraries it can be filled beyond its brim, with
/// what others have poured in.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// When it will be empty, in nanoseconds of the limits' clock.
    empty_at: AtomicU64,
    /// Calls that others were not told of.
    untold: AtomicU32,
}

impl Meter {
    /// Counts a call, or tells when there will be room for it.
    pub(super) fn take(&self, rate: &Rate, now: u64) -> Result<(), Duration> {
        let fill = |empty_at: u64| {
            let filled = empty_at.max(now).saturating_add(rate.cost);
            (filled <= now.saturating_add(rate.depth)).then_some(filled)
        };
        match self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill) {
            Ok(_) => {
                self.untold.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(empty_at) => {
                let room_at = empty_at.saturating_add(rate.cost).saturating_sub(rate.depth);
                Err(Duration::from_nanos(room_at.saturating_sub(now)))
            }
        }
    }

    /// What others have to be told of, if it is worth it: how much it fills.
    pub(super) fn to_tell(&self, rate: &Rate) -> Option<Duration> {
        if self.untold.load(Ordering::Relaxed) < rate.worth_telling() {
            return None;
        }
        let calls = self.untold.swap(0, Ordering::Relaxed);
        Some(Duration::from_nanos(rate.cost.saturating_mul(u64::from(calls))))
    }

    /// All together have filled it so far.
    pub(super) fn filled_to(&self, level: Duration, now: u64) {
        let level = u64::try_from(level.as_nanos()).unwrap_or(u64::MAX);
        self.empty_at.fetch_max(now.saturating_add(level), Ordering::Relaxed);
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self, now: u64) -> bool {
        self.empty_at.load(Ordering::Relaxed) <= now
    }
}
