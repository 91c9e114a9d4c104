//! RTP packets as they stand in a datagram: header, header extensions, padding (RFC 3550 §5.1, RFC 8285). Reads only,
//! allocates nothing, and every length is checked.

use std::ops::Range;

/// Version, flags, sequence number, timestamp, SSRC.
pub(crate) const HEADER_LEN: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub marker: bool,
    pub padded: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// With CSRCs and extension.
    pub len: usize,
    /// Profile and place of the extension's elements.
    extension: Option<(u16, Range<usize>)>,
}

/// One-byte headers.
const PROFILE_ONE_BYTE: u16 = 0xBEDE;
/// Two-byte headers; the low four bits are free.
const PROFILE_TWO_BYTE: u16 = 0x1000;

impl Header {
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<HEADER_LEN>()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = HEADER_LEN + 4 * usize::from(fixed[0] & 0x0F);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let head = packet.get(len..)?.first_chunk::<4>()?;
            let profile = u16::from_be_bytes([head[0], head[1]]);
            let start = len + 4;
            len = start + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            extension = Some((profile, start..len));
        }
        if packet.len() < len {
            return None;
        }
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            padded: fixed[0] & 0x20 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            len,
            extension,
        })
    }

    /// The elements of the header extension: id and value. Stops at the first that does not fit.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        match &self.extension {
            Some((PROFILE_ONE_BYTE, range)) => {
                Extensions { rest: packet.get(range.clone()).unwrap_or(&[]), wide: false }
            }
            Some((profile, range)) if profile & 0xFFF0 == PROFILE_TWO_BYTE => {
                Extensions { rest: packet.get(range.clone()).unwrap_or(&[]), wide: true }
            }
            _ => Extensions { rest: &[], wide: false },
        }
    }
}

pub(crate) struct Extensions<'a> {
    rest: &'a [u8],
    wide: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, len, rest) = if self.wide {
                let (&len, rest) = rest.split_first()?;
                (first, usize::from(len), rest)
            } else {
                (first >> 4, usize::from(first & 0x0F) + 1, rest)
            };
            // Id 15 of the one-byte form ends the list (RFC 8285 §4.2).
            if (!self.wide && id == 15) || rest.len() < len {
                self.rest = &[];
                return None;
            }
            let (value, rest) = rest.split_at(len);
            self.rest = rest;
            return Some((id, value));
        }
    }
}

/// The payload without its padding. Nothing: the padding is longer than the payload, or empty.
pub(crate) fn unpadded<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !header.padded {
        return Some(payload);
    }
    let padding = usize::from(*payload.last()?);
    if padding == 0 { None } else { payload.get(..payload.len().checked_sub(padding)?) }
}

/// Is this RTCP, of what has RTP's first byte? (RFC 5761 §4)
pub(crate) fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..224).contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(extension: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 0xE0, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 9];
        packet.extend_from_slice(extension);
        packet.extend_from_slice(b"payload");
        packet
    }

    #[test]
    fn one_byte_and_two_byte_extensions_are_read() {
        let one = packet(&[0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0x21, 1, 2, 0, 0, 0]);
        let header = Header::parse(&one).unwrap();
        assert_eq!((header.sequence, header.timestamp, header.ssrc, header.payload_type), (0x1234, 5, 9, 0x60));
        assert!(header.marker && !header.padded);
        assert_eq!(header.extensions(&one).collect::<Vec<_>>(), [(1, &[0xAA][..]), (2, &[1, 2][..])]);
        assert_eq!(&one[header.len..], b"payload");

        let two = packet(&[0x10, 0x00, 0, 2, 17, 3, 1, 2, 3, 0, 5, 0]);
        let header = Header::parse(&two).unwrap();
        assert_eq!(header.extensions(&two).collect::<Vec<_>>(), [(17, &[1, 2, 3][..]), (5, &[][..])]);
    }

    #[test]
    fn padding_is_taken_off_and_nonsense_is_refused() {
        let header = |padded| Header { padded, ..Header::parse(&packet(&[0xBE, 0xDE, 0, 0])).unwrap() };
        assert_eq!(unpadded(&header(false), b"abc"), Some(&b"abc"[..]));
        assert_eq!(unpadded(&header(true), &[7, 8, 0, 2]), Some(&[7, 8][..]));
        assert_eq!(unpadded(&header(true), &[0, 0, 3]), Some(&[][..]));
        for bad in [&[][..], &[0][..], &[9][..]] {
            assert_eq!(unpadded(&header(true), bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail_or_read_outside(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.len <= bytes.len());
                prop_assert!(header.extensions(&bytes).count() <= bytes.len());
                let _ = unpadded(&header, &bytes[header.len..]);
            }
        }
    }
}
