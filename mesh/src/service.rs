//! What a service hands to the process that runs it.

use futures::future::BoxFuture;
use tonic::service::Routes;

use crate::rpc::{Direct, Method};

/// A service that is ready to run: its database is migrated and its queues are declared, but nothing moves yet.
pub struct Service {
    /// Its RPCs.
    pub routes: Routes,
    /// Those of them that can be called directly by a gateway in the same process.
    pub direct: Direct,
    /// Who may call which; see [`crate::rpc::protect`].
    pub methods: &'static [Method],
    /// What it does by itself, by name: consumers, relays, sweeps. Started when every service of the process is ready, so that
    /// no event is published before its queues are declared. Each ends when [`crate::lifecycle::Tasks::stopping`] is cancelled.
    pub background: Vec<(&'static str, BoxFuture<'static, ()>)>,
}
