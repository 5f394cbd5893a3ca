//! The people of all worlds, how they call, and what some of them hear all the time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mesh::{
    clock::Clock,
    rpc::{Caller, Upstream, caller},
};
use proto::edge::v1::{ServerFrame, SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame};
use server::config::Role;
use tests::{Forge, Person, Town, person::Bearer};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Streaming, service::interceptor::InterceptedService};

use super::{
    kind_of,
    reference::Room,
    steps::{GUESTS, PEOPLE},
    world::Difference,
};

/// The people.
pub struct People {
    people: Vec<Person>,
    chat: Upstream,
    inside: Upstream,
}

impl People {
    pub async fn gather(town: &Town) -> Self {
        let forge = Forge::of(town);
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let person = town.registers(&format!("person-{number}")).await;
            people.push(forge.in_role(&person, rank(number)));
        }
        let chat = town.local(Role::Chat);
        let as_gateway = Caller::new("gateway", forge.secret().clone(), Clock::system());
        Self { people, inside: caller(chat.clone(), as_gateway), chat }
    }

    pub fn id(&self, who: usize) -> String {
        self.people[who].user.id.clone()
    }

    pub fn is_guest(&self, who: usize) -> bool {
        rank(who) == "guest"
    }

    pub fn rank(&self, who: usize) -> &'static str {
        rank(who)
    }

    /// chat-svc with every layer, called with somebody's token.
    pub fn calls(&self, who: usize) -> InterceptedService<Upstream, Bearer> {
        InterceptedService::new(self.chat.clone(), self.people[who].bearer())
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

fn rank(who: usize) -> &'static str {
    match who {
        0 => "owner",
        1 => "admin",
        _ if who >= PEOPLE - GUESTS => "guest",
        _ => "member",
    }
}

/// What somebody heard of a room.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Begun at this number.
    From(u64),
    Event(u64, &'static str),
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
                            let note = Heard::Event(event.seq, kind_of(&event));
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
        if room.in_it(*who) {
            let mut heard = heard.clone();
            let there = |notes: &[Heard]| match notes.last() {
                Some(Heard::From(seq) | Heard::Event(seq, _)) => *seq >= room.head(),
                None => false,
            };
            let wait = async {
                while !there(&so_far()) {
                    if heard.changed().await.is_err() {
                        return Err(format!("person {who}'s stream has ended"));
                    }
                }
                Ok(())
            };
            let waited = tokio::time::timeout(tests::DEADLINE, wait).await;
            waited.map_err(|_| format!("person {who} heard {:?} of {} events", so_far().last(), room.head()))??;
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
                Heard::Event(seq, kind) => {
                    if !room.may_hear(*who, seq) {
                        return Err(format!("person {who} heard {kind} at {seq}, when they were not in the room"));
                    }
                    if last.is_none_or(|last| last + 1 != seq) {
                        return Err(format!("person {who} heard {seq} after {last:?}"));
                    }
                    // A message that was deleted since was heard as it was.
                    let entry = usize::try_from(seq - 1).ok().and_then(|at| room.log.get(at)).map(|entry| entry.kind);
                    if entry != Some(kind) && entry != Some("redacted") {
                        return Err(format!("person {who} heard {kind} at {seq}, where {entry:?} is"));
                    }
                    last = Some(seq);
                }
            }
        }
        Ok(())
    }
}
