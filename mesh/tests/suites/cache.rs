//! The conformance suite of the cache. Each backend is one more line at its end.

use std::time::Duration;

use bytes::Bytes;
use mesh::{
    cache::{Cache, Subscription},
    lifecycle::Tasks,
};

const MINUTE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(20);

/// A cache that answers.
async fn opened(url: &str, tasks: &Tasks) -> Cache {
    let cache = Cache::open(url, tasks).unwrap();
    let answers = async {
        while cache.get("anything").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, answers).await.expect("the cache answers");
    cache
}

/// Somebody who listens, and to whom hints come: from here on only what is published from here on.
async fn listens(cache: &Cache, channel: &str) -> Subscription {
    let mut subscription = cache.subscribe(channel).await;
    for number in 0.. {
        let probe = Bytes::from(format!("probe {number}"));
        // A call that a busy machine does not answer in time is given up, as it must be; the next probe tells.
        let told = cache.publish(channel, probe.clone()).await.is_ok();
        let comes = async { while subscription.recv().await != Some(Ok(probe.clone())) {} };
        if told && tokio::time::timeout(Duration::from_millis(100), comes).await.is_ok() {
            return subscription;
        }
        assert!(number < 200, "hints do not come");
    }
    unreachable!()
}

async fn values_are_kept_until_they_end(cache: Cache) {
    let value = Bytes::from_static(b"x\0\xff");
    assert_eq!(cache.get("a").await.unwrap(), None);
    cache.set("a", value.clone(), MINUTE).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), Some(value.clone()));
    cache.set("empty", Bytes::new(), MINUTE).await.unwrap();
    assert_eq!(cache.get("empty").await.unwrap(), Some(Bytes::new()));
    cache.delete("a").await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
    cache.set("a", value.clone(), MINUTE).await.unwrap();
    cache.set("a", value, Duration::ZERO).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
}

async fn counters_count_within_their_window(cache: Cache) {
    for wanted in 1..=3 {
        assert_eq!(cache.increment("n", MINUTE).await.unwrap(), wanted);
    }
    assert_eq!(cache.increment("other", MINUTE).await.unwrap(), 1);
    for _ in 0..2 {
        assert_eq!(cache.increment("ended", Duration::ZERO).await.unwrap(), 1);
    }
    // The first count decides when the window ends, whatever comes later.
    let window = Duration::from_millis(150);
    assert_eq!(cache.increment("short", window).await.unwrap(), 1);
    let starts_again = async { while cache.increment("short", window).await.unwrap() != 1 {} };
    tokio::time::timeout(DEADLINE, starts_again).await.expect("the window ends while it is counted");
}

async fn buckets_drain_by_themselves(cache: Cache) {
    let second = Duration::from_secs(1);
    assert_eq!(cache.pour("b", Duration::ZERO).await.unwrap(), Duration::ZERO);
    let first = cache.pour("b", 40 * second).await.unwrap();
    assert!(first > 39 * second && first <= 40 * second, "{first:?}");
    let more = cache.pour("b", 20 * second).await.unwrap();
    assert!(more > first && more <= 60 * second, "{more:?}");
    assert_eq!(cache.pour("other", Duration::ZERO).await.unwrap(), Duration::ZERO);
    // What is looked at drains, and an empty one is as if it had never been.
    cache.pour("small", Duration::from_millis(100)).await.unwrap();
    let drained = async { while !cache.pour("small", Duration::ZERO).await.unwrap().is_zero() {} };
    tokio::time::timeout(DEADLINE, drained).await.expect("it drains");
    let again = cache.pour("small", second).await.unwrap();
    assert!(again <= second, "{again:?}");
}

async fn gauges_add_up_what_is_believed(cache: Cache) {
    assert_eq!(cache.gauge("g", "here", 3, MINUTE).await.unwrap(), 3);
    assert_eq!(cache.gauge("g", "there", 4, MINUTE).await.unwrap(), 7);
    assert_eq!(cache.gauge("g", "here", 1, MINUTE).await.unwrap(), 5, "what was said before counts no more");
    assert_eq!(cache.gauge("other", "here", 2, MINUTE).await.unwrap(), 2);
    assert_eq!(cache.gauge("g", "gone", 10, Duration::from_millis(100)).await.unwrap(), 15);
    let forgotten = async { while cache.gauge("g", "here", 1, MINUTE).await.unwrap() != 5 {} };
    tokio::time::timeout(DEADLINE, forgotten).await.expect("who says nothing more counts no more");
}

