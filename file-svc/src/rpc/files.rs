//! `FileService`.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use mesh::{
    authn::{self, UserPrincipal},
    fields::Fields,
};
use proto::{
    chat::internal::v1::RoomAction,
    file::v1::{
        self as v1, CreateUploadRequest, DownloadFileResponse, UploadFileRequest, UploadHeader, download_file_response,
        file_service_server::FileService, get_upload_request, upload_file_request::Part, upload_header::Target,
    },
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Rpc, Shared, answer};
use crate::{
    errors::FileError,
    fields, files,
    receive::Sending,
    store::{
        file,
        upload::{self, Model},
    },
    uploads::{self, NewUpload},
};

/// The largest chunk of a download.
const CHUNK: usize = 256 * 1024;

#[async_trait]
impl FileService for Rpc {
    type DownloadFileStream = Pin<Box<dyn Stream<Item = Result<DownloadFileResponse, Status>> + Send>>;

    async fn create_upload(
        &self,
        request: Request<CreateUploadRequest>,
    ) -> Result<Response<v1::CreateUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let shared = self.0.clone();
        let request = request.into_inner();
        let result = self
            .detached(async move {
                let opened = open(&shared, &user, &request).await?;
                let upload = uploads::view(shared.db.reader(), &opened, &shared.signing()).await?;
                Ok(v1::CreateUploadResponse { upload: Some(upload) })
            })
            .await;
        answer(result)
    }

    async fn upload_file(
        &self,
        request: Request<Streaming<UploadFileRequest>>,
    ) -> Result<Response<v1::UploadFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let shared = self.0.clone();
        let stream = request.into_inner();
        // In a task of its own: what has come is stored also when the sender goes away.
        let result = self
            .detached(async move {
                let upload = receive(&shared, &user, stream).await?;
                shared.wake.now();
                let upload = uploads::view(shared.db.reader(), &upload, &shared.signing()).await?;
                Ok(v1::UploadFileResponse { upload: Some(upload) })
            })
            .await;
        answer(result)
    }

    async fn put_metadata(
        &self,
        request: Request<v1::PutMetadataRequest>,
    ) -> Result<Response<v1::PutMetadataResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let shared = self.0.clone();
        let v1::PutMetadataRequest { op_id, room_id, metadata } = request.into_inner();
        let request = CreateUploadRequest { op_id, room_id, size: None, metadata: Some(metadata.unwrap_or_default()) };
        let result = self
            .detached(async move {
                let opened = open(&shared, &user, &request).await?;
                let upload = uploads::view(shared.db.reader(), &opened, &shared.signing()).await?;
                Ok(v1::PutMetadataResponse { upload: Some(upload) })
            })
            .await;
        answer(result)
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let db = self.0.db.reader();
            let upload = match request.target {
                Some(get_upload_request::Target::UploadId(id)) => {
                    let id = fields.id("upload_id", &id);
                    fields.done()?;
                    uploads::own(db, id, user.user_id).await?
                }
                Some(get_upload_request::Target::OpId(id)) => {
                    let id = fields.id("op_id", &id);
                    fields.done()?;
                    upload::by_op(db, user.user_id, id).await?.ok_or(FileError::UploadNotFound)?
                }
                None => {
                    return Err(FileError::invalid("target", "is required: upload_id or op_id"));
                }
            };
            let upload = uploads::view(db, &upload, &self.0.signing()).await?;
            Ok(v1::GetUploadResponse { upload: Some(upload) })
        };
        answer(self.0.db.within(run).await)
    }

    async fn cancel_upload(
        &self,
        request: Request<v1::CancelUploadRequest>,
    ) -> Result<Response<v1::CancelUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let id = fields.id("upload_id", &request.upload_id);
            fields.done()?;
            let upload = uploads::own(self.0.db.reader(), id, user.user_id).await?;
            if upload.bytes_received() && upload.metadata_received() {
                return Err(FileError::UploadComplete);
            }
            self.0.receiver.drop_upload(&upload).await?;
            Ok(v1::CancelUploadResponse {})
        };
        answer(run.await)
    }

    async fn get_file(&self, request: Request<v1::GetFileRequest>) -> Result<Response<v1::GetFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let id = fields.id("file_id", &request.file_id);
            fields.done()?;
            let row = self.0.readable(&user, id).await?;
            let shown = files::view(self.0.db.reader(), &row).await?;
            let shown = if row.uploader_id == user.user_id { self.0.signing().sign(shown) } else { shown };
            Ok(v1::GetFileResponse { file: Some(shown) })
        };
        answer(self.0.db.within(run).await)
    }

    async fn list_files(
        &self,
        request: Request<v1::ListFilesRequest>,
    ) -> Result<Response<v1::ListFilesResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let rows = fields.page_size(request.page_size, 50, 200);
            let before = (!request.page_token.is_empty()).then(|| fields.id("page_token", &request.page_token));
            fields.done()?;
            let db = self.0.db.reader();
            let mut found = file::of_room(db, room_id, before, rows + 1).await?;
            let more = found.len() as u64 > rows;
            found.truncate(usize::try_from(rows).unwrap_or(usize::MAX));
            let next = found.last().filter(|_| more).map(|row| row.id.to_string());
            let (read, gone) = (RoomAction::Read, FileError::RoomNotFound);
            let hidden = self.0.ask(&user, room_id, read, gone, &found).await?;
            found.retain(|row| !hidden.contains(&row.id.to_string()));
            let ids: Vec<_> = found.iter().map(|row| row.id).collect();
            let pictures = file::thumbnails(db, &ids).await?;
            Ok(v1::ListFilesResponse {
                files: found.iter().map(|row| row.to_proto(&pictures)).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn download_file(
        &self,
        request: Request<v1::DownloadFileRequest>,
    ) -> Result<Response<Self::DownloadFileStream>, Status> {
        let user = authn::user(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let id = fields.id("file_id", &request.file_id);
            fields.done()?;
            let row = self.0.readable(&user, id).await?;
            let (db, blobs) = (self.0.db.reader(), &self.0.blobs);
            files::download(db, blobs, &row, &request.variant, request.offset, request.length).await
        };
        let files::Download { header, bytes } = self.0.db.within(run).await.map_err(mesh::errors::status)?;
        let first = DownloadFileResponse { part: Some(download_file_response::Part::Header(header)) };
        let chunks = bytes.map_err(mesh::errors::status).flat_map(|chunk| stream::iter(split(chunk)));
        Ok(Response::new(Box::pin(stream::once(async { Ok(first) }).chain(chunks))))
    }
}

impl Rpc {
    /// Runs in a task of its own, so that it is finished when the caller hangs up.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, FileError>> + Send + 'static,
    ) -> Result<T, FileError> {
        self.0.tasks.spawn("file-call", work).await.map_err(FileError::internal)?
    }
}

