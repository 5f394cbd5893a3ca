//! The people of all worlds, how they call, and what some of them hear all the time.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use mesh::{
    authn::MeshSecret,
    clock::Clock,
    config::Secret,
    rpc::{Caller, Upstream, caller, connect},
};
use proto::{
    auth::v1::{
        SetUserRoleRequest, WorkspaceRole, admin_service_client::AdminServiceClient,
        user_service_client::UserServiceClient,
    },
    edge::v1::{ServerFrame, SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame},
    file::v1::file_service_client::FileServiceClient,
};
use server::config::Role;
use tests::{
    Person, Town,
    cluster::{Cluster, SECRET},
    person::Bearer,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Streaming, service::interceptor::InterceptedService};

use super::{
    kind_of,
    reference::Room,
    steps::{GUESTS, PEOPLE},
    text_of,
    world::Difference,
};

/// The people.
pub struct People {
    people: Vec<Person>,
    /// What answers calls: services without a network in between, or gateways, of which each person has one.
    doors: Vec<Doors>,
    inside: Upstream,
}

/// What answers somebody's calls.
struct Doors {
    auth: Upstream,
    chat: Upstream,
    file: Upstream,
}

/// Somebody's calls.
pub type Calls = InterceptedService<Upstream, Bearer>;

impl People {
    /// In a town, calling its services directly.
    pub async fn of_town(town: &Town) -> Self {
        let [auth, chat, file] = [Role::Auth, Role::Chat, Role::File].map(|role| town.local(role));
        let secret = MeshSecret::open(&Secret::default(), &town.folder().join("keys/mesh.secret")).unwrap();
        let inside = caller(chat.clone(), Caller::new("gateway", secret, Clock::system()));
        Self { people: gather(&[town.public]).await, doors: vec![Doors { auth, chat, file }], inside }
    }

    /// At two gateways, each on a chat-svc of its own.
    pub async fn of_cluster(cluster: &Cluster) -> Self {
        let doors = cluster.gateways.map(|gateway| {
            let door = connect(&format!("http://{gateway}")).unwrap();
            Doors { auth: door.clone(), chat: door.clone(), file: door }
        });
        let secret = MeshSecret::open(&Secret::new(SECRET), "/nowhere".as_ref()).unwrap();
        let inside = connect(&format!("http://{}", cluster.inside)).unwrap();
        let inside = caller(inside, Caller::new("gateway", secret, Clock::system()));
        Self { people: gather(&cluster.gateways).await, doors: doors.into(), inside }
    }

    pub fn id(&self, who: usize) -> String {
        self.people[who].user.id.clone()
    }

    pub fn username(&self, who: usize) -> &str {
        &self.people[who].user.username
    }

    pub fn is_guest(&self, who: usize) -> bool {
        rank(who) == "guest"
    }

    pub fn rank(&self, who: usize) -> &'static str {
        rank(who)
    }

    fn doors(&self, who: usize) -> &Doors {
        &self.doors[who % self.doors.len()]
    }

    fn signed(&self, who: usize, door: &Upstream) -> Calls {
        InterceptedService::new(door.clone(), self.people[who].bearer())
    }

    /// chat-svc with every layer, called with somebody's token.
    pub fn calls(&self, who: usize) -> Calls {
        self.signed(who, &self.doors(who).chat)
    }

    /// The same of file-svc.
    pub fn files(&self, who: usize) -> FileServiceClient<Calls> {
        FileServiceClient::new(self.signed(who, &self.doors(who).file))
    }

    /// The same of auth-svc.
    pub fn directory(&self, who: usize) -> UserServiceClient<Calls> {
        UserServiceClient::new(self.signed(who, &self.doors(who).auth))
    }

    /// chat-svc as a gateway calls it.
    pub fn as_gateway(&self) -> Upstream {
        self.inside.clone()
    }

    /// A live stream through the gateway.
    pub async fn subscribes(
        &self,
        who: usize,
        request: SubscribeRequest,
    ) -> Result<Streaming<ServerFrame>, Difference> {
        let mut edge = EdgeServiceClient::new(self.people[who].channel());
        edge.subscribe(request).await.map(tonic::Response::into_inner).map_err(|status| format!("a stream: {status:?}"))
    }
}