async fn counting_at_once_loses_nothing(cache: Cache) {
    let counts = futures::future::join_all((0..64).map(|_| cache.increment("n", MINUTE))).await;
    let mut counts: Vec<u64> = counts.into_iter().map(Result::unwrap).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=64).collect::<Vec<_>>());
}

async fn hints_reach_those_who_listen(cache: Cache) {
    let hint = Bytes::from_static(b"h\0\xff");
    cache.publish("c", hint.clone()).await.unwrap();
    let (mut one, mut two) = (listens(&cache, "c").await, listens(&cache, "c").await);
    let mut other = listens(&cache, "d").await;
    cache.publish("c", hint.clone()).await.unwrap();
    // The first one also hears the second one's probes.
    while one.recv().await != Some(Ok(hint.clone())) {}
    assert_eq!(two.recv().await, Some(Ok(hint.clone())));
    cache.publish("d", Bytes::from_static(b"last")).await.unwrap();
    assert_eq!(other.recv().await, Some(Ok(Bytes::from_static(b"last"))), "nothing of another channel");
}

async fn a_slow_listener_learns_that_it_lost_some(cache: Cache) {
    let mut slow = listens(&cache, "c").await;
    let hint = Bytes::from_static(b"h");
    for _ in 0..50 {
        let some = futures::future::join_all((0..100).map(|_| cache.publish("c", hint.clone()))).await;
        assert!(some.into_iter().all(|published| published.is_ok()));
    }
    let last = Bytes::from_static(b"last");
    cache.publish("c", last.clone()).await.unwrap();
    // Once the last one is here, the others came before it or were lost.
    let mut swift = listens(&cache, "c").await;
    cache.publish("c", hint.clone()).await.unwrap();
    while swift.recv().await != Some(Ok(hint.clone())) {}
    let (mut came, mut lost) = (0, 0);
    loop {
        match slow.recv().await.unwrap() {
            Ok(hint) if hint == last => break,
            Ok(_) => came += 1,
            Err(_) => lost += 1,
        }
    }
    assert!(lost > 0 && came > 100 && came < 5000, "{lost} times some were lost, and it goes on: {came}");
}

#[tokio::test]
async fn a_cache_that_does_not_exist_is_refused_with_what_does() {
    for url in ["memcached://x", "redis://", "redis://host:port", "redis-cluster://x", ""] {
        let refused = Cache::open(url, &Tasks::new()).err().unwrap_or_else(|| panic!("{url:?} is taken")).to_string();
        assert!(refused.contains("memory: or redis://HOST:PORT"), "{refused}");
    }
}

/// The cases, once for each backend.
macro_rules! backend {
    ($backend:ident, $url:expr) => {
        backend!(
            $backend, $url;
            values_are_kept_until_they_end,
            counters_count_within_their_window,
            counting_at_once_loses_nothing,
            buckets_drain_by_themselves,
            gauges_add_up_what_is_believed,
            hints_reach_those_who_listen,
            a_slow_listener_learns_that_it_lost_some
        );
    };
    ($backend:ident, $url:expr; $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test]
            async fn $case() {
                let tasks = super::Tasks::new();
                super::$case(super::opened($url.await.as_str(), &tasks).await).await;
                assert!(tasks.stop(super::DEADLINE).await.is_empty());
            })+
        }
    };
}

backend!(in_process, async { "memory:".to_owned() });
backend!(redis, tests::servers::fresh_redis());

/// What only a cache over the network can suffer.
mod outages {
    use std::{net::SocketAddr, time::Instant};

    use tests::{proxy::Proxy, servers::Redis};

    use super::*;

    /// Nobody waits longer for a cache that is away: 200 ms, and what a busy machine adds.
    const PATIENCE: Duration = Duration::from_millis(450);

    async fn is_refused(cache: &Cache) -> Duration {
        let started = Instant::now();
        let refused = cache.increment("n", MINUTE).await;
        assert!(refused.is_err());
        let took = started.elapsed();
        assert!(took < PATIENCE, "{took:?}");
        took
    }

