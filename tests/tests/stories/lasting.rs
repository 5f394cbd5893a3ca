//! Streams that are no feeds, such as what an administrator watches or a file on its way: they end with the right to them, and as
//! fast as everything else.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use mesh::errors::reason;
use proto::{
    auth::v1::{
        DisableUserRequest, LogoutRequest, SetUserRoleRequest, WorkspaceRole, admin_service_client::AdminServiceClient,
        auth_service_client::AuthServiceClient,
    },
    file::v1::{
        DownloadFileRequest, UploadFileRequest, UploadHeader, download_file_response, upload_file_request::Part,
        upload_header::Target,
    },
    worker::v1::{WatchQueuesRequest, WatchQueuesResponse, job_service_client::JobServiceClient},
};
use tests::{Person, Shape, Town, files::create, servers::Redis, stories, within};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

const MIB: usize = 1024 * 1024;

stories!(whoever_loses_the_right_watches_no_longer, an_upload_ends_with_its_session, a_download_ends_with_its_session,);

type Watching = Streaming<WatchQueuesResponse>;

/// Somebody watches the queues, and has seen them once.
async fn watches(person: &Person) -> Watching {
    let mut jobs = JobServiceClient::new(person.channel());
    let mut watching = jobs.watch_queues(WatchQueuesRequest {}).await.expect("the stream opens").into_inner();
    within("the queues are told", watching.message()).await.expect("it begins").expect("with the queues");
    watching
}

/// What a stream ends with.
async fn end_of(mut watching: Watching) -> (Code, String) {
    let ending = async {
        loop {
            match watching.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if all were told"),
                Err(ended) => return told(&ended),
            }
        }
    };
    within("the stream ends", ending).await
}

fn told(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

fn nobody(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.into())
}

async fn signs_out(person: &Person) {
    let request = LogoutRequest { refresh_token: person.refresh_token.clone() };
    AuthServiceClient::new(person.channel()).logout(request).await.expect("everybody may sign out");
}

async fn makes(owner: &Person, person: &Person, role: WorkspaceRole) {
    let request = SetUserRoleRequest { user_id: person.user.id.clone(), role: role.into() };
    AdminServiceClient::new(owner.channel()).set_user_role(request).await.expect("an owner may");
}

/// An administrator, signed in with the rights of one.
async fn admin(town: &Town, owner: &Person, name: &str) -> Person {
    let person = town.registers(name).await;
    makes(owner, &person, WorkspaceRole::Admin).await;
    Person::signs_in(town.public, name).await
}

async fn whoever_loses_the_right_watches_no_longer(town: Town) {
    let owner = town.registers("owner").await;
    let mut stays = watches(&owner).await;

    let leaves = admin(&town, &owner, "leaves").await;
    let watching = watches(&leaves).await;
    signs_out(&leaves).await;
    assert_eq!(end_of(watching).await, nobody("SESSION_ENDED"), "who signed out");

    let falls = admin(&town, &owner, "falls").await;
    let watching = watches(&falls).await;
    makes(&owner, &falls, WorkspaceRole::Member).await;
    // As for live streams: it is begun anew with a token that has the rights of now, if those are enough.
    assert_eq!(end_of(watching).await, nobody("TOKEN_EXPIRED"), "who is an administrator no longer");
    let again = Person::signs_in(town.public, "falls").await;
    let refused = JobServiceClient::new(again.channel()).watch_queues(WatchQueuesRequest {}).await.unwrap_err();
    assert_eq!(told(&refused), (Code::PermissionDenied, "ROLE_TOO_LOW".into()));

    let goes = admin(&town, &owner, "goes").await;
    let watching = watches(&goes).await;
    let disable = DisableUserRequest { user_id: goes.user.id.clone() };
    AdminServiceClient::new(owner.channel()).disable_user(disable).await.unwrap();
    let ended = end_of(watching).await;
    assert!(ended == nobody("SESSION_ENDED") || ended == nobody("TOKEN_EXPIRED"), "who is disabled: {ended:?}");

    within("the others go on", stays.message()).await.expect("nobody took it away").expect("the queues are told");
}

