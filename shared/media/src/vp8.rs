//! The VP8 payload descriptor (RFC 7741 §4.2) and what a key frame's first bytes say (RFC 6386 §9.1).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureId {
    /// Place in the payload.
    at: usize,
    pub value: u16,
    /// 15 bits instead of 7.
    wide: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tl0PicIdx {
    at: usize,
    pub value: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub picture_id: Option<PictureId>,
    pub tl0: Option<Tl0PicIdx>,
    /// This packet begins a key frame.
    pub key_frame: bool,
    /// Of the key frame, in pixels; none if the packet is too short to tell.
    pub height: Option<u16>,
}

const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;

impl Descriptor {
    /// Nothing: not a VP8 payload.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut descriptor = Self::default();
        let mut at = 1;
        if first & EXTENDED != 0 {
            let flags = *payload.get(1)?;
            at = 2;
            if flags & 0x80 != 0 {
                let high = *payload.get(at)?;
                let wide = high & 0x80 != 0;
                let mut value = u16::from(high & 0x7F);
                if wide {
                    value = value << 8 | u16::from(*payload.get(at + 1)?);
                }
                descriptor.picture_id = Some(PictureId { at, value, wide });
                at += if wide { 2 } else { 1 };
            }
            if flags & 0x40 != 0 {
                descriptor.tl0 = Some(Tl0PicIdx { at, value: *payload.get(at)? });
                at += 1;
            }
            // TID and KEYIDX share a byte.
            if flags & 0x30 != 0 {
                at += 1;
            }
        }
        let frame = payload.get(at..)?;
        if first & START != 0 && first & PARTITION == 0 && frame.first().is_some_and(|tag| tag & 1 == 0) {
            descriptor.key_frame = true;
            if let Some([_, _, _, 0x9D, 0x01, 0x2A, _, _, low, high]) = frame.first_chunk::<10>() {
                descriptor.height = Some(u16::from_le_bytes([*low, *high]) & 0x3FFF);
            }
        }
        Some(descriptor)
    }

    /// Adds to picture id and TL0PICIDX of a payload that this descriptor was read from. They keep their width.
    pub fn shift(&self, payload: &mut [u8], picture_id: u16, tl0: u8) {
        if let Some(id) = self.picture_id {
            let value = id.shifted(picture_id);
            if id.wide {
                if let Some(bytes) = payload.get_mut(id.at..id.at + 2) {
                    bytes.copy_from_slice(&(0x8000 | value).to_be_bytes());
                }
            } else if let Some(byte) = payload.get_mut(id.at) {
                *byte = value as u8;
            }
        }
        if let Some(index) = self.tl0
            && let Some(byte) = payload.get_mut(index.at)
        {
            *byte = index.value.wrapping_add(tl0);
        }
    }
}

impl PictureId {
    pub fn shifted(self, by: u16) -> u16 {
        self.value.wrapping_add(by) & if self.wide { 0x7FFF } else { 0x7F }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// X, I (15 bits), L, T: picture 0x1234, TL0PICIDX 7; then a key frame of 640 x 360.
    const KEY: [u8; 16] = [0x90, 0xE0, 0x92, 0x34, 7, 0x20, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01];

    #[test]
    fn a_key_frame_and_its_numbers_are_read_and_shifted() {
        let descriptor = Descriptor::parse(&KEY).unwrap();
        assert!(descriptor.key_frame);
        assert_eq!(descriptor.height, Some(360));
        assert_eq!(descriptor.picture_id.unwrap().value, 0x1234);
        assert_eq!(descriptor.tl0.unwrap().value, 7);
        let mut shifted = KEY;
        descriptor.shift(&mut shifted, 0x7000, 250);
        let again = Descriptor::parse(&shifted).unwrap();
        assert_eq!(again.picture_id.unwrap().value, 0x0234, "15 bits wrap");
        assert_eq!(again.tl0.unwrap().value, 1);
        assert_eq!(shifted[5..], KEY[5..], "nothing else changes");
    }

    #[test]
    fn only_the_first_packet_of_a_key_frame_is_a_switching_point() {
        let mut middle = KEY;
        middle[0] = 0x80;
        assert!(!Descriptor::parse(&middle).unwrap().key_frame);
        let mut inter = KEY;
        inter[6] |= 1;
        assert!(!Descriptor::parse(&inter).unwrap().key_frame);
        let mut other_partition = KEY;
        other_partition[0] |= 1;
        assert!(!Descriptor::parse(&other_partition).unwrap().key_frame);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(mut bytes in prop::collection::vec(any::<u8>(), 0..20), shift: u16) {
            if let Some(descriptor) = Descriptor::parse(&bytes) {
                let before = bytes.len();
                descriptor.shift(&mut bytes, shift, shift as u8);
                prop_assert_eq!(bytes.len(), before);
                let again = Descriptor::parse(&bytes).unwrap();
                prop_assert_eq!(again.key_frame, descriptor.key_frame);
                prop_assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|id| id.shifted(shift)));
            }
        }
    }
}
