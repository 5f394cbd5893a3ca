//! Stories: what users, programs and operators do with a whole Loquat, from outside. One program for all of them, so that the servers
//! that they need are started once. Suites that break servers, count time or need a process of their own are programs of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod accounts;
mod architecture;
mod audited;
mod chat;
mod denied;
mod edges;
mod envelopes;
mod files;
mod hooks;
mod identity;
mod jobs;
mod lasting;
mod mending;
mod mentions;
mod presence;
mod previews;
mod proxy;
mod receiver;
mod reflection;
mod removal;
mod retention;
mod rooms;
mod scheduled;
mod servers;
mod setup;
mod streams;
mod two_nodes;
