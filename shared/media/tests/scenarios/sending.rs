//! What a test client sends: voices of a given level, and pictures whose every packet tells who sent which layer.

use crate::{client::Client, offer};
use std::collections::BTreeMap;

/// What a client sends in one go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Media {
    /// A voice of this level (0 silent .. 127 full).
    Voice(u8),
    /// A picture on each layer, of 1, 2 and 4 packets.
    Camera,
    /// The same without the largest layer.
    WeakCamera,
    Screen,
}

/// One outgoing stream.
pub(crate) struct Sender {
    pub ssrc: u32,
    sequence: u16,
    timestamp: u32,
    picture: u16,
    pub key_frame_wanted: bool,
    sent: BTreeMap<u16, Vec<u8>>,
    rtx_sequence: u16,
}

impl Sender {
    fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            sequence: (ssrc as u16).wrapping_mul(7_919) & 0x7FFF,
            timestamp: ssrc.wrapping_mul(2_654_435_761),
            picture: ssrc as u16 & 0x7FFF,
            key_frame_wanted: true,
            sent: BTreeMap::new(),
            rtx_sequence: 1,
        }
    }
}

const LAYERS: [(&str, u16, usize); 3] = [("q", 180, 1), ("h", 360, 2), ("f", 720, 4)];
const BODY_LEN: usize = 1_000;

impl Client {
    pub fn send(&mut self, media: Media, picture_now: bool) {
        if !self.is_connected() {
            return;
        }
        match media {
            Media::Voice(level) => {
                let body = format!("{}|voice", self.name);
                self.send_packet(
                    "mic",
                    Some((offer::AUDIO_LEVEL, 127 - level)),
                    None,
                    offer::OPUS,
                    false,
                    body.as_bytes(),
                );
                self.senders.get_mut("mic").unwrap().timestamp += 960;
            }
            Media::Camera | Media::WeakCamera if picture_now => {
                let layers = if media == Media::Camera { 3 } else { 2 };
                for (rid, height, packets) in &LAYERS[..layers] {
                    self.send_picture(rid, Some(rid), *height, *packets);
                }
            }
            Media::Screen if picture_now => self.send_picture("screen", None, 1080, 3),
            _ => {}
        }
    }

    fn send_picture(&mut self, stream: &'static str, rid: Option<&str>, height: u16, packets: usize) {
        let place = self.senders.len() as u32;
        let base = self.ssrc_base();
        let sender = self.senders.entry(stream).or_insert_with(|| Sender::new(base + place));
        let key = std::mem::take(&mut sender.key_frame_wanted);
        sender.picture = (sender.picture + 1) & 0x7FFF;
        sender.timestamp = sender.timestamp.wrapping_add(3_600);
        let picture = sender.picture;
        for i in 0..packets {
            let start = if i == 0 { 0x10 } else { 0 };
            let id = (0x8000 | picture).to_be_bytes();
            let mut body = vec![0x80 | start, 0xE0, id[0], id[1], picture as u8, 0x20, u8::from(!key), 0, 0];
            body.extend_from_slice(&[0x9D, 0x01, 0x2A, 0, 0]);
            body.extend_from_slice(&height.to_le_bytes());
            body.push(0);
            body.extend_from_slice(format!("{}/{stream}|", self.name).as_bytes());
            body.resize(BODY_LEN, i as u8);
            self.send_packet(stream, None, rid, offer::VP8, i + 1 == packets, &body);
        }
    }

    fn ssrc_base(&self) -> u32 {
        1_000 + 100 * u32::from(self.addresses[0].port())
    }

    fn send_packet(
        &mut self,
        stream: &'static str,
        level: Option<(u8, u8)>,
        rid: Option<&str>,
        payload_type: u8,
        marker: bool,
        body: &[u8],
    ) {
        let place = self.senders.len() as u32;
        let base = self.ssrc_base();
        let sender = self.senders.entry(stream).or_insert_with(|| Sender::new(base + place));
        sender.sequence = sender.sequence.wrapping_add(1);
        sender.sent.insert(sender.sequence, body.to_vec());
        let mid = match stream {
            "mic" => "0",
            "screen" => "2",
            _ => "1",
        };
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        let mut extension = Vec::new();
        let mut element = |id: u8, value: &[u8]| {
            extension.push(id << 4 | (value.len() - 1) as u8);
            extension.extend_from_slice(value);
        };
        element(offer::TRANSPORT_CC, &self.transport_sequence.to_be_bytes());
        element(offer::MID, mid.as_bytes());
        if let Some((id, level)) = level {
            element(id, &[level]);
        }
        if let Some(rid) = rid {
            element(offer::RID, rid.as_bytes());
        }
        let (sequence, timestamp, ssrc) = (sender.sequence, sender.timestamp, sender.ssrc);
        let packet = rtp(payload_type, marker, sequence, timestamp, ssrc, extension, body);
        self.seal(&packet);
    }

    /// Retransmissions on a stream of their own.
    pub(crate) fn repair(&mut self, ssrc: u32, sequences: &[u16]) {
        let Some((stream, sender)) = self.senders.iter_mut().find(|(_, sender)| sender.ssrc == ssrc) else { return };
        let mut packets = Vec::new();
        for sequence in sequences {
            let Some(body) = sender.sent.get(sequence) else { continue };
            sender.rtx_sequence += 1;
            let mut payload = sequence.to_be_bytes().to_vec();
            payload.extend_from_slice(body);
            let mut extension = vec![offer::MID << 4, if *stream == "screen" { b'2' } else { b'1' }];
            if *stream != "screen" {
                extension.extend_from_slice(&[offer::REPAIRED_RID << 4, stream.as_bytes()[0]]);
            }
            // The marker and the timestamp of the original matter to decoders only; the test's pictures are whole.
            packets.push(rtp(offer::RTX, false, sender.rtx_sequence, sender.timestamp, ssrc + 50, extension, &payload));
        }
        for packet in &packets {
            self.seal(packet);
        }
    }
}

pub fn rtp(
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    mut extension: Vec<u8>,
    body: &[u8],
) -> Vec<u8> {
    extension.resize(extension.len().next_multiple_of(4), 0);
    let mut packet = vec![0x90, u8::from(marker) << 7 | payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xBE, 0xDE, 0, (extension.len() / 4) as u8]);
    packet.extend_from_slice(&extension);
    packet.extend_from_slice(body);
    packet
}
