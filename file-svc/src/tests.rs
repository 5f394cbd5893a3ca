//! Stories of files and their bytes, on a database and a folder of their own, with a clock that is moved by hand.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use mesh::{
    blobs::{Blobs, S3Config},
    clock::Clock,
    db::{Db, DbConfig},
};
use proto::file::{
    internal::v1::{FinishProcessingRequest, ProcessedFile, finish_processing_request::Outcome},
    v1::{FileMetadata, FileState, ScanState, UploadPart},
};
use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use crate::{
    Migrator, direct,
    errors::FileError,
    life::{self, Share},
    processing,
    quota::{self, Quotas},
    receive::{Check, Receiver, Sending},
    store::{file, upload},
    sweep::{self, Trash},
    types::Refused,
    uploads::{self, Limits, NewUpload},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Place {
    receiver: Receiver,
    clock: Clock,
    user: Uuid,
    room: Uuid,
    _folder: tempfile::TempDir,
}

async fn place(change: impl FnOnce(&mut Limits)) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("file.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<Migrator>().await.unwrap();
    let url = format!("file:{}", folder.path().join("blobs").display());
    let blobs = Blobs::open(&url, &S3Config::default()).unwrap();
    let clock = Clock::manual(Clock::system().now());
    let mut limits = Limits {
        max_bytes: 1 << 30,
        life: DAY,
        quotas: Quotas::default(),
        refused: Refused::default(),
        scanned: false,
    };
    change(&mut limits);
    let trash = Trash::new(db.clone(), blobs.clone());
    let receiver = Receiver::new(db, blobs, clock.clone(), Arc::new(limits), trash);
    Place { receiver, clock, user: mesh::ids::new_id(), room: mesh::ids::new_id(), _folder: folder }
}

impl Place {
    fn new_upload(&self, size: Option<u64>) -> NewUpload {
        let metadata = Some(FileMetadata { name: "a.txt".into(), ..FileMetadata::default() });
        NewUpload { user_id: self.user, op_id: mesh::ids::new_id(), room_id: self.room, size, metadata }
    }

    async fn opens(&self, new: &NewUpload) -> Result<upload::Model, FileError> {
        let tx = self.receiver.db.begin().await?;
        let opened = uploads::open(&tx, new, &self.receiver.limits, self.clock.now()).await?;
        tx.commit().await?;
        Ok(opened)
    }

    async fn sends(&self, upload: upload::Model, sending: Sending, bytes: &[u8]) -> Result<upload::Model, FileError> {
        self.sends_as(upload, sending, bytes, Ok(())).await
    }

    /// The same as somebody who may do it, or not, by the time that it is done.
    async fn sends_as(
        &self,
        upload: upload::Model,
        sending: Sending,
        bytes: &[u8],
        allowed: Result<(), FileError>,
    ) -> Result<upload::Model, FileError> {
        let chunks: Vec<_> = bytes.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        self.receiver.receive(upload, sending, stream::iter(chunks), std::future::ready(allowed)).await
    }

    async fn uploads(&self, bytes: &[u8]) -> file::Model {
        let opened = self.opens(&self.new_upload(Some(bytes.len() as u64))).await.unwrap();
        let done = self.sends(opened, Sending::default(), bytes).await.unwrap();
        self.file(done.id).await.unwrap()
    }

    async fn file(&self, id: Uuid) -> Option<file::Model> {
        file::find(self.receiver.db.reader(), id).await.unwrap()
    }

    /// What the worker does, as far as this service can see.
    async fn works(&self, id: Uuid, bytes: &[u8]) -> Vec<String> {
        self.receiver.blobs.put(&format!("files/{id}"), Bytes::copy_from_slice(bytes)).await.unwrap();
        let report = ProcessedFile { content_type: "text/plain".into(), ..ProcessedFile::default() };
        self.reports(id, Outcome::Processed(report), false).await
    }

    async fn reports(&self, id: Uuid, outcome: Outcome, infected: bool) -> Vec<String> {
        let request = FinishProcessingRequest { file_id: id.to_string(), outcome: Some(outcome), infected };
        let tx = self.receiver.db.begin().await.unwrap();
        let keys = processing::finish(&tx, id, request, &self.receiver.limits, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        keys
    }

    async fn deletes(&self, id: Uuid) -> bool {
        let tx = self.receiver.db.begin().await.unwrap();
        let deleted = life::delete(&tx, id, self.user, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        deleted
    }

    async fn shares(&self, share: &Share) -> Result<file::Model, FileError> {
        let tx = self.receiver.db.begin().await?;
        let shared = life::share(&tx, share, &self.receiver.limits, self.clock.now()).await?;
        tx.commit().await?;
        Ok(shared)
    }

    async fn sweeps(&self) {
        sweep::once(&self.receiver, true).await.unwrap();
    }

    /// The keys in the store.
    async fn stored(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for place in ["staging", "files", "thumbnails"] {
            let listed: Vec<_> = self.receiver.blobs.list(place).try_collect().await.unwrap();
            keys.extend(listed.into_iter().map(|listed| listed.key));
        }
        keys
    }

    async fn announced(&self, kind: &str) -> i64 {
        let db = self.receiver.db.reader();
        let text = format!("SELECT COUNT(*) AS number FROM outbox WHERE kind = 'Loquat.File.V1:{kind}'");
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), text)).await.unwrap().unwrap();
        row.try_get("", "number").unwrap()
    }

    async fn used(&self) -> (u64, u64) {
        let usage = quota::usage(self.receiver.db.reader(), self.user, Quotas::default()).await.unwrap();
        (usage.user_bytes, usage.workspace_bytes)
    }
}

