//! How fast what is taken away is gone: in each way in which something can be, over two gateways, each on processes of its own.
//! Told by the cache it takes a second at most; without cache and bus everybody asks, and it takes ten.

#![allow(clippy::print_stdout, reason = "how fast it was is worth reading")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use mesh::errors::{close, reason};
use proto::auth::v1::{DisableUserRequest, LogoutRequest, RevokeSessionRequest, SetUserRoleRequest, WorkspaceRole};
use proto::chat::v1::{ListMessagesRequest, ListRoomsRequest, Room};
use tests::{
    Ear, Ended, Person, Transport,
    cluster::Cluster,
    servers::{Backends, RabbitMq, Redis},
    within,
};
use tokio::task::JoinSet;

use super::Accounts as _;

/// Of each kind, over both gateways. What is taken away is so from one after the other.
const SOCKETS: usize = 200;
const VICTIMS: usize = 10;
const TOLD_WITHIN: Duration = Duration::from_secs(1);
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LogOut,
    RevokedSession,
    DisabledAccount,
    RemovalFromRoom,
    NarrowerRole,
}

const KINDS: [Kind; 5] =
    [Kind::LogOut, Kind::RevokedSession, Kind::DisabledAccount, Kind::RemovalFromRoom, Kind::NarrowerRole];

