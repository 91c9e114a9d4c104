//! One direction of a way between two nodes.

use crate::Rng;
use std::collections::BTreeMap;

/// What a link does to messages. The default is a perfect one of 1 ms.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Each message takes between these, drawn anew per message.
    pub delay_min_ms: u64,
    pub delay_max_ms: u64,
    /// Of 1000 messages this many get lost.
    pub loss_permille: u64,
    /// Of 1000 messages this many arrive twice, each with its own delay.
    pub duplicate_permille: u64,
    /// Whether messages may overtake each other. If not, a message waits for the one before: a stream.
    pub reorder: bool,
    /// Rate of the narrowest place on the way, for messages whose length is told; 0 is unlimited.
    pub rate_kbit_s: u64,
    /// What may wait in front of it, in milliseconds of its rate; a message that would wait longer is lost.
    pub queue_ms: u64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay_min_ms: 1,
            delay_max_ms: 1,
            loss_permille: 0,
            duplicate_permille: 0,
            reorder: false,
            rate_kbit_s: 0,
            queue_ms: 200,
        }
    }
}

/// Messages under way. A partitioned link swallows what is sent; what is under way still arrives unless [`Link::clear`]ed.
#[derive(Debug)]
pub struct Link<T> {
    pub conditions: Conditions,
    pub partitioned: bool,
    rng: Rng,
    /// By time of arrival, then by order of sending.
    flying: BTreeMap<(u64, u64), T>,
    sent: u64,
    latest_ms: u64,
    /// When the narrowest place is free again.
    free_at_us: u64,
    /// Messages that found its queue full.
    pub overflowed: u64,
    /// Of the messages whose length was told, what has gone through the narrow place.
    pub bytes: u64,
}

impl<T: Clone> Link<T> {
    pub fn new(conditions: Conditions, rng: Rng) -> Self {
        Self {
            conditions,
            partitioned: false,
            rng,
            flying: BTreeMap::new(),
            sent: 0,
            latest_ms: 0,
            free_at_us: 0,
            overflowed: 0,
            bytes: 0,
        }
    }

    pub fn send(&mut self, now_ms: u64, message: T) {
        if self.partitioned || self.rng.chance(self.conditions.loss_permille, 1_000) {
            return;
        }
        if self.rng.chance(self.conditions.duplicate_permille, 1_000) {
            self.fly(now_ms, message.clone());
        }
        self.fly(now_ms, message);
    }

    /// A message of this length: it takes its time at the narrowest place.
    pub fn send_bytes(&mut self, now_ms: u64, message: T, bytes: usize) {
        let rate = self.conditions.rate_kbit_s;
        if rate == 0 {
            self.bytes += bytes as u64;
            return self.send(now_ms, message);
        }
        let now_us = now_ms * 1_000;
        let start_us = self.free_at_us.max(now_us);
        if start_us - now_us > self.conditions.queue_ms * 1_000 {
            self.overflowed += 1;
            return;
        }
        self.bytes += bytes as u64;
        self.free_at_us = start_us + bytes as u64 * 8_000 / rate;
        self.send(self.free_at_us.div_ceil(1_000), message);
    }

    fn fly(&mut self, now_ms: u64, message: T) {
        let delay_ms = self.rng.between(self.conditions.delay_min_ms, self.conditions.delay_max_ms);
        let mut at_ms = now_ms + delay_ms;
        if !self.conditions.reorder {
            at_ms = at_ms.max(self.latest_ms);
            self.latest_ms = at_ms;
        }
        self.flying.insert((at_ms, self.sent), message);
        self.sent += 1;
    }

    /// The next message that has arrived by now.
    pub fn receive(&mut self, now_ms: u64) -> Option<T> {
        let (&(at_ms, order), _) = self.flying.first_key_value()?;
        if at_ms > now_ms { None } else { self.flying.remove(&(at_ms, order)) }
    }

    /// When the next message arrives.
    pub fn next_ms(&self) -> Option<u64> {
        self.flying.first_key_value().map(|(&(at_ms, _), _)| at_ms)
    }

    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Number of messages under way.
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    /// Loses all that is under way, as when a connection breaks.
    pub fn clear(&mut self) {
        self.flying.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(conditions: Conditions, seed: u64) -> Vec<u32> {
        let mut link = Link::new(conditions, Rng::new(seed));
        for n in 0..200 {
            link.send(u64::from(n), n);
        }
        std::iter::from_fn(|| link.receive(10_000)).collect()
    }

    #[test]
    fn a_stream_keeps_order_whatever_the_delays() {
        let conditions = Conditions { delay_max_ms: 50, ..Conditions::default() };
        assert_eq!(arrivals(conditions, 1), (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn a_bad_link_loses_doubles_and_reorders_the_same_way_for_the_same_seed() {
        let bad = Conditions {
            delay_max_ms: 50,
            loss_permille: 200,
            duplicate_permille: 200,
            reorder: true,
            ..Conditions::default()
        };
        let got = arrivals(bad.clone(), 7);
        assert!(!got.is_sorted());
        let distinct: std::collections::BTreeSet<_> = got.iter().collect();
        assert!(distinct.len() < 200 && distinct.len() < got.len());
        assert_eq!(got, arrivals(bad.clone(), 7));
        assert_ne!(got, arrivals(bad, 8));
    }

    #[test]
    fn a_narrow_place_lets_messages_wait_and_loses_what_would_wait_too_long() {
        let conditions = Conditions { rate_kbit_s: 800, queue_ms: 50, ..Conditions::default() };
        let mut link = Link::new(conditions, Rng::new(1));
        for n in 0..10 {
            link.send_bytes(0, n, 1_000);
        }
        assert_eq!((link.len(), link.overflowed), (6, 4), "10 ms each: one under way, five that wait");
        assert_eq!(link.next_ms(), Some(11));
        assert_eq!((0..6).filter_map(|_| link.receive(60)).count(), 5);
        link.send_bytes(100, 99, 1_000);
        assert_eq!(link.receive(61), Some(5));
        assert_eq!(link.next_ms(), Some(111), "idle in between");
    }

    #[test]
    fn nothing_passes_a_partition_and_nothing_arrives_early() {
        let mut link = Link::new(Conditions { delay_min_ms: 5, delay_max_ms: 5, ..Conditions::default() }, Rng::new(1));
        link.send(0, 'a');
        link.partitioned = true;
        link.send(0, 'b');
        assert_eq!(link.next_ms(), Some(5));
        assert_eq!(link.receive(4), None);
        assert_eq!(link.receive(5), Some('a'));
        assert!(link.is_empty());
    }
}
