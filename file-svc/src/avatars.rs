//! Pictures of people: whoever may see somebody may see the picture that they chose of themselves, and nothing else of that file.

use mesh::{
    authn::UserPrincipal,
    bus::{Delivery, HandlerError, QueueSpec},
    db::Db,
};
use proto::{auth::v1::AvatarChanged, chat::internal::v1::CheckAccessRequest, file::v1::FileState};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use crate::{
    errors::FileError,
    rpc::Shared,
    store::{avatar, file},
};

/// The queue of pictures that were chosen.
pub(crate) fn queue() -> QueueSpec {
    QueueSpec::new("FileAvatarChanged", [proto::event_kind::<AvatarChanged>()])
}

/// Handles one announcement. What is older than what is known changes nothing, so a redelivery is harmless.
pub(crate) async fn handle(db: Db, delivery: Delivery) -> Result<(), HandlerError> {
    let poison = |cause: anyhow::Error| HandlerError::Poison(cause);
    let changed: AvatarChanged = proto::from_json(&delivery.envelope.body).map_err(|cause| poison(cause.into()))?;
    let user_id = Uuid::try_parse(&changed.user_id).map_err(|cause| poison(cause.into()))?;
    let file_id = match changed.file_id.as_str() {
        "" => None,
        id => Some(Uuid::try_parse(id).map_err(|cause| poison(cause.into()))?),
    };
    note(&db, user_id, file_id, changed.revision).await.map_err(|cause| HandlerError::Retry(cause.into()))
}

async fn note(db: &Db, user_id: Uuid, file_id: Option<Uuid>, revision: u64) -> Result<(), FileError> {
    let tx = db.begin().await?;
    for statement in avatar::save(db.backend(), user_id, file_id, revision) {
        tx.execute_raw(statement).await?;
    }
    tx.commit().await?;
    Ok(())
}

impl Shared {
    /// A file whose bytes the caller may have: one of a room that they read, or a picture of somebody whom they see. Of the latter
    /// nothing is said but that it is a picture.
    pub(crate) async fn shown(&self, user: &UserPrincipal, id: Uuid) -> Result<file::Model, FileError> {
        let hidden = match self.readable(user, id).await {
            Err(FileError::FileNotFound) => FileError::FileNotFound,
            decided => return decided,
        };
        let row = file::find(self.db.reader(), id).await?.ok_or(FileError::FileNotFound)?;
        // Only one's own: whoever names another's file opens nothing.
        let picture = row.state() == FileState::Ready && row.content_type.starts_with("image/");
        if !picture || !avatar::is_of(self.db.reader(), row.uploader_id, id).await? {
            return Err(hidden);
        }
        let request = CheckAccessRequest {
            user_id: user.user_id.to_string(),
            workspace_role: user.role.clone(),
            sees_user_id: row.uploader_id.to_string(),
            ..CheckAccessRequest::default()
        };
        let answer = self.access.clone().check_access(request).await;
        let seen = answer.map_err(|cause| FileError::AccessUnavailable(Box::new(cause)))?.into_inner().allowed;
        if !seen {
            return Err(hidden);
        }
        let (metadata, found, search) = (Vec::new(), String::new(), String::new());
        Ok(file::Model { room_id: Uuid::nil(), name: "avatar".into(), metadata, found, search, ..row })
    }
}
