//! `FileService`: what each call needs is in `uploading`, `reading` and `keeping`.

use std::pin::Pin;

use futures::Stream;
use mesh::authn;
use proto::file::v1::{self as v1, DownloadFileResponse, UploadFileRequest, file_service_server::FileService};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Rpc, answer};
use crate::errors::FileError;

#[async_trait]
impl FileService for Rpc {
    type DownloadFileStream = Pin<Box<dyn Stream<Item = Result<DownloadFileResponse, Status>> + Send>>;

    async fn get_upload_limits(
        &self,
        request: Request<v1::GetUploadLimitsRequest>,
    ) -> Result<Response<v1::GetUploadLimitsResponse>, Status> {
        let user = authn::user(request.extensions())?;
        answer(self.0.db.within(self.0.upload_limits(&user)).await)
    }

    async fn create_upload(
        &self,
        request: Request<v1::CreateUploadRequest>,
    ) -> Result<Response<v1::CreateUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let (shared, request) = (self.0.clone(), request.into_inner());
        let opening = async move { shared.create_upload(&user, &request).await };
        let upload = self.detached(opening).await;
        answer(upload.map(|upload| v1::CreateUploadResponse { upload: Some(upload) }))
    }

    async fn upload_file(
        &self,
        request: Request<Streaming<UploadFileRequest>>,
    ) -> Result<Response<v1::UploadFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let (shared, stream) = (self.0.clone(), request.into_inner());
        // In a task of its own: what has come is stored also when the sender goes away.
        let upload = self.detached(async move { shared.upload_file(&user, stream).await }).await;
        answer(upload.map(|upload| v1::UploadFileResponse { upload: Some(upload) }))
    }

    async fn put_metadata(
        &self,
        request: Request<v1::PutMetadataRequest>,
    ) -> Result<Response<v1::PutMetadataResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let shared = self.0.clone();
        let v1::PutMetadataRequest { op_id, room_id, metadata } = request.into_inner();
        let metadata = Some(metadata.unwrap_or_default());
        let request = v1::CreateUploadRequest { op_id, room_id, size: None, metadata };
        let upload = self.detached(async move { shared.create_upload(&user, &request).await }).await;
        answer(upload.map(|upload| v1::PutMetadataResponse { upload: Some(upload) }))
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let upload = self.0.db.within(self.0.get_upload(&user, request.into_inner())).await;
        answer(upload.map(|upload| v1::GetUploadResponse { upload: Some(upload) }))
    }

    async fn cancel_upload(
        &self,
        request: Request<v1::CancelUploadRequest>,
    ) -> Result<Response<v1::CancelUploadResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let cancelled = self.0.cancel_upload(&user, &request.into_inner()).await;
        answer(cancelled.map(|()| v1::CancelUploadResponse {}))
    }

    async fn create_part_urls(
        &self,
        request: Request<v1::CreatePartUrlsRequest>,
    ) -> Result<Response<v1::CreatePartUrlsResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let parts = self.0.part_urls(&user, &request.into_inner()).await;
        answer(parts.map(|parts| v1::CreatePartUrlsResponse { parts }))
    }

    async fn commit_parts(
        &self,
        request: Request<v1::CommitPartsRequest>,
    ) -> Result<Response<v1::CommitPartsResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let (shared, request) = (self.0.clone(), request.into_inner());
        let upload = self.detached(async move { shared.commit_parts(&user, &request).await }).await;
        answer(upload.map(|upload| v1::CommitPartsResponse { upload: Some(upload) }))
    }

    async fn get_file(&self, request: Request<v1::GetFileRequest>) -> Result<Response<v1::GetFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let file = self.0.db.within(self.0.get_file(&user, &request.into_inner())).await;
        answer(file.map(|file| v1::GetFileResponse { file: Some(file) }))
    }

    async fn share_file(
        &self,
        request: Request<v1::ShareFileRequest>,
    ) -> Result<Response<v1::ShareFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let (shared, request) = (self.0.clone(), request.into_inner());
        let file = self.detached(async move { shared.share_file(&user, &request).await }).await;
        answer(file.map(|file| v1::ShareFileResponse { file: Some(file) }))
    }

    async fn delete_file(
        &self,
        request: Request<v1::DeleteFileRequest>,
    ) -> Result<Response<v1::DeleteFileResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let (shared, request) = (self.0.clone(), request.into_inner());
        let deleted = self.detached(async move { shared.delete_file(&user, &request).await }).await;
        answer(deleted.map(|()| v1::DeleteFileResponse {}))
    }

    async fn list_files(
        &self,
        request: Request<v1::ListFilesRequest>,
    ) -> Result<Response<v1::ListFilesResponse>, Status> {
        let user = authn::user(request.extensions())?;
        answer(self.0.db.within(self.0.list_files(&user, &request.into_inner())).await)
    }

    async fn download_file(
        &self,
        request: Request<v1::DownloadFileRequest>,
    ) -> Result<Response<Self::DownloadFileStream>, Status> {
        let user = authn::user(request.extensions())?;
        let download = self.0.db.within(self.0.download_file(&user, &request.into_inner())).await;
        Ok(Response::new(download.map_err(mesh::errors::status)?))
    }

    async fn get_usage(&self, request: Request<v1::GetUsageRequest>) -> Result<Response<v1::GetUsageResponse>, Status> {
        let user = authn::user(request.extensions())?;
        let usage = self.0.db.within(self.0.usage(&user)).await;
        answer(usage.map(|usage| v1::GetUsageResponse { usage: Some(usage) }))
    }

    async fn list_usage(
        &self,
        request: Request<v1::ListUsageRequest>,
    ) -> Result<Response<v1::ListUsageResponse>, Status> {
        let user = authn::user(request.extensions())?;
        answer(self.0.db.within(self.0.list_usage(&user, &request.into_inner())).await)
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
