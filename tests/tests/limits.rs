//! Stories of limits: what is full stays usable for those who are in, and takes the next one when somebody leaves; who asks too
//! much is told when to come back, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{num::NonZeroU32, time::Duration};

use futures::future::join_all;
use mesh::errors::reason;
use proto::{
    auth::v1::{GetMeRequest, GetMeResponse, SearchUsersRequest, user_service_client::UserServiceClient},
    edge::v1::{Hello, SubscribeRequest, client_frame, edge_service_client::EdgeServiceClient},
};
use tests::{
    DEADLINE, Person, Shape, Town,
    cluster::Cluster,
    files::http,
    servers::{Backends, Redis},
    socket::Socket,
    within,
};
use tokio::{task::JoinSet, time::Instant};
use tokio_tungstenite::tungstenite;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const ME: &str = "/loquat.auth.v1.UserService/GetMe";

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
        let me: GetMeResponse = second.call(ME, &GetMeRequest {}).await.unwrap();
        assert_eq!(me.user.unwrap().id, alice.user.id, "who is in goes on");
    }
    assert!(third.try_join_next().is_none(), "there is no place for a third");
    drop(first);
    within("the third gets the place of the first", third.join_next()).await.unwrap().unwrap();
}

/// When to come back, if it was too much of this.
fn refused<T: std::fmt::Debug>(result: Result<T, Status>, wanted: &str) -> Duration {
    let status = result.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, wanted));
    let after = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    after.filter(|after| !after.is_zero()).expect("when to come back")
}

async fn me(person: &Person) -> Result<String, Status> {
    let answer = UserServiceClient::new(person.channel()).get_me(GetMeRequest {}).await?;
    Ok(answer.into_inner().user.unwrap_or_default().id)
}

/// Few calls a second, so that what is refused is not let through again while the test looks at it.
fn few(config: &mut server::config::Config) {
    config.gateway.limits.calls_per_account = 2;
    config.gateway.limits.burst_seconds = NonZeroU32::new(10).unwrap();
}

