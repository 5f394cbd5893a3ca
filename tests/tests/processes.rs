//! Roles in processes of their own: the gateway in one, the services in another that is killed under its feet.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use proto::{chat::v1::RemoveMemberRequest, edge::v1::SubscribeRequest};
use tests::{
    Ear, Person, Transport, op_id,
    process::{Process, binary, free_address},
};
use tonic::Code;

/// Where the services listen, and what both processes are told.
struct Mesh {
    addresses: [(&'static str, SocketAddr); 4],
    environment: Vec<(&'static str, String)>,
}

impl Mesh {
    fn new() -> Self {
        let addresses = ["AUTH", "CHAT", "FILE", "WORKER"].map(|role| (role, free_address()));
        let names = [
            ("LOQUAT_AUTH__LISTEN", "LOQUAT_AUTH__URL"),
            ("LOQUAT_CHAT__LISTEN", "LOQUAT_CHAT__URL"),
            ("LOQUAT_FILE__LISTEN", "LOQUAT_FILE__URL"),
            ("LOQUAT_WORKER__LISTEN", "LOQUAT_WORKER__URL"),
        ];
        let mut environment = vec![("LOQUAT_MESH__SECRET", "a secret of more than thirty-two bytes".to_owned())];
        for ((listen, url), (_, address)) in names.into_iter().zip(addresses) {
            environment.push((listen, address.to_string()));
            environment.push((url, format!("http://{address}")));
        }
        Self { addresses, environment }
    }

    async fn services(&self, folder: &Path) -> Process {
        let chat = self.addresses[1].1;
        Process::start_roles(&binary(), folder, &["auth", "chat", "file", "worker"], &self.environment, chat).await
    }

    async fn gateway(&self, folder: &Path) -> Process {
        let public = free_address();
        let mut environment = self.environment.clone();
        environment.push(("LOQUAT_GATEWAY__LISTEN", public.to_string()));
        Process::start_roles(&binary(), folder, &["gateway"], &environment, public).await
    }
}

/// Says something as soon as the services answer again.
async fn says_once_they_are_back(person: &Person, room: &proto::chat::v1::Room, text: &str) {
    let op = op_id();
    let trying = async {
        while let Err(cause) = person.tries_to_say(room, text, &op).await {
            assert!(matches!(cause.code(), Code::Unavailable | Code::DeadlineExceeded), "{cause}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tests::within("the services are back", trying).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_the_services_behind_the_gateway() {
    let (folder, edge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mesh = Mesh::new();
    let services = mesh.services(folder.path()).await;
    let gateway = mesh.gateway(edge.path()).await;
    let alice = Person::registers(gateway.public, "alice").await;
    let bob = Person::registers(gateway.public, "bob").await;
    let (room, other) = (alice.creates_room("general").await, alice.creates_private_room("private").await);
    bob.joins(&room).await;
    alice.adds(&other, &bob).await;
    let mut listens = bob.listens().await;
    alice.says(&room, "before").await;
    listens.sees("before").await;

    services.kill();
    let refused = alice.tries_to_say(&room, "into the void", &op_id()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let services = mesh.services(folder.path()).await;
    says_once_they_are_back(&alice, &room, "after").await;
    listens.sees("after").await;
    assert_eq!(listens.texts(&room.id), ["before", "after"], "the same stream, without a hole");

    // What happened to the membership while the gateway could not see it counts when it looks again.
    alice.removes(&other, &bob).await;
    alice.says(&other, "without bob").await;
    alice.says(&room, "still together").await;
    listens.sees("still together").await;
    assert!(listens.texts(&other.id).is_empty());

    // A second gateway serves the same cursors.
    let second = mesh.gateway(tempfile::tempdir().unwrap().path()).await;
    let mut moved = bob.at(second.public).resumes(BTreeMap::from([(room.id.clone(), 0)]), "").await;
    moved.catches_up().await;
    assert_eq!(moved.texts(&room.id), ["before", "after", "still together"]);
    drop((services, gateway, second));
}

/// A removal that was committed and never told: the gateway must not go on counting the room as the member's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_removal_nobody_heard_of_is_brought_back() {
    let (folder, edge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut mesh = Mesh::new();
    let services = mesh.services(folder.path()).await;
    let gateway = mesh.gateway(edge.path()).await;
    let alice = Person::registers(gateway.public, "alice").await;
    let bob = Person::registers(gateway.public, "bob").await;
    let room = alice.creates_private_room("private").await;
    alice.adds(&room, &bob).await;
    let mut listens = bob.listens().await;
    services.kill();
    let unarmed = mesh.environment.len();
    mesh.environment.push(("LOQUAT_CRASH_AT", "chat.committed:1".to_owned()));
    let services = mesh.services(folder.path()).await;
    let removal = RemoveMemberRequest { room_id: room.id.clone(), user_id: bob.user.id.clone(), op_id: op_id() };
    // The gateway may not have found the services again yet; then nothing has happened.
    let removing = async {
        while alice.rooms().remove_member(removal.clone()).await.is_ok() || services.runs() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tests::within("the services end", removing).await;
    mesh.environment.truncate(unarmed);
    let services = mesh.services(folder.path()).await;
    let back = async {
        while alice.rooms().remove_member(removal.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tests::within("the removal is answered", back).await;
    // Bob's stream has learned that he is out.
    let out = async {
        while listens.resets.is_empty() && listens.cursors.contains_key(&room.id) {
            listens.next().await.expect("the same stream");
        }
    };
    tests::within("bob learns that he is out", out).await;
    alice.adds(&room, &bob).await;
    alice.says(&room, "welcome back").await;
    let begins = async {
        while !listens.cursors.contains_key(&room.id) {
            listens.next().await.expect("the same stream");
        }
    };
    tests::within("the room begins again", begins).await;
    alice.says(&room, "can you hear me?").await;
    listens.sees("can you hear me?").await;
    drop((services, gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_at_two_gateways_see_each_other_come_and_go() {
    let (folder, edges) = (tempfile::tempdir().unwrap(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let mut mesh = Mesh::new();
    mesh.environment.push(("LOQUAT_CHAT__PRESENCE_SECONDS", "1".to_owned()));
    let services = mesh.services(folder.path()).await;
    let (first, second) = (mesh.gateway(edges[0].path()).await, mesh.gateway(edges[1].path()).await);
    let alice = Person::registers(first.public, "alice").await;
    let bob = Person::registers(first.public, "bob").await.at(second.public);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let looking = SubscribeRequest { look_at: vec![room.id.clone()], ..SubscribeRequest::default() };
    let mut alice_looks = Ear::asks(&alice, Transport::Socket, looking.clone()).await;
    let bob_listens = Ear::opens(&bob, Transport::Grpc).await;
    alice_looks.sees_online(&room.id, &[&alice, &bob]).await;
    drop(bob_listens);
    alice_looks.sees_online(&room.id, &[&alice]).await;
    let mut bob_looks = Ear::asks(&bob, Transport::Grpc, looking).await;
    bob_looks.sees_online(&room.id, &[&alice, &bob]).await;
    alice_looks.sees_online(&room.id, &[&alice, &bob]).await;

    // The services forget all of it and are told again; the streams go on.
    services.kill();
    let services = mesh.services(folder.path()).await;
    says_once_they_are_back(&alice, &room, "back").await;
    let carol = Person::registers(second.public, "carol").await;
    carol.joins(&room).await;
    let carol_listens = Ear::opens(&carol, Transport::Socket).await;
    for ear in [&mut alice_looks, &mut bob_looks] {
        ear.sees_online(&room.id, &[&alice, &bob, &carol]).await;
    }
    // A gateway that dies takes its people with it.
    drop(carol_listens);
    second.kill();
    alice_looks.sees_online(&room.id, &[&alice]).await;
    drop((services, first));
}
