//! Tables and queries.

pub(crate) mod file;
pub(crate) mod upload;

pub(crate) use mesh::db::{micros, signed, unsigned};
pub(crate) use proto::timestamp;