#[tokio::test]
async fn the_same_bytes_are_kept_once_and_go_a_day_after_their_last_file() {
    let place = place(|_| {}).await;
    let first = place.uploads(b"the same").await;
    assert_eq!(first.state(), FileState::Processing);
    place.works(first.id, b"the same").await;
    let second = place.uploads(b"the same").await;
    assert_eq!((second.state(), second.blob_id), (FileState::Ready, first.blob_id), "checked before");
    assert_eq!(second.content_type, "text/plain");
    assert_eq!(place.announced("FileReady").await, 2);
    place.sweeps().await;
    assert_eq!(place.stored().await, [format!("files/{}", first.id)], "no piece is left, and nothing twice");

    assert!(place.deletes(first.id).await);
    assert!(!place.deletes(first.id).await, "again is harmless");
    place.clock.advance(2 * DAY);
    place.sweeps().await;
    assert_eq!(place.stored().await.len(), 1, "the second file still stands on it");

    assert!(place.deletes(second.id).await);
    place.clock.advance(DAY - Duration::from_secs(60));
    place.sweeps().await;
    assert_eq!(place.stored().await.len(), 1, "the day is not over");
    let third = place.uploads(b"the same").await;
    place.clock.advance(2 * DAY);
    place.sweeps().await;
    assert_eq!((third.state(), place.stored().await.len()), (FileState::Ready, 1), "somebody came in time");

    assert!(place.deletes(third.id).await);
    place.clock.advance(DAY + Duration::from_secs(60));
    place.sweeps().await;
    assert!(place.stored().await.is_empty(), "{:?}", place.stored().await);
    assert_eq!(place.used().await, (0, 0));
    let fourth = place.uploads(b"the same").await;
    assert_eq!(fourth.state(), FileState::Processing, "the bytes are gone, and come anew");
}

#[tokio::test]
async fn an_operation_makes_one_file_even_when_that_is_gone() {
    let place = place(|_| {}).await;
    let new = place.new_upload(Some(3));
    let opened = place.opens(&new).await.unwrap();
    let done = place.sends(opened, Sending::default(), b"abc").await.unwrap();
    place.works(done.id, b"abc").await;
    place.deletes(done.id).await;
    let again = place.opens(&new).await.unwrap();
    assert_eq!((again.id, again.done), (done.id, true));
    assert!(place.file(done.id).await.is_none());
    assert_eq!(place.used().await, (0, 0));
}

