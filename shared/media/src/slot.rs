//! One receiving slot of a listener: a stream of fixed SSRC onto which sources are mapped.
//!
//! A slot follows a source at one layer (`current`) and may wait for the key frame of another one (`target`). A new layer
//! of the same source replaces the running one at its key frame; another source replaces it at once.

use crate::{
    rewrite::{Incoming, Outgoing, Rewriter, Shift},
    rtp::HEADER_LEN,
    sdp::Medium,
    source::{AUDIO_CLOCK_HZ, Origin, SourceRef, VIDEO_CLOCK_HZ},
    srtp::{Context, TAG_LEN},
    vp8::Descriptor,
};
use std::time::{Duration, Instant};

/// One Opus packet of 20 ms.
const AUDIO_STEP: u32 = 960;
const VIDEO_STEP: u32 = 1;
/// A listener may ask for a key frame of one slot at most this often; whoever needs more has a broken decoder.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// A slot with fewer packets since the last report says nothing about the line.
const PACKETS_TELLING: u32 = 20;

/// Retransmissions on a stream of their own (RFC 4588).
#[derive(Debug)]
struct Rtx {
    ssrc: u32,
    payload_type: u8,
    index: u64,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub medium: Medium,
    pub ssrc: u32,
    payload_type: u8,
    rtx: Option<Rtx>,
    pub source: Option<SourceRef>,
    /// Of the tile, in pixels.
    pub height: u16,
    pub current: Option<u8>,
    pub target: Option<u8>,
    rewriter: Rewriter<Origin>,
    /// For sender reports.
    packets: u32,
    octets: u32,
    /// Packets and highest index when the listener's last report came.
    reported: (u32, u64),
    key_frame_asked_at: Option<Instant>,
}

/// The parts of a packet that are the same for all listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub marker: bool,
    pub descriptor: Option<Descriptor>,
    pub payload: &'a [u8],
}

impl Slot {
    /// `rtx`: SSRC and payload type, if the listener knows retransmissions.
    pub fn new(medium: Medium, ssrc: u32, payload_type: u8, rtx: Option<(u32, u8)>, first: [u8; 8]) -> Self {
        let (clock_hz, step) = match medium {
            Medium::Audio => (AUDIO_CLOCK_HZ, AUDIO_STEP),
            Medium::Video => (VIDEO_CLOCK_HZ, VIDEO_STEP),
        };
        let rewriter = Rewriter::new(clock_hz, step, first);
        let reported = (0, rewriter.top());
        Self {
            medium,
            ssrc,
            payload_type,
            rtx: rtx.map(|(ssrc, payload_type)| Rtx { ssrc, payload_type, index: 0 }),
            source: None,
            height: 0,
            current: None,
            target: None,
            rewriter,
            packets: 0,
            octets: 0,
            reported,
            key_frame_asked_at: None,
        }
    }

    /// Another source, or none. The running one ends at once.
    pub fn map(&mut self, source: Option<SourceRef>) {
        self.source = source;
        self.current = None;
        self.target = None;
    }

    fn follows(&self, origin: &Origin) -> bool {
        self.current == Some(origin.layer) && self.rewriter.origin() == Some(origin)
    }

    /// Where the packet goes in this slot's stream. Nothing: it is not for this slot (any more, or yet).
    #[inline]
    pub fn place(&mut self, now: Instant, origin: &Origin, packet: &Incoming) -> Option<Outgoing> {
        if self.source != Some(origin.source) {
            return None;
        }
        if self.follows(origin) {
            return self.rewriter.forward(now, packet);
        }
        let switches = self.medium == Medium::Audio || packet.descriptor.is_some_and(|vp8| vp8.key_frame);
        if self.target != Some(origin.layer) || !switches {
            return None;
        }
        self.current = Some(origin.layer);
        Some(self.rewriter.start(now, *origin, packet))
    }

    /// A packet without payload: closes the gap that it would leave. False: the gap must be filled.
    pub fn skip(&mut self, origin: &Origin, index: u64) -> bool {
        self.source != Some(origin.source) || !self.follows(origin) || self.rewriter.skip(index)
    }

