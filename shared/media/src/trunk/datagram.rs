//! One RTP packet of a source on its way to another node: twelve bytes, then the plain payload. QUIC has encrypted it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |                        number of the person                   |
//! +---+---+-+-+-+-+---------------+-------------------------------+
//! |knd|lay|M|P|F|S| level / gen.  |        sequence number        |
//! +---+---+-+-+-+-+---------------+-------------------------------+
//! |                           timestamp                           |
//! +---------------------------------------------------------------+
//! ```
//!
//! `knd`: 0 microphone, 1 camera, 2 screen. `M`: the RTP marker. `P`: a part, the first of two
//! (`F`) or the second (`S`). Byte 5: the voice's level (0 silent .. 127 full), or how often the layer was begun anew.

use schulhof_wire::media::SourceKind;

pub const HEADER_LEN: usize = 12;

const MARKER: u8 = 0x08;
const PART: u8 = 0x04;
const FIRST: u8 = 0x02;
const SECOND: u8 = 0x01;

/// Which part of a packet a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    First,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub number: u32,
    pub kind: SourceKind,
    pub layer: u8,
    pub marker: bool,
    pub part: Part,
    /// Level of a voice, generation of a picture's layer.
    pub extra: u8,
    pub sequence: u16,
    pub timestamp: u32,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            SourceKind::Microphone => 0,
            SourceKind::Camera => 1,
            SourceKind::Screen => 2,
        };
        let part = match self.part {
            Part::Whole => 0,
            Part::First => PART | FIRST,
            Part::Second => PART | SECOND,
        };
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.number.to_be_bytes());
        bytes[4] = kind << 6 | (self.layer & 3) << 4 | if self.marker { MARKER } else { 0 } | part;
        bytes[5] = self.extra;
        bytes[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes
    }

    /// And the payload behind it.
    pub fn parse(datagram: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, payload) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let kind = match bytes[4] >> 6 {
            0 => SourceKind::Microphone,
            1 => SourceKind::Camera,
            2 => SourceKind::Screen,
            _ => return None,
        };
        let part = match bytes[4] & (PART | FIRST | SECOND) {
            0 => Part::Whole,
            bits if bits == PART | FIRST => Part::First,
            bits if bits == PART | SECOND => Part::Second,
            _ => return None,
        };
        let header = Self {
            number: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            kind,
            layer: bytes[4] >> 4 & 3,
            marker: bytes[4] & MARKER != 0,
            part,
            extra: bytes[5],
            sequence: u16::from_be_bytes([bytes[6], bytes[7]]),
            timestamp: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        };
        Some((header, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_testkit::Rng;

    #[test]
    fn a_header_survives_its_bytes() {
        let mut rng = Rng::new(7);
        for _ in 0..1_000 {
            let header = Header {
                number: rng.next_u64() as u32,
                kind: [SourceKind::Microphone, SourceKind::Camera, SourceKind::Screen][rng.index(3)],
                layer: rng.below(4) as u8,
                marker: rng.chance(1, 2),
                part: [Part::Whole, Part::First, Part::Second][rng.index(3)],
                extra: rng.next_u64() as u8,
                sequence: rng.next_u64() as u16,
                timestamp: rng.next_u64() as u32,
            };
            let bytes = [&header.encode()[..], b"payload"].concat();
            assert_eq!(Header::parse(&bytes), Some((header, &b"payload"[..])));
        }
    }

    #[test]
    fn whatever_comes_is_parsed_or_refused_without_panic() {
        let mut rng = Rng::new(8);
        for len in 0..40 {
            let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            assert!(len >= HEADER_LEN || Header::parse(&bytes).is_none(), "{len} bytes hold no header");
        }
        assert_eq!(Header::parse(&[0xC0; 20]), None, "there is no fourth kind");
        assert_eq!(Header::parse(&[0x07; 20]), None, "no packet has both parts");
    }
}
