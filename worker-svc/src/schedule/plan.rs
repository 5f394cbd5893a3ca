//! When a planned job comes back, and what it does.

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use croner::Cron;
use futures::future::BoxFuture;
use mesh::db::Db;
use time::{Duration, OffsetDateTime};

/// A job that comes back.
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    pub(crate) plan: Plan,
    pub(crate) run: Run,
}

/// What it does, at a time.
pub(crate) type Run = Box<dyn Fn(Db, OffsetDateTime) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// A plan in the notation of cron, in UTC.
pub(crate) struct Plan {
    text: &'static str,
    cron: Option<Cron>,
}

impl Plan {
    /// A plan that is written in the program; a test reads all of them.
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, cron: Cron::from_str(text).ok() }
    }

    pub(crate) const fn text(&self) -> &'static str {
        self.text
    }

    /// The next time after one. A plan that cannot be read comes back in a day.
    pub(crate) fn after(&self, at: OffsetDateTime) -> OffsetDateTime {
        let next = || {
            let at = DateTime::<Utc>::from_timestamp(at.unix_timestamp(), 0)?;
            let next = self.cron.as_ref()?.find_next_occurrence(&at, false).ok()?;
            OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
        };
        next().unwrap_or(at + Duration::days(1))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_plan_tells_its_next_time() {
        let plan = Plan::new("15 3 * * *");
        assert_eq!(plan.after(datetime!(2026-01-01 0:00 UTC)), datetime!(2026-01-01 3:15 UTC));
        assert_eq!(plan.after(datetime!(2026-01-01 3:15 UTC)), datetime!(2026-01-02 3:15 UTC));
        assert_eq!(Plan::new("*/5 * * * *").after(datetime!(2026-12-31 23:58 UTC)), datetime!(2027-01-01 0:00 UTC));
    }
}
