//! Faults under load: servers of every shape as real processes, clients that come back and resume, one fault at a time, and a
//! ledger that says whether anything was lost.
//!
//! A round is: load, a fault at a random moment, its end, and then at most 30 seconds until every send is answered and every
//! member holds everything. What is random follows from the seed. Nothing here is a copy of the product's wiring.

mod account;
mod audit;
mod churn;
pub mod fault;
pub mod ledger;
mod link;
mod member;
mod round;
mod sender;
mod setup;
mod shared;
mod soak;
mod uploader;
pub mod world;

pub use round::{Drill, Options, Outcome};
