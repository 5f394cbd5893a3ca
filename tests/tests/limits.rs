//! Stories of limits: what is full stays usable for those who are in, and takes the next one when somebody leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proto::auth::v1::{GetMeRequest, GetMeResponse};
use tests::{Shape, Town, socket::Socket, within};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_counts_as_a_connection_until_it_ends() {
    let town = Town::start_with(Shape::Embedded, |config| config.gateway.max_connections = 2).await;
    let alice = town.registers("alice").await;
    let first = Socket::signed_in(town.public, &alice.token).await;
    let mut second = Socket::signed_in(town.public, &alice.token).await;
    let (public, token) = (town.public, alice.token.clone());
    let mut third = JoinSet::new();
    third.spawn(async move { Socket::signed_in(public, &token).await });
    for _ in 0..20 {
        let me: GetMeResponse = second.call("/loquat.auth.v1.UserService/GetMe", &GetMeRequest {}).await.unwrap();
        assert_eq!(me.user.unwrap().id, alice.user.id, "who is in goes on");
    }
    assert!(third.try_join_next().is_none(), "there is no place for a third");
    drop(first);
    within("the third gets the place of the first", third.join_next()).await.unwrap().unwrap();
}
