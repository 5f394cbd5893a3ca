//! Refresh tokens that are spent twice at the same moment, and much later.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use proto::auth::v1::{
    GetMeRequest, ListSessionsRequest, RefreshRequest, RefreshResponse, auth_service_client::AuthServiceClient,
};
use tests::{Shape, Town};
use tonic::Status;

use super::{Accounts as _, nobody, refusal, with};

const RACES: usize = 1000;

async fn refresh(town: &Town, refresh_token: &str) -> Result<RefreshResponse, Status> {
    let request = RefreshRequest { refresh_token: refresh_token.into() };
    Ok(AuthServiceClient::new(town.channel()).refresh(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_races_make_one_family_and_no_false_log_out() {
    let town = Town::start(Shape::Embedded).await;
    let alice = town.registers("alice").await;
    let mut auth = [AuthServiceClient::new(town.channel()), AuthServiceClient::new(town.channel())];
    let (mut token, mut seen) = (alice.refresh_token.clone(), BTreeSet::new());
    for race in 0..RACES {
        let [one, two] = &mut auth;
        let request = || RefreshRequest { refresh_token: token.clone() };
        let (left, right) = tokio::join!(one.refresh(request()), two.refresh(request()));
        let (left, right) = (left.unwrap().into_inner(), right.unwrap().into_inner());
        assert_eq!(left.refresh_token, right.refresh_token, "race {race}: both get the same successor");
        assert!(seen.insert(left.refresh_token.clone()), "race {race}: a new one each time");
        token = left.refresh_token;
    }
    let last = refresh(&town, &token).await.unwrap();
    let alice = with(&alice, &last.access_token);
    let sessions = alice.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    assert_eq!(sessions.len(), 1, "one family");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_generation_ends_the_family_within_a_second() {
    let town = Town::start(Shape::Split).await;
    let alice = town.registers("alice").await;
    let first = alice.refresh_token.clone();
    let second = refresh(&town, &first).await.unwrap();
    let third = refresh(&town, &second.refresh_token).await.unwrap();
    let alice = with(&alice, &third.access_token);
    let mut stream = alice.listens().await;
    // The one just spent gives the same successor again, and ends nothing.
    assert_eq!(refresh(&town, &second.refresh_token).await.unwrap().refresh_token, third.refresh_token);
    alice.users().get_me(GetMeRequest {}).await.unwrap();
    let replayed = Instant::now();
    assert_eq!(refusal(refresh(&town, &first).await), nobody("SESSION_ENDED"));
    assert_eq!(refusal(stream.next().await), nobody("SESSION_ENDED"));
    assert!(replayed.elapsed() < Duration::from_secs(1), "{:?}", replayed.elapsed());
    assert_eq!(refusal(refresh(&town, &third.refresh_token).await), nobody("SESSION_ENDED"));
    assert_eq!(refusal(alice.users().get_me(GetMeRequest {}).await), nobody("SESSION_ENDED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_which_session_it_is_ends_nothing() {
    let town = Town::start(Shape::Split).await;
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let listed = alice.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    // It stands in the audit log, among other places.
    let id = uuid::Uuid::parse_str(&listed[0].id).unwrap();
    let of_eve = BASE64.decode(&eve.refresh_token).unwrap();
    let secrets = [vec![0_u8; 32], vec![7; 32], of_eve[16..].to_vec()];
    for secret in secrets {
        let made_up = BASE64.encode([id.as_bytes().as_slice(), secret.as_slice()].concat());
        assert_eq!(refusal(refresh(&town, &made_up).await), nobody("REFRESH_TOKEN_INVALID"));
    }
    alice.users().get_me(GetMeRequest {}).await.unwrap();
    let second = refresh(&town, &alice.refresh_token).await.unwrap();
    // Neither does it when a token was spent.
    let made_up = BASE64.encode([id.as_bytes().as_slice(), [9_u8; 32].as_slice()].concat());
    assert_eq!(refusal(refresh(&town, &made_up).await), nobody("REFRESH_TOKEN_INVALID"));
    let third = refresh(&town, &second.refresh_token).await.unwrap();
    with(&alice, &third.access_token).users().get_me(GetMeRequest {}).await.unwrap();
}
