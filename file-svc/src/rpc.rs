//! The services: decode, authorise, call a rule, encode.

mod files;
mod keeping;
mod processing;
mod reading;
mod uploading;

use std::sync::Arc;

use mesh::{
    authn::{MeshSecret, Rank, UserPrincipal},
    blobs::Blobs,
    clock::Clock,
    db::Db,
    errors,
    lifecycle::Tasks,
    outbox::Wake,
    rpc::{MAX_MESSAGE_BYTES, Method, Upstream},
};
use proto::{
    chat::internal::v1::{CheckAccessRequest, RoomAction, access_service_client::AccessServiceClient},
    file::{
        internal::v1::processing_service_server::ProcessingServiceServer, v1::file_service_server::FileServiceServer,
    },
};
use tonic::{Status, service::Routes};
use uuid::Uuid;

use crate::{errors::FileError, files::Signing, receive::Receiver, store::file, uploads::Limits};

/// Who may call what.
pub const METHODS: &[Method] = &[
    Method::user("/loquat.file.v1.FileService/GetUploadLimits").scope("files:read"),
    Method::user("/loquat.file.v1.FileService/CreateUpload").scope("files:write").class("uploads"),
    Method::user("/loquat.file.v1.FileService/UploadFile").scope("files:write").streaming().class("uploads"),
    Method::user("/loquat.file.v1.FileService/PutMetadata").scope("files:write").class("uploads"),
    Method::user("/loquat.file.v1.FileService/GetUpload").scope("files:write"),
    Method::user("/loquat.file.v1.FileService/CancelUpload").scope("files:write"),
    Method::user("/loquat.file.v1.FileService/CreatePartUrls").scope("files:write"),
    Method::user("/loquat.file.v1.FileService/CommitParts").scope("files:write").streaming(),
    Method::user("/loquat.file.v1.FileService/GetFile").scope("files:read"),
    Method::user("/loquat.file.v1.FileService/ShareFile").scope("files:write").class("uploads"),
    Method::user("/loquat.file.v1.FileService/DeleteFile").scope("files:write"),
    Method::user("/loquat.file.v1.FileService/ListFiles").scope("files:read").class("searches"),
    Method::user("/loquat.file.v1.FileService/DownloadFile").scope("files:read").streaming(),
    Method::user("/loquat.file.v1.FileService/GetUsage").scope("files:read"),
    Method::user("/loquat.file.v1.FileService/ListUsage").least(Rank::Admin).scope("files:read"),
    Method::service("/loquat.file.internal.v1.ProcessingService/GetProcessing"),
    Method::service("/loquat.file.internal.v1.ProcessingService/FinishProcessing"),
];

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) secret: MeshSecret,
    pub(crate) wake: Wake,
    pub(crate) receiver: Receiver,
    pub(crate) limits: Arc<Limits>,
    pub(crate) access: AccessServiceClient<Upstream>,
    /// Where a virus scanner listens; empty if there is none.
    pub(crate) scanner: String,
    /// Downloads may be answered with a signed address.
    pub(crate) redirect: bool,
    /// Parts may be put directly.
    pub(crate) direct: bool,
}

/// The handlers of every service.
#[derive(Clone)]
pub(crate) struct Rpc(pub(crate) Arc<Shared>);

/// The routes of every service.
pub(crate) fn routes(shared: Shared) -> Routes {
    let rpc = Rpc(Arc::new(shared));
    let mut routes = Routes::builder();
    routes
        .add_service(FileServiceServer::new(rpc.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(ProcessingServiceServer::new(rpc));
    routes.routes()
}

impl Shared {
    pub(crate) fn signing(&self) -> Signing<'_> {
        Signing { secret: &self.secret, now: self.clock.now() }
    }

    /// Asks chat-svc. A refusal looks like what does not exist, unless the caller sees the room anyway.
    async fn check(
        &self,
        user: &UserPrincipal,
        room_id: Uuid,
        action: RoomAction,
        hidden: FileError,
    ) -> Result<(), FileError> {
        self.ask(user, room_id, action, hidden, &[]).await.map(drop)
    }

    /// Asks chat-svc, also about files of the room: those that do not exist for the caller are told.
    async fn ask(
        &self,
        user: &UserPrincipal,
        room_id: Uuid,
        action: RoomAction,
        hidden: FileError,
        files: &[file::Model],
    ) -> Result<Vec<String>, FileError> {
        let others = files.iter().filter(|file| file.uploader_id != user.user_id);
        let request = CheckAccessRequest {
            user_id: user.user_id.to_string(),
            room_id: room_id.to_string(),
            action: action.into(),
            workspace_role: user.role.clone(),
            file_ids: others.map(|file| file.id.to_string()).collect(),
            sees_user_id: String::new(),
        };
        let answer = self.access.clone().check_access(request).await;
        let decision = answer.map_err(|cause| FileError::AccessUnavailable(Box::new(cause)))?.into_inner();
        match (decision.allowed, decision.visible) {
            (true, _) => Ok(decision.hidden_file_ids),
            (false, true) if decision.reason == "ROOM_ARCHIVED" => Err(FileError::RoomArchived),
            (false, true) => Err(FileError::RoleTooLow),
            (false, false) => Err(hidden),
        }
    }

    /// A file that the caller may read.
    pub(crate) async fn readable(&self, user: &UserPrincipal, id: Uuid) -> Result<file::Model, FileError> {
        let row = file::find(self.db.reader(), id).await?.ok_or(FileError::FileNotFound)?;
        let (read, room) = (RoomAction::Read, row.room_id);
        let hidden = self.ask(user, room, read, FileError::FileNotFound, std::slice::from_ref(&row)).await?;
        if hidden.is_empty() { Ok(row) } else { Err(FileError::FileNotFound) }
    }
}

/// A rule's result as a handler's.
fn answer<T>(result: Result<T, FileError>) -> Result<tonic::Response<T>, Status> {
    result.map(tonic::Response::new).map_err(errors::status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        let mut described = proto::method_paths(|package| package.starts_with("loquat.file."));
        described.sort();
        listed.sort_unstable();
        assert_eq!(listed, described);
    }
}
