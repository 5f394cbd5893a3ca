//! What strangers cannot do to somebody who has an account: shut them out of it, or use up what they have.

use proto::auth::v1::{
    AuditServiceListRequest, CreateTokenRequest, GetMeRequest, LoginRequest, LoginResponse,
    RequestPasswordResetRequest, RevokeTokenRequest, auth_service_client::AuthServiceClient,
};
use server::config::Config;
use tests::{Person, Shape, Town, files::http, person::PASSWORD};
use tonic::{Code, Request, Status};

use super::{Accounts as _, nobody, refusal, with};

/// A server behind a proxy that is trusted, so that everybody may come from anywhere.
async fn behind_a_proxy(change: impl FnOnce(&mut Config)) -> Town {
    Town::start_with(Shape::Embedded, |config| {
        config.gateway.trusted_proxies = vec!["127.0.0.1".to_owned()].try_into().unwrap();
        change(config);
    })
    .await
}

async fn signs_in(town: &Town, address: &str, password: &str) -> Result<LoginResponse, Status> {
    let request = LoginRequest { username: "alice".into(), password: password.into(), ..Default::default() };
    let mut request = Request::new(request);
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    Ok(AuthServiceClient::new(town.channel()).login(request).await?.into_inner())
}

fn too_many() -> (Code, String) {
    (Code::ResourceExhausted, "TOO_MANY_TRIES".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_locked_out_by_a_stranger() {
    let town = behind_a_proxy(|config| config.auth.tries_per_account = 2).await;
    town.registers("alice").await;
    let home = "198.51.100.7";
    signs_in(&town, home, PASSWORD).await.unwrap();
    for _ in 0..2 {
        assert_eq!(refusal(signs_in(&town, "203.0.113.1", "a wrong password").await), nobody("BAD_CREDENTIALS"));
    }
    assert_eq!(refusal(signs_in(&town, "203.0.113.1", "a wrong password").await), too_many());
    signs_in(&town, "192.0.2.1", PASSWORD).await.expect("what one stranger does is their own affair");
    // One who has many networks has twenty tries in all of them; four were used up.
    for host in 2..=9 {
        for _ in 0..2 {
            let refused = refusal(signs_in(&town, &format!("203.0.113.{host}"), "a wrong password").await);
            assert_eq!(refused, nobody("BAD_CREDENTIALS"), "host {host}");
        }
    }
    assert_eq!(refusal(signs_in(&town, "203.0.113.99", PASSWORD).await), too_many(), "a network that is strange");
    signs_in(&town, home, PASSWORD).await.expect("where alice is signed in she is at home");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_links_takes_no_tries_away() {
    let town = Town::start_with(Shape::Embedded, |config| config.auth.tries_per_account = 2).await;
    town.registers("alice").await;
    let mut auth = AuthServiceClient::new(town.channel());
    let ask = || RequestPasswordResetRequest { account: "alice".into() };
    for _ in 0..2 {
        auth.request_password_reset(ask()).await.unwrap();
    }
    assert_eq!(refusal(auth.request_password_reset(ask()).await), too_many(), "links are limited, too");
    for _ in 0..2 {
        Person::signs_in(town.public, "alice").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_guessed_at_files_are_counted_by_network() {
    let town = behind_a_proxy(|config| config.auth.tries_per_address = 2).await;
    let guess = async |address: &str, method: &str| {
        let token = format!("Bearer loquat_pat_{}", "A".repeat(64));
        let request = http::Request::builder().method(method).header("authorization", token);
        let request = request.header("x-forwarded-for", address).header("tus-resumable", "1.0.0");
        let request = request.header("upload-length", "1");
        let path = if method == "POST" { "/files".to_owned() } else { format!("/files/{}", tests::op_id()) };
        http(town.public, request, &path, "").await.status().as_u16()
    };
    assert_eq!(guess("203.0.113.1", "GET").await, 401);
    assert_eq!(guess("203.0.113.1", "POST").await, 401);
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        assert_eq!(guess("203.0.113.1", method).await, 429, "{method}");
    }
    assert_eq!(guess("203.0.113.2", "GET").await, 401, "nobody else notices");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_no_longer_good_is_written_down_once() {
    let town = Town::start(Shape::Embedded).await;
    let owner = town.registers("owner").await;
    let request =
        CreateTokenRequest { name: "a program".into(), scopes: vec!["users:read".into()], expires_in_days: 1 };
    let made = owner.tokens().create_token(request).await.unwrap().into_inner();
    let id = made.token.unwrap().id;
    owner.tokens().revoke_token(RevokeTokenRequest { token_id: id.clone() }).await.unwrap();
    let guessed = format!("loquat_pat_{}", "A".repeat(64));
    for token in [&made.secret, &guessed, &made.secret, &guessed] {
        let program = with(&owner, token);
        assert_eq!(refusal(program.users().get_me(GetMeRequest {}).await), nobody("TOKEN_INVALID"));
    }
    let of_it = AuditServiceListRequest { subject_id: id.clone(), ..Default::default() };
    let entries = owner.audit().list(of_it).await.unwrap().into_inner().entries;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["token.refused", "token.revoked", "token.created"]);
    assert_eq!((entries[0].details["user"].as_str(), entries[0].address.as_str()), (&*owner.user.id, "127.0.0.1"));
    let refused = AuditServiceListRequest { action: "token.refused".into(), ..Default::default() };
    let entries = owner.audit().list(refused).await.unwrap().into_inner().entries;
    let subjects: Vec<&str> = entries.iter().map(|entry| entry.subject_id.as_str()).collect();
    assert_eq!(subjects, ["", id.as_str()], "what nobody ever had is no token of anybody's");
    assert!(!format!("{entries:?}").contains(&guessed), "what was sent is not written down");
}
