//! Goal 14: a crowd signs in at once while others talk. Hashing a password takes 19 MiB and tens of milliseconds; neither may be
//! felt by who is there already.

use std::{net::SocketAddr, thread::JoinHandle, time::Duration};

use proto::auth::v1::{LoginRequest, auth_service_client::AuthServiceClient};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use super::{Bench, Limit, median};
use crate::{
    Person,
    load::{
        run::{Load, open_loop},
        server::status_mib,
        setup::Shape,
        swarm::Swarm,
        target::{Kind, Target},
    },
    person::PASSWORD,
    town,
};

const TALK: Shape = Shape { rooms: 1, members: 100 };
/// Deliveries a second meanwhile.
const RATE: f64 = 5_000.0;
const CROWD: usize = 500;
const CONNECTIONS: usize = 10;
/// Who hashes at a time on the server's one core.
const PERMITS: f64 = 1.0;
/// What one hash takes.
const HASH_MIB: f64 = 19.0;
/// What 500 calls under way may hold otherwise.
const CALLS_MIB: f64 = 64.0;

pub(super) fn measure(bench: &mut Bench) {
    let (target, mut swarm) = bench.target(Kind::Embedded, TALK);
    bench.runtime.block_on(Person::registers(target.address, "crowd"));
    let alone = median((0..bench.rounds).map(|_| latency(bench, &target, &mut swarm)).collect::<Vec<_>>());
    let pid = target.own_pids()[0];
    let before = status_mib(pid, "VmRSS");
    let (mut beside, mut signed_in) = (Vec::new(), 0);
    for _ in 0..bench.rounds {
        let crowd = Crowd::begins(target.address);
        beside.push(latency(bench, &target, &mut swarm));
        signed_in += crowd.ends();
    }
    assert!(signed_in > 0, "nobody has signed in, so nothing was measured");
    let beside = median(beside);
    let more = status_mib(pid, "VmHWM") - before;
    let note = format!("{beside:.2} ms / {alone:.2} ms, {signed_in} signed in meanwhile");
    bench.noted(14, "p99 at 5,000/s with 500 log-ins at once / without", beside / alone, Limit::AtMost(3.0), &note);
    let limit = Limit::AtMost(PERMITS * HASH_MIB + CALLS_MIB);
    bench.noted(14, "MiB that 500 log-ins at once add", more, limit, &format!("to {before:.0} MiB"));
}

fn latency(bench: &mut Bench, target: &Target, swarm: &mut Swarm) -> f64 {
    let measured = open_loop(swarm, target, Load::rate(RATE));
    bench.keep(Kind::Embedded, TALK, &measured);
    measured.p99
}

/// A crowd in a thread of its own: the load is offered from this one.
struct Crowd {
    over: CancellationToken,
    thread: JoinHandle<usize>,
}

impl Crowd {
    /// Everybody calls at once, and whoever is told to come back does, until it ends.
    fn begins(address: SocketAddr) -> Self {
        let over = CancellationToken::new();
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| town::channel(address)).collect();
                let crowd = (0..CROWD).map(|number| signs_in(channels[number % CONNECTIONS].clone())).collect();
                ends.cancelled().await;
                ended(crowd).await
            })
        });
        Self { over, thread }
    }

    /// How many had signed in by now; the others give up.
    fn ends(self) -> usize {
        self.over.cancel();
        self.thread.join().expect("the crowd ends")
    }
}

async fn signs_in(channel: Channel) -> bool {
    let mut auth = AuthServiceClient::new(channel);
    loop {
        let login = LoginRequest { username: "crowd".into(), password: PASSWORD.into(), ..LoginRequest::default() };
        let Err(refused) = auth.login(login).await else {
            return true;
        };
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        let wait = refused.get_details_retry_info().and_then(|retry| retry.retry_delay);
        tokio::time::sleep(wait.unwrap_or(Duration::from_secs(1))).await;
    }
}

async fn ended(mut crowd: JoinSet<bool>) -> usize {
    crowd.abort_all();
    let mut signed_in = 0;
    while let Some(ended) = crowd.join_next().await {
        signed_in += match ended {
            Ok(_) => 1,
            Err(ended) if ended.is_cancelled() => 0,
            Err(panicked) => panic!("{panicked}"),
        };
    }
    signed_in
}
