//! A listener's transport-wide feedback: which of our packets arrived, and when
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1). Read in place, without allocating; every length is checked.

/// Statuses in one feedback; a browser tells every 50 to 250 ms. More than are remembered would be worthless.
pub(crate) const STATUSES_MAX: usize = 2_048;

/// Common header, two SSRCs, then base number, count, reference time and counter.
const HEADER_LEN: usize = 20;
/// Unit of the reference time: 64 ms.
const REFERENCE_US: i64 = 64_000;
/// It has 24 bits, with a sign.
const REFERENCE_BITS: u32 = 24;
/// Unit of the deltas.
const DELTA_US: i64 = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Lost,
    Small,
    Large,
}

impl Symbol {
    /// Nothing: reserved.
    fn of(bits: u16) -> Option<Self> {
        match bits & 3 {
            0 => Some(Self::Lost),
            1 => Some(Self::Small),
            2 => Some(Self::Large),
            _ => None,
        }
    }

    fn delta_len(self) -> usize {
        match self {
            Self::Lost => 0,
            Self::Small => 1,
            Self::Large => 2,
        }
    }
}

/// The symbols of one chunk.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    word: u16,
    next: u16,
    len: u16,
}

impl Chunk {
    fn new(word: u16) -> Self {
        let len = match word >> 14 {
            0 | 1 => word & 0x1FFF,
            2 => 14,
            _ => 7,
        };
        Self { word, next: 0, len }
    }

    /// The bits of the next symbol. Nothing: at its end.
    fn next(&mut self) -> Option<u16> {
        if self.next == self.len {
            return None;
        }
        let place = self.next;
        self.next += 1;
        Some(match self.word >> 14 {
            0 | 1 => self.word >> 13,
            2 => self.word >> (13 - place) & 1,
            _ => self.word >> (12 - 2 * place),
        })
    }
}

/// A feedback whose parts fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report<'a> {
    /// Transport-wide number of the first status.
    pub base: u16,
    pub count: u16,
    /// In units of 64 ms, 24 bits; the listener's clock.
    reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Report<'a> {
    /// `packet`: the whole RTCP packet of type 205, format 15.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let head = packet.first_chunk::<HEADER_LEN>()?;
        let base = u16::from_be_bytes([head[12], head[13]]);
        let count = u16::from_be_bytes([head[14], head[15]]);
        let reference = u32::from_be_bytes([0, head[16], head[17], head[18]]);
        if count == 0 || usize::from(count) > STATUSES_MAX {
            return None;
        }
        let body = &packet[HEADER_LEN..];
        // The deltas begin where the chunks have told enough statuses.
        let (mut told, mut chunks_len, mut deltas_len) = (0, 0, 0);
        while told < count {
            let mut chunk = Chunk::new(word(body, chunks_len)?);
            chunks_len += 2;
            if chunk.len == 0 {
                return None;
            }
            while told < count {
                let Some(bits) = chunk.next() else { break };
                deltas_len += Symbol::of(bits)?.delta_len();
                told += 1;
            }
        }
        let (chunks, rest) = body.split_at(chunks_len);
        Some(Self { base, count, reference, chunks, deltas: rest.get(..deltas_len)? })
    }

    /// For each number from `base` on, when it arrived, in microseconds of the listener's clock; nothing: not (yet).
    /// `near_us`: a time close to the reference time, of an earlier report, for the bits that it lacks.
    pub fn statuses(&self, near_us: Option<i64>) -> Statuses<'a> {
        let reference = i64::from(self.reference);
        let wraps = 1i64 << REFERENCE_BITS;
        let reference = near_us.map_or(reference + wraps, |near_us| {
            let near = near_us / REFERENCE_US;
            let distance = (reference - near).rem_euclid(wraps);
            near + if distance >= wraps / 2 { distance - wraps } else { distance }
        });
        Statuses {
            left: self.count,
            chunk: None,
            chunks: self.chunks,
            deltas: self.deltas,
            at_us: reference * REFERENCE_US,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

pub(crate) struct Statuses<'a> {
    left: u16,
    chunk: Option<Chunk>,
    chunks: &'a [u8],
    deltas: &'a [u8],
    at_us: i64,
}

