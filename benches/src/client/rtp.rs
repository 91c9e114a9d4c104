//! RTP as a browser sends it (RFC 3550), with the header extensions that the node needs (RFC 8285), and VP8 payloads whose
//! every frame looks like a key frame (RFC 7741), so that a switch never waits.

use super::offer::{
    EXT_AUDIO_LEVEL, EXT_MID, EXT_RID, EXT_TRANSPORT_CC, MID_CAMERA, MID_MICROPHONE, MID_SCREEN, PT_OPUS, PT_VP8,
};

/// One sending stream.
pub struct Stream {
    ssrc: u32,
    payload_type: u8,
    mid: &'static str,
    rid: Option<&'static str>,
    audio: bool,
    sequence: u16,
}

impl Stream {
    pub fn microphone(ssrc: u32) -> Self {
        Self { audio: true, payload_type: PT_OPUS, ..Self::picture(ssrc, MID_MICROPHONE) }
    }

    /// One layer of the camera: `q`, `h` or `f`.
    pub fn camera(ssrc: u32, rid: &'static str) -> Self {
        Self { rid: Some(rid), ..Self::picture(ssrc, MID_CAMERA) }
    }

    pub fn screen(ssrc: u32) -> Self {
        Self::picture(ssrc, MID_SCREEN)
    }

    /// One picture without layers, on the m-line `mid`.
    pub fn picture(ssrc: u32, mid: &'static str) -> Self {
        Self { ssrc, payload_type: PT_VP8, mid, rid: None, audio: false, sequence: 1 }
    }

    /// Writes the next packet, unprotected. `transport`: the connection's numbers, one series over all its streams.
    /// `level`: of a voice, 0 silent to 127 full.
    pub fn packet(
        &mut self,
        timestamp: u32,
        marker: bool,
        level: u8,
        transport: &mut u16,
        payload: &[u8],
        packet: &mut Vec<u8>,
    ) {
        packet.clear();
        packet.extend_from_slice(&[0x90, u8::from(marker) << 7 | self.payload_type]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        // One-byte extensions; the length is filled in below.
        packet.extend_from_slice(&[0xbe, 0xde, 0, 0]);
        let start = packet.len();
        let mut extension = |id: u8, value: &[u8]| {
            packet.push(id << 4 | (value.len() - 1) as u8);
            packet.extend_from_slice(value);
        };
        extension(EXT_TRANSPORT_CC, &transport.to_be_bytes());
        extension(EXT_MID, self.mid.as_bytes());
        if let Some(rid) = self.rid {
            extension(EXT_RID, rid.as_bytes());
        }
        if self.audio {
            // Decibels below full, and whether it is a voice (RFC 6464).
            extension(EXT_AUDIO_LEVEL, &[u8::from(level > 0) << 7 | (127 - level.min(127))]);
        }
        while !(packet.len() - start).is_multiple_of(4) {
            packet.push(0);
        }
        packet[start - 1] = ((packet.len() - start) / 4) as u8;
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        *transport = transport.wrapping_add(1);
    }
}

/// Bytes of the longest head that [`vp8_payload`] writes; what follows is the caller's.
pub const VP8_HEAD_LEN: usize = 14;

/// A packet of a key frame of `height` lines: descriptor with picture id, then, in the first packet, the frame's own header.
pub fn vp8_payload(picture: u16, first: bool, height: u16, len: usize) -> Vec<u8> {
    let picture = (picture & 0x7fff | 0x8000).to_be_bytes();
    let mut payload = vec![0x80 | u8::from(first) << 4, 0x80, picture[0], picture[1]];
    if first {
        // Key frame, shown; start code; width and height (RFC 6386 §9.1).
        payload.extend_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
        payload.extend_from_slice(&(height / 9 * 16).to_le_bytes());
        payload.extend_from_slice(&height.to_le_bytes());
    }
    payload.resize(len.max(payload.len()), 0x42);
    payload
}

/// The payload of a packet in clear, without padding (RFC 3550 §5.1). Nothing: it is none.
pub fn payload(packet: &[u8]) -> Option<&[u8]> {
    let mut start = 12 + 4 * usize::from(packet.first()? & 0x0f);
    if packet[0] & 0x10 != 0 {
        let words = u16::from_be_bytes([*packet.get(start + 2)?, *packet.get(start + 3)?]);
        start += 4 + 4 * usize::from(words);
    }
    let padding = if packet[0] & 0x20 == 0 { 0 } else { usize::from(*packet.last()?) };
    packet.get(start..packet.len().checked_sub(padding)?)
}
