//! The load generator and the checker: many clients in one thread, so that they cost little and share one clock.
//!
//! Works on plain sockets with its own reading of WebSocket frames and of the few protobuf fields it needs: a client library
//! costs several times what the server spends on a delivery, and would be what is measured.

pub mod bare_files;
pub mod bare_grpc;
pub mod check;
pub mod floor;
pub mod goals;
pub mod over_grpc;
pub mod report;
pub mod run;
pub mod server;
pub mod setup;
pub mod swarm;
pub mod target;
pub mod wire;
