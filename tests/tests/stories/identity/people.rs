use std::collections::{BTreeMap, BTreeSet};

use proto::auth::v1::{
    AuditServiceListRequest, AuditServiceVerifyRequest, DisableUserRequest, EnableUserRequest, GetMeRequest,
    ListUsersRequest, LoginRequest, RefreshRequest, RevokeUserSessionsRequest, SetUserRoleRequest, UpdateMeRequest,
    WorkspaceRole, auth_service_client::AuthServiceClient,
};
use proto::chat::v1::ListRoomsRequest;
use tests::{Person, Town, person::PASSWORD, socket::Socket};
use tonic::{Code, Status};

use super::{Accounts as _, denied, missing, nobody, refusal};

pub(super) async fn makes(actor: &Person, person: &Person, role: WorkspaceRole) -> Result<WorkspaceRole, Status> {
    let request = SetUserRoleRequest { user_id: person.user.id.clone(), role: role.into() };
    actor.admin().set_user_role(request).await.map(|answer| answer.into_inner().user.unwrap().role())
}

async fn disables(actor: &Person, person: &Person) -> Result<bool, Status> {
    let request = DisableUserRequest { user_id: person.user.id.clone() };
    actor.admin().disable_user(request).await.map(|answer| answer.into_inner().user.unwrap().disabled)
}

/// Signs in anew, for a token with the rights of now.
async fn again(person: &Person) -> Person {
    Person::signs_in(person.address, &person.user.username).await
}

const LAST_OWNER: &str = "LAST_OWNER";

pub async fn there_is_always_an_owner(town: Town) {
    let (ann, ben) = (town.registers("ann").await, town.registers("ben").await);
    let last = (Code::FailedPrecondition, LAST_OWNER.to_owned());
    assert_eq!(refusal(makes(&ann, &ann, WorkspaceRole::Member).await), last);
    assert_eq!(refusal(disables(&ann, &ann).await), last);
    makes(&ann, &ben, WorkspaceRole::Owner).await.unwrap();
    let ben = again(&ben).await;
    // Each takes the other's ownership at the same moment: one of them is too late.
    for _ in 0..10 {
        let owners = (again(&ann).await, again(&ben).await);
        let (left, right) =
            tokio::join!(makes(&owners.0, &ben, WorkspaceRole::Member), makes(&owners.1, &ann, WorkspaceRole::Member));
        assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
        let (owner, other) = if left.is_ok() { (again(&ann).await, &ben) } else { (again(&ben).await, &ann) };
        makes(&owner, other, WorkspaceRole::Owner).await.unwrap();
    }
    disables(&again(&ann).await, &ben).await.unwrap();
    let ann = again(&ann).await;
    assert_eq!(refusal(makes(&ann, &ann, WorkspaceRole::Admin).await), last, "a disabled owner is none");
}

