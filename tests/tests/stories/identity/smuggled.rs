//! What somebody says of themselves beside their token: in headers that proxies of other makes set, in those that our own roles set,
//! in a second token. Whoever calls stays who their one token says, or nobody, at the gateway and at every service's own port.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderName;
use proto::{
    auth::v1::{
        GetMeRequest, GetMeResponse, ListSessionsRequest, ListUsersRequest, RefreshRequest,
        admin_service_client::AdminServiceClient, auth_service_client::AuthServiceClient,
        user_service_client::UserServiceClient,
    },
    chat::v1::{ListRoomsRequest, room_service_client::RoomServiceClient},
    edge::v1::{Call, client_frame},
    file::v1::{GetFileRequest, file_service_client::FileServiceClient},
    worker::v1::{ListQueuesRequest, job_service_client::JobServiceClient},
};
use server::config::Role;
use tests::{
    Forge, Person, Shape, Town,
    socket::{Closed, Socket},
    town,
};
use tonic::{Request, Status, transport::Channel};

use super::{Accounts as _, denied, nobody, refusal, wire, with};

const GET_ME: &str = "/loquat.auth.v1.UserService/GetMe";
const FORGED: &str = "203.0.113.99";

type Header = (&'static str, String);

/// Everything by which somebody might be taken for the owner, each alone.
fn claims(owner: &Person) -> Vec<Header> {
    let bearer = format!("Bearer {}", owner.token);
    let id = || owner.user.id.clone();
    let name = || "owner".to_owned();
    let token = || owner.token.clone();
    vec![
        // Our roles know three of these; none is taken from outside, nor is one that may come to be known.
        ("x-loquat-address", FORGED.into()),
        ("x-loquat-agent", "forged".into()),
        ("x-loquat-edge", token()),
        ("x-loquat-user", id()),
        ("x-loquat-user-id", id()),
        ("x-loquat-user-bin", BASE64_STANDARD.encode(id())),
        ("x-loquat-session", id()),
        ("x-loquat-role", name()),
        ("x-loquat-scope", "admin:read admin:write".into()),
        ("x-loquat-service", "gateway".into()),
        ("x-loquat-principal", "service:gateway".into()),
        ("x-loquat-origin", FORGED.into()),
        ("x-loquat-authorization", bearer.clone()),
        ("authorization-bin", BASE64_STANDARD.encode(&bearer)),
        ("proxy-authorization", bearer.clone()),
        ("x-authorization", bearer.clone()),
        ("x-original-authorization", bearer.clone()),
        ("x-forwarded-authorization", bearer),
        ("x-access-token", token()),
        ("x-auth-token", token()),
        ("x-api-key", token()),
        ("x-forwarded-access-token", token()),
        ("x-forwarded-user", name()),
        ("x-forwarded-preferred-username", name()),
        ("x-forwarded-client-cert", "By=spiffe://loquat/auth;URI=spiffe://loquat/gateway".into()),
        ("x-auth-request-user", name()),
        ("x-remote-user", name()),
        ("remote-user", name()),
        ("x-user", name()),
        ("x-user-id", id()),
        ("cookie", format!("loquat={0}; __Host-loquat={0}", owner.refresh_token)),
    ]
}

/// Each claim alone, and all at once.
fn smuggled(owner: &Person) -> Vec<(String, Vec<Header>)> {
    let all = claims(owner);
    let alone = all.iter().map(|header| (header.0.to_owned(), vec![header.clone()]));
    alone.chain([("all of them".to_owned(), all.clone())]).collect()
}

/// A call with these headers, and with a token if there is one.
fn carrying<T>(message: T, headers: &[Header], token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    let written: &mut http::HeaderMap = request.metadata_mut().as_mut();
    for (name, value) in headers.iter().cloned() {
        written.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    if let Some(token) = token {
        written.append(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// Who somebody is to whoever answers there.
async fn who(channel: &Channel, headers: &[Header], token: Option<&str>) -> Result<String, Status> {
    let request = carrying(GetMeRequest {}, headers, token);
    Ok(UserServiceClient::new(channel.clone()).get_me(request).await?.into_inner().user.unwrap().id)
}

/// Two people and a server whose roles are apart.
async fn people() -> (Town, Person, Person) {
    let town = Town::start(Shape::Split).await;
    let (owner, eve) = (town.registers("owner").await, town.registers("eve").await);
    (town, owner, eve)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_somebody_else_by_a_header() {
    let (town, owner, eve) = people().await;
    owner.creates_private_room("of the owner").await;
    let apart = |role: Role| town::channel(town.service(role));
    let (auth, chat, file, worker) = (apart(Role::Auth), apart(Role::Chat), apart(Role::File), apart(Role::Worker));
    let gateway = town.channel();
    let hers = Some(eve.token.as_str());
    for (what, headers) in smuggled(&owner) {
        for (port, channel) in [("the gateway", &gateway), ("auth-svc", &auth)] {
            let missing = refusal(who(channel, &headers, None).await);
            assert_eq!(missing, nobody("TOKEN_MISSING"), "{what} at {port}");
            assert_eq!(who(channel, &headers, hers).await.unwrap(), eve.user.id, "{what} at {port}");
            let users = carrying(ListUsersRequest::default(), &headers, hers);
            let refused = refusal(AdminServiceClient::new(channel.clone()).list_users(users).await);
            assert_eq!(refused, denied("ROLE_TOO_LOW"), "{what} at {port}");
        }
        for (port, channel) in [("the gateway", &gateway), ("chat-svc", &chat)] {
            let list = |token| carrying(ListRoomsRequest::default(), &headers, token);
            let mut rooms = RoomServiceClient::new(channel.clone());
            assert_eq!(refusal(rooms.list_rooms(list(None)).await), nobody("TOKEN_MISSING"), "{what} at {port}");
            let rooms = rooms.list_rooms(list(hers)).await.unwrap().into_inner().rooms;
            assert!(rooms.is_empty(), "{what} at {port}: {rooms:?}");
        }
        for (port, channel) in [("the gateway", &gateway), ("file-svc", &file)] {
            let get = carrying(GetFileRequest { file_id: tests::op_id() }, &headers, None);
            let refused = refusal(FileServiceClient::new(channel.clone()).get_file(get).await);
            assert_eq!(refused, nobody("TOKEN_MISSING"), "{what} at {port}");
        }
        for (port, channel) in [("the gateway", &gateway), ("worker-svc", &worker)] {
            let list = |token| carrying(ListQueuesRequest {}, &headers, token);
            let mut jobs = JobServiceClient::new(channel.clone());
            assert_eq!(refusal(jobs.list_queues(list(None)).await), nobody("TOKEN_MISSING"), "{what} at {port}");
            assert_eq!(refusal(jobs.list_queues(list(hers)).await), denied("ROLE_TOO_LOW"), "{what} at {port}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_tokens_none_counts() {
    let (town, owner, eve) = people().await;
    let bearer = |person: &Person| ("authorization", format!("Bearer {}", person.token));
    let invalid = nobody("TOKEN_INVALID");
    let doors = [("the gateway", town.channel()), ("auth-svc", town::channel(town.service(Role::Auth)))];
    for (first, second) in [(&owner, &eve), (&eve, &owner), (&eve, &eve)] {
        for (port, channel) in &doors {
            let twice = refusal(who(channel, &[bearer(first), bearer(second)], None).await);
            assert_eq!(twice, invalid, "in two headers at {port}");
            let joined = format!("Bearer {}, Bearer {}", first.token, second.token);
            let joined = refusal(who(channel, &[("authorization", joined)], None).await);
            assert_eq!(joined, invalid, "in one header at {port}");
        }
        let twice = [
            format!("Authorization: Bearer {}", first.token),
            format!("AUTHORIZATION: Bearer {}", second.token),
            "upgrade: websocket".into(),
            "connection: close, upgrade".into(),
            "sec-websocket-version: 13".into(),
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==".into(),
        ];
        let called = wire::calls(town.public, GET_ME, &twice[..2]).await;
        assert!(called.to_lowercase().contains("grpc-status: 16"), "{called}");
        for request in ["GET /ws".to_owned(), format!("GET /files/{}", tests::op_id())] {
            let answer = wire::asks(town.public, &request, &twice).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{request}: {answer}");
        }
    }
}

/// Names of headers are the same in any case, which HTTP/2 does not even carry, and not the same with other letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_header_is_written_it_says_nothing() {
    let (town, owner, eve) = people().await;
    let (token, id) = (&owner.token, &owner.user.id);
    let lines = [
        format!("X-LOQUAT-USER: {id}"),
        format!("X-Loquat-Edge: {token}"),
        "x-LoQuAt-RoLe: owner".into(),
        format!("X_LOQUAT_USER: {id}"),
        format!("X-Loquat-User:{id}\r\nx-loquat-user:\t{id}"),
        format!("X-USER-ID: {id}"),
        "REMOTE-USER: owner".into(),
        format!("X-AUTHORIZATION: Bearer {token}"),
        format!("COOKIE: loquat={}", owner.refresh_token),
    ];
    let hers = format!("aUTHORIZATION: bEARER {}", eve.token);
    for line in &lines {
        let answer = wire::calls(town.public, GET_ME, std::slice::from_ref(line)).await.to_lowercase();
        assert!(answer.contains("grpc-status: 16") && !answer.contains(id.as_str()), "{line}: {answer}");
        for both in [[hers.clone(), line.clone()], [line.clone(), hers.clone()]] {
            let answer = wire::calls(town.public, GET_ME, &both).await.to_lowercase();
            assert!(answer.contains(&eve.user.id) && !answer.contains(id.as_str()), "{line}: {answer}");
        }
    }
    // Two servers in a row could read these as two different things.
    for line in [format!("x-loquat-user : {id}"), format!("{hers}\r\ncontent-length: 4")] {
        let answer = wire::calls(town.public, GET_ME, std::slice::from_ref(&line)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_of_whom_its_token_says() {
    let (town, owner, eve) = people().await;
    let bearer = format!("Bearer {}", eve.token);
    let call = || client_frame::Frame::Call(Call { id: 1, method: GET_ME.into(), ..Default::default() });
    for (what, headers) in smuggled(&owner) {
        let written: Vec<(&'static str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let with_hers = [written.as_slice(), &[("authorization", bearer.as_str())]].concat();
        let mut socket = Socket::connect(town.public, &with_hers).await.unwrap();
        let me: GetMeResponse = socket.call(GET_ME, &GetMeRequest {}).await.unwrap();
        assert_eq!(me.user.unwrap().id, eve.user.id, "{what}");
        // A cookie signs in where it comes from a page of ours, which this is not.
        match Socket::connect(town.public, &written).await {
            Ok(mut socket) => {
                socket.send(call()).await;
                assert_eq!(socket.next().await.unwrap_err(), Closed { code: 4401 }, "{what}");
            }
            Err(_) => assert!(headers.iter().any(|(name, _)| *name == "cookie"), "{what} is no reason to refuse"),
        }
    }
}

/// Only the edge says from where somebody calls, and proves that it is the edge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_where_somebody_calls_is_not_theirs_to_say() {
    let (town, owner, eve) = people().await;
    let auth = town::channel(town.service(Role::Auth));
    let gateways = Forge::of(&town).service_token("gateway");
    let mut refresh_token = eve.refresh_token.clone();
    let proofs = [None, Some("forged"), Some(&*eve.token), Some(&*owner.token), Some("gateway"), Some(&*gateways)];
    for proof in proofs {
        for (is_apart, channel) in [(false, town.channel()), (true, auth.clone())] {
            let mut headers = vec![("x-loquat-address", FORGED.to_owned()), ("x-loquat-agent", "forged".to_owned())];
            headers.extend(proof.map(|proof| ("x-loquat-edge", proof.to_owned())));
            let request = carrying(RefreshRequest { refresh_token }, &headers, None);
            let renewed = AuthServiceClient::new(channel).refresh(request).await.unwrap().into_inner();
            let eve = with(&eve, &renewed.access_token);
            let listed = eve.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
            let addresses: Vec<&str> = listed.iter().map(|session| session.address.as_str()).collect();
            // With what only the edge has it is believed where only the edge calls: these are the right headers.
            let expected = if is_apart && proof == Some(&*gateways) { FORGED } else { "127.0.0.1" };
            assert_eq!(addresses, [expected], "{proof:?}");
            refresh_token = renewed.refresh_token;
        }
    }
    let listed = owner.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    assert_eq!(listed.len(), 1, "nobody has become the owner");
    let edge = refusal(who(&auth, &[], Some(gateways.as_str())).await);
    assert_eq!(edge, nobody("TOKEN_INVALID"), "the edge itself has no account");
}
