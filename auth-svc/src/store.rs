//! Tables and queries.

pub(crate) mod account;
pub(crate) mod secret;
pub(crate) mod session;

pub(crate) use mesh::db::micros;
pub(crate) use proto::timestamp;
