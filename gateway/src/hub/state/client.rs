//! A client as the hub knows it.

use std::sync::Arc;

use uuid::Uuid;

use crate::hub::Session;

pub(super) struct Client {
    pub(super) session: Arc<Session>,
    /// The session of the account: all of them are asked about, and clients that do nothing should not be touched for it.
    pub(super) session_id: Uuid,
    pub(super) feeds: Vec<Uuid>,
    /// Rooms that the user joins later are followed by themselves.
    pub(super) also_joined: bool,
    /// The rooms that it says it looks at; it may follow them or not.
    pub(super) looks: Vec<Uuid>,
}

impl Client {
    pub(super) fn new(session: Arc<Session>) -> Self {
        let session_id = session.session_id;
        Self { session, session_id, feeds: Vec::new(), also_joined: false, looks: Vec::new() }
    }

    /// Takes a feed off the list; false when it was not on it.
    pub(super) fn gives_up(&mut self, feed: Uuid) -> bool {
        let place = self.feeds.iter().position(|known| *known == feed);
        place.inspect(|place| _ = self.feeds.swap_remove(*place)).is_some()
    }
}
