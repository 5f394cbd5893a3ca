//! Calls that bring files in.

use bytes::Bytes;
use futures::StreamExt as _;
use mesh::{authn::UserPrincipal, fields::Fields};
use proto::{
    chat::internal::v1::RoomAction,
    file::v1::{
        CancelUploadRequest, CommitPartsRequest, CreatePartUrlsRequest, CreateUploadRequest, GetUploadLimitsResponse,
        GetUploadRequest, PartUrl, Upload, UploadFileRequest, UploadHeader,
        get_upload_request::Target as Wanted,
        upload_file_request::Part,
        upload_header::{StreamChecksum, Target},
    },
};
use tonic::Streaming;

use super::Shared;
use crate::{
    direct,
    errors::FileError,
    fields, quota,
    receive::{Check, Sending},
    store::upload::{self, Model},
    uploads::{self, NewUpload},
};

impl Shared {
    pub(super) async fn upload_limits(&self, user: &UserPrincipal) -> Result<GetUploadLimitsResponse, FileError> {
        let usage = quota::usage(self.db.reader(), user.user_id, self.limits.quotas).await?;
        Ok(GetUploadLimitsResponse {
            max_bytes: self.limits.max_bytes,
            refused_types: self.limits.refused.patterns(),
            expires_after_seconds: self.limits.life.as_secs(),
            scanned: self.limits.scanned,
            direct: self.direct,
            min_part_bytes: direct::MIN_PART,
            max_part_bytes: direct::MAX_PART,
            usage: Some(usage),
        })
    }

    pub(super) async fn create_upload(
        &self,
        user: &UserPrincipal,
        request: &CreateUploadRequest,
    ) -> Result<Upload, FileError> {
        let opened = self.open(user, request).await?;
        self.view(&opened).await
    }

    async fn view(&self, upload: &Model) -> Result<Upload, FileError> {
        uploads::view(self.db.reader(), upload, &self.signing()).await
    }

    /// Opens an upload as a request describes it.
    async fn open(&self, user: &UserPrincipal, request: &CreateUploadRequest) -> Result<Model, FileError> {
        let mut fields = Fields::default();
        let op_id = fields.id("op_id", &request.op_id);
        let room_id = fields.id("room_id", &request.room_id);
        let metadata = request.metadata.as_ref().map(|metadata| fields::metadata(&mut fields, metadata));
        fields.done()?;
        self.check(user, room_id, RoomAction::Post, FileError::RoomNotFound).await?;
        let new = NewUpload { user_id: user.user_id, op_id, room_id, size: request.size, metadata };
        let tx = self.db.begin().await?;
        let opened = uploads::open(&tx, &new, &self.limits, self.clock.now()).await?;
        tx.commit().await?;
        self.wake.now();
        self.receiver.trash.wake();
        Ok(opened)
    }

    pub(super) async fn upload_file(
        &self,
        user: &UserPrincipal,
        mut stream: Streaming<UploadFileRequest>,
    ) -> Result<Upload, FileError> {
        let first = stream.message().await.map_err(|_| FileError::BrokenOff)?.and_then(|message| message.part);
        let Some(Part::Header(UploadHeader { target, offset, last, sha256, stream_checksum })) = first else {
            return Err(FileError::invalid("header", "must be the first message"));
        };
        let check = stream_check(stream_checksum)?;
        let (upload, hidden) = match target {
            Some(Target::Create(create)) => (self.open(user, &create).await?, FileError::RoomNotFound),
            Some(Target::UploadId(id)) => (self.own_upload(user, &id).await?, FileError::UploadNotFound),
            None => return Err(FileError::invalid("header.target", "is required: upload_id or create")),
        };
        let chunks = stream.map(|message| {
            message.map(|message| match message.part {
                Some(Part::Chunk(chunk)) => chunk,
                _ => Bytes::new(),
            })
        });
        let allowed = self.check(user, upload.room_id, RoomAction::Post, hidden);
        let upload = self.receiver.receive(upload, Sending { offset, last, sha256, check }, chunks, allowed).await?;
        self.wake.now();
        self.view(&upload).await
    }

    /// An upload of the caller, who may still post in its room.
    async fn own_upload(&self, user: &UserPrincipal, id: &str) -> Result<Model, FileError> {
        let mut fields = Fields::default();
        let id = fields.id("upload_id", id);
        fields.done()?;
        let upload = uploads::own(self.db.reader(), id, user.user_id).await?;
        self.check(user, upload.room_id, RoomAction::Post, FileError::UploadNotFound).await?;
        Ok(upload)
    }

    pub(super) async fn get_upload(
        &self,
        user: &UserPrincipal,
        request: GetUploadRequest,
    ) -> Result<Upload, FileError> {
        let mut fields = Fields::default();
        let db = self.db.reader();
        let found = match request.target {
            Some(Wanted::UploadId(id)) => {
                let id = fields.id("upload_id", &id);
                fields.done()?;
                uploads::own(db, id, user.user_id).await?
            }
            Some(Wanted::OpId(id)) => {
                let id = fields.id("op_id", &id);
                fields.done()?;
                upload::by_op(db, user.user_id, id).await?.ok_or(FileError::UploadNotFound)?
            }
            None => return Err(FileError::invalid("target", "is required: upload_id or op_id")),
        };
        self.view(&found).await
    }

    pub(super) async fn cancel_upload(
        &self,
        user: &UserPrincipal,
        request: &CancelUploadRequest,
    ) -> Result<(), FileError> {
        let mut fields = Fields::default();
        let id = fields.id("upload_id", &request.upload_id);
        fields.done()?;
        let upload = uploads::own(self.db.reader(), id, user.user_id).await?;
        self.receiver.drop_upload(&upload).await
    }

    pub(super) async fn part_urls(
        &self,
        user: &UserPrincipal,
        request: &CreatePartUrlsRequest,
    ) -> Result<Vec<PartUrl>, FileError> {
        let upload = self.own_upload(user, &request.upload_id).await?;
        if !self.direct {
            return Err(FileError::DirectUploadOff);
        }
        direct::urls(&self.receiver, &upload, &request.parts).await
    }

    pub(super) async fn commit_parts(
        &self,
        user: &UserPrincipal,
        request: &CommitPartsRequest,
    ) -> Result<Upload, FileError> {
        let upload = self.own_upload(user, &request.upload_id).await?;
        if !self.direct {
            return Err(FileError::DirectUploadOff);
        }
        let allowed = self.check(user, upload.room_id, RoomAction::Post, FileError::UploadNotFound);
        let upload = direct::commit(&self.receiver, upload, &request.parts, allowed).await?;
        self.wake.now();
        self.view(&upload).await
    }
}

fn stream_check(checksum: Option<StreamChecksum>) -> Result<Option<Check>, FileError> {
    match checksum {
        None => Ok(None),
        Some(StreamChecksum::StreamSha1(wanted)) if wanted.len() == 20 => Ok(Some(Check::sha1(&wanted))),
        Some(StreamChecksum::StreamSha256(wanted)) if wanted.len() == 32 => Ok(Some(Check::sha256(&wanted))),
        Some(_) => Err(FileError::invalid("header.stream_checksum", "has the wrong length")),
    }
}