impl Iterator for Statuses<'_> {
    type Item = Option<i64>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let symbol = loop {
            if let Some(bits) = self.chunk.as_mut().and_then(Chunk::next) {
                break Symbol::of(bits)?;
            }
            self.chunk = Some(Chunk::new(word(self.chunks, 0)?));
            self.chunks = &self.chunks[2..];
        };
        let (delta, rest) = self.deltas.split_at_checked(symbol.delta_len())?;
        self.deltas = rest;
        let ticks = match *delta {
            [] => return Some(None),
            [small] => i64::from(small),
            [high, low, ..] => i64::from(i16::from_be_bytes([high, low])),
        };
        self.at_us += ticks * DELTA_US;
        Some(Some(self.at_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::instant, twcc::Arrivals};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn run_lengths_and_both_vectors_are_read() {
        let mut packet = vec![0x8F, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFE, 0, 14, 0, 0, 2, 7];
        // Three lost; two bits: small, large, lost, lost, small, lost, lost; one bit: arrived, lost, arrived, then more
        // than the count.
        packet.extend_from_slice(&[0x00, 0x03]);
        packet.extend_from_slice(&(0xC000u16 | 0b01_10_00_00_01_00_00).to_be_bytes());
        packet.extend_from_slice(&(0x8000u16 | 0b10_1000_0000_0000).to_be_bytes());
        packet.extend_from_slice(&[4, 0xFF, 0xFC, 8, 12, 16, 0, 0, 0, 0]);
        let report = Report::parse(&packet).unwrap();
        assert_eq!((report.base, report.count), (65_534, 14));
        let near = report.statuses(Some(0)).map(|status| status.map(|at_us| at_us - 128_000)).collect::<Vec<_>>();
        let ms = |ms: i64| Some(ms * 1_000);
        let none = None;
        assert_eq!(near, [none, none, none, ms(1), ms(0), none, none, ms(2), none, none, ms(5), none, ms(9), none]);
    }

    #[test]
    fn the_reference_time_goes_on_behind_its_wrap() {
        let mut packet = [0x8F, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 1, 0, 0x20, 0x01, 0, 0];
        let at = |packet: &[u8], near| Report::parse(packet).unwrap().statuses(near).next().unwrap().unwrap();
        let last = ((1 << 24) - 1) * REFERENCE_US;
        assert_eq!(at(&packet, Some(last)), last + 2 * REFERENCE_US);
        packet[16..19].copy_from_slice(&[0xFF, 0xFF, 0xFF]);
        assert_eq!(at(&packet, Some(last + 3 * REFERENCE_US)), last);
    }

    #[test]
    fn what_our_own_writer_says_is_understood() {
        let mut arrivals = Arrivals::default();
        for (sequence, ms) in [(10, 1_000), (11, 1_001), (14, 1_600), (13, 1_601)] {
            arrivals.receive(sequence, Duration::from_millis(ms));
        }
        let mut packet = Vec::new();
        assert!(arrivals.feedback(instant(), 1, 2, &mut packet));
        let statuses: Vec<_> = Report::parse(&packet).unwrap().statuses(Some(0)).collect();
        assert_eq!(statuses, [Some(1_000_000), Some(1_001_000), None, Some(1_601_000), Some(1_600_000)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail_or_run_on(
            count in 0u16..3_000, mut bytes in prop::collection::vec(any::<u8>(), 0..300), near in any::<Option<i32>>()
        ) {
            if let Some(place) = bytes.get_mut(14..16) {
                place.copy_from_slice(&count.to_be_bytes());
            }
            if let Some(report) = Report::parse(&bytes) {
                prop_assert_eq!(report.statuses(near.map(i64::from)).count(), usize::from(count));
            }
        }
    }
}