    async fn lags(subscription: &mut Subscription) {
        let lags = async { while subscription.recv().await.unwrap().is_ok() {} };
        tokio::time::timeout(DEADLINE, lags).await.expect("whoever listens learns of the interruption");
    }

    async fn answers_again(cache: &Cache) -> Duration {
        let started = Instant::now();
        let answers = async {
            while cache.get("anything").await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers).await.expect("the cache answers again");
        started.elapsed()
    }

    #[tokio::test]
    async fn a_killed_redis_is_found_again() {
        let (tasks, mut redis) = (Tasks::new(), Redis::start().await);
        let cache = opened(&redis.url(), &tasks).await;
        let mut one = listens(&cache, "c").await;
        redis.kill();
        while cache.get("anything").await.is_ok() {}
        // Once it is known, nobody waits at all.
        let known = async { while is_refused(&cache).await > Duration::from_millis(20) {} };
        tokio::time::timeout(DEADLINE, known).await.expect("calls are refused at once");
        let mut two = cache.subscribe("c").await;
        redis.restart().await;
        let took = answers_again(&cache).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        lags(&mut one).await;
        lags(&mut two).await;
        let hint = Bytes::from_static(b"after");
        cache.publish("c", hint.clone()).await.unwrap();
        assert_eq!((one.recv().await, two.recv().await), (Some(Ok(hint.clone())), Some(Ok(hint))));
        assert!(tasks.stop(DEADLINE).await.is_empty());
    }

    #[tokio::test]
    async fn a_redis_that_comes_later_is_found() {
        let (tasks, mut redis) = (Tasks::new(), Redis::start().await);
        redis.kill();
        let cache = Cache::open(&redis.url(), &tasks).unwrap();
        is_refused(&cache).await;
        let mut subscription = cache.subscribe("c").await;
        redis.restart().await;
        answers_again(&cache).await;
        lags(&mut subscription).await;
        listens(&cache, "c").await;
        assert!(tasks.stop(DEADLINE).await.is_empty());
    }

    #[tokio::test]
    async fn a_frozen_redis_costs_no_call_more_than_its_patience() {
        let (tasks, redis) = (Tasks::new(), Redis::start().await);
        let cache = opened(&redis.url(), &tasks).await;
        let mut subscription = listens(&cache, "c").await;
        redis.stop();
        // Long enough for the connections to be given up.
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(6) {
            futures::future::join_all((0..8).map(|_| is_refused(&cache))).await;
        }
        redis.cont();
        let took = answers_again(&cache).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        // What was under way when a connection was given up holds nothing back.
        for _ in 0..20 {
            cache.increment("again", Duration::from_secs(60)).await.unwrap();
        }
        lags(&mut subscription).await;
        listens(&cache, "c").await;
        assert!(tasks.stop(DEADLINE).await.is_empty());
    }

    #[tokio::test]
    async fn a_network_that_carries_nothing_is_noticed() {
        let (tasks, redis) = (Tasks::new(), Redis::start().await);
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port()))).await;
        let cache = opened(&format!("redis://{}", proxy.address()), &tasks).await;
        let mut subscription = listens(&cache, "c").await;
        // The connection that listens sends nothing by itself: only a sign of life shows that it is dead.
        proxy.stall();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(6) {
            is_refused(&cache).await;
        }
        proxy.heal().await;
        answers_again(&cache).await;
        lags(&mut subscription).await;
        listens(&cache, "c").await;
        assert!(tasks.stop(DEADLINE).await.is_empty());
    }

    #[tokio::test]
    async fn a_slow_redis_is_listened_to_all_the_same() {
        let (tasks, redis) = (Tasks::new(), Redis::start().await);
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port()))).await;
        let cache = opened(&format!("redis://{}", proxy.address()), &tasks).await;
        let mut subscription = listens(&cache, "c").await;
        proxy.delay(Duration::from_millis(500));
        is_refused(&cache).await;
        let hint = Bytes::from_static(b"late");
        assert!(cache.publish("c", hint.clone()).await.is_err(), "nobody waits for it");
        let comes = tokio::time::timeout(DEADLINE, subscription.recv()).await;
        assert_eq!(comes.expect("it comes all the same"), Some(Ok(hint)));
        proxy.heal().await;
        answers_again(&cache).await;
        assert!(tasks.stop(DEADLINE).await.is_empty());
    }
}
