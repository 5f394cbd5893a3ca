//! A feed that clients of this gateway follow, and those who wait until it flows.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::hub::Session;

#[derive(Default)]
pub(super) struct Feed {
    /// The ids stand beside the clients, so that one is found without looking into each.
    pub(super) sessions: Vec<(u64, Arc<Session>)>,
    /// chat-svc has confirmed that it sends this feed.
    pub(super) flowing: bool,
    /// The newest number that was passed on or told.
    pub(super) seen: u64,
    pub(super) waiting: Vec<Arc<Waiting>>,
}

/// A client waiting for several feeds to flow; answered when the last of them lets go of it.
pub(super) struct Waiting(std::sync::Mutex<Option<oneshot::Sender<()>>>);

impl Waiting {
    pub(super) fn new(flowing: oneshot::Sender<()>) -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new(Some(flowing))))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let sender = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(());
        }
    }
}
