//! What stands behind the services breaks: Redis costs nothing but speed, PostgreSQL refuses politely, and both come back
//! without anybody's help. Each story breaks servers of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use proto::{
    chat::v1::{self as chat, Room, event::Body},
    edge::v1::{Ping, SubscribeRequest, client_frame, server_frame::Frame},
};
use tests::{
    DEADLINE, Person,
    cluster::Cluster,
    op_id,
    person::Listener,
    proxy::Proxy,
    servers::{Backends, Postgres, Redis},
    socket::Socket,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn texts(person: &Person, room: &Room) -> Vec<String> {
    let request = chat::ListMessagesRequest { room_id: room.id.clone(), page_size: 200, ..Default::default() };
    let page = person.messages().list_messages(request).await.unwrap().into_inner();
    assert!(!page.more);
    page.messages.into_iter().map(|message| message.text).collect()
}

mod redis {
    use super::*;

    /// Two people, each at a gateway and a chat-svc of their own.
    struct Pair {
        cluster: Cluster,
        near: Person,
        far: Person,
        near_listens: Listener,
        far_listens: Listener,
        room: Room,
        said: usize,
    }

    impl Pair {
        async fn on(url: String) -> Self {
            let cluster = Cluster::start(Backends::on_redis(url).await).await;
            let near = cluster.registers("near").await;
            let far = cluster.far(&cluster.registers("far").await);
            let room = near.creates_room("general").await;
            far.joins(&room).await;
            let (near_listens, far_listens) = (near.listens().await, far.listens().await);
            let mut pair = Self { cluster, near, far, near_listens, far_listens, room, said: 0 };
            pair.hints_come().await;
            pair
        }

        /// Each says something that the other one sees. Returns how long the slower of the two took from answer to sight.
        async fn crosses(&mut self) -> Duration {
            let mut slowest = Duration::ZERO;
            for back in [false, true] {
                self.said += 1;
                let text = format!("{}", self.said);
                let (sender, listener) = match back {
                    false => (&self.near, &mut self.far_listens),
                    true => (&self.far, &mut self.near_listens),
                };
                let started = Instant::now();
                sender.says(&self.room, &text).await;
                let sent = started.elapsed();
                assert!(sent < Duration::from_secs(2), "sent in {sent:?}");
                let started = Instant::now();
                listener.sees(&text).await;
                slowest = slowest.max(started.elapsed());
            }
            slowest
        }

        /// Hints are used: without them every crossing waits for the next look at the log, a second apart.
        async fn hints_come(&mut self) {
            let started = Instant::now();
            loop {
                let began = Instant::now();
                for _ in 0..4 {
                    self.crosses().await;
                }
                if began.elapsed() < Duration::from_millis(2500) {
                    return;
                }
                assert!(started.elapsed() < DEADLINE, "hints do not come back");
            }
        }

        /// Nothing but speed is lost.
        async fn goes_on(&mut self) {
            for _ in 0..3 {
                let took = self.crosses().await;
                assert!(took < Duration::from_secs(3), "seen after {took:?}");
                let started = Instant::now();
                assert_eq!(texts(&self.near, &self.room).await.len(), self.said);
                assert!(started.elapsed() < Duration::from_secs(2), "history after {:?}", started.elapsed());
            }
            // Limits are counted by the process alone.
            let started = Instant::now();
            Person::signs_in(self.cluster.gateways[0], "near").await;
            assert!(started.elapsed() < Duration::from_secs(5), "signed in after {:?}", started.elapsed());
        }

        /// All of it came, in one order, over the very streams that were open all the time.
        async fn ends(mut self) {
            let stored = texts(&self.far, &self.room).await;
            assert_eq!(stored.len(), self.said);
            for listener in [&mut self.near_listens, &mut self.far_listens] {
                // Its own last word may still be on the way.
                listener.sees(&stored[stored.len() - 1]).await;
                assert_eq!(listener.texts(&self.room.id), stored);
            }
            self.cluster.stops().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed() {
        let mut redis = Redis::start().await;
        let mut pair = Pair::on(redis.url()).await;
        redis.kill();
        pair.goes_on().await;
        redis.restart().await;
        pair.hints_come().await;
        pair.ends().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frozen() {
        let redis = Redis::start().await;
        let mut pair = Pair::on(redis.url()).await;
        redis.stop();
        pair.goes_on().await;
        redis.cont();
        pair.hints_come().await;
        pair.ends().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow() {
        let redis = Redis::start().await;
        let proxy = Proxy::to(loopback(redis.port())).await;
        let mut pair = Pair::on(format!("redis://{}", proxy.address())).await;
        proxy.delay(Duration::from_millis(500));
        pair.goes_on().await;
        proxy.heal().await;
        pair.hints_come().await;
        pair.ends().await;
    }
}

mod postgres {
    use super::*;

    /// How long a refusal may take: two seconds, and what a busy machine adds.
    const REFUSED_WITHIN: Duration = Duration::from_millis(2500);

    fn is_polite(refused: &Status, took: Duration, what: &str) {
        assert_eq!(refused.code(), Code::Unavailable, "{what}: {refused:?}");
        assert!(refused.get_details_retry_info().is_some(), "{what} says when to come back: {refused:?}");
        assert!(took < REFUSED_WITHIN, "{what} took {took:?}");
    }

    /// People with open streams, and what they tried to say.
    struct Scene {
        cluster: Cluster,
        near: Person,
        far: Person,
        listens: Listener,
        socket: Socket,
        /// The messages that came over the socket.
        heard: Vec<String>,
        room: Room,
        /// Whom it was refused, what they tried to say, and the operation.
        refused: Vec<(Person, String, String)>,
    }

    impl Scene {
        async fn on(backends: Backends) -> Self {
            let cluster = Cluster::start(backends).await;
            let near = cluster.registers("near").await;
            let far = cluster.far(&cluster.registers("far").await);
            let room = near.creates_room("general").await;
            far.joins(&room).await;
            let mut listens = near.listens().await;
            let mut socket = Socket::signed_in(far.address, &far.token).await;
            socket.send(client_frame::Frame::Subscribe(SubscribeRequest::default())).await;
            while !matches!(socket.next().await.unwrap(), Frame::CaughtUp(_)) {}
            near.says(&room, "before").await;
            far.says(&room, "before as well").await;
            listens.sees("before as well").await;
            Self { cluster, near, far, listens, socket, heard: Vec::new(), room, refused: Vec::new() }
        }

        /// The next frame of the socket.
        async fn hears(&mut self) -> Frame {
            let frame = self.socket.next().await.expect("the socket stays open");
            if let Frame::Event(event) = &frame
                && let Some(Body::MessagePosted(posted)) = &event.body
            {
                self.heard.push(posted.message.clone().unwrap_or_default().text);
            }
            frame
        }

        /// Everything that needs the database is refused in time, and nothing else breaks.
        async fn refuses(&mut self) {
            for round in 0..2 {
                let tries = (0..6).map(|number| {
                    let person = if number % 2 == 0 { &self.near } else { &self.far };
                    (person.clone(), format!("{round}.{number}"), op_id())
                });
                let tries: Vec<_> = tries.collect();
                let sends = tries.iter().map(async |(person, text, op)| {
                    let started = Instant::now();
                    let refused = person.tries_to_say(&self.room, text, op).await.unwrap_err();
                    is_polite(&refused, started.elapsed(), "a send");
                });
                let pages = [&self.near, &self.far].map(async |person| {
                    let started = Instant::now();
                    let request = chat::ListMessagesRequest { room_id: self.room.id.clone(), ..Default::default() };
                    let refused = person.messages().list_messages(request).await.unwrap_err();
                    is_polite(&refused, started.elapsed(), "a page");
                });
                let lists = [&self.near, &self.far].map(async |person| {
                    let started = Instant::now();
                    let refused = person.rooms().list_rooms(chat::ListRoomsRequest::default()).await.unwrap_err();
                    is_polite(&refused, started.elapsed(), "the list of rooms");
                });
                tokio::join!(join_all(sends), join_all(pages), join_all(lists));
                self.refused.extend(tries);
                // The socket lives: it answers, without any need of a database.
                self.socket.send(client_frame::Frame::Ping(Ping { nonce: 7, cursors: Vec::new() })).await;
                while !matches!(self.hears().await, Frame::Pong(pong) if pong.nonce == 7) {}
            }
            assert!(timeout(Duration::from_millis(100), self.listens.next()).await.is_err(), "the stream stays open");
        }

        /// Everything works again by itself, and what was refused can be tried again.
        async fn recovers(mut self) {
            let returned = Instant::now();
            for person in [&self.near, &self.far] {
                let (text, op) = (format!("{} is back", person.user.username), op_id());
                while let Err(cause) = person.tries_to_say(&self.room, &text, &op).await {
                    assert_eq!(cause.code(), Code::Unavailable, "{cause:?}");
                    assert!(returned.elapsed() < Duration::from_secs(10), "writes work again: {cause:?}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
            let took = returned.elapsed();
            assert!(took < Duration::from_secs(10), "writes work again after {took:?}");
            // Some of it may have happened although nobody could say so: once, and the same for whoever asks again.
            for (person, text, op) in &self.refused {
                let first = person.tries_to_say(&self.room, text, op).await.unwrap();
                let elsewhere = if person.address == self.near.address { self.far.address } else { self.near.address };
                assert_eq!(person.at(elsewhere).tries_to_say(&self.room, text, op).await.unwrap(), first);
            }
            let last = self.near.says(&self.room, "after").await;
            let stored = texts(&self.far, &self.room).await;
            let mut sorted = stored.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((stored.len(), sorted.len()), (2 + 2 + self.refused.len() + 1, stored.len()), "{stored:?}");
            // The same stream and the same socket bring all of it, in one order, without a hole.
            self.listens.reaches(&self.room.id, last.seq).await;
            assert_eq!(self.listens.texts(&self.room.id), stored);
            while self.heard.len() < stored.len() {
                self.hears().await;
            }
            assert_eq!(self.heard, stored);
            Person::signs_in(self.cluster.gateways[1], "near").await;
            self.cluster.stops().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed() {
        let mut postgres = Postgres::start().await;
        let mut scene = Scene::on(Backends::on_postgres(&postgres).await).await;
        postgres.kill();
        scene.refuses().await;
        postgres.restart().await;
        scene.recovers().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frozen() {
        let postgres = Postgres::start().await;
        let mut scene = Scene::on(Backends::on_postgres(&postgres).await).await;
        postgres.stop();
        scene.refuses().await;
        postgres.cont();
        scene.recovers().await;
    }

    async fn behind_a_proxy() -> (Postgres, Proxy, Scene) {
        let postgres = Postgres::start().await;
        let proxy = Proxy::to(loopback(postgres.port())).await;
        let backends = Backends::on_postgres(&postgres).await.through(postgres.port(), proxy.address().port());
        let scene = Scene::on(backends).await;
        (postgres, proxy, scene)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn cut_off() {
        let (_postgres, proxy, mut scene) = behind_a_proxy().await;
        proxy.cut().await;
        scene.refuses().await;
        proxy.heal().await;
        scene.recovers().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn unreachable() {
        let (_postgres, proxy, mut scene) = behind_a_proxy().await;
        proxy.stall();
        scene.refuses().await;
        proxy.heal().await;
        scene.recovers().await;
    }
}
