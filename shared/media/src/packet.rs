//! The bytes of a packet to a listener: header, transport-wide number, payload with its shifted numbers, padding, seal
//! (RFC 3550 §5.1, RFC 8285 §4.2, RFC 4588 §4, RFC 7714).
//!
//! It must not: choose numbers. They are the slot's, and an SRTP index stands for one packet for ever.

use crate::{
    pacer::Held,
    rewrite::Shift,
    rtp::HEADER_LEN,
    srtp::{Context, TAG_LEN},
    vp8::Descriptor,
};

/// The parts of a packet that are the same for all listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub marker: bool,
    pub descriptor: Option<Descriptor>,
    pub payload: &'a [u8],
}

/// The packet before, to go with one whose line loses packets (RFC 2198).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Predecessor<'a> {
    /// How much earlier it is, in ticks.
    pub offset: u32,
    pub payload: &'a [u8],
}

impl Predecessor<'_> {
    /// The heads of both blocks: the predecessor's with offset and length, and the packet's own. Nothing: it is too long
    /// or too long ago to be told.
    pub fn heads(&self, payload_type: u8) -> Option<[u8; RED_LEN]> {
        let len = self.payload.len() as u32;
        if len == 0 || len >= 1 << 10 || self.offset == 0 || self.offset >= 1 << 14 {
            return None;
        }
        let [_, a, b, c] = (self.offset << 10 | len).to_be_bytes();
        Some([0x80 | payload_type, a, b, c, payload_type])
    }
}

/// An outgoing header: twelve bytes, and eight more with the transport-wide number. The SSRC is all else that the client
/// needs.
pub(crate) struct Head {
    pub marker: bool,
    pub payload_type: u8,
    /// For SRTP: sequence number, and the rollover counter above.
    pub index: u64,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Id of the header extension, and the transport-wide number.
    pub transport: Option<(u8, u16)>,
}

/// Heads of two blocks (RFC 2198 §3).
const RED_LEN: usize = 5;
/// One element of two bytes in the one-byte form (RFC 8285 §4.2).
const EXTENSION_LEN: usize = 8;
/// Where in the packet it says the number.
const NUMBER_AT: usize = HEADER_LEN + 5;
/// As long as its last byte can tell.
const PADDING_LEN: usize = 255;
/// On the wire, with header, extension and tag.
pub(crate) const PADDED_LEN: usize = HEADER_LEN + EXTENSION_LEN + PADDING_LEN + TAG_LEN;

impl Head {
    /// The header, and how many of its bytes are used.
    #[inline]
    fn encode(&self, padded: bool) -> ([u8; HEADER_LEN + EXTENSION_LEN], usize) {
        let mut header = [0; HEADER_LEN + EXTENSION_LEN];
        header[0] = 0x80 | u8::from(padded) << 5;
        header[1] = u8::from(self.marker) << 7 | self.payload_type;
        header[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let Some((id, number)) = self.transport else { return (header, HEADER_LEN) };
        header[0] |= 0x10;
        let [high, low] = number.to_be_bytes();
        header[12..20].copy_from_slice(&[0xBE, 0xDE, 0, 1, id << 4 | 1, high, low, 0]);
        (header, HEADER_LEN + EXTENSION_LEN)
    }

    /// With its predecessor before it; `self.payload_type` is the one for both.
    pub fn seal_red(
        &self,
        context: &Context,
        payload_type: u8,
        predecessor: &Predecessor<'_>,
        payload: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let heads = predecessor.heads(payload_type)?;
        let (header, len) = self.encode(false);
        let start = buffer.len();
        for part in [&header[..len], &heads, predecessor.payload, payload] {
            buffer.extend_from_slice(part);
        }
        seal(context, self.ssrc, self.index, len, start, buffer)
    }

    pub fn seal_padding(&self, context: &Context, buffer: &mut Vec<u8>) -> Option<()> {
        let (header, len) = self.encode(true);
        let start = buffer.len();
        buffer.extend_from_slice(&header[..len]);
        buffer.resize(start + len + PADDING_LEN - 1, 0);
        buffer.push(PADDING_LEN as u8);
        seal(context, self.ssrc, self.index, len, start, buffer)
    }

    #[inline]
    pub fn seal(
        &self,
        context: &Context,
        original: Option<u16>,
        content: &Content<'_>,
        shift: Shift,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let start = buffer.len();
        let len = self.write(original, content, shift, buffer);
        seal(context, self.ssrc, self.index, len, start, buffer)
    }

    /// Appends the plain packet; the result is the length of its header.
    #[inline]
    pub fn write(&self, original: Option<u16>, content: &Content<'_>, shift: Shift, buffer: &mut Vec<u8>) -> usize {
        buffer.reserve(HEADER_LEN + EXTENSION_LEN + 2 + content.payload.len() + TAG_LEN);
        let (header, len) = self.encode(false);
        buffer.extend_from_slice(&header[..len]);
        if let Some(original) = original {
            buffer.extend_from_slice(&original.to_be_bytes());
        }
        let payload = buffer.len();
        buffer.extend_from_slice(content.payload);
        if let Some(descriptor) = &content.descriptor {
            descriptor.shift(&mut buffer[payload..], shift.picture_id, shift.tl0);
        }
        len
    }
}

/// Seals the packet that begins at `start` and whose header is `header_len` bytes long.
#[inline]
fn seal(context: &Context, ssrc: u32, index: u64, header_len: usize, start: usize, buffer: &mut Vec<u8>) -> Option<()> {
    let (header, payload) = buffer.get_mut(start..)?.split_at_mut_checked(header_len)?;
    let tag = context.seal_rtp(ssrc, index, header, payload)?;
    buffer.extend_from_slice(&tag);
    Some(())
}

/// Appends a packet that was held back, with its number and sealed.
pub(crate) fn seal_held(
    context: &Context,
    held: &Held,
    number: u16,
    packet: &[u8],
    buffer: &mut Vec<u8>,
) -> Option<()> {
    let start = buffer.len();
    buffer.reserve(packet.len() + TAG_LEN);
    buffer.extend_from_slice(packet);
    if held.header_len > HEADER_LEN {
        buffer.get_mut(start + NUMBER_AT..start + NUMBER_AT + 2)?.copy_from_slice(&number.to_be_bytes());
    }
    seal(context, held.ssrc, held.index, held.header_len, start, buffer)
}
