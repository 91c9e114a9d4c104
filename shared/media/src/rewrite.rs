//! One outgoing RTP stream made of many incoming ones: sequence number, timestamp, VP8 picture id and TL0PICIDX go on
//! without a jump when the source changes, so that the listener's decoder never notices (RFC 3550 §5.1, RFC 7741 §4.2).
//!
//! The mapping is kept, not its results: an outgoing number leads back to the incoming packet, which is how a NACK is
//! answered from the source's history without a copy per listener.
//!
//! It must not: repeat an outgoing number for another packet, or leave one out that no lost packet stands for.

use crate::vp8::Descriptor;
use std::{collections::VecDeque, time::Instant};

/// Mappings that are kept for late NACKs. A listener asks within a second; sources change less often than that.
const EPOCHS_MAX: usize = 4;
/// Left-out packets that are remembered one by one; older ones move the beginning of the mapping behind them.
const SKIPPED_MAX: usize = 64;
/// A pause in a stream moves the timestamp by at most this, far from the wrap that would look like the past.
const PAUSE_MAX_S: u64 = 3_600;

/// A packet of the incoming stream, as the rewriter needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming {
    /// Sequence number, extended so that it never wraps.
    pub index: u64,
    pub timestamp: u32,
    pub descriptor: Option<Descriptor>,
}

/// What to add to a packet of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    pub timestamp: u32,
    pub picture_id: u16,
    pub tl0: u8,
}

/// Where an incoming packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Sequence number and, above its 16 bits, the rollover counter.
    pub index: u64,
    pub timestamp: u32,
    pub shift: Shift,
    /// The first packet from this origin.
    pub starts: bool,
}

#[derive(Debug)]
struct Epoch<O> {
    origin: O,
    /// The first incoming index that is mapped, and what it is mapped to.
    first_in: u64,
    first_out: u64,
    /// Highest incoming index so far.
    top_in: u64,
    /// Incoming indices behind `first_in` that have no place in the outgoing stream, ascending.
    skipped: VecDeque<u64>,
    shift: Shift,
}

impl<O> Epoch<O> {
    /// Nothing: before the mapping, or left out.
    fn out(&self, index: u64) -> Option<u64> {
        let distance = index.checked_sub(self.first_in)?;
        let skipped = match self.skipped.binary_search(&index) {
            Ok(_) => return None,
            Err(before) => before as u64,
        };
        Some(self.first_out + distance - skipped)
    }

    /// The inverse of [`Self::out`].
    fn index_of(&self, out: u64) -> Option<u64> {
        let mut index = self.first_in + out.checked_sub(self.first_out)?;
        for skipped in &self.skipped {
            if *skipped > index {
                break;
            }
            index += 1;
        }
        Some(index)
    }
}

#[derive(Debug)]
pub(crate) struct Rewriter<O> {
    clock_hz: u32,
    /// Least step of the timestamp where the source changes.
    step_min: u32,
    epochs: VecDeque<Epoch<O>>,
    /// Highest outgoing index. The first packet gets the next.
    top: u64,
    /// Of the highest packet.
    timestamp: u32,
    sent_at: Option<Instant>,
    picture_id: u16,
    tl0: u8,
}

impl<O: Clone + PartialEq> Rewriter<O> {
    /// `first`: random beginnings of sequence number, timestamp and picture id (RFC 3550 §5.1). The sequence number
    /// begins in the lower half, so that no reordering at the start can lie before index 0.
    pub fn new(clock_hz: u32, step_min: u32, first: [u8; 8]) -> Self {
        Self {
            clock_hz,
            step_min,
            epochs: VecDeque::new(),
            top: u64::from(u16::from_be_bytes([first[0] & 0x7F, first[1]])) + 1,
            timestamp: u32::from_be_bytes([first[2], first[3], first[4], first[5]]),
            sent_at: None,
            picture_id: u16::from_be_bytes([first[6] & 0x7F, first[7]]),
            tl0: first[7],
        }
    }

    /// Where the packets come from just now.
    pub fn origin(&self) -> Option<&O> {
        self.epochs.back().map(|epoch| &epoch.origin)
    }

