//! The conformance suite of the cache. Each backend is one more line at its end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use mesh::cache::Cache;

const MINUTE: Duration = Duration::from_secs(60);

async fn values_are_kept_until_they_end(cache: Cache) {
    let value = Bytes::from_static(b"x");
    assert_eq!(cache.get("a").await.unwrap(), None);
    cache.set("a", value.clone(), MINUTE).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), Some(value.clone()));
    cache.delete("a").await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), None);
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
}

async fn counting_at_once_loses_nothing(cache: Cache) {
    let counts = futures::future::join_all((0..64).map(|_| cache.increment("n", MINUTE))).await;
    let mut counts: Vec<u64> = counts.into_iter().map(Result::unwrap).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=64).collect::<Vec<_>>());
}

async fn hints_reach_those_who_listen(cache: Cache) {
    let hint = Bytes::from_static(b"h");
    cache.publish("c", hint.clone()).await.unwrap();
    let (mut one, mut two, mut other) = (cache.subscribe("c"), cache.subscribe("c"), cache.subscribe("d"));
    cache.publish("c", hint.clone()).await.unwrap();
    assert_eq!(one.recv().await, Some(Ok(hint.clone())));
    assert_eq!(two.recv().await, Some(Ok(hint.clone())));
    cache.publish("d", Bytes::from_static(b"last")).await.unwrap();
    assert_eq!(
        other.recv().await,
        Some(Ok(Bytes::from_static(b"last"))),
        "nothing of another channel, nothing from before"
    );
}

async fn a_slow_listener_learns_that_it_lost_some(cache: Cache) {
    let mut slow = cache.subscribe("c");
    for _ in 0..5000 {
        cache.publish("c", Bytes::from_static(b"h")).await.unwrap();
    }
    let lost = slow.recv().await.unwrap().unwrap_err().0;
    assert!(lost > 0 && lost < 5000, "{lost}");
    assert_eq!(slow.recv().await, Some(Ok(Bytes::from_static(b"h"))), "and goes on");
}

#[test]
fn a_cache_that_does_not_exist_is_refused_with_what_does() {
    assert!(Cache::open("memcached://x").err().unwrap().to_string().contains("memory:"));
}

/// The cases, once for each backend.
macro_rules! backend {
    ($backend:ident, $url:literal) => {
        backend!(
            $backend, $url:
            values_are_kept_until_they_end,
            counters_count_within_their_window,
            counting_at_once_loses_nothing,
            hints_reach_those_who_listen,
            a_slow_listener_learns_that_it_lost_some
        );
    };
    ($backend:ident, $url:literal: $($case:ident),+) => {
        mod $backend {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Cache::open($url).unwrap()).await;
            })+
        }
    };
}

backend!(in_process, "memory:");
