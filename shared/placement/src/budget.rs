//! What a node can carry, and what a room costs.
//!
//! The cost model is the fixed slots of a listener (three voices, one large picture, small ones up to nine in all), with
//! the packet rates that a browser's camera has by measurement (720p30 simulcast: 9.0, 3.2 and 1.9 packets per frame in
//! the layers f, h, q; 50 packets/s of Opus). It is an upper bound for a lesson in which everybody shows a camera, so that
//! an admitted room never asks for more than was reserved for it.

use schulhof_wire::ticket::{AUDIO_SLOTS, VIDEO_SLOTS};
use serde::{Deserialize, Serialize};

/// Opus at 20 ms frames.
const AUDIO_PACKETS_PER_S: u64 = 50;
/// Opus speech at 32 kbit/s plus RTP, SRTP, UDP and IP headers at 50 packets/s.
const AUDIO_BITS_PER_S: u64 = 60_000;
/// The large picture: layer f, 9 packets in each of 30 frames.
const LARGE_PACKETS_PER_S: u64 = 270;
const LARGE_BITS_PER_S: u64 = 1_800_000;
/// A small picture: layer q, 1.9 packets in each of 30 frames.
const SMALL_PACKETS_PER_S: u64 = 57;
const SMALL_BITS_PER_S: u64 = 160_000;

/// What a node has to give. Packets and bits count what it *sends* to listeners: sending costs, receiving is cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Most people at the same time.
    pub participants: u32,
    /// Most forwarded packets per second over all rooms. Measured when the node starts, or configured.
    #[serde(default = "unlimited", skip_serializing_if = "is_unlimited")]
    pub packets_per_s: u64,
    /// Most forwarded bits per second over all rooms: the line's uplink for those outside, the local network inside.
    #[serde(default = "unlimited", skip_serializing_if = "is_unlimited")]
    pub bits_per_s: u64,
}

fn unlimited() -> u64 {
    Budget::UNLIMITED
}

/// Not written: TOML has no integers of 64 bits without a sign.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_unlimited(value: &u64) -> bool {
    *value == Budget::UNLIMITED
}

impl Budget {
    pub const UNLIMITED: u64 = u64::MAX;

    /// Bounded by the number of people alone.
    pub fn of_participants(participants: u32) -> Self {
        Self { participants, packets_per_s: Self::UNLIMITED, bits_per_s: Self::UNLIMITED }
    }

    /// Whether `demand` stays within every one of the limits.
    pub fn holds(&self, demand: Demand) -> bool {
        demand.participants <= u64::from(self.participants)
            && demand.packets_per_s <= self.packets_per_s
            && demand.bits_per_s <= self.bits_per_s
    }
}

/// What is asked of a node at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    pub participants: u64,
    pub packets_per_s: u64,
    pub bits_per_s: u64,
}

impl Demand {
    /// A room in which `participants` people all show a camera and use all their slots.
    pub fn of_room(participants: u32) -> Self {
        let listeners = u64::from(participants);
        let others = listeners.saturating_sub(1);
        let voices = others.min(u64::from(AUDIO_SLOTS));
        let large = others.min(1);
        let small = others.min(u64::from(VIDEO_SLOTS)) - large;
        let packets = voices * AUDIO_PACKETS_PER_S + large * LARGE_PACKETS_PER_S + small * SMALL_PACKETS_PER_S;
        let bits = voices * AUDIO_BITS_PER_S + large * LARGE_BITS_PER_S + small * SMALL_BITS_PER_S;
        Self { participants: listeners, packets_per_s: listeners * packets, bits_per_s: listeners * bits }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            participants: self.participants.saturating_add(other.participants),
            packets_per_s: self.packets_per_s.saturating_add(other.packets_per_s),
            bits_per_s: self.bits_per_s.saturating_add(other.bits_per_s),
        }
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            participants: self.participants.saturating_sub(other.participants),
            packets_per_s: self.packets_per_s.saturating_sub(other.packets_per_s),
            bits_per_s: self.bits_per_s.saturating_sub(other.bits_per_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_alone_costs_a_place_and_no_packets() {
        assert_eq!(Demand::of_room(1), Demand { participants: 1, packets_per_s: 0, bits_per_s: 0 });
        assert_eq!(Demand::of_room(0), Demand::default());
    }

    #[test]
    fn the_cost_of_a_listener_stops_growing_when_the_slots_are_full() {
        let per_listener = |n: u32| Demand::of_room(n).packets_per_s / u64::from(n);
        assert!(per_listener(5) < per_listener(10));
        assert_eq!(per_listener(10), per_listener(200));
        assert_eq!(per_listener(10), 3 * 50 + 270 + 8 * 57);
    }

    #[test]
    fn the_largest_room_does_not_overflow() {
        let demand = Demand::of_room(u32::MAX);
        assert!(demand.packets_per_s > u64::from(u32::MAX));
        assert!(
            !Budget { participants: u32::MAX, packets_per_s: 1_000_000, bits_per_s: Budget::UNLIMITED }.holds(demand)
        );
    }

    #[test]
    fn every_limit_counts_by_itself() {
        let ten = Demand::of_room(10);
        assert!(Budget::of_participants(10).holds(ten));
        assert!(!Budget::of_participants(9).holds(ten));
        assert!(!Budget { packets_per_s: ten.packets_per_s - 1, ..Budget::of_participants(10) }.holds(ten));
        assert!(!Budget { bits_per_s: ten.bits_per_s - 1, ..Budget::of_participants(10) }.holds(ten));
    }
}