    /// From this packet on, the stream continues with `origin`. For video it must begin a key frame.
    pub fn start(&mut self, now: Instant, origin: O, packet: &Incoming) -> Outgoing {
        let step = self.sent_at.map_or(self.step_min, |sent_at| {
            let pause_us = now.saturating_duration_since(sent_at).as_micros().min(u128::from(PAUSE_MAX_S) * 1_000_000);
            let ticks = pause_us * u128::from(self.clock_hz) / 1_000_000;
            (ticks as u32).max(self.step_min)
        });
        let timestamp = self.timestamp.wrapping_add(step);
        let descriptor = packet.descriptor.unwrap_or_default();
        let shift = Shift {
            timestamp: timestamp.wrapping_sub(packet.timestamp),
            picture_id: descriptor.picture_id.map_or(0, |id| (self.picture_id + 1).wrapping_sub(id.value)),
            tl0: descriptor.tl0.map_or(0, |tl0| self.tl0.wrapping_add(1).wrapping_sub(tl0.value)),
        };
        if self.epochs.len() == EPOCHS_MAX {
            self.epochs.pop_front();
        }
        let index = self.top + 1;
        self.epochs.push_back(Epoch {
            origin,
            first_in: packet.index,
            first_out: index,
            top_in: packet.index,
            skipped: VecDeque::new(),
            shift,
        });
        self.advance(now, index, timestamp, &descriptor, shift);
        Outgoing { index, timestamp, shift, starts: true }
    }

    /// Continues with the running origin. Nothing: a packet from before the switch, or one that was left out.
    pub fn forward(&mut self, now: Instant, packet: &Incoming) -> Option<Outgoing> {
        let epoch = self.epochs.back_mut()?;
        let index = epoch.out(packet.index)?;
        epoch.top_in = epoch.top_in.max(packet.index);
        let shift = epoch.shift;
        let timestamp = packet.timestamp.wrapping_add(shift.timestamp);
        if index > self.top {
            self.advance(now, index, timestamp, &packet.descriptor.unwrap_or_default(), shift);
        }
        Some(Outgoing { index, timestamp, shift, starts: false })
    }

    /// Leaves a packet of the running origin out and closes the gap. False: its successors are sent already, so that
    /// the gap must be filled instead.
    pub fn skip(&mut self, index: u64) -> bool {
        let Some(epoch) = self.epochs.back_mut() else { return true };
        if index < epoch.first_in {
            return true;
        }
        if index <= epoch.top_in {
            return false;
        }
        epoch.top_in = index;
        epoch.skipped.push_back(index);
        if epoch.skipped.len() > SKIPPED_MAX
            && let Some(oldest) = epoch.skipped.pop_front()
        {
            epoch.first_out += oldest - epoch.first_in;
            epoch.first_in = oldest + 1;
        }
        true
    }

    /// Which incoming packet an outgoing sequence number stands for, and how it was rewritten.
    pub fn locate(&self, sequence: u16) -> Option<(&O, u64, u64, Shift)> {
        let behind = (self.top as u16).wrapping_sub(sequence);
        let out = self.top.checked_sub(u64::from(behind))?;
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.first_out <= out)?;
        Some((&epoch.origin, epoch.index_of(out)?, out, epoch.shift))
    }

    /// Highest outgoing index so far.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// Of the highest packet.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Timestamp that the stream has at `now`, for sender reports.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let pause = now.saturating_duration_since(self.sent_at?);
        let ticks = pause.as_micros() * u128::from(self.clock_hz) / 1_000_000;
        Some(self.timestamp.wrapping_add(ticks as u32))
    }

    fn advance(&mut self, now: Instant, index: u64, timestamp: u32, descriptor: &Descriptor, shift: Shift) {
        self.top = index;
        self.timestamp = timestamp;
        self.sent_at = Some(now);
        if let Some(id) = descriptor.picture_id {
            self.picture_id = id.shifted(shift.picture_id);
        }
        if let Some(tl0) = descriptor.tl0 {
            self.tl0 = tl0.value.wrapping_add(shift.tl0);
        }
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