/// Everybody registers, the owner first, who gives the others their roles; they sign in anew with what they may do.
async fn gather(gateways: &[SocketAddr]) -> Vec<Person> {
    let name = |number: usize| format!("person-{number}");
    let owner = Person::registers(gateways[0], &name(0)).await;
    let mut people = vec![owner.clone()];
    for number in 1..PEOPLE {
        let person = Person::registers(gateways[0], &name(number)).await;
        let role = match rank(number) {
            "admin" => WorkspaceRole::Admin,
            "guest" => WorkspaceRole::Guest,
            _ => WorkspaceRole::Member,
        };
        if role != WorkspaceRole::Member {
            let request = SetUserRoleRequest { user_id: person.user.id.clone(), role: role.into() };
            AdminServiceClient::new(owner.channel()).set_user_role(request).await.unwrap();
        }
        people.push(Person::signs_in(gateways[number % gateways.len()], &name(number)).await);
    }
    people
}

fn rank(who: usize) -> &'static str {
    match who {
        0 => "owner",
        1 => "admin",
        _ if who >= PEOPLE - GUESTS => "guest",
        _ => "member",
    }
}

/// What somebody heard of a room.
#[derive(Clone, Debug)]
enum Heard {
    /// Begun at this number.
    From(u64),
    /// The number, what it was, and the text that it brought.
    Event(u64, &'static str, String),
}

type Notes = Arc<Mutex<HashMap<String, Vec<Heard>>>>;

/// People who listen all the time, and what they heard by room.
pub struct Ears {
    listening: Vec<(usize, Notes, watch::Receiver<u64>)>,
    /// What listens, until all of it is dropped.
    _tasks: JoinSet<()>,
}

impl Ears {
    /// These people begin to listen.
    pub async fn open(people: &People, who: &[usize]) -> Self {
        let (mut listening, mut tasks) = (Vec::new(), JoinSet::new());
        for who in who {
            let mut stream = people.subscribes(*who, SubscribeRequest::default()).await.expect("a stream");
            let notes = Notes::default();
            let (said, heard) = watch::channel(0);
            let told = notes.clone();
            tasks.spawn(async move {
                while let Ok(Some(ServerFrame { frame })) = stream.message().await {
                    let (feed, note) = match frame {
                        Some(Frame::Snapshot(snapshot)) => (snapshot.feed_id, Heard::From(snapshot.head)),
                        Some(Frame::Event(event)) => {
                            let note = Heard::Event(event.seq, kind_of(&event), text_of(&event).to_owned());
                            (event.feed_id, note)
                        }
                        _ => continue,
                    };
                    told.lock().unwrap_or_else(PoisonError::into_inner).entry(feed).or_default().push(note);
                    said.send_modify(|count| *count += 1);
                }
            });
            listening.push((*who, notes, heard));
        }
        Self { listening, _tasks: tasks }
    }

    pub fn listeners(&self) -> impl Iterator<Item = usize> {
        0..self.listening.len()
    }

    /// What a listener heard of a room is what they might hear, all of it as long as they are in it.
    pub async fn agree(&self, listener: usize, room: &Room) -> Result<(), Difference> {
        let (who, notes, heard) = &self.listening[listener];
        let so_far = || notes.lock().unwrap_or_else(PoisonError::into_inner).get(&room.id).cloned().unwrap_or_default();
        let newest = || match notes.lock().unwrap_or_else(PoisonError::into_inner).get(&room.id)?.last()? {
            Heard::From(seq) | Heard::Event(seq, ..) => Some(*seq),
        };
        if room.in_it(*who) {
            let mut heard = heard.clone();
            let wait = async {
                while newest().is_none_or(|seq| seq < room.head()) {
                    if heard.changed().await.is_err() {
                        return Err(format!("person {who}'s stream has ended"));
                    }
                }
                Ok(())
            };
            let waited = tokio::time::timeout(tests::DEADLINE, wait).await;
            waited.map_err(|_| format!("person {who} heard {:?} of {} events", newest(), room.head()))??;
        }
        let mut last = None;
        for note in so_far() {
            match note {
                Heard::From(seq) => {
                    if !room.may_hear(*who, seq) {
                        return Err(format!("person {who} was given a room at {seq} that they were not in"));
                    }
                    last = Some(seq);
                }
                Heard::Event(seq, kind, text) => {
                    if !room.may_hear(*who, seq) {
                        return Err(format!("person {who} heard {kind} at {seq}, when they were not in the room"));
                    }
                    if last.is_none_or(|last| last + 1 != seq) {
                        return Err(format!("person {who} heard {seq} after {last:?}"));
                    }
                    room.heard(*who, seq, kind, &text).map_err(|why| format!("person {who} heard at {seq} {why}"))?;
                    last = Some(seq);
                }
            }
        }
        Ok(())
    }
}
