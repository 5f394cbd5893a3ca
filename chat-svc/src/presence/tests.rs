use mesh::cache::Cache;
use prost::Message as _;
use proto::chat::v1::{Ephemeral, Presence as Digest, ephemeral::Body};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{database, member};

const EVERY: Duration = Duration::from_millis(200);

async fn joins(db: &mesh::db::Db, room_id: Uuid, users: &[Uuid]) {
    let tx = db.begin().await.unwrap();
    for (number, user_id) in users.iter().enumerate() {
        let joined_seq = number as i64 + 1;
        let new = member::Model { room_id, user_id: *user_id, role: 1, joined_at: 0, joined_seq, first_visible_seq: 1 };
        member::insert(&tx, new).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn presence() -> Arc<Presence> {
    Arc::new(Presence::new(EVERY))
}

/// A gateway's stream, and what comes on it.
struct Stream {
    gateway: Gateway,
    _items: mpsc::Sender<AttachResponse>,
    received: mpsc::Receiver<AttachResponse>,
}

impl Stream {
    fn open(presence: &Arc<Presence>) -> Self {
        let (items, received) = mpsc::channel(8);
        Self { gateway: presence.attach(items.downgrade()), _items: items, received }
    }

    fn tells(&self, whole: bool, came: &[Uuid], gone: &[Uuid]) {
        let packed = |ids: &[Uuid]| ids.iter().flat_map(|id| *id.as_bytes()).collect();
        self.gateway.online(&OnlineChange { whole, came: packed(came), gone: packed(gone) });
    }

    fn looks(&self, room: Uuid) {
        self.gateway.look(&LookChange { added_room_ids: vec![room.to_string()], removed_room_ids: Vec::new() });
    }

    /// Awaits a digest with this many online members, and returns those that are named.
    async fn sees(&mut self, count: u32) -> Vec<String> {
        let waiting = async {
            loop {
                let digest = self.digest().await;
                if digest.online_count == count {
                    return digest.online_user_ids;
                }
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        seen.unwrap_or_else(|_| panic!("{count} online"))
    }

    async fn digest(&mut self) -> Digest {
        loop {
            if let Some(Item::Presence(presence)) = self.received.recv().await.expect("the stream is open").item {
                let ephemeral = Ephemeral::decode(presence.ephemeral).unwrap();
                assert_eq!(ephemeral.feed_id, presence.feed_id);
                let Some(Body::Presence(digest)) = ephemeral.body else { panic!("a digest") };
                return digest;
            }
        }
    }

    fn is_asked(&mut self) -> bool {
        self.received.try_recv().is_ok_and(|item| matches!(item.item, Some(Item::TellOnline(_))))
    }
}

/// A process: makes digests until it is dropped.
struct Process {
    presence: Arc<Presence>,
    stop: CancellationToken,
    tasks: mesh::lifecycle::Tasks,
}

impl Process {
    fn start(db: &mesh::db::Db, cache: Option<&Cache>) -> Self {
        let (presence, stop, tasks) = (presence(), CancellationToken::new(), mesh::lifecycle::Tasks::new());
        tasks.spawn("digests", digest::run(presence.clone(), db.clone(), stop.clone()));
        if let Some(cache) = cache {
            let origin = mesh::ids::new_id();
            tasks.spawn("told", others::tell(presence.clone(), cache.clone(), origin, stop.clone()));
            tasks.spawn("heard", others::listen(presence.clone(), cache.clone(), origin, stop.clone()));
        }
        Self { presence, stop, tasks }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.tasks.clone());
    }
}

#[tokio::test]
async fn who_looks_sees_the_members_who_are_online() {
    let (db, _folder) = database().await;
    let (room, users) = (mesh::ids::new_id(), [(); 3].map(|()| mesh::ids::new_id()));
    let stranger = mesh::ids::new_id();
    joins(&db, room, &users).await;
    let process = Process::start(&db, None);
    let (mut one, mut two) = (Stream::open(&process.presence), Stream::open(&process.presence));
    assert!(!two.is_asked(), "as long as nobody looks");
    one.tells(true, &[users[0], stranger], &[]);
    one.looks(room);
    assert_eq!(one.sees(1).await, [users[0].to_string()], "at once, and without the stranger");
    assert!(two.is_asked());
    two.tells(true, &users[..2], &[]);
    one.sees(2).await;
    one.tells(false, &[], &users[..1]);
    two.tells(false, &users[2..], &[]);
    one.sees(3).await;
    two.tells(false, &[], &users);
    one.sees(0).await;
    assert!(two.received.try_recv().is_err(), "it does not look");
}

#[tokio::test]
async fn a_digest_is_made_at_most_once_an_interval_and_only_when_something_changed() {
    let (db, _folder) = database().await;
    let (room, user) = (mesh::ids::new_id(), mesh::ids::new_id());
    joins(&db, room, &[user]).await;
    let process = Process::start(&db, None);
    let mut stream = Stream::open(&process.presence);
    stream.tells(true, &[user], &[]);
    stream.looks(room);
    stream.sees(1).await;
    let began = Instant::now();
    let mut digests = 0;
    // Somebody else comes and goes all the time, and at last the member.
    while began.elapsed() < EVERY * 5 {
        stream.tells(false, &[mesh::ids::new_id()], &[]);
        tokio::time::sleep(EVERY / 20).await;
        digests += u32::from(stream.received.try_recv().is_ok());
    }
    assert_eq!(digests, 0, "nothing changed in the room");
    while began.elapsed() < EVERY * 10 {
        stream.tells(false, &[], &[user]);
        tokio::time::sleep(EVERY / 20).await;
        stream.tells(false, &[user], &[]);
        digests += u32::from(stream.received.try_recv().is_ok());
    }
    assert!(digests <= 6, "{digests} in five intervals");
    // A member who joins is read of when it is told, and a second gateway is given what is there.
    let other = mesh::ids::new_id();
    stream.tells(false, &[user, other], &[]);
    joins(&db, room, &[other]).await;
    process.presence.members_changed(room);
    stream.sees(2).await;
    let mut second = Stream::open(&process.presence);
    second.looks(room);
    assert_eq!(second.digest().await.online_count, 2);
}

#[tokio::test]
async fn a_digest_names_two_hundred_and_counts_all() {
    let (db, _folder) = database().await;
    let room = mesh::ids::new_id();
    let mut users: Vec<Uuid> = (0..5000).map(|_| mesh::ids::new_id()).collect();
    joins(&db, room, &users).await;
    let process = Process::start(&db, None);
    let mut stream = Stream::open(&process.presence);
    stream.tells(true, &users, &[]);
    stream.looks(room);
    let named = stream.sees(5000).await;
    users.sort_unstable();
    assert_eq!(named, users[..200].iter().map(Uuid::to_string).collect::<Vec<_>>());
    stream.tells(false, &[], &users[..1]);
    assert_eq!(stream.sees(4999).await[0], users[1].to_string(), "its members are read again");
}

#[tokio::test]
async fn who_is_at_a_gateway_that_comes_back_was_never_gone() {
    let (db, _folder) = database().await;
    let (room, user) = (mesh::ids::new_id(), mesh::ids::new_id());
    joins(&db, room, &[user]).await;
    let process = Process::start(&db, None);
    let (mut looking, other) = (Stream::open(&process.presence), Stream::open(&process.presence));
    looking.looks(room);
    other.tells(true, &[user], &[]);
    looking.sees(1).await;
    drop(other);
    let back = Stream::open(&process.presence);
    back.tells(true, &[user], &[]);
    let nothing = tokio::time::timeout(EVERY * 4, looking.digest()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    drop(back);
    looking.sees(0).await;
}

#[tokio::test]
async fn a_gateway_with_much_to_read_gets_the_newest_digest_later() {
    let (db, _folder) = database().await;
    let (room, user) = (mesh::ids::new_id(), mesh::ids::new_id());
    joins(&db, room, &[user]).await;
    let process = Process::start(&db, None);
    let mut stream = Stream::open(&process.presence);
    for _ in 0..5 {
        stream._items.try_send(AttachResponse { item: None }).unwrap();
    }
    stream.tells(true, &[user], &[]);
    stream.looks(room);
    tokio::time::sleep(EVERY * 2).await;
    assert_eq!(stream.received.len(), 5, "dropped first");
    for _ in 0..5 {
        stream.received.recv().await;
    }
    stream.sees(1).await;
}

#[tokio::test]
async fn processes_tell_each_other_while_somebody_looks() {
    let (db, _folder) = database().await;
    let (room, users) = (mesh::ids::new_id(), [(); 2].map(|()| mesh::ids::new_id()));
    joins(&db, room, &users).await;
    let cache = Cache::open("memory:", &mesh::lifecycle::Tasks::new()).unwrap();
    let (here, there) = (Process::start(&db, Some(&cache)), Process::start(&db, Some(&cache)));
    let (mut one, mut two) = (Stream::open(&here.presence), Stream::open(&there.presence));
    one.tells(true, &users[..1], &[]);
    one.looks(room);
    let asked = async { while !matches!(two.received.recv().await.unwrap().item, Some(Item::TellOnline(_))) {} };
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    two.tells(true, &users[1..], &[]);
    one.sees(2).await;
    two.tells(false, &[], &users[1..]);
    one.sees(1).await;
    two.tells(false, &users[1..], &[]);
    one.sees(2).await;
    // A process that is silent is gone.
    drop(there);
    one.sees(1).await;
    // And so is what it was told when nobody looks any more.
    one.gateway.look(&LookChange { added_room_ids: Vec::new(), removed_room_ids: vec![room.to_string()] });
    let mut told = cache.subscribe("chat.presence").await;
    let mut words = 0;
    while words < 10 && tokio::time::timeout(EVERY * 4, told.recv()).await.is_ok() {
        words += 1;
    }
    assert!(words < 10, "it becomes quiet");
}
