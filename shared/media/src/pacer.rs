//! Lets a burst leave over some milliseconds towards a listener whose line is narrow: a key frame sent at once would wait
//! in the line's queue in front of the voices, or be lost there.
//!
//! Voices, repetitions and reports never wait here; they only use up the tokens. Pictures wait before they are sealed, so
//! that transport-wide numbers are given in the order of leaving. Listeners with room pass by with one comparison.

use std::collections::VecDeque;

/// The line is filled this many times as fast as it carries on average, as browsers do it.
const FACTOR: (u64, u64) = (5, 2);
/// What may leave at once.
const BURST_US: u64 = 5_000;
const BURST_BYTES_MIN: u64 = 2_500;
/// What waits has left after this; a picture that is later is worth little.
const WAIT_MAX_US: u64 = 250_000;
/// Bytes that may wait, in any case: a key frame of each of nine pictures on a narrow line.
const BYTES_MAX: usize = 256 * 1024;
/// Memory that stays when nothing waits.
const BYTES_KEPT: usize = 16 * 1024;

/// A packet that is encoded but for its transport-wide number, and not sealed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub len: usize,
    pub header_len: usize,
    pub ssrc: u32,
    /// For SRTP.
    pub index: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Nothing: the line has room.
    bps: Option<u64>,
    tokens: i64,
    filled_at_us: u64,
    bytes: Vec<u8>,
    /// Bytes in front that have left.
    left: usize,
    held: VecDeque<Held>,
}

impl Pacer {
    /// What the line carries; nothing: more than is asked of it.
    pub fn set(&mut self, bps: Option<u64>) {
        self.bps = bps;
    }

    #[inline]
    pub fn is_idle(&self) -> bool {
        self.bps.is_none() && self.held.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// May a picture's packet leave at once?
    pub fn lets_pass(&mut self, now_us: u64) -> bool {
        self.fill(now_us);
        self.held.is_empty() && self.tokens > 0
    }

    /// Something left.
    #[inline]
    pub fn spend(&mut self, len: usize) {
        self.tokens = self.tokens.saturating_sub(len as i64);
    }

    /// Takes a packet that `encode` appends to the buffer. False: full.
    pub fn hold(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Held) -> bool {
        if self.bytes.len() - self.left >= BYTES_MAX {
            return false;
        }
        let held = encode(&mut self.bytes);
        self.held.push_back(held);
        true
    }

    /// Hands what may leave by now to `send`, which seals it.
    pub fn release(&mut self, now_us: u64, mut send: impl FnMut(&Held, &[u8])) {
        self.fill(now_us);
        while self.tokens > 0 || self.bps.is_none() {
            let Some(held) = self.held.pop_front() else { break };
            send(&held, &self.bytes[self.left..self.left + held.len]);
            self.left += held.len;
            self.tokens -= held.len as i64;
        }
        if self.held.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(BYTES_KEPT);
            self.left = 0;
        } else if self.left > self.bytes.len() / 2 {
            self.bytes.drain(..self.left);
            self.left = 0;
        }
    }

    fn fill(&mut self, now_us: u64) {
        let since_us = now_us.saturating_sub(self.filled_at_us).min(WAIT_MAX_US);
        let bps = self.bps.unwrap_or(0).min(1 << 40) * FACTOR.0 / FACTOR.1;
        let waits = (self.bytes.len() - self.left) as u64;
        let bytes_per_s = (bps / 8).max(waits * 1_000_000 / WAIT_MAX_US);
        let burst = (bytes_per_s * BURST_US / 1_000_000).max(BURST_BYTES_MIN) as i64;
        let gained = (bytes_per_s * since_us / 1_000_000) as i64;
        // Time too short for a whole byte is kept for the next time.
        if gained > 0 || bytes_per_s == 0 {
            self.filled_at_us = now_us;
        }
        let tokens = self.tokens + gained;
        // What voices and repetitions overdraw is paid back, but not for long.
        self.tokens = tokens.clamp(-4 * burst, burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: u64, len: usize) -> impl FnOnce(&mut Vec<u8>) -> Held {
        move |buffer| {
            buffer.resize(buffer.len() + len, n as u8);
            Held { len, header_len: 20, ssrc: 1, index: n }
        }
    }

    fn released(pacer: &mut Pacer, now_us: u64) -> Vec<u64> {
        let mut indices = Vec::new();
        pacer.release(now_us, |held, bytes| {
            assert!(bytes.len() == held.len && bytes.iter().all(|byte| *byte == held.index as u8));
            indices.push(held.index);
        });
        indices
    }

    #[test]
    fn a_burst_leaves_bit_by_bit_in_its_order_and_soon_enough() {
        let mut pacer = Pacer::default();
        assert!(pacer.is_idle());
        pacer.set(Some(800_000));
        assert!(pacer.lets_pass(1_000_000));
        pacer.spend(5_000);
        assert!(!pacer.lets_pass(1_000_000));
        for n in 0..40 {
            assert!(pacer.hold(packet(n, 1_000)));
        }
        let mut order = Vec::new();
        for ms in 1_001..1_300 {
            let now = released(&mut pacer, ms * 1_000);
            assert!(now.len() <= 4, "{} at once", now.len());
            order.extend(now);
        }
        // 250 kB/s: 160 ms.
        assert_eq!(order, (0..40).collect::<Vec<_>>());
        assert!(pacer.bytes.capacity() <= BYTES_KEPT.max(1_000));
        pacer.set(None);
        assert!(pacer.is_idle());
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_in_time() {
        let mut pacer = Pacer::default();
        pacer.set(Some(100_000));
        pacer.release(0, |_, _| {});
        let took = (0..1_000).filter(|n| pacer.hold(packet(*n, 1_200))).count();
        assert!(took * 1_200 < BYTES_MAX + 1_200, "{took}");
        let last = (1..5_000).find(|ms| {
            released(&mut pacer, ms * 1_000);
            pacer.is_empty()
        });
        assert!(last.unwrap() < 1_200, "{last:?} ms");
        assert!(pacer.hold(packet(1, 100)));
        pacer.set(None);
        assert_eq!(released(&mut pacer, 5_000_000), [1], "a line with room holds nothing back");
    }
}
