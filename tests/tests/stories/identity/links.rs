//! Links that reset a password: what is none, what ends one, where it leads, and what is kept of it. That one works, and once, is
//! told in `mail`; that a new password and a new address need the old password, in `sessions`.

use std::{path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use mesh::{clock::Clock, config::Secret};
use prost::Message as _;
use proto::auth::v1::{
    AcceptInviteRequest, ChangeEmailRequest, ChangePasswordRequest, CreateBotRequest, CreateInviteRequest,
    DisableUserRequest, EnableUserRequest, GetMeRequest, LoginRequest, PreviewInviteRequest, RefreshRequest,
    RegisterRequest, RequestPasswordResetRequest, ResetPasswordRequest, auth_service_client::AuthServiceClient,
};
use sha2::{Digest as _, Sha256};
use tests::{
    Person, Shape, Town,
    files::http,
    person::{PASSWORD, registered},
    post::post_office,
    within,
};
use time::macros::datetime;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{Accounts as _, denied, mail::token, nobody, refusal, with};

const NEW_PASSWORD: &str = "another horse battery";
/// How long a link works.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// A server that sends mail, by a clock that is moved by hand.
pub(super) struct Post {
    pub(super) town: Town,
    mails: mpsc::Receiver<String>,
    _office: JoinSet<()>,
}

impl Post {
    pub(super) async fn opens() -> Self {
        let (address, mails, office) = post_office().await;
        let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
        let town = Town::start_by(clock, Shape::Embedded, |config| {
            config.public_url = "https://chat.example.org".into();
            config.auth.mail.url = Secret::new(format!("smtp://{address}"));
            config.auth.mail.from = "Loquat <chat@example.org>".into();
            config.auth.tries_per_account = 1000;
        })
        .await;
        Self { town, mails, _office: office }
    }

    fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.town.channel())
    }

    /// Somebody registers who can be written to.
    pub(super) async fn registers(&self, name: &str) -> Person {
        let request = RegisterRequest {
            username: name.into(),
            password: PASSWORD.into(),
            email: format!("{name}@example.org"),
            ..Default::default()
        };
        let answer = registered(self.auth(), request).await.unwrap();
        Person::returns(self.town.public, answer.user.unwrap(), answer.access_token, answer.refresh_token)
    }

    async fn asks(&self, account: &str) {
        let request = RequestPasswordResetRequest { account: account.into() };
        self.auth().request_password_reset(request).await.unwrap();
    }

    async fn mail(&mut self) -> String {
        within("the mail", self.mails.recv()).await.unwrap()
    }

    /// Somebody asks for a link, and has it: what is secret of it.
    pub(super) async fn link(&mut self, name: &str) -> String {
        self.asks(name).await;
        let mail = self.mail().await;
        assert!(mail.contains(&format!("To: {name}@example.org")), "{mail}");
        token(&mail)
    }

    async fn resets(&self, link: &str, password: &str) -> Result<(), Status> {
        let request = ResetPasswordRequest { reset_token: link.into(), new_password: password.into() };
        self.auth().reset_password(request).await.map(drop)
    }

    async fn is_refused(&self, link: &str, why: &str) {
        assert_eq!(refusal(self.resets(link, NEW_PASSWORD).await), denied("RESET_TOKEN_INVALID"), "{why}");
    }

    /// Whether an account can be signed in to.
    pub(super) async fn has(&self, name: &str, password: &str) -> bool {
        let request = LoginRequest { username: name.into(), password: password.into(), ..Default::default() };
        self.auth().login(request).await.is_ok()
    }
}

/// Everything that looks like somebody's link and is none. All are refused alike, so that nothing is learned from how.
fn no_links(of_alice: &str, of_bob: &str) -> Vec<(&'static str, String)> {
    let joined = |id: &[u8], secret: &[u8]| BASE64.encode([id, secret].concat());
    let (alice, bob) = (BASE64.decode(of_alice).unwrap(), BASE64.decode(of_bob).unwrap());
    let mut changed = alice.clone();
    changed[47] ^= 1;
    vec![
        ("nothing", String::new()),
        ("a word", "guessed".into()),
        ("one that nobody was sent", joined(mesh::ids::new_id().as_bytes(), &mesh::ids::random::<32>())),
        ("the id of one and the secret of another", joined(&alice[..16], &bob[16..])),
        ("the secret of one and the id of another", joined(&bob[..16], &alice[16..])),
        ("no secret", joined(&alice[..16], &[])),
        ("a secret of zeros", joined(&alice[..16], &[0; 32])),
        ("a secret that is wrong in its last bit", BASE64.encode(changed)),
        ("what is stored of it", joined(&alice[..16], &Sha256::digest(&alice[16..])[..])),
        ("one that is cut by a letter", of_alice[..63].into()),
        ("one that is cut in half", of_alice[..32].into()),
        ("one that goes on", format!("{of_alice}A")),
        ("one after a blank", format!(" {of_alice}")),
        ("one in capitals", of_alice.to_uppercase()),
    ]
}

