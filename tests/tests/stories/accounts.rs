//! Stories of accounts and sessions.

use std::collections::BTreeSet;

use proto::auth::v1::{
    GetMeRequest, GetUsersRequest, LoginRequest, RefreshRequest, RegisterRequest, SearchUsersRequest,
    SetUserRoleRequest, UpdateMeRequest, WorkspaceRole, admin_service_client::AdminServiceClient,
    auth_service_client::AuthServiceClient, user_service_client::UserServiceClient,
};
use proto::worker::v1::{ListQueuesRequest, job_service_client::JobServiceClient};
use server::config::{Config, Registration};
use tests::{Person, QUEUES, Shape, Town, op_id, person::PASSWORD, stories, within};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

stories!(
    the_first_account_owns_the_workspace,
    a_name_is_taken_once,
    nobody_learns_which_accounts_exist,
    a_refresh_token_is_spent_by_its_use,
    two_windows_may_race,
    tokens_of_another_kind_are_refused,
    people_are_found_by_the_start_of_a_name,
    a_picture_of_somebody_is_seen_by_whoever_sees_them,
    queues_are_for_those_who_run_the_place,
);

fn reason(status: &Status) -> String {
    mesh::errors::reason(status)
}

async fn the_first_account_owns_the_workspace(town: Town) {
    let names = ["ann", "ben", "cid", "dot", "eva", "fay"];
    let people = futures::future::join_all(names.map(|name| town.registers(name))).await;
    let owners = people.iter().filter(|person| person.user.role() == WorkspaceRole::Owner).count();
    assert_eq!(owners, 1, "however many come at once");
    let members = people.iter().filter(|person| person.user.role() == WorkspaceRole::Member).count();
    assert_eq!(members, names.len() - 1);
}

async fn a_name_is_taken_once(town: Town) {
    town.registers("alice").await;
    let again = RegisterRequest { username: "ALICE".into(), password: PASSWORD.into(), ..Default::default() };
    let refused = AuthServiceClient::new(town.channel()).register(again).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::AlreadyExists, "USERNAME_TAKEN".into()));
    let wrong = RegisterRequest { username: "no spaces".into(), password: "short".into(), ..Default::default() };
    let refused = AuthServiceClient::new(town.channel()).register(wrong).await.unwrap_err();
    let fields: Vec<String> =
        refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|wrong| wrong.field).collect();
    assert_eq!(fields, ["username", "password"]);
}

async fn nobody_learns_which_accounts_exist(town: Town) {
    town.registers("alice").await;
    let mut auth = AuthServiceClient::new(town.channel());
    let mut answers = BTreeSet::new();
    for username in ["alice", "nobody"] {
        let wrong =
            LoginRequest { username: username.into(), password: "not the password".into(), ..Default::default() };
        let refused = auth.login(wrong).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::Unauthenticated, "BAD_CREDENTIALS".into()));
        answers.insert((refused.message().to_owned(), refused.details().to_vec()));
    }
    assert_eq!(answers.len(), 1);
}

async fn a_refresh_token_is_spent_by_its_use(town: Town) {
    let alice = town.registers("alice").await;
    let mut listens = alice.listens().await;
    let mut auth = AuthServiceClient::new(town.channel());
    let mut refresh = async |token: &str| {
        auth.refresh(RefreshRequest { refresh_token: token.into() }).await.map(tonic::Response::into_inner)
    };
    let first = alice.refresh_token.clone();
    let second = refresh(&first).await.unwrap().refresh_token;
    let third = refresh(&second).await.unwrap().refresh_token;
    assert_eq!(BTreeSet::from([&first, &second, &third]).len(), 3);
    // Two parties hold the first: the session ends for both.
    assert_eq!(reason(&refresh(&first).await.unwrap_err()), "SESSION_ENDED");
    assert_eq!(reason(&refresh(&third).await.unwrap_err()), "SESSION_ENDED");
    assert_eq!(reason(&listens.next().await.unwrap_err()), "SESSION_ENDED", "open streams end as well");
    for nonsense in ["", "x", &"A".repeat(64)] {
        assert_eq!(reason(&refresh(nonsense).await.unwrap_err()), "REFRESH_TOKEN_INVALID");
    }
}

async fn two_windows_may_race(town: Town) {
    let alice = town.registers("alice").await;
    let mut token = alice.refresh_token.clone();
    for _ in 0..25 {
        let one = async || {
            let request = RefreshRequest { refresh_token: token.clone() };
            AuthServiceClient::new(town.channel()).refresh(request).await.unwrap().into_inner().refresh_token
        };
        let (left, right) = tokio::join!(one(), one());
        assert_eq!(left, right, "both get the same successor");
        token = left;
    }
}

