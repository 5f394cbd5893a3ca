use proto::{
    auth::v1::{
        AcceptInviteRequest, CreateInviteRequest, DisableUserRequest, EnableUserRequest, Invite, InvitedRoom,
        ListInvitesRequest, PreviewInviteRequest, RegisterRequest, RegisterResponse, RevokeInviteRequest,
        SetUserRoleRequest, WorkspaceRole, auth_service_client::AuthServiceClient,
    },
    chat::v1::{Room, RoomRole, event::Body},
};
use server::config::Registration;
use tests::{
    Person, Shape, Town,
    person::{PASSWORD, registered},
};
use tonic::Status;

use super::{Accounts as _, denied, missing, refusal};

async fn invites(person: &Person, request: CreateInviteRequest) -> Result<(Invite, String), Status> {
    let created = person.invites().create_invite(request).await?.into_inner();
    assert!(created.link.ends_with(&created.invite_token), "{}", created.link);
    Ok((created.invite.unwrap(), created.invite_token))
}

async fn registers(town: &Town, name: &str, invite_token: &str) -> Result<RegisterResponse, Status> {
    let request = RegisterRequest {
        username: name.into(),
        password: PASSWORD.into(),
        invite_token: invite_token.into(),
        ..Default::default()
    };
    registered(AuthServiceClient::new(town.channel()), request).await
}

fn into_room(room: &Room, role: RoomRole) -> InvitedRoom {
    InvitedRoom { room_id: room.id.clone(), room_role: u32::try_from(i32::from(role)).unwrap() }
}

