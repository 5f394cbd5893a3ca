use proto::auth::v1::{
    ChangeEmailRequest, ChangePasswordRequest, GetMeRequest, ListSessionsRequest, LoginRequest,
    RevokeOtherSessionsRequest, RevokeSessionRequest, Session, UpdateMeRequest, auth_service_client::AuthServiceClient,
};
use proto::chat::v1::ListRoomsRequest;
use tests::{Person, Town, person::PASSWORD, socket::Socket};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::{Accounts as _, missing, nobody, refusal};

async fn sessions(person: &Person) -> Vec<Session> {
    person.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions
}

async fn signs_in(town: &Town, name: &str, device: &str) -> Person {
    let mut request =
        Request::new(LoginRequest { username: name.into(), password: PASSWORD.into(), device: device.into() });
    // What somebody outside says of themselves is not believed.
    request.metadata_mut().insert("x-loquat-address", "203.0.113.99".parse().unwrap());
    request.metadata_mut().insert("x-loquat-edge", "forged".parse().unwrap());
    let answer = AuthServiceClient::new(town.channel()).login(request).await.unwrap().into_inner();
    Person::returns(town.public, answer.user.unwrap(), answer.access_token, answer.refresh_token)
}

pub async fn where_somebody_is_signed_in_is_listed_and_ended(town: Town) {
    let here = town.registers("alice").await;
    let laptop = signs_in(&town, "alice", "Laptop").await;
    let phone = signs_in(&town, "alice", "Phone").await;
    let eve = town.registers("eve").await;
    let listed = sessions(&laptop).await;
    let devices: Vec<&str> = listed.iter().take(2).map(|session| session.device.as_str()).collect();
    assert_eq!((listed.len(), devices), (3, vec!["Phone", "Laptop"]));
    assert!(listed.iter().all(|session| session.address == "127.0.0.1"), "{listed:?}");
    assert!(listed.iter().all(|session| session.created_at.is_some() && session.last_used_at.is_some()));
    assert!(listed[2].device.contains("tonic"), "the user agent stands in: {:?}", listed[2].device);
    let current: Vec<bool> = listed.iter().map(|session| session.current).collect();
    assert_eq!(current, [false, true, false]);

    let mut socket = Socket::signed_in(town.public, &phone.token).await;
    let mut stream = phone.listens().await;
    let revoke = RevokeSessionRequest { session_id: listed[0].id.clone() };
    assert_eq!(refusal(eve.sessions().revoke_session(revoke.clone()).await), missing("SESSION_NOT_FOUND"));
    laptop.sessions().revoke_session(revoke.clone()).await.unwrap();
    assert_eq!(refusal(stream.next().await), nobody("SESSION_ENDED"));
    while let Ok(_before) = socket.next().await {}
    assert_eq!(socket.close_reason, "the session has ended");
    // Its access token lives for minutes, and counts nowhere.
    assert_eq!(refusal(phone.users().get_me(GetMeRequest {}).await), nobody("SESSION_ENDED"));
    assert_eq!(refusal(phone.rooms().list_rooms(ListRoomsRequest::default()).await), nobody("SESSION_ENDED"));
    laptop.sessions().revoke_session(revoke).await.unwrap();
    let ended = laptop.sessions().revoke_other_sessions(RevokeOtherSessionsRequest {}).await.unwrap().into_inner();
    assert_eq!(ended.ended_sessions, 1);
    tests::within("the other session is refused", async {
        while here.users().get_me(GetMeRequest {}).await.is_ok() {}
    })
    .await;
    assert_eq!(sessions(&laptop).await.len(), 1);
}

pub async fn a_new_password_ends_the_other_sessions(town: Town) {
    let (alice, other) = (town.registers("alice").await, Person::signs_in(town.public, "alice").await);
    let mut stream = other.listens().await;
    let change =
        |current: &str, new: &str| ChangePasswordRequest { current_password: current.into(), new_password: new.into() };
    let refused = refusal(alice.auth().change_password(change("not it at all", "a new password")).await);
    assert_eq!(refused, nobody("BAD_CREDENTIALS"));
    let short = alice.auth().change_password(change(PASSWORD, "short")).await.unwrap_err();
    assert_eq!(short.get_details_bad_request().unwrap().field_violations[0].field, "new_password");
    let changed = alice.auth().change_password(change(PASSWORD, "a new password")).await.unwrap().into_inner();
    assert_eq!(changed.ended_sessions, 1);
    assert_eq!(refusal(stream.next().await), nobody("SESSION_ENDED"));
    alice.users().get_me(GetMeRequest {}).await.unwrap();
    let login =
        |password: &str| LoginRequest { username: "alice".into(), password: password.into(), ..Default::default() };
    let mut auth = AuthServiceClient::new(town.channel());
    assert_eq!(refusal(auth.login(login(PASSWORD)).await), nobody("BAD_CREDENTIALS"));
    auth.login(login("a new password")).await.unwrap();
}

pub async fn a_profile_is_changed_field_by_field(town: Town) {
    let alice = town.registers("alice").await;
    let avatar = tests::op_id();
    let first = UpdateMeRequest {
        display_name: Some("Alice A.".into()),
        title: Some("Support".into()),
        avatar_file_id: Some(avatar.clone()),
        ..Default::default()
    };
    alice.users().update_me(first).await.unwrap();
    let second = UpdateMeRequest { about: Some("Two\nlines".into()), ..Default::default() };
    let user = alice.users().update_me(second).await.unwrap().into_inner().user.unwrap();
    let told = (user.display_name.as_str(), user.title.as_str(), user.about.as_str(), user.avatar_file_id.as_str());
    assert_eq!(told, ("Alice A.", "Support", "Two\nlines", avatar.as_str()));
    let nameless = UpdateMeRequest { display_name: Some(String::new()), ..Default::default() };
    let user = alice.users().update_me(nameless).await.unwrap().into_inner().user.unwrap();
    assert_eq!(user.display_name, "alice");
    let wrong = UpdateMeRequest {
        title: Some("x".repeat(65)),
        about: Some("y".repeat(501)),
        avatar_file_id: Some("z".into()),
        ..Default::default()
    };
    let refused = alice.users().update_me(wrong).await.unwrap_err();
    let fields: Vec<String> =
        refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|wrong| wrong.field).collect();
    assert_eq!(
        (refused.code(), fields.as_slice()),
        (Code::InvalidArgument, &["title", "about", "avatar_file_id"].map(String::from)[..])
    );
    let email =
        |password: &str, email: &str| ChangeEmailRequest { current_password: password.into(), email: email.into() };
    assert_eq!(refusal(alice.auth().change_email(email("wrong", "a@example.org")).await), nobody("BAD_CREDENTIALS"));
    let refused = alice.auth().change_email(email(PASSWORD, "no address")).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "email");
    alice.auth().change_email(email(PASSWORD, "Alice@Example.org")).await.unwrap();
    let me = alice.users().get_me(GetMeRequest {}).await.unwrap().into_inner();
    assert_eq!(me.email, "alice@example.org");
    assert_eq!(me.session_id, sessions(&alice).await[0].id);
}
