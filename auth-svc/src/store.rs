//! Tables and queries.

pub(crate) mod account;
pub(crate) mod secret;
pub(crate) mod session;

/// Times are stored as microseconds since 1970.
pub(crate) fn micros(at: time::OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
