use std::time::{Duration, Instant};

use proto::{
    auth::v1::{
        AccessToken, CreateBotRequest, CreateBotTokenRequest, CreateTokenRequest, DisableBotRequest, EnableBotRequest,
        GetMeRequest, GetMeResponse, ListBotTokensRequest, ListBotsRequest, ListSessionsRequest, ListTokensRequest,
        RevokeBotTokenRequest, RevokeTokenRequest, WorkspaceRole, user_service_client::UserServiceClient,
    },
    chat::v1::ListRoomsRequest,
    edge::v1::{SubscribeRequest, client_frame, server_frame::Frame},
};
use server::config::Role;
use tests::{Person, Shape, Town, socket::Socket};
use tonic::{Code, service::interceptor::InterceptedService};
use tonic_types::StatusExt as _;

use super::{Accounts as _, denied, missing, nobody, refusal, with};

async fn token(person: &Person, scopes: &[&str]) -> (AccessToken, String) {
    let request = CreateTokenRequest {
        name: "a program".into(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        expires_in_days: 1,
    };
    let created = person.tokens().create_token(request).await.unwrap().into_inner();
    (created.token.unwrap(), created.secret)
}

pub async fn a_program_does_what_its_token_allows(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let (_, reads) = token(&alice, &["messages:read", "users:read"]).await;
    let (_, writes) = token(&alice, &["messages:write"]).await;
    assert!(reads.starts_with("loquat_pat_"));
    let (reader, writer) = (with(&alice, &reads), with(&alice, &writes));
    writer.says(&room, "from a program").await;
    assert_eq!(reader.reads(&room).await, ["from a program"]);
    assert_eq!(refusal(reader.tries_to_say(&room, "x", &tests::op_id()).await), denied("SCOPE_MISSING"));
    assert_eq!(refusal(writer.users().get_me(GetMeRequest {}).await), denied("SCOPE_MISSING"));
    assert_eq!(refusal(reader.rooms().list_rooms(ListRoomsRequest::default()).await), denied("SCOPE_MISSING"));
    // What a program must never do, whatever its scopes.
    let more = CreateTokenRequest { name: "more".into(), scopes: vec!["rooms:write".into()], expires_in_days: 0 };
    assert_eq!(refusal(reader.tokens().create_token(more).await), denied("SCOPE_MISSING"));
    assert_eq!(refusal(reader.sessions().list_sessions(ListSessionsRequest {}).await), denied("SCOPE_MISSING"));
    // Services verify signed tokens only: past the gateway a program's own says nothing.
    if town.shape == Shape::Split {
        let channel = tests::town::channel(town.service(Role::Auth));
        let mut users = UserServiceClient::new(InterceptedService::new(channel, reader.bearer()));
        assert_eq!(refusal(users.get_me(GetMeRequest {}).await), nobody("TOKEN_INVALID"));
    }
    let wrong = CreateTokenRequest { name: String::new(), scopes: vec!["all".into()], expires_in_days: 4000 };
    let refused = alice.tokens().create_token(wrong).await.unwrap_err();
    let fields: Vec<String> =
        refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|wrong| wrong.field).collect();
    assert_eq!(fields, ["name", "scopes[0]", "expires_in_days"]);
}

pub async fn a_token_is_shown_once_and_gone_when_revoked(town: Town) {
    let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
    let (made, secret) = token(&alice, &["users:read", "messages:read"]).await;
    let program = with(&alice, &secret);
    program.users().get_me(GetMeRequest {}).await.unwrap();
    let listed = alice.tokens().list_tokens(ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].id, listed[0].scopes.len()), (&made.id, 2));
    assert!(listed[0].last_used_at.is_some() && listed[0].expires_at.is_some());
    assert!(!format!("{listed:?}").contains(secret.trim_start_matches("loquat_pat_")));
    let mut stream = program.listens().await;
    let mut socket = Socket::signed_in(town.public, &secret).await;
    let revoke = RevokeTokenRequest { token_id: made.id.clone() };
    assert_eq!(refusal(eve.tokens().revoke_token(revoke.clone()).await), missing("TOKEN_NOT_FOUND"));
    alice.tokens().revoke_token(revoke.clone()).await.unwrap();
    assert_eq!(refusal(stream.next().await), nobody("SESSION_ENDED"));
    while let Ok(_before) = socket.next().await {}
    assert_eq!(socket.close_reason, "the session has ended");
    assert_is_gone(&program).await;
    assert!(Socket::connect(town.public, &[("authorization", &format!("Bearer {secret}"))]).await.is_err());
    alice.tokens().revoke_token(revoke).await.unwrap();
    assert!(alice.tokens().list_tokens(ListTokensRequest {}).await.unwrap().into_inner().tokens.is_empty());
    let wrong = with(&alice, "loquat_pat_nonsense");
    assert_eq!(refusal(wrong.users().get_me(GetMeRequest {}).await), nobody("TOKEN_INVALID"));
    let long = with(&alice, &format!("loquat_pat_{}", "A".repeat(500)));
    assert_eq!(refusal(long.users().get_me(GetMeRequest {}).await), nobody("TOKEN_INVALID"));
}

