//! How often somebody may try a password: token buckets per login and per address, in maps of bounded size.
//!
//! A try takes a token from both; a right password gives them back, so a class that signs in behind one address is never
//! in its own way. Time comes from the caller.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

/// Wrong tries in a row per login, and how long one takes to come back: 10 at once, then 120 in an hour.
const LOGIN_BURST: u32 = 10;
const LOGIN_REFILL_MS: u64 = 30_000;
/// Per address, behind which a whole school may sit: as many at once as may wait for their password to be looked at (a try
/// under way holds a token), then one wrong one a second. Over a day that is hardly more than a small burst would allow.
const ADDRESS_BURST: u32 = 1_000;
const ADDRESS_REFILL_MS: u64 = 1_000;
/// Most logins and most addresses remembered: 1 MB each. Past it those are forgotten first that have the most tokens.
const ENTRIES_MAX: usize = 10_000;

/// Both limits of the login door.
#[derive(Debug)]
pub struct LoginLimits {
    logins: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

/// Come back after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTries {
    pub retry_after_s: u32,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            logins: Buckets::new(LOGIN_BURST, LOGIN_REFILL_MS),
            addresses: Buckets::new(ADDRESS_BURST, ADDRESS_REFILL_MS),
        }
    }
}

impl LoginLimits {
    /// Takes a try before the password is looked at.
    pub fn try_login(&mut self, now_ms: u64, login: &str, address: IpAddr) -> Result<(), TooManyTries> {
        self.addresses.take(now_ms, network(address))?;
        self.logins.take(now_ms, login.to_owned())
    }

    /// The password was right.
    pub fn succeeded(&mut self, login: &str, address: IpAddr) {
        self.addresses.give_back(&network(address));
        self.logins.give_back(&login.to_owned());
    }
}

/// Who has one IPv6 address has 2^64 of them: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Debug)]
struct Buckets<K> {
    burst: u32,
    refill_ms: u64,
    /// Time at which the bucket is full again: tokens = burst - (full_at - now) / refill.
    full_at_ms: HashMap<K, u64>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(burst: u32, refill_ms: u64) -> Self {
        Self { burst, refill_ms, full_at_ms: HashMap::new() }
    }

    fn take(&mut self, now_ms: u64, key: K) -> Result<(), TooManyTries> {
        let span_ms = u64::from(self.burst) * self.refill_ms;
        if self.full_at_ms.len() >= ENTRIES_MAX && !self.full_at_ms.contains_key(&key) {
            self.forget(now_ms);
        }
        let full_at = self.full_at_ms.entry(key).or_insert(now_ms);
        let next = (*full_at).max(now_ms) + self.refill_ms;
        if next > now_ms + span_ms {
            let wait_ms = next - now_ms - span_ms;
            return Err(TooManyTries { retry_after_s: wait_ms.div_ceil(1_000) as u32 });
        }
        *full_at = next;
        Ok(())
    }

    fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.full_at_ms.get_mut(key) {
            *full_at = full_at.saturating_sub(self.refill_ms);
        }
    }

    /// Makes room: the full ones are as good as forgotten; if there are none, the half that is fullest.
    fn forget(&mut self, now_ms: u64) {
        self.full_at_ms.retain(|_, full_at| *full_at > now_ms);
        if self.full_at_ms.len() < ENTRIES_MAX {
            return;
        }
        let mut times: Vec<u64> = self.full_at_ms.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.full_at_ms.retain(|_, full_at| *full_at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn the_eleventh_wrong_password_waits_and_time_helps() {
        let mut limits = LoginLimits::default();
        for _ in 0..LOGIN_BURST {
            assert_eq!(limits.try_login(0, "eva", HOME), Ok(()));
        }
        assert_eq!(limits.try_login(0, "eva", HOME), Err(TooManyTries { retry_after_s: 30 }));
        assert_eq!(limits.try_login(0, "ali", HOME), Ok(()), "another login is not affected");
        assert_eq!(limits.try_login(LOGIN_REFILL_MS, "eva", HOME), Ok(()));
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let mut limits = LoginLimits::default();
        for n in 0..10_000 {
            let login = format!("pupil-{n}");
            assert_eq!(limits.try_login(0, &login, HOME), Ok(()));
            limits.succeeded(&login, HOME);
        }
    }

    #[test]
    fn one_address_cannot_try_every_login() {
        let mut limits = LoginLimits::default();
        let refused = (0..1_100).filter(|n| limits.try_login(0, &format!("pupil-{n}"), HOME).is_err()).count();
        assert_eq!(refused, 100);
    }

    #[test]
    fn a_school_behind_one_address_may_sign_in_at_the_same_moment() {
        let mut limits = LoginLimits::default();
        for n in 0..super::super::password::WAITING_MAX {
            assert_eq!(limits.try_login(0, &format!("pupil-{n}"), HOME), Ok(()));
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let a = "2001:db8::1".parse().unwrap();
        let b = "2001:db8::ffff:2".parse().unwrap();
        let c = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_ne!(network(a), network(c));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), HOME);
    }

    #[test]
    fn the_maps_stay_bounded_and_the_emptiest_buckets_stay() {
        let mut buckets = Buckets::new(10, 1_000);
        for _ in 0..10 {
            buckets.take(0, u64::MAX).unwrap();
        }
        for n in 0..(3 * ENTRIES_MAX as u64) {
            buckets.take(0, n).unwrap();
        }
        assert!(buckets.full_at_ms.len() <= ENTRIES_MAX);
        assert!(buckets.take(0, u64::MAX).is_err(), "who tried most is not forgotten");
    }
}