pub async fn administrators_manage_those_below_them(town: Town) {
    let owner = town.registers("owner").await;
    let (admin, other, member) =
        (town.registers("admin").await, town.registers("other").await, town.registers("member").await);
    for person in [&admin, &other] {
        makes(&owner, person, WorkspaceRole::Admin).await.unwrap();
    }
    let admin = again(&admin).await;
    makes(&admin, &member, WorkspaceRole::Guest).await.unwrap();
    makes(&admin, &member, WorkspaceRole::Member).await.unwrap();
    assert_eq!(refusal(makes(&admin, &member, WorkspaceRole::Admin).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(makes(&admin, &other, WorkspaceRole::Member).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(makes(&admin, &owner, WorkspaceRole::Member).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(disables(&admin, &owner).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(makes(&member, &other, WorkspaceRole::Guest).await), nobody("TOKEN_EXPIRED"));
    let member = again(&member).await;
    assert_eq!(refusal(makes(&member, &other, WorkspaceRole::Guest).await), denied("ROLE_TOO_LOW"));
    let unknown = SetUserRoleRequest { user_id: tests::op_id(), role: WorkspaceRole::Guest.into() };
    assert_eq!(refusal(admin.admin().set_user_role(unknown).await), missing("USER_NOT_FOUND"));
    let page = ListUsersRequest { page_size: 3, ..Default::default() };
    let page = admin.admin().list_users(page).await.unwrap().into_inner();
    assert_eq!((page.users.len(), page.next_page_token.is_empty()), (3, false));
    let rest = ListUsersRequest { page_token: page.next_page_token.clone(), ..Default::default() };
    let rest = admin.admin().list_users(rest).await.unwrap().into_inner().users;
    assert_eq!(rest.len(), 1);
    assert!(page.users.iter().all(|user| user.sessions > 0 && user.last_used_at.is_some()), "{page:?}");
    assert_eq!(refusal(member.admin().list_users(ListUsersRequest::default()).await), denied("ROLE_TOO_LOW"));
}

pub async fn a_changed_role_counts_at_once(town: Town) {
    let (owner, bob) = (town.registers("owner").await, town.registers("bob").await);
    owner.creates_room("public").await;
    let count = async |person: &Person| {
        person.rooms().list_rooms(ListRoomsRequest::default()).await.map(|answer| answer.into_inner().rooms.len())
    };
    assert_eq!(count(&bob).await.unwrap(), 1);
    let mut stream = bob.listens().await;
    let mut socket = Socket::signed_in(town.public, &bob.token).await;
    makes(&owner, &bob, WorkspaceRole::Guest).await.unwrap();
    // What is open is begun anew with a token that has the rights of now; the one before counts nowhere.
    assert_eq!(refusal(stream.next().await), nobody("TOKEN_EXPIRED"));
    let closed = loop {
        if let Err(closed) = socket.next().await {
            break closed;
        }
    };
    assert_eq!((closed.code, socket.close_reason.contains("rights have changed")), (4403, true));
    assert_eq!(refusal(count(&bob).await), nobody("TOKEN_EXPIRED"));
    // The session goes on.
    let request = RefreshRequest { refresh_token: bob.refresh_token.clone() };
    let renewed = AuthServiceClient::new(town.channel()).refresh(request).await.unwrap().into_inner();
    let bob = Person::returns(town.public, renewed.user.unwrap(), renewed.access_token, renewed.refresh_token);
    assert_eq!(bob.user.role(), WorkspaceRole::Guest);
    assert_eq!(count(&bob).await.unwrap(), 0, "a guest does not see a public room");
    bob.listens().await;
}

pub async fn who_is_disabled_is_gone_at_once(town: Town) {
    let (owner, bob) = (town.registers("owner").await, town.registers("bob").await);
    let second = again(&bob).await;
    let (mut one, mut two) = (bob.listens().await, second.listens().await);
    let sessions = RevokeUserSessionsRequest { user_id: bob.user.id.clone() };
    let ended = owner.admin().revoke_user_sessions(sessions).await.unwrap().into_inner().ended_sessions;
    assert_eq!(ended, 2);
    assert_eq!(refusal(one.next().await), nobody("SESSION_ENDED"));
    assert_eq!(refusal(two.next().await), nobody("SESSION_ENDED"));
    let bob = again(&bob).await;
    let mut stream = bob.listens().await;
    assert!(disables(&owner, &bob).await.unwrap());
    let gone = refusal(stream.next().await);
    assert!(gone == nobody("SESSION_ENDED") || gone == nobody("TOKEN_EXPIRED"), "{gone:?}");
    assert_eq!(refusal(bob.users().get_me(GetMeRequest {}).await).0, Code::Unauthenticated);
    let mut auth = AuthServiceClient::new(town.channel());
    let request = RefreshRequest { refresh_token: bob.refresh_token.clone() };
    assert_eq!(refusal(auth.refresh(request).await), nobody("SESSION_ENDED"));
    let login = LoginRequest { username: "bob".into(), password: PASSWORD.into(), ..Default::default() };
    assert_eq!(refusal(auth.login(login.clone()).await), nobody("BAD_CREDENTIALS"), "as if there were no such account");
    let enable = EnableUserRequest { user_id: bob.user.id.clone() };
    owner.admin().enable_user(enable).await.unwrap();
    auth.login(login).await.unwrap();
}

pub async fn what_was_done_is_written_down(town: Town) {
    let (owner, bob) = (town.registers("owner").await, town.registers("bob").await);
    makes(&owner, &bob, WorkspaceRole::Guest).await.unwrap();
    disables(&owner, &bob).await.unwrap();
    let login = LoginRequest { username: "bob".into(), password: "wrong password".into(), ..Default::default() };
    assert_eq!(refusal(AuthServiceClient::new(town.channel()).login(login).await), nobody("BAD_CREDENTIALS"));
    let list =
        |request: AuditServiceListRequest| async { owner.audit().list(request).await.map(tonic::Response::into_inner) };
    let of_bob = AuditServiceListRequest { subject_id: bob.user.id.clone(), ..Default::default() };
    let entries = list(of_bob).await.unwrap().entries;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["login.failed", "user.disabled", "user.role_changed", "user.registered"]);
    assert!(entries.iter().all(|entry| entry.address == "127.0.0.1" && entry.trace.len() == 55), "{entries:?}");
    assert_eq!(entries[1].actor_id, owner.user.id);
    assert_eq!((entries[2].details["from"].as_str(), entries[2].details["to"].as_str()), ("member", "guest"));
    // What somebody says of themselves is, by what changed, and nothing that did not. A log has no lines within a line.
    let update = |title: &str| UpdateMeRequest {
        title: Some(title.into()),
        about: Some("two\nlines".into()),
        display_name: Some(String::new()),
        ..Default::default()
    };
    for title in ["Head of Tests", "Head of Tests", "Retired"] {
        owner.users().update_me(update(title)).await.unwrap();
    }
    let action = "user.profile_changed".to_owned();
    let changes = AuditServiceListRequest { action, actor_id: owner.user.id.clone(), ..Default::default() };
    let changes = list(changes).await.unwrap().entries;
    let details: Vec<BTreeMap<&str, &str>> = changes
        .iter()
        .map(|entry| entry.details.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
        .collect();
    let first = BTreeMap::from([("title", "Head of Tests"), ("about", "two\u{FFFD}lines")]);
    assert_eq!(details, [BTreeMap::from([("title", "Retired")]), first]);
    assert!(changes.iter().all(|entry| entry.subject_id == owner.user.id && entry.address == "127.0.0.1"));
    let mut seqs = BTreeSet::new();
    let mut before_seq = 0;
    loop {
        let page = list(AuditServiceListRequest { before_seq, page_size: 2, ..Default::default() }).await.unwrap();
        seqs.extend(page.entries.iter().map(|entry| entry.seq));
        before_seq = page.next_before_seq;
        if before_seq == 0 {
            break;
        }
    }
    let verified = owner.audit().verify(AuditServiceVerifyRequest {}).await.unwrap().into_inner();
    assert!(verified.intact && verified.first_broken_seq == 0);
    assert_eq!(seqs.into_iter().collect::<Vec<_>>(), (1..=verified.head_seq).collect::<Vec<_>>());
    assert_eq!(verified.entries, verified.head_seq);
    let member = town.registers("member").await;
    assert_eq!(refusal(member.audit().list(AuditServiceListRequest::default()).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(member.audit().verify(AuditServiceVerifyRequest {}).await), denied("ROLE_TOO_LOW"));
}
