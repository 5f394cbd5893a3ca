//! Shared plumbing with no domain word in it: configuration, RPC layers, bus, cache, blobs, database, outbox, tokens,
//! errors, telemetry and lifecycle. It imports libraries only and knows no service.

pub mod audit;
pub mod authn;
pub mod blobs;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod config;
pub mod crash;
pub mod db;
pub mod errors;
pub mod fields;
pub mod ids;
pub mod inbox;
pub mod lifecycle;
pub mod outbound;
pub mod outbox;
pub mod rpc;
pub mod service;
pub mod telemetry;
