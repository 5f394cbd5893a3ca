//! What people do with files, on the server and on the reference.

use futures::stream;
use proto::{
    chat::internal::v1::{ReadFeedRequest, feed_service_client::FeedServiceClient as LogClient},
    file::v1::{
        CreateUploadRequest, DeleteFileRequest, FileMetadata, GetFileRequest, ListFilesRequest, ShareFileRequest,
        UploadFileRequest, UploadHeader, upload_file_request::Part, upload_header::Target,
    },
};
use tests::op_id;
use tokio::time::Instant;

use super::{
    people::People,
    reference::Room,
    world::{Difference, NOTHING, agree, same},
};

/// A small file is uploaded. There are few contents, so that most are known already and need not be looked at.
pub async fn upload(people: &People, room: &mut Room, by: usize, content: u8) -> Result<(), Difference> {
    let name = format!("file-{}.txt", room.files.len());
    let bytes = vec![b'a' + content; 64];
    let metadata = Some(FileMetadata { name: name.clone(), ..FileMetadata::default() });
    let (op_id, room_id, size) = (op_id(), room.id.clone(), Some(bytes.len() as u64));
    let create = CreateUploadRequest { op_id, room_id, size, metadata };
    let header = UploadHeader { target: Some(Target::Create(create)), ..UploadHeader::default() };
    let parts = [Part::Header(header), Part::Chunk(bytes.into())];
    let parts = stream::iter(parts.map(|part| UploadFileRequest { part: Some(part) }));
    let answer = people.files(by).upload_file(parts).await;
    if let Some(done) = agree(room.may_post(by), answer)? {
        let file = done.upload.and_then(|upload| upload.file).ok_or("an upload without its file")?;
        room.brings(by, file.id, name);
        told(people, room, by).await?;
    }
    Ok(())
}

pub async fn read(people: &People, room: &Room, by: usize, file: usize) -> Result<(), Difference> {
    let file = file.checked_rem(room.files.len()).ok_or(NOTHING)?;
    let request = GetFileRequest { file_id: room.files[file].id.clone() };
    let answer = people.files(by).get_file(request).await;
    match agree(room.reads_file(by, file), answer)? {
        Some(read) => same("a file", Some(&room.files[file].name), read.file.as_ref().map(|file| &file.name)),
        None => Ok(()),
    }
}

/// A file of a room becomes one of another as well, or of the same once more.
pub async fn share(
    people: &People,
    rooms: &mut [Room],
    by: usize,
    (from, file): (usize, usize),
    to: usize,
) -> Result<(), Difference> {
    let file = file.checked_rem(rooms[from].files.len()).ok_or(NOTHING)?;
    let (file_id, name) = (rooms[from].files[file].id.clone(), rooms[from].files[file].name.clone());
    let request = ShareFileRequest { op_id: op_id(), file_id, room_id: rooms[to].id.clone() };
    let expected = rooms[from].reads_file(by, file).and_then(|()| rooms[to].may_post(by));
    if let Some(shared) = agree(expected, people.files(by).share_file(request).await)? {
        let file = shared.file.ok_or("no file was shared")?;
        rooms[to].brings(by, file.id, name);
        told(people, &rooms[to], by).await?;
    }
    Ok(())
}

pub async fn delete(people: &People, room: &mut Room, by: usize, file: usize) -> Result<(), Difference> {
    let file = file.checked_rem(room.files.len()).ok_or(NOTHING)?;
    let request = DeleteFileRequest { file_id: room.files[file].id.clone() };
    let answer = people.files(by).delete_file(request).await;
    if agree(room.delete_file(by, file), answer)?.is_some() {
        told(people, room, by).await?;
    }
    Ok(())
}

/// The files of a room, or those that a name finds.
pub async fn list(people: &People, room: &Room, by: usize, named: Option<usize>) -> Result<(), Difference> {
    let query = named.map(|named| format!("FILE-{named}.")).unwrap_or_default();
    let request =
        ListFilesRequest { room_id: room.id.clone(), query: query.clone(), page_size: 200, ..Default::default() };
    let answer = people.files(by).list_files(request).await;
    let Some(listed) = agree(room.reads(by).map(drop), answer)? else { return Ok(()) };
    let seen = (0..room.files.len()).filter(|file| room.reads_file(by, *file).is_ok());
    let named = seen.map(|file| &room.files[file]).filter(|file| file.name.to_uppercase().contains(&query));
    // Newest first.
    let mut expected: Vec<&str> = named.map(|file| file.id.as_str()).collect();
    expected.sort_unstable_by(|one, other| other.cmp(one));
    same("the files", expected, listed.files.iter().map(|file| file.id.as_str()).collect())
}

/// What became of a file is told to its room a moment later: waits until that has its number.
async fn told(people: &People, room: &Room, by: usize) -> Result<(), Difference> {
    let began = Instant::now();
    let after_seq = room.head() - 1;
    loop {
        let (user_id, feed_id) = (people.id(by), room.id.clone());
        let request = ReadFeedRequest { user_id, feed_id, after_seq, page_size: 1 };
        let page = LogClient::new(people.as_gateway()).read_feed(request).await;
        if page.map_err(|status| format!("the log: {status:?}"))?.into_inner().head >= room.head() {
            return Ok(());
        }
        if began.elapsed() > tests::DEADLINE {
            return Err(format!("nothing was told of a file at {}", room.head()));
        }
        tokio::task::yield_now().await;
    }
}
