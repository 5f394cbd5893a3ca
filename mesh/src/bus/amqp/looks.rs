//! The connection on which an operator's questions are asked: made when there is one, kept for the next.
//!
//! Whether a queue is there can only be found out by asking, and the answer that it is not there closes the channel. The library never
//! gives back the number of a channel that the broker closed, and ends when the numbers are used up (there are 2,047 on a connection).
//! So a connection that was refused often is replaced, and consumers have another one.

use std::sync::Arc;

use amqprs::connection::Connection;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    super::BusError,
    QueueType,
    connect::{Address, Connected, connect},
    topology::Control,
};

/// Keeps the connection.
pub(super) struct Looks {
    address: Arc<Address>,
    queue_type: QueueType,
    kept: Mutex<Option<Look>>,
}

/// A connection for questions. One asks at a time.
pub(super) struct Look {
    connected: Connected,
    pub(super) control: Control,
}

impl Looks {
    pub(super) fn new(address: Arc<Address>, queue_type: QueueType) -> Self {
        Self { address, queue_type, kept: Mutex::default() }
    }

    /// The connection, for as long as the guard is held. [`BusError::Away`] when there is none.
    pub(super) async fn look(&self) -> Result<tokio::sync::MappedMutexGuard<'_, Look>, BusError> {
        let mut kept = self.kept.lock().await;
        if !kept.as_ref().is_some_and(Look::is_good) {
            // Whoever still has a channel of the old one holds it; otherwise this closes it.
            *kept = None;
            let connected = connect(&self.address, "loquat looks").await?;
            let control = Control::new(connected.connection.clone(), self.queue_type);
            *kept = Some(Look { connected, control });
        }
        MutexGuard::try_map(kept, Option::as_mut).map_err(|_| BusError::Away("there is no connection".into()))
    }
}

impl Look {
    fn is_good(&self) -> bool {
        self.connected.connection.is_open() && !self.control.is_worn()
    }

    pub(super) fn connection(&self) -> Connection {
        self.connected.connection.clone()
    }
}
