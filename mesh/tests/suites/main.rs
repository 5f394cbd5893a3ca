//! What is below every service, on each thing that it may stand on: the bus, databases, caches, and places for bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod blobs;
mod bus;
mod cache;
mod db;
