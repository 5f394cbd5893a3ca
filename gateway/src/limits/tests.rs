use std::{net::IpAddr, num::NonZeroU32};

use mesh::lifecycle::Tasks;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::*;

fn limits(config: &LimitsConfig) -> Arc<Limits> {
    Limits::new(config, Cache::open("memory:", &Tasks::new()).unwrap())
}

fn reason<T>(result: Result<T, Status>) -> String {
    let status = result.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some_and(|after| !after.is_zero()));
    errors::reason(&status)
}

fn at(address: &str) -> Option<IpAddr> {
    Some(address.parse().unwrap())
}

const MILLI: u64 = 1_000_000;

#[test]
fn a_bucket_takes_a_burst_and_then_what_drains() {
    let rate = Rate::per_second(10, NonZeroU32::new(2).unwrap()).unwrap();
    let meter = Meter::default();
    assert!((0..20).all(|_| meter.take(&rate, 0).is_ok()), "two seconds' worth");
    assert_eq!(meter.take(&rate, 0), Err(Duration::from_millis(100)));
    assert_eq!(meter.take(&rate, 30 * MILLI), Err(Duration::from_millis(70)));
    assert_eq!(meter.take(&rate, 100 * MILLI), Ok(()));
    assert!(meter.take(&rate, 100 * MILLI).is_err(), "there was room for one");
    assert!(meter.is_empty(2100 * MILLI) && !meter.is_empty(2099 * MILLI));
    assert!(Rate::per_second(0, NonZeroU32::MIN).is_none() && Rate::per_minute(0).is_none(), "0 is no limit");
}

#[test]
fn what_others_poured_in_is_waited_for() {
    let rate = Rate::per_second(10, NonZeroU32::MIN).unwrap();
    let meter = Meter::default();
    assert_eq!(meter.to_tell(&rate), None);
    meter.take(&rate, 0).unwrap();
    assert_eq!(meter.to_tell(&rate), Some(Duration::from_millis(100)));
    assert_eq!(meter.to_tell(&rate), None, "each call is told of once");
    meter.filled_to(Duration::from_millis(2500), 0);
    assert_eq!(meter.take(&rate, 0), Err(Duration::from_millis(1600)), "beyond the brim");
    meter.filled_to(Duration::ZERO, 0);
    assert_eq!(meter.take(&rate, 1600 * MILLI), Ok(()), "nothing flows back");
    let fast = Rate::per_second(800, NonZeroU32::MIN).unwrap();
    let meter = Meter::default();
    assert!((0..99).all(|_| meter.take(&fast, 0).is_ok()) && meter.to_tell(&fast).is_none(), "not worth it");
}

#[test]
fn a_network_is_what_one_party_has_and_this_machine_is_none() {
    let limits = limits(&LimitsConfig::default());
    let same =
        |one: &str, other: &str| Arc::ptr_eq(&limits.network(at(one)).unwrap(), &limits.network(at(other)).unwrap());
    assert!(same("203.0.113.7", "::ffff:203.0.113.7"));
    assert!(!same("203.0.113.7", "203.0.113.8"));
    assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"));
    assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
        assert!(limits.network(at(address)).is_none(), "{address}");
    }
    assert!(limits.network(None).is_none());
}

#[test]
fn each_limit_is_told_by_its_name_and_touches_nobody_else() {
    let config = LimitsConfig {
        calls_per_account: 3,
        calls_per_address: 5,
        calls_altogether: 8,
        rooms_per_account: 1,
        burst_seconds: NonZeroU32::MIN,
        ..LimitsConfig::default()
    };
    let limits = limits(&config);
    let (alice, bob) = (limits.account(Uuid::from_u128(1)), limits.account(Uuid::from_u128(2)));
    let (near, far) = (limits.network(at("203.0.113.1")), limits.network(at("203.0.113.2")));
    let rooms = Class::named("rooms");
    limits.calls(&alice, rooms).unwrap();
    assert_eq!(reason(limits.calls(&alice, rooms)), "ROOMS_PER_ACCOUNT");
    limits.calls(&alice, None).unwrap();
    assert_eq!(reason(limits.calls(&alice, None)), "CALLS_PER_ACCOUNT");
    limits.calls(&bob, rooms).unwrap();
    for _ in 0..5 {
        limits.arrives(near.as_deref()).unwrap();
    }
    assert_eq!(reason(limits.arrives(near.as_deref())), "CALLS_PER_ADDRESS");
    limits.arrives(far.as_deref()).unwrap();
    for _ in 0..2 {
        limits.arrives(None).unwrap();
    }
    assert_eq!(reason(limits.arrives(far.as_deref())), "CALLS_ALTOGETHER");
}

#[test]
fn no_limit_is_no_limit() {
    let config = LimitsConfig { calls_per_account: 0, calls_altogether: 0, sends_per_account: 0, ..Default::default() };
    let limits = limits(&config);
    let alice = limits.account(Uuid::from_u128(1));
    for _ in 0..100_000 {
        limits.arrives(None).unwrap();
        limits.calls(&alice, Class::named("sends")).unwrap();
    }
}

#[tokio::test]
async fn the_thousand_and_first_socket_of_an_account_is_refused_until_one_is_closed() {
    let limits = limits(&LimitsConfig::default());
    let open = async |user: u128, address: &str| {
        let seat = limits.seat(limits.network(at(address))).await?;
        seat.belongs_to(limits.account(Uuid::from_u128(user))).await
    };
    let mut seats = Vec::new();
    for _ in 0..1000 {
        seats.push(open(1, "203.0.113.1").await.unwrap());
    }
    assert_eq!(reason(open(1, "203.0.113.2").await), "SOCKETS_PER_ACCOUNT");
    seats.push(open(2, "203.0.113.1").await.unwrap());
    drop(seats.swap_remove(0));
    seats.push(open(1, "203.0.113.2").await.unwrap());
    assert_eq!(reason(open(1, "203.0.113.2").await), "SOCKETS_PER_ACCOUNT", "what was refused holds no place");
    drop(seats);
    assert_eq!(limits.sockets.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn sockets_are_limited_by_network_and_altogether() {
    let config = LimitsConfig { sockets_per_address: 2, sockets_altogether: 4, ..LimitsConfig::default() };
    let limits = limits(&config);
    let (near, far) = (limits.network(at("203.0.113.1")), limits.network(at("203.0.113.2")));
    let seats = (limits.seat(near.clone()).await.unwrap(), limits.seat(near.clone()).await.unwrap());
    assert_eq!(reason(limits.seat(near.clone()).await), "SOCKETS_PER_ADDRESS");
    let others = (limits.seat(far.clone()).await.unwrap(), limits.seat(None).await.unwrap());
    assert_eq!(reason(limits.seat(None).await), "SOCKETS_ALTOGETHER");
    drop(seats);
    limits.seat(near).await.unwrap();
    drop(others);
}

#[tokio::test]
async fn who_asks_for_nothing_is_forgotten() {
    let config = LimitsConfig { calls_per_account: 1000, burst_seconds: NonZeroU32::MIN, ..LimitsConfig::default() };
    let limits = limits(&config);
    let known = || {
        let mut count = 0;
        limits.parties.sweep(limits.now(), |_| count += 1);
        count
    };
    for user in 0..1000 {
        limits.calls(&limits.account(Uuid::from_u128(user)), None).unwrap();
    }
    let seat = limits.seat(None).await.unwrap().belongs_to(limits.account(Uuid::from_u128(7))).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while known() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("their buckets are empty after a millisecond each");
    drop(seat);
    assert_eq!(known(), 0);
}
