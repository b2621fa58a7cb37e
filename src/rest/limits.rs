//! How often something may be asked: per key, and per address for those who try keys.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use http::{HeaderMap, StatusCode};
use ipnet::{IpNet, Ipv6Net};
use tokio::{sync::Semaphore, time::sleep};

use super::problem::Problem;

/// So many wrong keys from an address are answered at once, and then so many in a minute.
const WRONG_BURST: u32 = 10;
const WRONG_PER_MINUTE: u32 = 10;
/// How long the others wait for their answer, and how many of them at a time at most.
const HOLD: Duration = Duration::from_secs(1);
const MOST_HELD: usize = 128;
/// So many bits of an IPv6 address are its network's; the others a host may draw as often as it likes.
const NETWORK: u8 = 64;
/// When this many keys or addresses are remembered, those that have rested are forgotten.
const MOST_REMEMBERED: usize = 10_000;

/// How often something may be asked.
pub struct Limits {
    keys: Option<DefaultKeyedRateLimiter<String>>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
    held: Semaphore,
}

impl Limits {
    /// So many requests a second for each key, and as many at once as come in two seconds; without limit if 0.
    pub fn new(per_second: u32) -> Self {
        let keys = NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(per_second.saturating_mul(2)).unwrap_or(rate);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        let one = NonZeroU32::MIN;
        let wrong = Quota::per_minute(NonZeroU32::new(WRONG_PER_MINUTE).unwrap_or(one))
            .allow_burst(NonZeroU32::new(WRONG_BURST).unwrap_or(one));
        Self { keys, wrong: RateLimiter::keyed(wrong), held: Semaphore::new(MOST_HELD) }
    }

    /// A request with a key.
    ///
    /// # Errors
    /// When there were too many; when the next is answered.
    pub fn key(&self, id: &String) -> Result<(), Problem> {
        let Some(keys) = &self.keys else { return Ok(()) };
        check(keys, id).map_err(|wait| too_many("Too many requests with this API Key", wait))
    }

    /// A request with a wrong key, or none. Right ones are never kept waiting: they may come from the same address.
    ///
    /// # Errors
    /// When there were too many; the answer itself takes a while then.
    pub async fn wrong(&self, address: IpAddr) -> Result<(), Problem> {
        let Err(wait) = check(&self.wrong, &counted(address)) else { return Ok(()) };
        if let Ok(_held) = self.held.try_acquire() {
            sleep(HOLD).await;
        }
        Err(too_many("Too many wrong API Keys from this address", wait))
    }
}

fn check<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Duration> {
    if limiter.len() > MOST_REMEMBERED {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| until.wait_time_from(limiter.clock().now()))
}

fn too_many(why: &str, wait: Duration) -> Problem {
    // A part of a second is a second.
    Problem::Later(StatusCode::TOO_MANY_REQUESTS, why.to_owned(), wait.as_secs().saturating_add(1))
}

/// As what an address is counted.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Net::new(address, NETWORK).map_or(address, |net| net.network()).into(),
        address => address,
    }
}

/// Where a request comes from: the nearest address that is no proxy of ours.
pub fn origin(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    // A listener on `[::]` sees the addresses of IPv4 inside those of IPv6.
    let peer = peer.to_canonical();
    let is_proxy = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if !is_proxy(&peer) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    let hops = forwarded.flat_map(|value| value.rsplit(',')).map_while(|hop| hop.trim().parse::<IpAddr>().ok());
    hops.map(|address| address.to_canonical()).find(|address| !is_proxy(address)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_measure() {
        let limits = Limits::new(2);
        let (one, other) = ("one".to_owned(), "other".to_owned());
        let let_through = (0..20).filter(|_| limits.key(&one).is_ok()).count();
        assert!((4..20).contains(&let_through), "{let_through}");
        assert!(matches!(limits.key(&one), Err(Problem::Later(StatusCode::TOO_MANY_REQUESTS, _, 1))));
        assert!(limits.key(&other).is_ok());
        let free = Limits::new(0);
        assert!((0..1000).all(|_| free.key(&one).is_ok()));
    }

    #[tokio::test]
    async fn whoever_tries_keys_is_slowed_down_and_others_are_not() {
        let limits = Limits::new(0);
        let (bad, good) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..WRONG_BURST {
            assert!(limits.wrong(bad).await.is_ok());
        }
        let begun = tokio::time::Instant::now();
        assert!(matches!(limits.wrong(bad).await, Err(Problem::Later(StatusCode::TOO_MANY_REQUESTS, _, 1..=7))));
        assert!(begun.elapsed() >= HOLD);
        assert!(limits.wrong(good).await.is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_counted_as_one_address() {
        let same = |one: &str, other: &str| counted(one.parse().unwrap()) == counted(other.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn only_a_proxy_of_ours_says_for_whom_it_asks() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.9, 198.51.100.7".parse().unwrap());
        headers.append("x-forwarded-for", "10.1.1.1".parse().unwrap());
        for (peer, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "198.51.100.7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:10.0.0.1", "198.51.100.7"),
        ] {
            assert_eq!(
                origin(peer.parse().unwrap(), &headers, &proxies),
                expected.parse::<IpAddr>().unwrap(),
                "{peer}"
            );
        }
        headers.clear();
        headers.append("x-forwarded-for", "203.0.113.9, nonsense".parse().unwrap());
        assert_eq!(origin([10, 0, 0, 1].into(), &headers, &proxies), IpAddr::from([10, 0, 0, 1]));
    }
}
