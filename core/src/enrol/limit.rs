//! How often somebody may knock at the open door: a few times per address, some more in all. Pure: the time comes in.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Whoever prepares boxes in one room shares an address. Guessing 128 bits is hopeless at any rate; this is about the cost.
const PER_ADDRESS: Rate = Rate { burst: 30, every_ms: 1_000 };
/// All boxes of a deployment are set up within days, not minutes; each request costs the leader a signature and an entry.
const IN_ALL: Rate = Rate { burst: 100, every_ms: 50 };
/// Addresses that are remembered: more at once is an attack, and the limit in all holds it.
const ADDRESSES_MAX: usize = 4_096;

#[derive(Clone, Copy)]
struct Rate {
    /// Requests at once after a long silence.
    burst: u32,
    /// One more after this time.
    every_ms: u64,
}

/// Requests that are still allowed, refilled as time goes by.
#[derive(Clone, Copy)]
struct Bucket {
    left: u32,
    since_ms: u64,
}

impl Bucket {
    fn full(rate: Rate, now_ms: u64) -> Self {
        Self { left: rate.burst, since_ms: now_ms }
    }

    fn refill(&mut self, rate: Rate, now_ms: u64) {
        let gained = now_ms.saturating_sub(self.since_ms) / rate.every_ms;
        self.since_ms += gained * rate.every_ms;
        self.left = u32::try_from(gained).unwrap_or(u32::MAX).saturating_add(self.left).min(rate.burst);
        if self.left == rate.burst {
            self.since_ms = now_ms;
        }
    }

    /// When there is one again.
    fn wait_ms(&self, rate: Rate, now_ms: u64) -> u64 {
        (self.since_ms + rate.every_ms).saturating_sub(now_ms)
    }
}

pub struct Limits {
    all: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
}

impl Limits {
    pub fn new(now_ms: u64) -> Self {
        Self { all: Bucket::full(IN_ALL, now_ms), addresses: HashMap::new() }
    }

    /// Takes one request of an address, or says after how many milliseconds to come again.
    pub fn take(&mut self, address: IpAddr, now_ms: u64) -> Result<(), u64> {
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, bucket| {
                bucket.refill(PER_ADDRESS, now_ms);
                bucket.left < PER_ADDRESS.burst
            });
        }
        let address = network(address);
        let known = self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&address);
        if known {
            let bucket = self.addresses.entry(address).or_insert_with(|| Bucket::full(PER_ADDRESS, now_ms));
            bucket.refill(PER_ADDRESS, now_ms);
            if bucket.left == 0 {
                return Err(bucket.wait_ms(PER_ADDRESS, now_ms));
            }
            bucket.left -= 1;
        }
        // After the address's own: one that knocks all the time takes nothing from the others.
        self.all.refill(IN_ALL, now_ms);
        if self.all.left == 0 {
            return Err(self.all.wait_ms(IN_ALL, now_ms));
        }
        self.all.left -= 1;
        Ok(())
    }
}

/// Of IPv6 the network: whoever has one address of it has all 2^64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    #[test]
    fn one_address_cannot_use_up_what_the_others_have() {
        let mut limits = Limits::new(0);
        for _ in 0..PER_ADDRESS.burst {
            assert_eq!(limits.take(address(1), 0), Ok(()));
        }
        for _ in 0..1_000 {
            assert_eq!(limits.take(address(1), 0), Err(PER_ADDRESS.every_ms));
        }
        assert_eq!(limits.take(address(2), 0), Ok(()));
        let v6 = |n: u64| IpAddr::from(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n)));
        let taken = (0..100).filter(|n| limits.take(v6(*n), 0).is_ok()).count();
        assert_eq!(taken, PER_ADDRESS.burst as usize, "one network");
        assert_eq!(limits.take(address(1), PER_ADDRESS.every_ms), Ok(()), "one more, later");
        assert!(limits.take(address(1), PER_ADDRESS.every_ms).is_err());
    }

    #[test]
    fn many_addresses_are_held_together_and_do_not_fill_the_memory() {
        let mut limits = Limits::new(0);
        let taken = (0..100_000).filter(|n| limits.take(address(*n), 0).is_ok()).count();
        assert_eq!(taken, IN_ALL.burst as usize);
        assert!(limits.addresses.len() <= ADDRESSES_MAX);
        assert_eq!(limits.take(address(7), IN_ALL.every_ms), Ok(()));
        let hour = 3_600_000;
        assert_eq!(limits.take(address(200_000), hour), Ok(()));
        assert!(limits.addresses.len() < 10, "silent addresses are forgotten when room is needed");
    }

    #[test]
    fn a_clock_that_jumps_back_opens_nothing() {
        let mut limits = Limits::new(1_000_000);
        for _ in 0..PER_ADDRESS.burst {
            limits.take(address(1), 1_000_000).unwrap();
        }
        assert!(limits.take(address(1), 0).is_err());
    }
}
