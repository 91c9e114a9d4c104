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
    transport_sequence: u16,
}

impl Stream {
    pub fn microphone(ssrc: u32) -> Self {
        Self { audio: true, payload_type: PT_OPUS, ..Self::screen_on(ssrc, MID_MICROPHONE) }
    }

    /// One layer of the camera: `q`, `h` or `f`.
    pub fn camera(ssrc: u32, rid: &'static str) -> Self {
        Self { rid: Some(rid), ..Self::screen_on(ssrc, MID_CAMERA) }
    }

    pub fn screen(ssrc: u32) -> Self {
        Self::screen_on(ssrc, MID_SCREEN)
    }

    fn screen_on(ssrc: u32, mid: &'static str) -> Self {
        Self { ssrc, payload_type: PT_VP8, mid, rid: None, audio: false, sequence: 1, transport_sequence: 1 }
    }

    /// Writes the next packet, unprotected.
    pub fn packet(&mut self, timestamp: u32, marker: bool, payload: &[u8], packet: &mut Vec<u8>) {
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
        extension(EXT_TRANSPORT_CC, &self.transport_sequence.to_be_bytes());
        extension(EXT_MID, self.mid.as_bytes());
        if let Some(rid) = self.rid {
            extension(EXT_RID, rid.as_bytes());
        }
        if self.audio {
            // Voice, 20 dB below full (RFC 6464).
            extension(EXT_AUDIO_LEVEL, &[0x80 | 0x14]);
        }
        while !(packet.len() - start).is_multiple_of(4) {
            packet.push(0);
        }
        packet[start - 1] = ((packet.len() - start) / 4) as u8;
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
    }
}

/// A packet of a key frame: descriptor with picture id, then, in the first packet, the frame's own header.
pub fn vp8_payload(picture: u16, first: bool, len: usize) -> Vec<u8> {
    let picture = (picture & 0x7fff | 0x8000).to_be_bytes();
    let mut payload = vec![0x80 | u8::from(first) << 4, 0x80, picture[0], picture[1]];
    if first {
        // Key frame, shown; start code; 320 x 180 (RFC 6386 §9.1).
        payload.extend_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    }
    payload.resize(len.max(payload.len()), 0x42);
    payload
}
