//! Entities and queries, a file each.

pub(crate) mod delivery;
pub(crate) mod link_preview;
pub(crate) mod mention;
pub(crate) mod planned;
pub(crate) mod put_off;
pub(crate) mod webhook;