/// Opens an upload as a request describes it.
async fn open(shared: &Arc<Shared>, user: &UserPrincipal, request: &CreateUploadRequest) -> Result<Model, FileError> {
    let mut fields = Fields::default();
    let op_id = fields.id("op_id", &request.op_id);
    let room_id = fields.id("room_id", &request.room_id);
    let metadata = request.metadata.as_ref().map(|metadata| fields::metadata(&mut fields, metadata));
    fields.done()?;
    shared.check(user, room_id, RoomAction::Post, FileError::RoomNotFound).await?;
    let new = NewUpload { user_id: user.user_id, op_id, room_id, size: request.size, metadata };
    let tx = shared.db.begin().await?;
    let opened = uploads::open(&tx, &new, shared.limits, shared.clock.now()).await?;
    tx.commit().await?;
    shared.wake.now();
    Ok(opened)
}

async fn receive(
    shared: &Arc<Shared>,
    user: &UserPrincipal,
    mut stream: Streaming<UploadFileRequest>,
) -> Result<Model, FileError> {
    let first = stream.message().await.map_err(|_| FileError::BrokenOff)?.and_then(|message| message.part);
    let Some(Part::Header(UploadHeader { target, offset, last, sha256 })) = first else {
        return Err(FileError::invalid("header", "must be the first message"));
    };
    let upload = match target {
        Some(Target::Create(create)) => open(shared, user, &create).await?,
        Some(Target::UploadId(id)) => {
            let mut fields = Fields::default();
            let id = fields.id("upload_id", &id);
            fields.done()?;
            let upload = uploads::own(shared.db.reader(), id, user.user_id).await?;
            shared.check(user, upload.room_id, RoomAction::Post, FileError::UploadNotFound).await?;
            upload
        }
        None => {
            return Err(FileError::invalid("header.target", "is required: upload_id or create"));
        }
    };
    let chunks = stream.map(|message| {
        message.map(|message| match message.part {
            Some(Part::Chunk(chunk)) => chunk,
            _ => Bytes::new(),
        })
    });
    shared.receiver.receive(upload, &Sending { offset, last, sha256 }, chunks).await
}

fn split(chunk: Result<Bytes, Status>) -> Vec<Result<DownloadFileResponse, Status>> {
    let part = |bytes| DownloadFileResponse { part: Some(download_file_response::Part::Chunk(bytes)) };
    match chunk {
        Ok(mut rest) => {
            std::iter::from_fn(|| (!rest.is_empty()).then(|| Ok(part(rest.split_to(rest.len().min(CHUNK)))))).collect()
        }
        Err(cause) => vec![Err(cause)],
    }
}