pub async fn an_invitation_leads_into_rooms(town: Town) {
    let owner = town.registers("owner").await;
    let (private, public) = (owner.creates_private_room("private").await, owner.creates_room("public").await);
    let nowhere = Room { id: tests::op_id(), ..Default::default() };
    let request = CreateInviteRequest {
        role: WorkspaceRole::Guest.into(),
        rooms: vec![
            into_room(&private, RoomRole::Admin),
            into_room(&nowhere, RoomRole::Member),
            into_room(&public, RoomRole::Unspecified),
        ],
        note: "for the contractors".into(),
        ..Default::default()
    };
    let (invite, token) = invites(&owner, request.clone()).await.unwrap();
    assert_eq!((invite.role(), invite.rooms.len(), invite.uses), (WorkspaceRole::Guest, 3, 0));
    // Who has the link needs no account to look at it.
    let mut anybody = proto::auth::v1::invite_service_client::InviteServiceClient::new(town.channel());
    let shown =
        anybody.preview_invite(PreviewInviteRequest { invite_token: token.clone() }).await.unwrap().into_inner();
    assert_eq!((shown.invited_by.as_str(), shown.rooms, shown.role()), ("owner", 3, WorkspaceRole::Guest));
    let joined = registers(&town, "guest", &token).await.unwrap();
    let guest = Person::returns(town.public, joined.user.unwrap(), joined.access_token, joined.refresh_token);
    assert_eq!(guest.user.role(), WorkspaceRole::Guest);
    let mut stream = guest.listens().await;
    for room in [&private, &public] {
        if !stream.cursors.contains_key(&room.id) {
            stream.opens(&room.id).await;
        }
    }
    guest.says(&private, "here I am").await;
    let mut request_as_member = request;
    request_as_member.role = WorkspaceRole::Member.into();
    let (_, token) = invites(&owner, request_as_member).await.unwrap();
    let old = town.registers("old").await;
    let mut stream = old.listens().await;
    for _ in 0..2 {
        let accept = AcceptInviteRequest { invite_token: token.clone() };
        let rooms = old.invites().accept_invite(accept).await.unwrap().into_inner().room_ids;
        assert_eq!(rooms.len(), 3);
    }
    let role = |event: &proto::chat::v1::Event| match &event.body {
        Some(Body::RoomJoined(joined)) => joined.room.as_ref().map(|room| room.id.clone()),
        _ => None,
    };
    assert_eq!(stream.waits_for("the first room", role).await, private.id);
    let list = owner.invites().list_invites(ListInvitesRequest::default()).await.unwrap().into_inner().invites;
    assert_eq!(list.iter().map(|invite| invite.uses).collect::<Vec<_>>(), [1, 1], "twice by one person counts once");
    assert_eq!(refusal(old.invites().list_invites(ListInvitesRequest::default()).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(invites(&old, CreateInviteRequest::default()).await), denied("ROLE_TOO_LOW"));
    let owners = CreateInviteRequest { role: WorkspaceRole::Owner.into(), ..Default::default() };
    assert_eq!(refusal(invites(&owner, owners).await), denied("ROLE_TOO_LOW"), "nobody invites owners");
}

pub async fn an_invitation_is_used_as_often_as_it_may(town: Town) {
    let owner = town.registers("owner").await;
    let (invite, token) = invites(&owner, CreateInviteRequest { max_uses: 5, ..Default::default() }).await.unwrap();
    // Few at a time, as passwords are hashed: what counts is that their transactions meet.
    let mut names: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let mut answers = Vec::new();
    while !names.is_empty() {
        let some: Vec<String> = names.drain(..names.len().min(6)).collect();
        answers.extend(futures::future::join_all(some.iter().map(|name| registers(&town, name, &token))).await);
    }
    let (joined, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(joined.len(), 5);
    assert!(refused.into_iter().all(|answer| refusal(answer) == denied("INVITE_INVALID")));
    let listed = owner.invites().list_invites(ListInvitesRequest::default()).await.unwrap().into_inner().invites;
    assert_eq!((listed[0].uses, &listed[0].id), (5, &invite.id));
    // An account that is there already: 64 accept the last two uses of another one at the same moment.
    let (_, token) = invites(&owner, CreateInviteRequest { max_uses: 2, ..Default::default() }).await.unwrap();
    let people: Vec<Person> = joined
        .into_iter()
        .map(|answer| answer.unwrap())
        .map(|answer| Person::returns(town.public, answer.user.unwrap(), answer.access_token, answer.refresh_token))
        .collect();
    let accept = |number: usize| {
        let (person, invite_token) = (people[number % people.len()].clone(), token.clone());
        async move { person.invites().accept_invite(AcceptInviteRequest { invite_token }).await.is_ok() }
    };
    futures::future::join_all((0..64).map(accept)).await;
    let listed = owner.invites().list_invites(ListInvitesRequest::default()).await.unwrap().into_inner().invites;
    assert_eq!(listed[0].uses, 2, "never more");

    let (invite, token) = invites(&owner, CreateInviteRequest::default()).await.unwrap();
    let revoke = RevokeInviteRequest { invite_id: invite.id.clone() };
    owner.invites().revoke_invite(revoke).await.unwrap();
    assert_eq!(refusal(registers(&town, "late", &token).await), denied("INVITE_INVALID"));
    assert_eq!(refusal(registers(&town, "late", "guessed").await), denied("INVITE_INVALID"));
    let unknown = RevokeInviteRequest { invite_id: tests::op_id() };
    assert_eq!(refusal(owner.invites().revoke_invite(unknown).await), missing("INVITE_NOT_FOUND"));
}

async fn sets_role(owner: &Person, person: &Person, role: WorkspaceRole) {
    let request = SetUserRoleRequest { user_id: person.user.id.clone(), role: role.into() };
    owner.admin().set_user_role(request).await.unwrap();
}

async fn is_refused(town: &Town, member: &Person, token: &str, why: &str) {
    let preview = PreviewInviteRequest { invite_token: token.into() };
    let accept = AcceptInviteRequest { invite_token: token.into() };
    assert_eq!(refusal(member.invites().preview_invite(preview).await), denied("INVITE_INVALID"), "shown: {why}");
    assert_eq!(refusal(member.invites().accept_invite(accept).await), denied("INVITE_INVALID"), "accepted: {why}");
    assert_eq!(refusal(registers(town, "late", token).await), denied("INVITE_INVALID"), "registered with: {why}");
}

pub async fn an_invitation_is_as_good_as_the_rights_of_who_made_it(town: Town) {
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let second = town.registers("second").await;
    sets_role(&owner, &second, WorkspaceRole::Owner).await;
    let second = Person::signs_in(town.public, "second").await;
    let of_role = |role: WorkspaceRole| CreateInviteRequest { role: role.into(), ..Default::default() };
    let (_, for_admins) = invites(&second, of_role(WorkspaceRole::Admin)).await.unwrap();
    let (_, for_members) = invites(&second, of_role(WorkspaceRole::Member)).await.unwrap();
    let preview = async |token: &str| {
        let request = PreviewInviteRequest { invite_token: token.into() };
        member.invites().preview_invite(request).await.map(|shown| shown.into_inner().role())
    };
    assert_eq!(preview(&for_admins).await.unwrap(), WorkspaceRole::Admin);
    let joined = registers(&town, "first", &for_admins).await.unwrap();
    assert_eq!(joined.user.unwrap().role(), WorkspaceRole::Admin);

    sets_role(&owner, &second, WorkspaceRole::Admin).await;
    is_refused(&town, &member, &for_admins, "administrators do not make administrators").await;
    assert_eq!(preview(&for_members).await.unwrap(), WorkspaceRole::Member, "they invite members");
    registers(&town, "second_joined", &for_members).await.unwrap();

    sets_role(&owner, &second, WorkspaceRole::Member).await;
    is_refused(&town, &member, &for_members, "members invite nobody").await;
    sets_role(&owner, &second, WorkspaceRole::Admin).await;
    assert_eq!(preview(&for_members).await.unwrap(), WorkspaceRole::Member, "they may again");

    let user_id = second.user.id.clone();
    owner.admin().disable_user(DisableUserRequest { user_id: user_id.clone() }).await.unwrap();
    is_refused(&town, &member, &for_members, "who is disabled invites nobody").await;
    owner.admin().enable_user(EnableUserRequest { user_id }).await.unwrap();
    registers(&town, "third_joined", &for_members).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_can_be_by_invitation() {
    let town = Town::start_with(Shape::Embedded, |config| config.auth.registration = Registration::Invite).await;
    let owner = town.registers("owner").await;
    assert_eq!(refusal(registers(&town, "eve", "").await), denied("REGISTRATION_CLOSED"));
    let (_, token) = invites(&owner, CreateInviteRequest::default()).await.unwrap();
    registers(&town, "bob", &token).await.unwrap();
    let options = owner.auth().get_sign_in_options(proto::auth::v1::GetSignInOptionsRequest {}).await.unwrap();
    let options = options.into_inner();
    assert_eq!(options.registration(), proto::auth::v1::RegistrationMode::Invite);
    assert!(!options.first_account && !options.reset_by_mail);
}