#[tokio::test]
async fn two_jobs_for_the_same_bytes_end_as_one() {
    let place = place(|_| {}).await;
    let (first, second) = (place.uploads(b"twins").await, place.uploads(b"twins").await);
    assert_eq!(first.blob_id, second.blob_id);
    place.works(second.id, b"twins").await;
    for id in [first.id, second.id] {
        assert_eq!(place.file(id).await.unwrap().state(), FileState::Ready);
    }
    assert_eq!(place.announced("FileReady").await, 2, "each in its room, once");
    // The slower job comes to its end as well, and its report, redelivered, too.
    for _ in 0..2 {
        let spare = place.works(first.id, b"twins").await;
        assert!(spare.contains(&format!("files/{}", first.id)), "{spare:?}");
        place.works(second.id, b"twins").await;
    }
    assert_eq!(place.announced("FileReady").await, 2);
    place.sweeps().await;
    assert_eq!(place.stored().await, [format!("files/{}", second.id)]);
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_checked_leaves_nothing() {
    let place = place(|_| {}).await;
    let doomed = place.uploads(b"doomed").await;
    place.deletes(doomed.id).await;
    assert!(place.works(doomed.id, b"doomed").await.is_empty());
    assert_eq!(place.announced("FileReady").await, 0);
    place.clock.advance(2 * DAY);
    place.sweeps().await;
    place.sweeps().await;
    assert!(place.stored().await.is_empty(), "{:?}", place.stored().await);
}

#[tokio::test]
async fn what_the_scanner_finds_holds_for_all_with_the_same_bytes() {
    let place = place(|limits| limits.scanned = true).await;
    let (first, second) = (place.uploads(b"evil").await, place.uploads(b"evil").await);
    assert_eq!(first.scan, i32::from(ScanState::Pending));
    place.reports(first.id, Outcome::Failure("The virus scanner found it.".into()), true).await;
    for id in [first.id, second.id] {
        let row = place.file(id).await.unwrap();
        assert_eq!((row.state(), row.scan), (FileState::Failed, i32::from(ScanState::Infected)));
    }
    assert_eq!(place.used().await, (0, 0));
    assert_eq!(place.uploads(b"evil").await.state(), FileState::Processing, "and is looked for again");
}

#[tokio::test]
async fn types_are_refused_by_what_is_said_and_by_what_is_found() {
    let place = place(|limits| limits.refused = Refused::new(&["text/*".into()])).await;
    let mut new = place.new_upload(Some(1));
    new.metadata = Some(FileMetadata { name: "a".into(), content_type: "text/html".into(), ..Default::default() });
    assert!(matches!(place.opens(&new).await, Err(FileError::TypeRefused(_))));
    let liar = place.uploads(b"liar").await;
    place.works(liar.id, b"liar").await;
    let liar = place.file(liar.id).await.unwrap();
    assert_eq!(liar.state(), FileState::Failed);
    assert!(liar.failure.contains("text/plain"), "{}", liar.failure);
}

#[tokio::test]
async fn quotas_are_kept_to_the_byte_by_whoever_comes_at_once() {
    let place = Arc::new(place(|limits| limits.quotas = Quotas { user: 1000, workspace: 1500 }).await);
    let tries = (0..25).map(|_| {
        let place = place.clone();
        async move { place.opens(&place.new_upload(Some(100))).await }
    });
    let outcomes = futures::future::join_all(tries).await;
    let taken: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(taken.len(), 10);
    assert!(
        outcomes.iter().all(|outcome| outcome.is_ok() || matches!(outcome, Err(FileError::UserQuotaExceeded { .. })))
    );
    assert_eq!(place.used().await, (1000, 1000));
    // Somebody else still may, until all together keep enough.
    let other = |size| NewUpload { user_id: mesh::ids::new_id(), ..place.new_upload(size) };
    place.opens(&other(Some(500))).await.unwrap();
    assert!(matches!(place.opens(&other(Some(1))).await, Err(FileError::WorkspaceQuotaExceeded { limit: 1500 })));
    // What is given up counts no longer.
    place.receiver.drop_upload(taken[0]).await.unwrap();
    assert_eq!(place.used().await, (900, 1400));
    // What has no size counts as it comes.
    let open_end = place.opens(&place.new_upload(None)).await.unwrap();
    let last = |offset| Sending { offset, ..Sending::default() };
    let open_end = place.sends(open_end, last(0), &[1; 60]).await.unwrap();
    assert_eq!(place.used().await, (960, 1460));
    assert!(matches!(place.sends(open_end, last(60), &[1; 60]).await, Err(FileError::UserQuotaExceeded { .. })));
    assert_eq!(place.used().await, (960, 1460));
    // What is complete counts until it is deleted.
    let whole = place.sends(taken[1].clone(), last(0), &[2; 100]).await.unwrap();
    assert_eq!(place.used().await, (960, 1460));
    place.deletes(whole.id).await;
    assert_eq!(place.used().await, (860, 1360));
}

#[tokio::test]
async fn who_may_no_longer_post_when_the_bytes_are_there_leaves_nothing() {
    let place = place(|_| {}).await;
    let opened = place.opens(&place.new_upload(Some(6000))).await.unwrap();
    let denied = || Err(FileError::RoomNotFound);
    let half = place.sends_as(opened, Sending::default(), &[1; 3000], denied()).await.unwrap();
    assert_eq!(half.stored(), 3000, "it is asked at the end and not before");
    let rest = || Sending { offset: half.stored(), ..Sending::default() };
    let refused = place.sends_as(half.clone(), rest(), &[2; 3000], denied()).await;
    assert!(matches!(refused, Err(FileError::RoomNotFound)), "{refused:?}");
    assert!(upload::find(place.receiver.db.reader(), half.id).await.unwrap().is_none());
    assert!(place.file(half.id).await.is_none());
    assert_eq!((place.announced("FileUploaded").await, place.announced("FileReady").await), (0, 0));
    place.sweeps().await;
    assert!(place.stored().await.is_empty(), "{:?}", place.stored().await);
    assert_eq!(place.used().await, (0, 0));
}

#[tokio::test]
async fn who_may_no_longer_post_when_parts_were_put_directly_leaves_nothing() {
    let place = place(|_| {}).await;
    let opened = place.opens(&place.new_upload(Some(3))).await.unwrap();
    let key = format!("staging/{}/direct-0000000000000000-3", opened.id);
    place.receiver.blobs.put(&key, Bytes::from_static(b"abc")).await.unwrap();
    let parts = [UploadPart { offset: 0, size: 3 }];
    let denied = std::future::ready(Err(FileError::UploadNotFound));
    let refused = direct::commit(&place.receiver, opened.clone(), &parts, denied).await;
    assert!(matches!(refused, Err(FileError::UploadNotFound)), "{refused:?}");
    assert!(upload::find(place.receiver.db.reader(), opened.id).await.unwrap().is_none());
    assert!(place.file(opened.id).await.is_none());
    place.sweeps().await;
    assert!(place.stored().await.is_empty(), "{:?}", place.stored().await);
}

#[tokio::test]
async fn while_nobody_knows_who_may_post_what_came_waits() {
    let place = place(|_| {}).await;
    let opened = place.opens(&place.new_upload(Some(3000))).await.unwrap();
    let away = Err(FileError::AccessUnavailable(Box::new(tonic::Status::unavailable("away"))));
    let refused = place.sends_as(opened.clone(), Sending::default(), &[1; 3000], away).await;
    assert!(matches!(refused, Err(FileError::AccessUnavailable(_))), "{refused:?}");
    assert!(place.file(opened.id).await.is_none());
    let again = Sending { offset: 3000, ..Sending::default() };
    let done = place.sends(opened, again, &[]).await.unwrap();
    assert_eq!(place.file(done.id).await.unwrap().size, 3000, "a request without bytes completes it");
}

#[tokio::test]
async fn a_stream_with_a_wrong_checksum_leaves_nothing() {
    let place = place(|_| {}).await;
    let opened = place.opens(&place.new_upload(Some(12_000_000))).await.unwrap();
    let bytes = vec![5; 12_000_000];
    let check = Some(Check::sha1(&[0; 20]));
    let wrong = Sending { check, ..Sending::default() };
    let refused = place.sends(opened.clone(), wrong, &bytes).await;
    assert!(matches!(refused, Err(FileError::StreamChecksumMismatch)));
    let stands = upload::find(place.receiver.db.reader(), opened.id).await.unwrap().unwrap();
    assert_eq!(stands.stored(), 0);
    place.sweeps().await;
    assert!(place.stored().await.is_empty(), "{:?}", place.stored().await);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    let right = Sending { check: Some(Check::sha256(&digest)), ..Sending::default() };
    let done = place.sends(opened, right, &bytes).await.unwrap();
    assert_eq!(place.file(done.id).await.unwrap().sha256, digest.to_vec());
}

#[tokio::test]
async fn a_file_is_shared_into_another_room_on_the_same_bytes() {
    let place = place(|_| {}).await;
    let source = place.uploads(b"shared").await;
    let share = |file_id| Share {
        user_id: mesh::ids::new_id(),
        op_id: mesh::ids::new_id(),
        file_id,
        room_id: mesh::ids::new_id(),
    };
    let first = share(source.id);
    assert!(matches!(place.shares(&first).await, Err(FileError::FileNotReady)));
    place.works(source.id, b"shared").await;
    let shared = place.shares(&first).await.unwrap();
    assert_eq!((shared.room_id, shared.uploader_id), (first.room_id, first.user_id));
    assert_ne!(shared.id, source.id);
    assert_eq!(place.shares(&first).await.unwrap().id, shared.id, "once for an operation");
    let elsewhere = Share { room_id: mesh::ids::new_id(), ..first };
    assert!(matches!(place.shares(&elsewhere).await, Err(FileError::OpIdReused)));
    place.deletes(source.id).await;
    place.clock.advance(2 * DAY);
    place.sweeps().await;
    assert_eq!(place.stored().await.len(), 1, "the file in the other room has its bytes");
    assert!(matches!(place.shares(&share(source.id)).await, Err(FileError::FileNotFound)));
}

#[tokio::test]
async fn what_no_row_knows_is_swept_when_it_is_old() {
    let place = place(|_| {}).await;
    let kept = place.uploads(b"kept").await;
    place.works(kept.id, b"kept").await;
    let open = place.opens(&place.new_upload(Some(9_000_000))).await.unwrap();
    place.sends(open, Sending::default(), &[1; 6_000_000]).await.unwrap();
    let stray = [
        format!("staging/{}/0-x", mesh::ids::new_id()),
        format!("files/{}", mesh::ids::new_id()),
        format!("thumbnails/{}/w320", mesh::ids::new_id()),
    ];
    for key in &stray {
        place.receiver.blobs.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    place.sweeps().await;
    assert_eq!(place.stored().await.len(), 3 + 2 + 1, "what is young may be on its way");
    place.clock.advance(DAY + Duration::from_secs(60));
    place.sweeps().await;
    assert_eq!(place.stored().await, [format!("files/{}", kept.id)], "given up, unknown, and nothing else");
}

#[tokio::test]
async fn files_are_found_by_words_of_their_name_and_of_what_is_said_of_them() {
    let place = place(|_| {}).await;
    for (name, artist) in [("100% Übung.mp3", "Kinkajous"), ("plan_b.pdf", ""), ("Plan A.pdf", "")] {
        let mut new = place.new_upload(Some(0));
        let attributes = [("artist".to_owned(), artist.to_owned())].into();
        new.metadata = Some(FileMetadata { name: name.into(), attributes, ..FileMetadata::default() });
        place.opens(&new).await.unwrap();
    }
    let finds = async |query: &str| -> Vec<String> {
        let words = query.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let wanted = file::Wanted { words, ..file::Wanted::default() };
        let found = file::of_room(place.receiver.db.reader(), place.room, &wanted, 10).await.unwrap();
        found.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(finds("").await.len(), 3);
    assert_eq!(finds("übung KINKA").await, ["100% Übung.mp3"]);
    assert_eq!(finds("plan pdf").await, ["Plan A.pdf", "plan_b.pdf"]);
    assert_eq!(finds("n_b").await, ["plan_b.pdf"], "nothing means more than itself");
    assert_eq!(finds("%").await, ["100% Übung.mp3"]);
    assert!(finds("!").await.is_empty());
}