async fn a_flood_is_told_when_to_come_back(shape: Shape) {
    let town = Town::start_with(shape, few).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let mut socket = Socket::signed_in(town.public, &alice.token).await;
    let answers = join_all((0..200).map(|_| me(&alice))).await;
    let (done, told): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(done.len() >= 20 && !told.is_empty(), "{} were done", done.len());
    let last = told.into_iter().map(|answer| refused(answer, "CALLS_PER_ACCOUNT")).max().unwrap();
    assert!(last <= Duration::from_millis(500), "{last:?}");
    // Over every way in, and for a program of theirs as for themselves.
    let over_the_socket = async {
        loop {
            if let Err(status) = socket.call::<_, GetMeResponse>(ME, &GetMeRequest {}).await {
                return status;
            }
        }
    };
    assert_eq!(within("a refusal", over_the_socket).await.code, i32::from(Code::ResourceExhausted));
    let over_http = async {
        loop {
            let answer = alice.gets("/files/00000000-0000-7000-8000-000000000000", &[]).await;
            if answer.status() != 404 {
                return answer;
            }
        }
    };
    let answer = within("a refusal", over_http).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(problem["reason"], "CALLS_PER_ACCOUNT");
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|after| after > 0), "{problem}");
    // Nobody else notices.
    let started = Instant::now();
    assert_eq!(me(&bob).await.unwrap(), bob.user.id);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let page = http(town.ops, http::Request::builder(), "/metrics", "").await;
    let page = String::from_utf8(page.into_body().to_vec()).unwrap();
    assert!(page.contains("loquat_gateway_limited_total{limit=\"CALLS_PER_ACCOUNT\"}"), "{page}");
    // Who waits as told is served.
    tokio::time::sleep(last).await;
    within("alice is served again", async { while me(&alice).await.is_err() {} }).await;
    let again: GetMeResponse = within("the socket as well", async {
        loop {
            if let Ok(answer) = socket.call(ME, &GetMeRequest {}).await {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(again.user.unwrap().id, alice.user.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_told_when_to_come_back_by_one_process() {
    a_flood_is_told_when_to_come_back(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_told_when_to_come_back_by_roles_apart() {
    a_flood_is_told_when_to_come_back(Shape::Split).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_more_has_limits_of_its_own() {
    let town = Town::start_with(Shape::Embedded, |config| {
        let limits = &mut config.gateway.limits;
        (limits.rooms_per_account, limits.searches_per_account, limits.uploads_per_account) = (1, 1, 1);
        limits.invitations_per_account = 1;
        limits.sends_per_account = 1;
        limits.burst_seconds = NonZeroU32::MIN;
    })
    .await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    let create = proto::chat::v1::CreateRoomRequest { name: "more".into(), kind: room.kind, ..Default::default() };
    refused(alice.rooms().create_room(create).await, "ROOMS_PER_ACCOUNT");
    let mut users = UserServiceClient::new(alice.channel());
    users.search_users(SearchUsersRequest::default()).await.unwrap();
    refused(users.search_users(SearchUsersRequest::default()).await, "SEARCHES_PER_ACCOUNT");
    let create = || tests::files::create(&room, 3, Some("a.txt"));
    alice.files().create_upload(create()).await.unwrap();
    refused(alice.files().create_upload(create()).await, "UPLOADS_PER_ACCOUNT");
    let tus = http::Request::builder()
        .method("POST")
        .header("authorization", format!("Bearer {}", alice.token))
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "3");
    let answer = http(town.public, tus, "/files", "").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["tus-resumable"].as_bytes()), (429, &b"1.0.0"[..]));
    // A socket is no way around it.
    let mut socket = Socket::signed_in(town.public, &alice.token).await;
    let send = |text: &str| proto::chat::v1::SendMessageRequest {
        room_id: room.id.clone(),
        text: text.into(),
        op_id: tests::op_id(),
        file_ids: Vec::new(),
    };
    let method = "/loquat.chat.v1.MessageService/SendMessage";
    socket.call::<_, proto::chat::v1::SendMessageResponse>(method, &send("one")).await.unwrap();
    let on_and_on = async {
        loop {
            if let refused @ Err(_) = alice.tries_to_say(&room, "two", &tests::op_id()).await {
                return refused;
            }
        }
    };
    refused(within("a refusal", on_and_on).await, "SENDS_PER_ACCOUNT");
    // Everything else goes on, for alice and for others.
    me(&alice).await.unwrap();
    bob.joins(&room).await;
    bob.says(&room, "mine").await;
    let read = alice.reads(&room).await;
    assert_eq!((read.first().unwrap().as_str(), read.last().unwrap().as_str()), ("one", "mine"));
}

/// What a stream over gRPC answers with.
async fn subscribes(person: &Person) -> Result<tonic::Streaming<proto::edge::v1::ServerFrame>, Status> {
    let mut edge = EdgeServiceClient::new(person.channel());
    edge.subscribe(SubscribeRequest::default()).await.map(tonic::Response::into_inner)
}

/// The HTTP status of an upgrade, and when to come back.
async fn upgrade(person: &Person) -> Result<Socket, (u16, String)> {
    let bearer = format!("Bearer {}", person.token);
    match Socket::connect(person.address, &[("authorization", bearer.as_str())]).await {
        Ok(socket) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => {
            let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
            Err((answer.status().as_u16(), after.unwrap_or_default().to_owned()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_socket_too_many_of_an_account_is_refused_with_a_reason() {
    let town = Town::start_with(Shape::Embedded, |config| config.gateway.limits.sockets_per_account = 3).await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let mut sockets = vec![upgrade(&alice).await.unwrap(), upgrade(&alice).await.unwrap()];
    // Streams are sockets to whoever serves them.
    let stream = subscribes(&alice).await.unwrap();
    refused(subscribes(&alice).await, "SOCKETS_PER_ACCOUNT");
    assert_eq!(upgrade(&alice).await.err().unwrap(), (429, "5".into()));
    let mut late = Socket::connect(town.public, &[]).await.unwrap();
    late.send(client_frame::Frame::Hello(Hello { access_token: alice.token.clone() })).await;
    assert_eq!(late.next().await.unwrap_err().code, 4429);
    assert!(late.close_reason.starts_with("SOCKETS_PER_ACCOUNT"), "{}", late.close_reason);
    // Those that are open, and others, go on.
    let me: GetMeResponse = sockets[1].call(ME, &GetMeRequest {}).await.unwrap();
    assert_eq!(me.user.unwrap().id, alice.user.id);
    let mut bobs = upgrade(&bob).await.unwrap();
    bobs.call::<_, GetMeResponse>(ME, &GetMeRequest {}).await.unwrap();
    // Whatever ends leaves its place.
    drop(stream);
    sockets.push(within("the place of the stream", opens(&alice)).await);
    drop(sockets.swap_remove(0));
    within("the place of the socket", opens(&alice)).await;
}

/// Tries until a place is free.
async fn opens(person: &Person) -> Socket {
    loop {
        if let Ok(socket) = upgrade(person).await {
            return socket;
        }
    }
}

/// Tries until there is no place. What one gateway says of its sockets when one is opened may come before what it said a moment earlier:
/// it says so again a second later.
async fn is_refused(person: &Person) -> u16 {
    loop {
        match upgrade(person).await {
            Ok(socket) => drop(socket),
            Err((status, _)) => return status,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Calls a method that is open to everybody, as from an address.
async fn from(town: &Town, address: &str) -> Result<(), Status> {
    let mut request = Request::new(proto::auth::v1::GetSignInOptionsRequest {});
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    let mut auth = proto::auth::v1::auth_service_client::AuthServiceClient::new(town.channel());
    auth.get_sign_in_options(request).await.map(drop)
}

/// Calls on and on, as from an address, and tells when to come back.
async fn floods(town: &Town, address: &str) -> Duration {
    let flooding = async {
        loop {
            let answer = from(town, address).await;
            if answer.is_err() {
                return refused(answer, "CALLS_PER_ADDRESS");
            }
        }
    };
    within("a refusal", flooding).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_behind_a_proxy_that_is_trusted_counts_and_no_other() {
    let limits = |config: &mut server::config::Config| {
        config.gateway.limits.calls_per_address = 1;
        config.gateway.limits.burst_seconds = NonZeroU32::new(5).unwrap();
        config.gateway.limits.sockets_per_address = 1;
    };
    let trusting = Town::start_with(Shape::Embedded, |config| {
        limits(config);
        config.gateway.trusted_proxies = vec!["127.0.0.1".to_owned()].try_into().unwrap();
    })
    .await;
    let after = floods(&trusting, "2001:db8:1:2::1").await;
    assert!(after <= Duration::from_secs(1), "{after:?}");
    // The whole network of a host, and what stands further left anybody may have written.
    for address in ["2001:db8:1:2:ffff::9", "198.51.100.7, 2001:db8:1:2::1"] {
        let mut tries = 0;
        while from(&trusting, address).await.is_ok() {
            tries += 1;
            assert!(tries < 4, "{address} has a burst of its own");
        }
    }
    for address in ["2001:db8:1:3::1", "2001:db8:1:2::1, 198.51.100.7"] {
        from(&trusting, address).await.unwrap();
    }
    // Sockets that say not yet whose they are, too.
    let connects =
        async |address: &'static str| Socket::connect(trusting.public, &[("x-forwarded-for", address)]).await;
    let open = connects("203.0.113.1").await.unwrap();
    assert!(matches!(connects("203.0.113.1").await, Err(tungstenite::Error::Http(answer)) if answer.status() == 429));
    connects("203.0.113.2").await.unwrap();
    drop(open);
    // Without a proxy that is trusted, everybody here is on this machine, whatever they say.
    let wary = Town::start_with(Shape::Embedded, limits).await;
    for answer in join_all((0..50).map(|_| from(&wary, "203.0.113.1"))).await {
        answer.unwrap();
    }
}

/// Calls at a gateway at a pace that its own count allows for long, and tells how many were served before one was refused.
async fn served(person: &Person, pause: Duration) -> usize {
    let counting = async {
        let mut served = 0;
        while me(person).await.is_ok() {
            served += 1;
            tokio::time::sleep(pause).await;
        }
        served
    };
    within("the other gateway knows", counting).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_count_together_and_alone_when_redis_is_away() {
    let mut redis = Redis::start().await;
    let mut cluster = Cluster::start_with(Backends::on_redis(redis.url()).await, |config| {
        config.gateway.limits.calls_per_account = 10;
        config.gateway.limits.burst_seconds = NonZeroU32::new(20).unwrap();
        config.gateway.limits.sockets_per_account = 4;
    })
    .await;
    let near = cluster.registers("alice").await;
    let far = cluster.far(&near);
    // Sockets are asked about when they are opened.
    let mut sockets = Vec::new();
    for person in [&near, &near, &near, &far] {
        sockets.push(opens(person).await);
    }
    assert_eq!(within("a refusal there", is_refused(&far)).await, 429);
    assert_eq!(within("a refusal here", is_refused(&near)).await, 429);
    drop(sockets.swap_remove(0));
    sockets.push(within("a place that was left at the other gateway", opens(&far)).await);
    // What was asked for at one gateway is known at the other a second later, and not only what was asked for there.
    let answers = join_all((0..400).map(|_| me(&near))).await;
    refused(answers.into_iter().find(Result::is_err).expect("some are refused"), "CALLS_PER_ACCOUNT");
    let served_far = served(&far, Duration::from_millis(50)).await;
    assert!(served_far < 100, "{served_far} of the 200 that it allows alone");
    drop(sockets);
    redis.kill();
    // Each goes on by itself: bob was nowhere yet, and has a whole burst at both.
    let bob = Person::registers(near.address, "bob").await;
    for person in [&bob, &cluster.far(&bob)] {
        let started = Instant::now();
        let answers = join_all((0..400).map(|_| me(person))).await;
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((200..400).contains(&done), "{done}");
        assert!(started.elapsed() < DEADLINE);
        refused(answers.into_iter().find(Result::is_err).expect("some are refused"), "CALLS_PER_ACCOUNT");
    }
    let mut alone = Vec::new();
    for _ in 0..4 {
        alone.push(upgrade(&bob).await.unwrap());
    }
    assert_eq!(upgrade(&bob).await.err().unwrap().0, 429);
    alone.push(upgrade(&cluster.far(&bob)).await.unwrap());
    drop(alone);
    cluster.stops().await;
}
