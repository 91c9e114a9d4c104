//! What was sent to one listener lately: the transport-wide number of each packet leads to its time and length. One
//! number series for the whole connection, over all its streams, retransmissions and probes.

/// Packets that are remembered: almost two seconds at 10 Mbit/s. A power of two that divides the numbers' 16 bits.
pub(crate) const PACKETS_MAX: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Lost,
    Arrived,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The low bits of the time, which is enough for what is remembered.
    at_us: u32,
    bytes: u16,
    /// Of which probe; 0 none.
    probe: u8,
    fate: Fate,
}

/// A packet as feedback finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub sent_us: u64,
    pub bytes: usize,
    pub probe: u8,
    /// It had been reported as lost before.
    pub was_lost: bool,
}

/// Grows to its size with the first packet, then never allocates.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    ring: Vec<Entry>,
    /// Of the next packet, extended.
    next: u64,
    latest_us: u64,
}

impl Sent {
    /// The number of the next packet.
    #[inline]
    pub fn number(&self) -> u16 {
        self.next as u16
    }

    #[inline]
    pub fn note(&mut self, now_us: u64, bytes: usize, probe: u8) {
        let entry =
            Entry { at_us: now_us as u32, bytes: bytes.min(usize::from(u16::MAX)) as u16, probe, fate: Fate::Unknown };
        let place = self.next as usize % PACKETS_MAX;
        match self.ring.get_mut(place) {
            Some(known) => *known = entry,
            None => {
                self.ring.reserve_exact(PACKETS_MAX - self.ring.len());
                self.ring.push(entry);
            }
        }
        self.next += 1;
        self.latest_us = now_us;
    }

    fn find(&mut self, number: u16) -> Option<(u64, &mut Entry)> {
        let behind = (self.next as u16).wrapping_sub(number);
        // 0 is the next one, which has not been sent yet.
        if behind == 0 || usize::from(behind) > PACKETS_MAX {
            return None;
        }
        let index = self.next.checked_sub(u64::from(behind))?;
        let latest_us = self.latest_us;
        let entry = self.ring.get_mut(index as usize % PACKETS_MAX)?;
        Some((latest_us - u64::from((latest_us as u32).wrapping_sub(entry.at_us)), entry))
    }

    /// It arrived. Nothing: unknown, too long ago, or known to have arrived.
    pub fn arrived(&mut self, number: u16) -> Option<Packet> {
        let (sent_us, entry) = self.find(number).filter(|(_, entry)| entry.fate != Fate::Arrived)?;
        let was_lost = entry.fate == Fate::Lost;
        entry.fate = Fate::Arrived;
        Some(Packet { sent_us, bytes: usize::from(entry.bytes), probe: entry.probe, was_lost })
    }

    /// It did not arrive. Nothing: that is no news.
    pub fn lost(&mut self, number: u16) -> Option<Packet> {
        let (sent_us, entry) = self.find(number).filter(|(_, entry)| entry.fate == Fate::Unknown)?;
        entry.fate = Fate::Lost;
        Some(Packet { sent_us, bytes: usize::from(entry.bytes), probe: entry.probe, was_lost: false })
    }

    pub fn latest_us(&self) -> u64 {
        self.latest_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_found_once_by_its_number_also_behind_the_wrap() {
        let mut sent = Sent::default();
        assert_eq!(sent.arrived(0), None, "nothing was sent");
        for n in 0..70_000u64 {
            assert_eq!(sent.number(), n as u16);
            sent.note(5_000_000_000 + n * 1_000, 100 + (n % 7) as usize, (n % 3) as u8);
        }
        let n = 69_000u64;
        let bytes = 100 + (n % 7) as usize;
        let packet = Packet { sent_us: 5_000_000_000 + n * 1_000, bytes, probe: (n % 3) as u8, was_lost: false };
        assert_eq!(sent.lost(n as u16), Some(packet));
        assert_eq!(sent.lost(n as u16), None);
        assert_eq!(sent.arrived(n as u16), Some(Packet { was_lost: true, ..packet }), "it was only late");
        assert_eq!(sent.arrived(n as u16), None);
        assert_eq!(sent.lost(n as u16), None);
        assert_eq!(sent.arrived(70_000u64 as u16), None, "not sent yet");
        assert_eq!(sent.arrived((70_000 - PACKETS_MAX as u64 - 1) as u16), None, "forgotten");
        assert!(sent.arrived((70_000 - PACKETS_MAX as u64) as u16).is_some());
        assert_eq!(sent.ring.capacity(), PACKETS_MAX);
    }
}
