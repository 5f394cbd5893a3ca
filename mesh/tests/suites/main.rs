//! What is below every service, on each thing that it may stand on: the bus, databases and the log in them, caches, and places for
//! bytes; and what a call gets whose handler breaks.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod audit;
mod blobs;
mod bus;
mod cache;
mod db;
mod guard;