async fn tokens_of_another_kind_are_refused(town: Town) {
    let alice = town.registers("alice").await;
    let mut forged: Vec<String> =
        vec![String::new(), "nonsense".into(), alice.refresh_token.clone(), "a.b.c".into(), "x".repeat(9000)];
    let parts: Vec<&str> = alice.token.split('.').collect();
    forged.push(format!("{}.{}.", parts[0], parts[1]));
    let mut flipped = parts[2].to_owned();
    flipped.replace_range(..1, if flipped.starts_with('A') { "B" } else { "A" });
    forged.push(format!("{}.{}.{flipped}", parts[0], parts[1]));
    let encode = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    forged.push(format!("{}.{}.", encode(r#"{"alg":"none"}"#), parts[1]));
    forged.push(format!("{}.{}.{}", encode(r#"{"alg":"HS256","kid":"x"}"#), parts[1], parts[2]));
    for token in forged {
        let mut request = tonic::Request::new(GetMeRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let refused = UserServiceClient::new(town.channel()).get_me(request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::Unauthenticated, "TOKEN_INVALID".into()), "{token:.30}");
    }
    let refused = UserServiceClient::new(town.channel()).get_me(GetMeRequest {}).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_MISSING");
}

async fn people_are_found_by_the_start_of_a_name(town: Town) {
    let ann = town.registers("ann").await;
    for name in ["anna", "annabel", "bob"] {
        town.registers(name).await;
    }
    let mut users = UserServiceClient::new(ann.channel());
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = SearchUsersRequest { query: "AN".into(), page_size: 2, page_token };
        let page = users.search_users(request).await.unwrap().into_inner();
        assert!(page.users.len() <= 2);
        found.extend(page.users.into_iter().map(|user| user.username));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["ann", "anna", "annabel"]);
    let wild = SearchUsersRequest { query: "%".into(), ..Default::default() };
    assert!(users.search_users(wild).await.unwrap().into_inner().users.is_empty());
    let some = GetUsersRequest { user_ids: vec![ann.user.id.clone(), op_id()] };
    assert_eq!(users.get_users(some).await.unwrap().into_inner().users, std::slice::from_ref(&ann.user));
    let wrong = GetUsersRequest { user_ids: vec![ann.user.id, "x".into()] };
    let refused = users.get_users(wrong).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "user_ids[1]");
}

/// Says which file is one's picture.
async fn pictured(person: &Person, file_id: &str) {
    let update = UpdateMeRequest { avatar_file_id: Some(file_id.into()), ..Default::default() };
    UserServiceClient::new(person.channel()).update_me(update).await.unwrap();
}

/// Waits until somebody sees a picture, or does so no longer.
async fn until_seen(person: &Person, file_id: &str, seen: bool) {
    let deciding = async {
        loop {
            match person.downloads(file_id, "").await {
                Ok(_) if seen => return,
                Err(refused) if reason(&refused) == "FILE_NOT_FOUND" && !seen => return,
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    within("the picture is seen, or is not", deciding).await;
}

async fn a_picture_of_somebody_is_seen_by_whoever_sees_them(town: Town) {
    let (owner, alice, bob) =
        (town.registers("owner").await, town.registers("alice").await, town.registers("bob").await);
    let guest = town.registers("guest").await;
    let role = SetUserRoleRequest { user_id: guest.user.id.clone(), role: WorkspaceRole::Guest.into() };
    AdminServiceClient::new(owner.channel()).set_user_role(role).await.unwrap();
    let guest = Person::signs_in(town.public, "guest").await;
    let secret = alice.creates_private_room("secret").await;
    let picture = |shade: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(400, 400, image::Rgb([shade, 0, 0]));
        image::DynamicImage::from(picture).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let me = alice.brings(&secret, "me at home.png", &picture(1)).await;
    let other = alice.brings(&secret, "others.png", &picture(2)).await;
    assert_eq!(reason(&bob.downloads(&me.id, "").await.unwrap_err()), "FILE_NOT_FOUND");
    pictured(&alice, &me.id).await;
    until_seen(&bob, &me.id, true).await;
    assert!(!bob.downloads(&me.id, "w320").await.unwrap().is_empty(), "smaller ones too");
    // Nothing is said of it but that it is a picture, and no other file is opened.
    assert_eq!(reason(&bob.knows(&me.id).await.unwrap_err()), "FILE_NOT_FOUND");
    let answer = bob.gets(&format!("/files/{}", me.id), &[]).await;
    let name = answer.headers()["content-disposition"].to_str().unwrap();
    assert!(answer.status() == 200 && !name.contains("home"), "{name}");
    assert_eq!(reason(&bob.downloads(&other.id, "").await.unwrap_err()), "FILE_NOT_FOUND");
    // A guest sees only those whom they meet.
    assert_eq!(reason(&guest.downloads(&me.id, "").await.unwrap_err()), "FILE_NOT_FOUND");
    let lobby = alice.creates_private_room("lobby").await;
    alice.adds(&lobby, &guest).await;
    guest.downloads(&me.id, "").await.unwrap();
    // Whoever names somebody else's file opens nothing; that was heard before what they name next.
    pictured(&bob, &other.id).await;
    let own = bob.creates_private_room("own").await;
    let bobs = bob.brings(&own, "bob.png", &picture(3)).await;
    pictured(&bob, &bobs.id).await;
    until_seen(&alice, &bobs.id, true).await;
    assert_eq!(reason(&bob.downloads(&other.id, "").await.unwrap_err()), "FILE_NOT_FOUND");
    // Nor does a file that is no picture.
    let text = alice.brings(&secret, "plan.txt", b"what we will do").await;
    pictured(&alice, &text.id).await;
    until_seen(&bob, &me.id, false).await;
    assert_eq!(reason(&bob.downloads(&text.id, "").await.unwrap_err()), "FILE_NOT_FOUND");
    pictured(&alice, &other.id).await;
    until_seen(&bob, &other.id, true).await;
    pictured(&alice, "").await;
    until_seen(&bob, &other.id, false).await;
}

async fn queues_are_for_those_who_run_the_place(town: Town) {
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let queues =
        JobServiceClient::new(owner.channel()).list_queues(ListQueuesRequest {}).await.unwrap().into_inner().queues;
    let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, QUEUES);
    let refused = JobServiceClient::new(member.channel()).list_queues(ListQueuesRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "ROLE_TOO_LOW".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_can_be_closed() {
    let closed = |config: &mut Config| config.auth.registration = Registration::Closed;
    let town = Town::start_with(Shape::Embedded, closed).await;
    town.registers("founder").await;
    let late = RegisterRequest { username: "late".into(), password: PASSWORD.into(), ..Default::default() };
    let refused = AuthServiceClient::new(town.channel()).register(late).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "REGISTRATION_CLOSED".into()));
}
