//! Somebody who uploads small files: what follows from an upload goes through every service, outbox and queue.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use proto::file::v1::{
    CreateUploadRequest, FileMetadata, GetUploadRequest, Upload, UploadFileRequest, UploadHeader,
    get_upload_request::Target as Wanted, upload_file_request::Part, upload_header::Target,
};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{
    link::PATIENCE,
    shared::{Backoff, Shared},
};
use crate::{Person, op_id};

/// Uploads while there is load, for ever; each upload until it is whole.
pub(super) async fn uploads(shared: Arc<Shared>, member: usize, room: usize, mut random: StdRng) {
    let mut load = shared.load.subscribe();
    let mut backoff = Backoff::new(random.clone());
    let mut turn = member;
    while load.wait_for(|on| *on).await.is_ok() {
        let _busy = shared.begins();
        while *load.borrow() {
            let bytes: Bytes = vec![b'x'; random.random_range(1..5000)].into();
            let create = create(&shared.rooms[room].id, bytes.len());
            let file = loop {
                let person = shared.people[member].at(shared.door(turn));
                if let Ok(Ok(Some(file))) = timeout(PATIENCE, goes_on(&person, &create, &bytes)).await {
                    break file;
                }
                turn += 1;
                backoff.wait().await;
            };
            backoff.reset();
            shared.files().push((room, file));
            tokio::time::sleep(Duration::from_millis(random.random_range(200..800))).await;
        }
    }
}

fn create(room: &str, size: usize) -> CreateUploadRequest {
    let metadata = FileMetadata { name: "notes.txt".into(), ..FileMetadata::default() };
    let (op_id, room_id, size) = (op_id(), room.to_owned(), Some(size as u64));
    CreateUploadRequest { op_id, room_id, size, metadata: Some(metadata) }
}

/// Goes on where the upload stands. Returns the file once the upload is whole.
async fn goes_on(person: &Person, create: &CreateUploadRequest, bytes: &Bytes) -> Result<Option<String>, Status> {
    let request = GetUploadRequest { target: Some(Wanted::OpId(create.op_id.clone())) };
    let stands = match person.files().get_upload(request).await {
        Ok(answer) => answer.into_inner().upload,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status),
    };
    if let Some(whole) = stands.as_ref().and_then(file_of) {
        return Ok(Some(whole));
    }
    let (target, offset) = match stands {
        Some(upload) => (Target::UploadId(upload.id), upload.offset),
        None => (Target::Create(create.clone()), 0),
    };
    let header = UploadHeader { target: Some(target), offset, last: false, ..UploadHeader::default() };
    let rest = bytes.slice(usize::try_from(offset).unwrap_or(bytes.len()).min(bytes.len())..);
    let parts = [Part::Header(header), Part::Chunk(rest)].map(|part| UploadFileRequest { part: Some(part) });
    let answer = person.files().upload_file(stream::iter(parts)).await?.into_inner();
    Ok(answer.upload.as_ref().and_then(file_of))
}

fn file_of(upload: &Upload) -> Option<String> {
    let whole = upload.bytes_received && upload.metadata_received;
    upload.file.as_ref().filter(|_| whole).map(|file| file.id.clone())
}
