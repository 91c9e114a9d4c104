//! The latest packets of one incoming layer, for listeners that lost one (RFC 4585 §6.2.1). One copy per source, not per
//! listener; kept only while somebody watches the layer.

use crate::packet::Predecessor;

/// Packets per layer: about one second of 720p at 2.5 Mbit/s, far beyond any useful round trip. With 1200 bytes each
/// this is 300 kB per watched layer. A power of two.
pub(crate) const PACKETS_MAX: usize = 256;

#[derive(Debug, Default)]
struct Entry {
    /// Extended sequence number + 1; 0 is an empty place.
    key: u64,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// A kept packet. The payload is the plain one, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
}

/// A ring by sequence number. Its places grow to the size of their packets once; afterwards nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct History {
    ring: Vec<Entry>,
}

impl History {
    pub fn store(&mut self, index: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        if self.ring.is_empty() {
            self.ring.resize_with(PACKETS_MAX, Entry::default);
        }
        let entry = &mut self.ring[place(index)];
        if entry.key > index + 1 {
            return;
        }
        entry.key = index + 1;
        entry.timestamp = timestamp;
        entry.marker = marker;
        entry.payload.clear();
        entry.payload.extend_from_slice(payload);
    }

    pub fn get(&self, index: u64) -> Option<Kept<'_>> {
        let entry = self.ring.get(place(index)).filter(|entry| entry.key == index + 1)?;
        Some(Kept { timestamp: entry.timestamp, marker: entry.marker, payload: &entry.payload })
    }

    /// The packet before one of this index and timestamp.
    pub fn before(&self, index: u64, timestamp: u32) -> Option<Predecessor<'_>> {
        let kept = self.get(index.checked_sub(1)?)?;
        Some(Predecessor { offset: timestamp.wrapping_sub(kept.timestamp), payload: kept.payload })
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Gives the memory back, once nobody watches.
    pub fn clear(&mut self) {
        self.ring = Vec::new();
    }
}

fn place(index: u64) -> usize {
    index as usize % PACKETS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_packets_are_found_and_older_ones_are_gone() {
        let mut history = History::default();
        assert_eq!(history.get(7), None);
        for index in 0..PACKETS_MAX as u64 + 10 {
            history.store(index, index as u32, index % 2 == 0, &index.to_be_bytes());
        }
        assert_eq!(history.get(9), None);
        let kept = history.get(10).unwrap();
        assert_eq!((kept.timestamp, kept.marker, kept.payload), (10, true, &10u64.to_be_bytes()[..]));
        history.store(10 - 1, 0, false, b"late");
        assert_eq!(history.get(9), None, "a late packet does not push out a newer one");
        history.clear();
        assert_eq!(history.get(10), None);
    }
}
