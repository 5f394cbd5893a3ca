//! Calls that read files.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use mesh::{authn::UserPrincipal, fields::Fields};
use proto::{
    chat::internal::v1::RoomAction,
    file::v1::{
        DownloadFileRequest, DownloadFileResponse, File, FileState, GetFileRequest, ListFilesRequest,
        ListFilesResponse, download_file_response::Part,
    },
};
use tonic::Status;

use super::Shared;
use crate::{
    errors::FileError,
    files::{self, Asked},
    store::file::{self, Wanted},
};

/// The largest chunk of a download.
const CHUNK: usize = 256 * 1024;
const MAX_QUERY_BYTES: usize = 200;

type Chunks = Pin<Box<dyn Stream<Item = Result<DownloadFileResponse, Status>> + Send>>;

impl Shared {
    pub(super) async fn get_file(&self, user: &UserPrincipal, request: &GetFileRequest) -> Result<File, FileError> {
        let mut fields = Fields::default();
        let id = fields.id("file_id", &request.file_id);
        fields.done()?;
        let row = self.readable(user, id).await?;
        let shown = files::view(self.db.reader(), &row).await?;
        Ok(if row.uploader_id == user.user_id { self.signing().sign(shown) } else { shown })
    }

    pub(super) async fn list_files(
        &self,
        user: &UserPrincipal,
        request: &ListFilesRequest,
    ) -> Result<ListFilesResponse, FileError> {
        let mut fields = Fields::default();
        let room_id = fields.id("room_id", &request.room_id);
        let rows = fields.page_size(request.page_size, 50, 200);
        let before = (!request.page_token.is_empty()).then(|| fields.id("page_token", &request.page_token));
        if request.query.len() > MAX_QUERY_BYTES {
            fields.wrong("query", format!("must be at most {MAX_QUERY_BYTES} bytes"));
        }
        let uploader_id = fields.optional_id("uploader_id", &request.uploader_id);
        fields.done()?;
        let words = request.query.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let content_type = request.content_type.trim().to_lowercase();
        let wanted = Wanted { before, words, content_type, uploader_id };
        let db = self.db.reader();
        let mut found = file::of_room(db, room_id, &wanted, rows + 1).await?;
        let more = mesh::db::cut_page(&mut found, rows);
        let next = found.last().filter(|_| more).map(|row| row.id.to_string());
        let hidden = self.ask(user, room_id, RoomAction::Read, FileError::RoomNotFound, &found).await?;
        found.retain(|row| !hidden.contains(&row.id.to_string()));
        let ids: Vec<_> = found.iter().map(|row| row.id).collect();
        let pictures = file::thumbnails(db, &ids).await?;
        Ok(ListFilesResponse {
            files: found.iter().map(|row| row.to_proto(&pictures)).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn download_file(
        &self,
        user: &UserPrincipal,
        request: &DownloadFileRequest,
    ) -> Result<Chunks, FileError> {
        let mut fields = Fields::default();
        let id = fields.id("file_id", &request.file_id);
        fields.done()?;
        let row = self.shown(user, id).await?;
        if row.state() == FileState::Processing && row.uploader_id != user.user_id {
            return Err(FileError::FileNotReady);
        }
        let asked = Asked {
            variant: &request.variant,
            offset: request.offset,
            length: request.length,
            url: self.redirect && request.accept_url,
        };
        let opened = match files::download(self.db.reader(), &self.blobs, &row, &asked).await {
            // It became ready while it was being opened.
            Err(FileError::FileNotReady) => {
                let row = self.shown(user, id).await?;
                files::download(self.db.reader(), &self.blobs, &row, &asked).await?
            }
            opened => opened?,
        };
        let files::Download { header, bytes } = opened;
        let first = DownloadFileResponse { part: Some(Part::Header(header)) };
        let chunks = bytes.map_err(mesh::errors::status).flat_map(|chunk| stream::iter(split(chunk)));
        Ok(Box::pin(stream::once(async { Ok(first) }).chain(chunks)))
    }
}

fn split(chunk: Result<bytes::Bytes, Status>) -> Vec<Result<DownloadFileResponse, Status>> {
    let part = |bytes| DownloadFileResponse { part: Some(Part::Chunk(bytes)) };
    match chunk {
        Ok(mut rest) => {
            std::iter::from_fn(|| (!rest.is_empty()).then(|| Ok(part(rest.split_to(rest.len().min(CHUNK)))))).collect()
        }
        Err(cause) => vec![Err(cause)],
    }
}
