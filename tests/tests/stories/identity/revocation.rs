//! How fast what is taken away is gone: measured on 200 sockets over two gateways, each on its own processes.

use std::time::{Duration, Instant};

use proto::auth::v1::{RevokeSessionRequest, session_service_client::SessionServiceClient};
use proto::chat::v1::ListRoomsRequest;
use tests::{
    Person,
    cluster::Cluster,
    servers::{Backends, Redis},
    socket::Socket,
};
use tokio::task::JoinSet;

const SOCKETS: usize = 200;
/// Sockets of one session: a session of each is ended in turn.
const OF_EACH: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_are_closed_within_a_second() {
    let mut cluster = Cluster::start(Backends::shared().await).await;
    // Two accounts, since each may only sign in so often.
    let owners = [cluster.registers("alice").await, cluster.registers("bob").await];
    let mut victims = Vec::new();
    for number in 0..SOCKETS / OF_EACH {
        victims.push(Person::signs_in(cluster.gateways[0], &owners[number % 2].user.username).await);
    }
    let mut open = Vec::new();
    for victim in &victims {
        for number in 0..OF_EACH {
            open.push(Socket::signed_in(cluster.gateways[number % 2], &victim.token).await);
        }
    }
    assert_eq!(open.len(), SOCKETS);
    let mut open = open.into_iter();
    let mut waits = Vec::new();
    for (number, victim) in victims.iter().enumerate() {
        let mut closing = JoinSet::new();
        let sockets: Vec<Socket> = open.by_ref().take(OF_EACH).collect();
        let request = RevokeSessionRequest { session_id: session_of(&victim.token) };
        let owner = &owners[number % 2];
        // From the moment it is asked for, the call itself included.
        let revoked = Instant::now();
        SessionServiceClient::new(owner.channel()).revoke_session(request).await.unwrap();
        for mut socket in sockets {
            closing.spawn(async move {
                while let Ok(_before) = socket.next().await {}
                assert_eq!(socket.close_reason, "the session has ended");
                revoked.elapsed()
            });
        }
        waits.extend(closing.join_all().await);
    }
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!("{SOCKETS} sockets closed after: median {:?}, p99 {:?}, last {:?}", at(0.5), at(0.99), at(1.0));
    assert_eq!(waits.len(), SOCKETS);
    assert!(at(0.99) <= Duration::from_secs(1), "{:?}", at(0.99));
    cluster.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_while_the_cache_is_away_is_gone_within_ten_seconds() {
    let mut redis = Redis::start().await;
    let mut cluster = Cluster::start(Backends::on_redis(redis.url()).await).await;
    let alice = cluster.registers("alice").await;
    let victim = Person::signs_in(cluster.gateways[0], "alice").await;
    let mut socket = Socket::signed_in(cluster.gateways[1], &victim.token).await;
    redis.kill();
    let request = RevokeSessionRequest { session_id: session_of(&victim.token) };
    SessionServiceClient::new(alice.channel()).revoke_session(request).await.unwrap();
    let revoked = Instant::now();
    while let Ok(_before) = socket.next().await {}
    println!("without a cache a socket was closed after {:?}", revoked.elapsed());
    assert_eq!(socket.close_reason, "the session has ended");
    assert!(revoked.elapsed() <= Duration::from_secs(10));
    let far = cluster.far(&victim);
    tests::within("its token counts nowhere", async {
        while far.rooms().list_rooms(ListRoomsRequest::default()).await.is_ok() {}
    })
    .await;
    cluster.stops().await;
}

fn session_of(token: &str) -> String {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}