    /// Appends the sealed packet.
    #[inline]
    pub fn write(
        &mut self,
        context: &Context,
        outgoing: &Outgoing,
        content: &Content<'_>,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        // The first packet of a voice is marked as the beginning of a talkspurt (RFC 3551 §4.1).
        let marker = content.marker || (outgoing.starts && self.medium == Medium::Audio);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(content.payload.len() as u32);
        let head = Head {
            marker,
            payload_type: self.payload_type,
            index: outgoing.index,
            timestamp: outgoing.timestamp,
            ssrc: self.ssrc,
        };
        head.seal(context, None, content, outgoing.shift, buffer)
    }

    /// Which kept packet an outgoing sequence number stands for.
    pub fn locate(&self, sequence: u16) -> Option<(&Origin, u64, u64, Shift)> {
        self.rewriter.locate(sequence)
    }

    /// Appends a sealed packet once more. Without RTX it is the very same packet, bit by bit.
    pub fn write_again(
        &mut self,
        context: &Context,
        out: u64,
        timestamp: u32,
        shift: Shift,
        content: &Content<'_>,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let timestamp = timestamp.wrapping_add(shift.timestamp);
        let marker = content.marker;
        match &mut self.rtx {
            Some(rtx) => {
                rtx.index += 1;
                let Rtx { ssrc, payload_type, index } = *rtx;
                let head = Head { marker, payload_type, index, timestamp, ssrc };
                head.seal(context, Some(out as u16), content, shift, buffer)
            }
            None => {
                let head = Head { marker, payload_type: self.payload_type, index: out, timestamp, ssrc: self.ssrc };
                head.seal(context, None, content, shift, buffer)
            }
        }
    }

    /// Timestamp now, packets and octets sent; nothing before the first packet.
    pub fn sender_report(&self, now: Instant) -> Option<(u32, u32, u32)> {
        Some((self.rewriter.timestamp_at(now)?, self.packets, self.octets))
    }

    /// What of a reported loss (in 1/256) happened between here and the listener: numbers that were never sent, because
    /// the publisher's packet was lost, are taken off. Nothing: too few packets since the last report to tell.
    pub fn loss_of_line(&mut self, fraction_lost: u8) -> Option<u8> {
        let (packets_before, top_before) = self.reported;
        let packets = self.packets.wrapping_sub(packets_before);
        let numbers = self.rewriter.top() - top_before;
        self.reported = (self.packets, self.rewriter.top());
        if packets < PACKETS_TELLING || numbers == 0 {
            return None;
        }
        let never_sent = numbers.saturating_sub(u64::from(packets));
        Some(fraction_lost.saturating_sub((never_sent * 256 / numbers).min(255) as u8))
    }

    /// May the listener ask for a key frame again? Counts as asked.
    pub fn ask_key_frame(&mut self, now: Instant) -> bool {
        let may = self.key_frame_asked_at.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL);
        if may {
            self.key_frame_asked_at = Some(now);
        }
        may
    }
}

/// An outgoing header: twelve bytes, no extension. The SSRC is all that the client needs.
struct Head {
    marker: bool,
    payload_type: u8,
    index: u64,
    timestamp: u32,
    ssrc: u32,
}

impl Head {
    #[inline]
    fn seal(
        &self,
        context: &Context,
        original: Option<u16>,
        content: &Content<'_>,
        shift: Shift,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let start = buffer.len();
        buffer.reserve(HEADER_LEN + 2 + content.payload.len() + TAG_LEN);
        let mut header = [0; HEADER_LEN];
        header[0] = 0x80;
        header[1] = u8::from(self.marker) << 7 | self.payload_type;
        header[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        buffer.extend_from_slice(&header);
        if let Some(original) = original {
            buffer.extend_from_slice(&original.to_be_bytes());
        }
        let payload = buffer.len();
        buffer.extend_from_slice(content.payload);
        if let Some(descriptor) = &content.descriptor {
            descriptor.shift(&mut buffer[payload..], shift.picture_id, shift.tl0);
        }
        let tag = context.seal_rtp(self.ssrc, self.index, &header, &mut buffer[start + HEADER_LEN..])?;
        buffer.extend_from_slice(&tag);
        Some(())
    }
}