/// With which code a socket ends, and for which reason a stream does.
type Ending = (u16, &'static str);

const ENDED: Ending = (close::UNAUTHENTICATED, "SESSION_ENDED");
const STALE: Ending = (close::RIGHTS_CHANGED, "TOKEN_EXPIRED");

impl Kind {
    /// How it ends, in one of these ways. Nothing ends when only a room is gone.
    fn endings(self) -> Vec<Ending> {
        match self {
            Self::LogOut | Self::RevokedSession => vec![ENDED],
            Self::NarrowerRole => vec![STALE],
            // Its sessions end and its rights change at once: whichever is noticed first.
            Self::DisabledAccount => vec![ENDED, STALE],
            Self::RemovalFromRoom => Vec::new(),
        }
    }
}

/// Somebody from whom something is going to be taken, and all that they have open.
struct Victim {
    kind: Kind,
    person: Person,
    open: Vec<Ear>,
}

/// Those who take something away, and what it is taken from.
struct Scene {
    cluster: Cluster,
    owner: Person,
    /// Who is signed in many times.
    holder: Person,
    room: Room,
}

impl Scene {
    async fn on(backends: Backends) -> Self {
        let cluster = Cluster::start(backends).await;
        let (owner, holder) = (cluster.registers("owner").await, cluster.registers("holder").await);
        let room = owner.creates_private_room("inside").await;
        Self { cluster, owner, holder, room }
    }

    /// Somebody with so many sockets, half of them at each gateway, and a stream over gRPC at each.
    async fn victim(&self, kind: Kind, number: usize, sockets: usize) -> Victim {
        let person = match kind {
            Kind::LogOut | Kind::RevokedSession => Person::signs_in(self.cluster.gateways[0], "holder").await,
            _ => self.cluster.registers(&format!("{kind:?}.{number}").to_lowercase()).await,
        };
        if kind == Kind::RemovalFromRoom {
            self.owner.adds(&self.room, &person).await;
        }
        let places = [person.clone(), self.cluster.far(&person)];
        let sockets = (0..sockets).map(|number| Ear::opens(&places[number % 2], Transport::Socket));
        let mut open = join_all(sockets).await;
        open.extend(join_all(places.iter().map(|place| Ear::opens(place, Transport::Grpc))).await);
        Victim { kind, person, open }
    }

    async fn takes(&self, kind: Kind, person: &Person) {
        let user_id = person.user.id.clone();
        let taken = match kind {
            Kind::LogOut => {
                let request = LogoutRequest { refresh_token: person.refresh_token.clone() };
                person.auth().logout(request).await.map(drop)
            }
            Kind::RevokedSession => {
                let request = RevokeSessionRequest { session_id: session_of(&person.token) };
                self.holder.sessions().revoke_session(request).await.map(drop)
            }
            Kind::DisabledAccount => self.owner.admin().disable_user(DisableUserRequest { user_id }).await.map(drop),
            Kind::RemovalFromRoom => {
                self.owner.removes(&self.room, person).await;
                Ok(())
            }
            Kind::NarrowerRole => {
                let request = SetUserRoleRequest { user_id, role: WorkspaceRole::Guest.into() };
                self.owner.admin().set_user_role(request).await.map(drop)
            }
        };
        taken.unwrap_or_else(|refused| panic!("{kind:?} is refused: {refused}"));
    }

    /// Takes something from somebody. Returns how long it took until everything of theirs noticed, from the moment at which it
    /// was asked for, the call itself included.
    async fn takes_from(&self, victim: Victim) -> Vec<Duration> {
        let Victim { kind, person, open } = victim;
        let asked = Instant::now();
        let mut noticing = JoinSet::new();
        for mut ear in open {
            let room_id = self.room.id.clone();
            noticing.spawn(async move {
                notices(&mut ear, kind, &room_id).await;
                asked.elapsed()
            });
        }
        self.takes(kind, &person).await;
        let mut waits = noticing.join_all().await;
        for place in [person.clone(), self.cluster.far(&person)] {
            within("the old token counts nowhere", self.is_refused(kind, &place)).await;
            waits.push(asked.elapsed());
        }
        waits
    }

    /// Waits until what was taken away cannot be used.
    async fn is_refused(&self, kind: Kind, person: &Person) {
        let page = ListMessagesRequest { room_id: self.room.id.clone(), ..Default::default() };
        loop {
            let answer = match kind {
                Kind::RemovalFromRoom => person.messages().list_messages(page.clone()).await.map(drop),
                _ => person.rooms().list_rooms(ListRoomsRequest::default()).await.map(drop),
            };
            let Err(refused) = answer else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let why = reason(&refused);
            let wanted = kind.endings().iter().any(|(_, wanted)| why == *wanted);
            assert!(wanted || (kind == Kind::RemovalFromRoom && why == "ROOM_NOT_FOUND"), "{kind:?}: {refused:?}");
            return;
        }
    }

    /// Takes something away in each way at once, and asserts that everybody noticed in time although nobody is told.
    async fn takes_all(&self, victims: Vec<Victim>, what: &str) {
        let kinds: Vec<Kind> = victims.iter().map(|victim| victim.kind).collect();
        let all = join_all(victims.into_iter().map(|victim| self.takes_from(victim))).await;
        for (kind, waits) in kinds.into_iter().zip(all) {
            let last = waits.into_iter().max().unwrap();
            println!("with cache and bus {what}, {kind:?} was noticed everywhere after {last:?}");
            assert!(last <= ASKED_WITHIN, "{kind:?} with cache and bus {what}: {last:?}");
        }
    }
}

/// Waits until a socket or stream is closed, or has lost the room.
async fn notices(ear: &mut Ear, kind: Kind, room_id: &str) {
    if kind == Kind::RemovalFromRoom {
        ear.learns_of_removal(room_id).await;
        return;
    }
    let ended = ear.until_ended().await;
    let as_it_must = match &ended {
        Ended::Closed(code, _) => kind.endings().iter().any(|(wanted, _)| code == wanted),
        Ended::Status(status) => kind.endings().iter().any(|(_, wanted)| reason(status) == *wanted),
    };
    assert!(as_it_must, "{kind:?}: {ended:?}");
}

fn session_of(token: &str) -> String {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_hundred_sockets_it_takes_a_second_at_most() {
    let mut scene = Scene::on(Backends::shared().await.with_broker().await).await;
    for kind in KINDS {
        let mut victims = Vec::new();
        for number in 0..VICTIMS {
            victims.push(scene.victim(kind, number, SOCKETS / VICTIMS).await);
        }
        let mut waits = Vec::new();
        for victim in victims {
            waits.extend(scene.takes_from(victim).await);
        }
        // The sockets; and of each victim a stream, and what is called with the old token, at each gateway.
        assert_eq!(waits.len(), SOCKETS + VICTIMS * 4);
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!("{kind:?}, {SOCKETS} sockets: median {:?}, p99 {:?}, last {:?}", at(0.5), at(0.99), at(1.0));
        assert!(at(0.99) <= TOLD_WITHIN, "{kind:?}: {:?}", at(0.99));
    }
    scene.cluster.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cache_and_bus_it_takes_ten_seconds_at_most() {
    let (mut redis, mut broker) = tokio::join!(Redis::start(), RabbitMq::start());
    let backends = Backends::on_redis(redis.url()).await.with_bus(broker.fresh_vhost().await);
    let mut scene = Scene::on(backends).await;
    // Everybody is there before: what happens to those who come in the meantime is another story.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for kind in KINDS {
        first.push(scene.victim(kind, 1, 4).await);
        second.push(scene.victim(kind, 2, 4).await);
    }
    redis.stop();
    broker.stop();
    scene.takes_all(first, "frozen").await;
    redis.kill();
    broker.kill();
    scene.takes_all(second, "killed").await;
    scene.cluster.stops().await;
}