async fn an_upload_ends_with_its_session(town: Town) {
    let laptop = town.registers("alice").await;
    let phone = Person::signs_in(town.public, "alice").await;
    let room = laptop.creates_room("general").await;
    let bytes = vec![7; MIB];
    let opening = create(&room, bytes.len(), Some("half.bin"));
    let (sender, parts) = mpsc::channel(4);
    let header = UploadHeader { target: Some(Target::Create(opening.clone())), ..UploadHeader::default() };
    let half = bytes[..MIB / 2].to_vec();
    for part in [Part::Header(header), Part::Chunk(half.into())] {
        sender.send(UploadFileRequest { part: Some(part) }).await.unwrap();
    }
    let mut files = phone.files();
    let mut sending = JoinSet::new();
    sending.spawn(async move { files.upload_file(ReceiverStream::new(parts)).await });
    let begun = async {
        while laptop.asks(&opening.op_id).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within("the upload has begun", begun).await;
    signs_out(&phone).await;
    let ended = within("the upload ends", sending.join_next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(told(&ended), nobody("SESSION_ENDED"));
    // Nothing more comes in that way, and what came is kept for who is still signed in.
    drop(sender);
    let goes_on = async {
        loop {
            let upload = laptop.asks(&opening.op_id).await.unwrap();
            assert!(upload.file.is_none(), "it is not complete");
            let from = usize::try_from(upload.offset).unwrap();
            match laptop.sends(Target::UploadId(upload.id), upload.offset, vec![bytes[from..].to_vec()]).await {
                Ok(done) => return done.file.unwrap(),
                Err(refused) => assert_eq!(refused.code(), Code::Aborted, "{refused}"),
            }
        }
    };
    let file = within("the upload goes on", goes_on).await;
    laptop.settled(&file.id).await;
    assert!(laptop.downloads(&file.id, "").await.unwrap() == bytes);
}

async fn a_download_ends_with_its_session(town: Town) {
    let laptop = town.registers("alice").await;
    let phone = Person::signs_in(town.public, "alice").await;
    let room = laptop.creates_room("general").await;
    // More than fits into all that is between the store and who reads it.
    let bytes: Vec<u8> = (0..16 * MIB).map(|number| (number * 31 % 253) as u8).collect();
    let file = laptop.brings(&room, "large.bin", &bytes).await;
    let request = DownloadFileRequest { file_id: file.id.clone(), ..DownloadFileRequest::default() };
    let mut stream = phone.files().download_file(request).await.unwrap().into_inner();
    let first = within("it begins", stream.message()).await.unwrap().unwrap().part;
    assert!(matches!(first, Some(download_file_response::Part::Header(_))), "{first:?}");
    signs_out(&phone).await;
    let mut got = 0;
    let ending = async {
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    if let Some(download_file_response::Part::Chunk(chunk)) = message.part {
                        got += chunk.len();
                    }
                }
                Ok(None) => panic!("the whole file came"),
                Err(ended) => return told(&ended),
            }
        }
    };
    assert_eq!(within("the download ends", ending).await, nobody("SESSION_ENDED"));
    assert!(got < bytes.len(), "{got} bytes came");
    assert!(laptop.downloads(&file.id, "").await.unwrap() == bytes, "the other session gets all of it");
}

/// Every role a server of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_process_ends_within_a_second() {
    let town = Town::start(Shape::Full).await;
    let owner = town.registers("owner").await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        let victim = Person::signs_in(town.public, "owner").await;
        let watching = watches(&victim).await;
        // From the moment it is asked for, the call itself included.
        let asked = Instant::now();
        signs_out(&victim).await;
        assert_eq!(end_of(watching).await, nobody("SESSION_ENDED"));
        waits.push(asked.elapsed());
    }
    waits.sort_unstable();
    println!("streams of another process ended after: {waits:?}");
    assert!(waits[waits.len() / 2] <= Duration::from_secs(1), "{waits:?}");
    watches(&owner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_within_ten_seconds_while_the_cache_is_away() {
    let mut redis = Redis::start().await;
    let url = redis.url();
    let town = Town::start_with(Shape::Full, |config| config.cache.url = url).await;
    let owner = town.registers("owner").await;
    let victim = Person::signs_in(town.public, "owner").await;
    let watching = watches(&victim).await;
    // Something large is on its way as well.
    let room = owner.creates_room("general").await;
    let opening = create(&room, MIB, Some("never.bin"));
    let header = UploadHeader { target: Some(Target::Create(opening.clone())), ..UploadHeader::default() };
    let first = UploadFileRequest { part: Some(Part::Header(header)) };
    let mut files = victim.files();
    let mut sending = JoinSet::new();
    sending.spawn(async move { files.upload_file(stream::iter([first]).chain(stream::pending())).await });
    let begun = async {
        while owner.asks(&opening.op_id).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within("the upload has begun", begun).await;
    redis.kill();
    signs_out(&victim).await;
    let asked = Instant::now();
    assert_eq!(end_of(watching).await, nobody("SESSION_ENDED"));
    let ended = within("the upload ends", sending.join_next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(told(&ended), nobody("SESSION_ENDED"));
    println!("without a cache streams of other processes ended after {:?}", asked.elapsed());
    assert!(asked.elapsed() <= Duration::from_secs(10), "{:?}", asked.elapsed());
}