pub async fn a_token_ends_by_itself(town: Town) {
    let alice = town.registers("alice").await;
    let most = 100;
    let request = |days: u32| CreateTokenRequest {
        name: "a program".into(),
        scopes: vec!["users:read".into()],
        expires_in_days: days,
    };
    for _ in 0..most {
        alice.tokens().create_token(request(0)).await.unwrap();
    }
    let refused = refusal(alice.tokens().create_token(request(1)).await);
    assert_eq!(refused, (Code::ResourceExhausted, "TOO_MANY_TOKENS".into()));
    let listed = alice.tokens().list_tokens(ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert!(listed.iter().all(|token| token.expires_at.is_none()), "these never end");
    assert!(listed.is_sorted_by(|newer, older| newer.id > older.id));
}

pub async fn a_program_listens_on_a_socket(town: Town) {
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let (_, secret) = token(&alice, &["messages:read", "users:read"]).await;
    let mut socket = Socket::signed_in(town.public, &secret).await;
    socket.send(client_frame::Frame::Subscribe(SubscribeRequest::default())).await;
    while !matches!(socket.next().await.unwrap(), Frame::CaughtUp(_)) {}
    alice.says(&room, "hi").await;
    while !matches!(socket.next().await.unwrap(), Frame::Event(_)) {}
    let me: GetMeResponse = socket.call("/loquat.auth.v1.UserService/GetMe", &GetMeRequest {}).await.unwrap();
    assert_eq!(me.user.unwrap().id, alice.user.id);
    let refused = socket
        .call::<_, GetMeResponse>("/loquat.auth.v1.SessionService/ListSessions", &ListSessionsRequest {})
        .await
        .unwrap_err();
    assert_eq!(Code::from(refused.code), Code::PermissionDenied);
}

pub async fn bots_are_accounts_of_programs(town: Town) {
    let (owner, member) = (town.registers("owner").await, town.registers("member").await);
    let new = |name: &str, role: WorkspaceRole| CreateBotRequest {
        username: name.into(),
        role: role.into(),
        ..Default::default()
    };
    assert_eq!(refusal(member.bots().create_bot(new("bot", WorkspaceRole::Member)).await), denied("ROLE_TOO_LOW"));
    let created = owner.bots().create_bot(new("bot", WorkspaceRole::Unspecified)).await.unwrap().into_inner();
    let bot = created.bot.unwrap();
    assert!(bot.bot && bot.role() == WorkspaceRole::Member);
    let wrong = owner.bots().create_bot(new("x bot", WorkspaceRole::Owner)).await.unwrap_err();
    assert_eq!(wrong.get_details_bad_request().unwrap().field_violations.len(), 2);
    let make = |bot_id: &str| CreateBotTokenRequest {
        bot_id: bot_id.into(),
        name: "deploys".into(),
        scopes: ["rooms:write", "messages:write", "messages:read", "users:read"].map(String::from).into(),
        expires_in_days: 0,
    };
    assert_eq!(refusal(member.bots().create_bot_token(make(&bot.id)).await), denied("ROLE_TOO_LOW"));
    assert_eq!(refusal(owner.bots().create_bot_token(make(&member.user.id)).await), missing("USER_NOT_FOUND"));
    let made = owner.bots().create_bot_token(make(&bot.id)).await.unwrap().into_inner();
    let robot = Person::returns(town.public, bot.clone(), made.secret.clone(), String::new());
    let room = member.creates_room("general").await;
    robot.joins(&room).await;
    assert_eq!(robot.says(&room, "deployed").await.author_id, bot.id);
    // Nobody signs in to it with a password.
    let login = proto::auth::v1::LoginRequest { username: "bot".into(), ..Default::default() };
    assert_eq!(refusal(owner.auth().login(login).await), nobody("BAD_CREDENTIALS"));
    let mut stream = robot.listens().await;
    owner.bots().disable_bot(DisableBotRequest { bot_id: bot.id.clone() }).await.unwrap();
    assert_eq!(refusal(stream.next().await), nobody("TOKEN_EXPIRED"));
    assert_is_gone(&robot).await;
    owner.bots().enable_bot(EnableBotRequest { bot_id: bot.id.clone() }).await.unwrap();
    robot.users().get_me(GetMeRequest {}).await.unwrap();
    let not_a_bot = DisableBotRequest { bot_id: member.user.id.clone() };
    assert_eq!(refusal(owner.bots().disable_bot(not_a_bot).await), missing("USER_NOT_FOUND"));
    let tokens = ListBotTokensRequest { bot_id: bot.id.clone() };
    assert_eq!(owner.bots().list_bot_tokens(tokens).await.unwrap().into_inner().tokens.len(), 1);
    let revoke = RevokeBotTokenRequest { bot_id: bot.id.clone(), token_id: made.token.unwrap().id };
    owner.bots().revoke_bot_token(revoke).await.unwrap();
    assert_is_gone(&robot).await;
    let listed = owner.bots().list_bots(ListBotsRequest::default()).await.unwrap().into_inner().bots;
    assert_eq!(listed.iter().map(|bot| bot.username.as_str()).collect::<Vec<_>>(), ["bot"]);
}

/// Within a second. The gateway and the service each hear of it in their own time: who refuses first says it in their own words.
async fn assert_is_gone(robot: &Person) {
    let told = Instant::now() + Duration::from_secs(1);
    let mut answer = robot.users().get_me(GetMeRequest {}).await;
    while answer.is_ok() && Instant::now() < told {
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = robot.users().get_me(GetMeRequest {}).await;
    }
    let refused = refusal(answer);
    assert!(
        [nobody("TOKEN_INVALID"), nobody("SESSION_ENDED"), nobody("TOKEN_EXPIRED")].contains(&refused),
        "{refused:?}"
    );
}
