//! Tables and queries. Everything takes a connection, so that a rule decides what belongs into one transaction.

pub(crate) mod beginning;
pub(crate) mod event;
pub(crate) mod feed;
pub(crate) mod file;
pub(crate) mod member;
pub(crate) mod message;
pub(crate) mod message_file;
pub(crate) mod meta;
pub(crate) mod op;
pub(crate) mod preview;
pub(crate) mod read_marker;
pub(crate) mod room;
pub(crate) mod scheduled;
pub(crate) mod shared_file;
pub(crate) mod webhook;

pub(crate) use mesh::db::{micros, portions, signed, unsigned};
pub(crate) use proto::timestamp;
