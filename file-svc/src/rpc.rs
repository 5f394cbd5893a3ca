//! The services: decode, authorise, call a rule, encode.

mod files;
mod keeping;
mod processing;
mod reading;
mod uploading;

use std::sync::Arc;

use mesh::{
    authn::{MeshSecret, UserPrincipal},
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
    Method::user("/loquat.file.v1.FileService/GetUploadLimits"),
    Method::user("/loquat.file.v1.FileService/CreateUpload"),
    Method::user("/loquat.file.v1.FileService/UploadFile").streaming(),
    Method::user("/loquat.file.v1.FileService/PutMetadata"),
    Method::user("/loquat.file.v1.FileService/GetUpload"),
    Method::user("/loquat.file.v1.FileService/CancelUpload"),
    Method::user("/loquat.file.v1.FileService/CreatePartUrls"),
    Method::user("/loquat.file.v1.FileService/CommitParts").streaming(),
    Method::user("/loquat.file.v1.FileService/GetFile"),
    Method::user("/loquat.file.v1.FileService/ShareFile"),
    Method::user("/loquat.file.v1.FileService/DeleteFile"),
    Method::user("/loquat.file.v1.FileService/ListFiles"),
    Method::user("/loquat.file.v1.FileService/DownloadFile").streaming(),
    Method::user("/loquat.file.v1.FileService/GetUsage"),
    Method::user("/loquat.file.v1.FileService/ListUsage"),
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
        user_id: Uuid,
        room_id: Uuid,
        action: RoomAction,
        hidden: FileError,
    ) -> Result<(), FileError> {
        let request =
            CheckAccessRequest { user_id: user_id.to_string(), room_id: room_id.to_string(), action: action.into() };
        let answer = self.access.clone().check_access(request).await;
        let decision = answer.map_err(|cause| FileError::AccessUnavailable(Box::new(cause)))?.into_inner();
        match (decision.allowed, decision.visible) {
            (true, _) => Ok(()),
            (false, true) => Err(FileError::RoleTooLow),
            (false, false) => Err(hidden),
        }
    }

    /// A file that the caller may read.
    async fn readable(&self, user: &UserPrincipal, id: Uuid) -> Result<file::Model, FileError> {
        let row = file::find(self.db.reader(), id).await?.ok_or(FileError::FileNotFound)?;
        self.check(user.user_id, row.room_id, RoomAction::Read, FileError::FileNotFound).await?;
        Ok(row)
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
