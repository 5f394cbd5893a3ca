//! Tables and queries.

pub(crate) mod access_token;
pub(crate) mod account;
pub(crate) mod invite;
pub(crate) mod reset;
pub(crate) mod secret;
pub(crate) mod session;

pub(crate) use mesh::db::{micros, time_of};
pub(crate) use proto::timestamp;