/// Whether some file of the account database has these bytes.
fn is_stored(folder: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files =
        files.filter(|file| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"auth.db")));
    files.any(|file| std::fs::read(file).unwrap().windows(bytes.len()).any(|some| some == bytes))
}

/// The gateway hears of it in its own time.
async fn has_ended(session: &Person) {
    let ended = async {
        loop {
            if let Err(refused) = session.users().get_me(GetMeRequest {}).await {
                return refused;
            }
        }
    };
    let refused = within("the session's end", ended).await;
    assert_eq!(mesh::errors::reason(&refused), "SESSION_ENDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_link_sets_no_password_and_uses_none_up() {
    let mut post = Post::opens().await;
    let (owner, alice, bob) =
        (post.registers("owner").await, post.registers("alice").await, post.registers("bob").await);
    let elsewhere = Person::signs_in(post.town.public, "alice").await;
    let (link, of_bob) = (post.link("alice").await, post.link("bob").await);
    let invite = owner.invites().create_invite(CreateInviteRequest::default()).await.unwrap().into_inner().invite_token;
    let mut cases = no_links(&link, &of_bob);
    cases.push(("an invitation", invite.clone()));
    cases.push(("a refresh token", alice.refresh_token.clone()));
    cases.push(("an access token", alice.token.clone()));
    for (case, token) in &cases {
        post.is_refused(token, case).await;
    }
    // Neither is it good for anything else.
    let anywhere = denied("INVITE_INVALID");
    let preview = PreviewInviteRequest { invite_token: link.clone() };
    assert_eq!(refusal(bob.invites().preview_invite(preview).await), anywhere, "it is shown as an invitation");
    let accept = AcceptInviteRequest { invite_token: link.clone() };
    assert_eq!(refusal(bob.invites().accept_invite(accept).await), anywhere, "it is accepted as an invitation");
    let register = RegisterRequest {
        username: "eve".into(),
        password: PASSWORD.into(),
        invite_token: link.clone(),
        ..Default::default()
    };
    assert_eq!(refusal(post.auth().register(register).await), anywhere, "somebody registers with it");
    let refresh = |refresh_token: &str| RefreshRequest { refresh_token: refresh_token.into() };
    assert_eq!(refusal(post.auth().refresh(refresh(&link)).await), nobody("REFRESH_TOKEN_INVALID"));
    assert_eq!(refusal(with(&alice, &link).users().get_me(GetMeRequest {}).await), nobody("TOKEN_INVALID"));
    for wrong in [String::new(), "short".into(), "x".repeat(1025)] {
        let refused = post.resets(&link, &wrong).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "new_password");
    }
    // After all of that it works, once, and ends whatever was open.
    post.resets(&link, NEW_PASSWORD).await.expect("nothing has used it up");
    post.is_refused(&link, "it was used").await;
    for session in [&alice, &elsewhere] {
        has_ended(session).await;
        assert_eq!(refusal(post.auth().refresh(refresh(&session.refresh_token)).await), nobody("SESSION_ENDED"));
    }
    assert!(!post.has("alice", PASSWORD).await && post.has("alice", NEW_PASSWORD).await);
    // Nobody else has noticed.
    bob.users().get_me(GetMeRequest {}).await.unwrap();
    bob.invites().accept_invite(AcceptInviteRequest { invite_token: invite }).await.unwrap();
    post.resets(&of_bob, NEW_PASSWORD).await.expect("somebody else's link is their own affair");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_by_what_happens_after_it() {
    let mut post = Post::opens().await;
    let (owner, _) = (post.registers("owner").await, post.registers("alice").await);
    let (older, newer) = (post.link("alice").await, post.link("alice").await);
    post.resets(&newer, PASSWORD).await.unwrap();
    post.is_refused(&older, "a newer one was used").await;

    let alice = Person::signs_in(post.town.public, "alice").await;
    let link = post.link("alice").await;
    let change = ChangePasswordRequest { current_password: PASSWORD.into(), new_password: PASSWORD.into() };
    alice.auth().change_password(change).await.unwrap();
    post.is_refused(&link, "the password was changed").await;

    let email =
        |password: &str, email: &str| ChangeEmailRequest { current_password: password.into(), email: email.into() };
    let link = post.link("alice").await;
    let refused = alice.auth().change_email(email(NEW_PASSWORD, "eve@example.org")).await;
    assert_eq!(refusal(refused), nobody("BAD_CREDENTIALS"), "who has found a session open does not have the mail sent");
    let me = alice.users().get_me(GetMeRequest {}).await.unwrap().into_inner();
    assert_eq!(me.email, "alice@example.org");
    alice.auth().change_email(email(PASSWORD, "alice@elsewhere.example.org")).await.unwrap();
    post.is_refused(&link, "it was sent to an address that is no longer theirs").await;
    alice.auth().change_email(email(PASSWORD, "alice@example.org")).await.unwrap();

    let link = post.link("alice").await;
    let user_id = alice.user.id.clone();
    owner.admin().disable_user(DisableUserRequest { user_id: user_id.clone() }).await.unwrap();
    post.is_refused(&link, "the account was disabled").await;
    owner.admin().enable_user(EnableUserRequest { user_id }).await.unwrap();
    post.is_refused(&link, "nor is it good when the account is enabled again").await;

    let link = post.link("alice").await;
    post.town.clock.advance(LIFE.saturating_sub(Duration::from_secs(1)));
    post.resets(&link, PASSWORD).await.expect("half an hour is not over yet");
    let link = post.link("alice").await;
    post.town.clock.advance(LIFE);
    post.is_refused(&link, "half an hour is over").await;
    assert!(post.has("alice", PASSWORD).await, "nothing that was refused has changed anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_to_the_address_of_the_configuration_whoever_asks() {
    let mut post = Post::opens().await;
    post.registers("alice").await;
    // Whoever asks says of themselves where they ask: by HTTP/2, and by HTTP/1.1.
    let endpoint = Endpoint::from_shared(post.town.url("")).unwrap();
    let poisoned = endpoint.origin("http://evil.test".parse().unwrap()).connect_lazy();
    let message = RequestPasswordResetRequest { account: "alice".into() };
    let names = ["x-forwarded-host", "x-forwarded-server", "x-original-host", "x-host", "origin", "referer"];
    let values = names.map(|name| (name, "http://evil.test")).into_iter().chain([("forwarded", "host=evil.test")]);
    let mut request = Request::new(message.clone());
    let mut written = http::Request::builder().method("POST").header("host", "evil.test");
    for (name, value) in values {
        request.metadata_mut().insert(name, value.parse().unwrap());
        // By gRPC-Web, an origin may be refused for itself.
        if name != "origin" {
            written = written.header(name, value);
        }
    }
    AuthServiceClient::new(poisoned).request_password_reset(request).await.unwrap();
    let by_http2 = post.mail().await;
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [[0].as_slice(), length.as_slice(), bytes.as_slice()].concat();
    let written = written.header("content-type", "application/grpc-web+proto");
    let path = "/loquat.auth.v1.AuthService/RequestPasswordReset";
    assert_eq!(http(post.town.public, written, path, body).await.status().as_u16(), 200);
    for mail in [by_http2, post.mail().await] {
        assert!(!mail.replace("=\n", "").contains("evil.test"), "{mail}");
        assert_eq!(token(&mail).len(), 64, "and has what it needs: {mail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_link_only_the_hash_is_kept() {
    let mut post = Post::opens().await;
    post.registers("alice").await;
    let link = post.link("alice").await;
    let secret = BASE64.decode(&link).unwrap().split_off(16);
    let folder = post.town.folder();
    assert!(is_stored(folder, &Sha256::digest(&secret)[..]), "its hash is found where it is looked for");
    assert!(
        !is_stored(folder, &secret) && !is_stored(folder, &link.as_bytes()[22..]),
        "and nothing that opens anything"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_no_link_is_answered_like_who_does() {
    let mut post = Post::opens().await;
    let (owner, gone) = (post.registers("owner").await, post.registers("gone").await);
    owner.admin().disable_user(DisableUserRequest { user_id: gone.user.id.clone() }).await.unwrap();
    owner.bots().create_bot(CreateBotRequest { username: "robot".into(), ..Default::default() }).await.unwrap();
    for account in ["nobody", "nobody@example.org", "gone", "gone@example.org", "robot", "' OR 1=1 --", "%"] {
        post.asks(account).await;
    }
    post.link("owner").await;
    // What was begun is finished first.
    post.town.stops().await;
    assert!(post.mails.try_recv().is_err(), "nobody else is written to");
}
