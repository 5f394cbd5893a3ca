//! Tables and queries.

pub(crate) mod avatar;
pub(crate) mod blob;
pub(crate) mod file;
pub(crate) mod trash;
pub(crate) mod upload;
pub(crate) mod usage;

pub(crate) use mesh::db::{micros, signed, unsigned};
pub(crate) use proto::timestamp;
