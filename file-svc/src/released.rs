//! Messages that are gone let go of the files that came with them.

use mesh::{
    bus::{Delivery, HandlerError, QueueSpec},
    clock::Clock,
    db::Db,
    outbox::Wake,
};
use proto::chat::v1::{FilesReleased, MessageDeleted};
use uuid::Uuid;

use crate::{errors::FileError, life, sweep::Trash};

/// The queue of deleted messages, and of files that went with old ones.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new("FileMessageDeleted", [proto::event_kind::<MessageDeleted>(), proto::event_kind::<FilesReleased>()])
}

/// What the job works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Released {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) wake: Wake,
    pub(crate) trash: Trash,
}

impl Released {
    /// Handles one announcement. Files that are gone already stay gone, so a redelivery is harmless.
    pub(crate) async fn handle(self, delivery: Delivery) -> Result<(), HandlerError> {
        let poison = |cause: anyhow::Error| HandlerError::Poison(cause);
        let envelope = &delivery.envelope;
        let released = proto::event_kind::<FilesReleased>();
        let ids = if envelope.kinds().any(|kind| kind == released) {
            proto::from_json::<FilesReleased>(&envelope.body).map(|released| released.file_ids)
        } else {
            proto::from_json::<MessageDeleted>(&envelope.body).map(|deleted| deleted.file_ids)
        };
        for id in &ids.map_err(|cause| poison(cause.into()))? {
            let id = Uuid::try_parse(id).map_err(|cause| poison(cause.into()))?;
            self.release(id).await.map_err(|cause| HandlerError::Retry(cause.into()))?;
        }
        Ok(())
    }

    async fn release(&self, id: Uuid) -> Result<(), FileError> {
        let tx = self.db.begin().await?;
        life::delete(&tx, id, Uuid::nil(), self.clock.now()).await?;
        tx.commit().await?;
        self.wake.now();
        self.trash.wake();
        Ok(())
    }
}
