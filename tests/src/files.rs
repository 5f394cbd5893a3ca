//! What people do with files, over gRPC and HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::{
    chat::v1::{self as chat, event::Body},
    file::v1::{
        self as file, CreateUploadRequest, DownloadFileRequest, File, FileMetadata, FileState, GetFileRequest,
        GetUploadRequest, Upload, UploadFileRequest, UploadHeader, download_file_response, get_upload_request,
        upload_file_request::Part, upload_header::Target,
    },
};
use tonic::Status;

use crate::{Person, op_id, within};

/// One HTTP request, answered whole. The path may be a whole address.
///
/// # Panics
/// When there is no answer.
pub async fn http(
    address: SocketAddr,
    request: http::request::Builder,
    path: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let url = if path.starts_with("http") { path.to_owned() } else { format!("http://{address}{path}") };
    let request = request.uri(url).body(Full::new(body.into())).expect("a request");
    let (parts, body) = within(path, client.request(request)).await.expect("an answer").into_parts();
    let body = within(path, body.collect()).await.expect("the whole answer").to_bytes();
    Response::from_parts(parts, body)
}

/// The announcement of a file in an event.
pub fn ready(event: &chat::Event) -> Option<File> {
    match &event.body {
        Some(Body::FileReady(ready)) => ready.file.clone(),
        _ => None,
    }
}

/// An upload of so many bytes; without a name its metadata follow.
pub fn create(room: &chat::Room, size: usize, name: Option<&str>) -> CreateUploadRequest {
    let metadata = name.map(|name| FileMetadata { name: name.into(), ..FileMetadata::default() });
    CreateUploadRequest { op_id: op_id(), room_id: room.id.clone(), size: Some(size as u64), metadata }
}

impl Person {
    /// Sends bytes of an upload in one stream, and tells where it stands then.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn sends(&self, target: Target, offset: u64, chunks: Vec<Vec<u8>>) -> Result<Upload, Status> {
        let header = UploadHeader { target: Some(target), offset, ..UploadHeader::default() };
        let mut parts = vec![UploadFileRequest { part: Some(Part::Header(header)) }];
        parts.extend(chunks.into_iter().map(|chunk| UploadFileRequest { part: Some(Part::Chunk(chunk.into())) }));
        let answer = self.files().upload_file(stream::iter(parts)).await?;
        Ok(answer.into_inner().upload.unwrap_or_default())
    }

    /// Uploads a whole file.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn uploads(&self, room: &chat::Room, name: &str, bytes: &[u8]) -> Result<File, Status> {
        let chunks = bytes.chunks(200_000).map(<[u8]>::to_vec).collect();
        let done = self.sends(Target::Create(create(room, bytes.len(), Some(name))), 0, chunks).await?;
        Ok(done.file.unwrap_or_default())
    }

    /// Uploads a whole file, and waits until it was looked at.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn brings(&self, room: &chat::Room, name: &str, bytes: &[u8]) -> File {
        let file = self.uploads(room, name, bytes).await.unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
        self.settled(&file.id).await
    }

    /// Waits until a file was looked at.
    ///
    /// # Panics
    /// When it is not in time.
    pub async fn settled(&self, id: &str) -> File {
        let settling = async {
            loop {
                let file = self.knows(id).await.expect("the file can be seen");
                if file.state() != FileState::Processing {
                    return file;
                }
                tokio::task::yield_now().await;
            }
        };
        within("the file was looked at", settling).await
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn knows(&self, id: &str) -> Result<File, Status> {
        let answer = self.files().get_file(GetFileRequest { file_id: id.into() }).await?;
        Ok(answer.into_inner().file.unwrap_or_default())
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn asks(&self, op_id: &str) -> Result<Upload, Status> {
        let target = Some(get_upload_request::Target::OpId(op_id.into()));
        let answer = self.files().get_upload(GetUploadRequest { target }).await?;
        Ok(answer.into_inner().upload.unwrap_or_default())
    }

    /// The bytes of a file or of one of its variants.
    ///
    /// # Errors
    /// When the server refuses, or breaks off.
    pub async fn downloads(&self, id: &str, variant: &str) -> Result<Vec<u8>, Status> {
        let request = DownloadFileRequest { file_id: id.into(), variant: variant.into(), ..Default::default() };
        let mut stream = self.files().download_file(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = stream.message().await? {
            if let Some(download_file_response::Part::Chunk(chunk)) = message.part {
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok(bytes)
    }

    /// Fetches something of one's own over HTTP.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn gets(&self, path: &str, headers: &[(header::HeaderName, &str)]) -> Response<Bytes> {
        let mut request = Request::builder().header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        http(self.address, request, path, "").await
    }

    /// The files of a room that a word finds.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn finds(&self, room: &chat::Room, query: &str) -> Vec<File> {
        let request = file::ListFilesRequest {
            room_id: room.id.clone(),
            query: query.into(),
            ..file::ListFilesRequest::default()
        };
        self.files().list_files(request).await.expect("the room can be read").into_inner().files
    }
}
