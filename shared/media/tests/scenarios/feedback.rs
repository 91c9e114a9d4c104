//! A listener's transport-wide feedback, as a browser gives it: each 50 ms, what arrived and what did not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(50);
/// Some listener's clock: not the engine's.
const CLOCK_US: i64 = 1_234_567;
const KEPT_US: i64 = 500_000;
const DELTA_US: i64 = 250;
const REFERENCE_US: i64 = 64_000;

pub struct Feedback {
    start: Instant,
    /// By extended number, what arrived lately, in microseconds. Kept for a while: when an older number comes late, the
    /// report goes back to it and tells what was told before once more.
    arrived: BTreeMap<i64, i64>,
    /// The lowest that has come since the last report.
    fresh: Option<i64>,
    next: Option<i64>,
    highest: i64,
    told_at: Instant,
    count: u8,
}

impl Feedback {
    pub fn new(now: Instant) -> Self {
        Self { start: now, arrived: BTreeMap::new(), fresh: None, next: None, highest: 0, told_at: now, count: 0 }
    }

    pub fn arrived(&mut self, now: Instant, number: u16) {
        let extended = match self.next {
            None => i64::from(number),
            Some(_) => self.highest + i64::from(number.wrapping_sub(self.highest as u16).cast_signed()),
        };
        self.next.get_or_insert(extended);
        self.highest = self.highest.max(extended);
        if !self.arrived.contains_key(&extended) {
            self.arrived.insert(extended, (now - self.start).as_micros() as i64 + CLOCK_US);
            self.fresh = Some(self.fresh.map_or(extended, |fresh| fresh.min(extended)));
        }
    }

    /// A packet, when one is due.
    pub fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now - self.told_at < EVERY {
            return None;
        }
        let base = self.fresh.take()?.min(self.next?);
        self.told_at = now;
        let first = *self.arrived.range(base..).next()?.0;
        let last = *self.arrived.keys().next_back()?;
        let reference = self.arrived[&first] / REFERENCE_US;
        let mut before = reference * REFERENCE_US;
        let (mut chunks, mut deltas) = (Vec::new(), Vec::new());
        let numbers: Vec<i64> = (base..=last).collect();
        for chunk in numbers.chunks(7) {
            let mut word = 0xC000u16;
            for (place, number) in chunk.iter().enumerate() {
                let Some(at) = self.arrived.get(number) else { continue };
                let delta = (at - before) / DELTA_US;
                before += delta * DELTA_US;
                if (0..=255).contains(&delta) {
                    deltas.push(delta as u8);
                    word |= 1 << (12 - 2 * place);
                } else {
                    deltas.extend_from_slice(&i16::try_from(delta).unwrap().to_be_bytes());
                    word |= 2 << (12 - 2 * place);
                }
            }
            chunks.extend_from_slice(&word.to_be_bytes());
        }
        let mut packet = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        packet.extend_from_slice(&(base as u16).to_be_bytes());
        packet.extend_from_slice(&(numbers.len() as u16).to_be_bytes());
        packet.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
        packet.push(self.count);
        packet.extend_from_slice(&chunks);
        packet.extend_from_slice(&deltas);
        packet.resize(packet.len().next_multiple_of(4), 0);
        let words = (packet.len() / 4 - 1) as u16;
        packet[2..4].copy_from_slice(&words.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        self.next = Some(last + 1);
        let old = (now - self.start).as_micros() as i64 + CLOCK_US - KEPT_US;
        self.arrived.retain(|_, at| *at > old);
        Some(packet)
    }
}
