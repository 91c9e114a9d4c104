//! One receiving slot of a listener: a stream of fixed SSRC onto which sources are mapped.
//!
//! A slot follows a source at one layer (`current`) and may wait for the key frame of another one (`target`). A new layer
//! of the same source replaces the running one at its key frame; another source replaces it at once.

use crate::{
    history::PACKETS_MAX,
    pacer::Held,
    packet::{Content, Head, Predecessor},
    rewrite::{Incoming, Outgoing, Rewriter, Shift},
    sdp::Medium,
    source::{AUDIO_CLOCK_HZ, Origin, SourceRef, VIDEO_CLOCK_HZ},
    srtp::Context,
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
    /// Payload type of a voice with its predecessor, if the listener knows it.
    pub red: Option<u8>,
    /// Header extension of the transport-wide number, if the listener gives feedback.
    pub transport_cc: Option<u8>,
    pub source: Option<SourceRef>,
    /// Of the tile, in pixels.
    pub height: u16,
    /// 0 is the most important picture of the listener.
    pub rank: u8,
    /// The line carries not even the smallest layer.
    pub paused: bool,
    pub current: Option<u8>,
    pub target: Option<u8>,
    rewriter: Rewriter<Origin>,
    /// For sender reports.
    packets: u32,
    octets: u32,
    /// Packets and highest index when the listener's last report came.
    reported: (u32, u64),
    firsts: Firsts,
    key_frame_asked_at: Option<Instant>,
}

/// What of a packet is not the source's: to be said again in the same way.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    number: u16,
    marker: bool,
    /// It went with its predecessor.
    red: bool,
}

/// How the latest packets of a slot without RTX were first sent, in a ring. Grows with the first packet.
#[derive(Debug, Default)]
struct Firsts(Vec<First>);

impl Firsts {
    #[inline]
    fn set(&mut self, out: u64, first: First) {
        if self.0.is_empty() {
            self.0.resize(PACKETS_MAX, First::default());
        }
        self.0[out as usize % PACKETS_MAX] = first;
    }

    fn get(&self, out: u64, top: u64) -> Option<First> {
        let kept = top.saturating_sub(out) < PACKETS_MAX as u64;
        self.0.get(out as usize % PACKETS_MAX).filter(|_| kept).copied()
    }
}

/// A packet that is asked for again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    pub out: u64,
    /// Of the source.
    pub timestamp: u32,
    pub shift: Shift,
    /// Transport-wide, if it is to be sent as a new packet.
    pub number: u16,
}

impl Slot {
    /// `rtx`: SSRC and payload type, if the listener knows retransmissions.
    /// `transport_cc`: id of the header extension, if the listener gives transport-wide feedback.
    pub fn new(
        medium: Medium,
        ssrc: u32,
        payload_type: u8,
        rtx: Option<(u32, u8)>,
        transport_cc: Option<u8>,
        first: [u8; 8],
    ) -> Self {
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
            red: None,
            transport_cc,
            source: None,
            height: 0,
            rank: 0,
            paused: false,
            current: None,
            target: None,
            rewriter,
            packets: 0,
            octets: 0,
            reported,
            firsts: Firsts::default(),
            key_frame_asked_at: None,
        }
    }

    /// Index of the latest packet; before the first one, the index before its.
    #[cfg(any(test, fuzzing))]
    pub fn top(&self) -> u64 {
        self.rewriter.top()
    }

    /// Another source, or none. The running one ends at once.
    pub fn map(&mut self, source: Option<SourceRef>) {
        self.source = source;
        self.paused = false;
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

    /// Appends the sealed packet. `number`: transport-wide, if the listener gives feedback.
    #[inline]
    pub fn write(
        &mut self,
        context: &Context,
        outgoing: &Outgoing,
        content: &Content<'_>,
        number: u16,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let head = self.head(outgoing, content, number);
        head.seal(context, None, content, outgoing.shift, buffer)
    }

    /// May the packet before go with one? The listener knows it, and it is neither too long nor too long ago.
    pub fn takes(&self, predecessor: &Predecessor<'_>) -> bool {
        self.red.is_some() && predecessor.heads(self.payload_type).is_some()
    }

    /// As [`Self::write`], with the packet before it: for a line that loses packets.
    pub fn write_red(
        &mut self,
        context: &Context,
        outgoing: &Outgoing,
        content: &Content<'_>,
        predecessor: &Predecessor<'_>,
        number: u16,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let head = Head { payload_type: self.red?, ..self.head(outgoing, content, number) };
        self.firsts.set(outgoing.index, First { number, marker: head.marker, red: true });
        self.octets = self.octets.wrapping_add(predecessor.payload.len() as u32);
        head.seal_red(context, self.payload_type, predecessor, content.payload, buffer)
    }

    /// Counts the packet as sent.
    #[inline]
    fn head(&mut self, outgoing: &Outgoing, content: &Content<'_>, number: u16) -> Head {
        // The first packet of a voice is marked as the beginning of a talkspurt (RFC 3551 §4.1).
        let marker = content.marker || (outgoing.starts && self.medium == Medium::Audio);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(content.payload.len() as u32);
        if self.rtx.is_none() {
            self.firsts.set(outgoing.index, First { number, marker, red: false });
        }
        Head {
            marker,
            payload_type: self.payload_type,
            index: outgoing.index,
            timestamp: outgoing.timestamp,
            ssrc: self.ssrc,
            transport: self.transport_cc.map(|id| (id, number)),
        }
    }

    /// Appends the packet as [`Pacer`](crate::pacer::Pacer) holds it: without its transport-wide number, not sealed.
    pub fn encode(&mut self, outgoing: &Outgoing, content: &Content<'_>, buffer: &mut Vec<u8>) -> Held {
        let head = self.head(outgoing, content, 0);
        let (start, header_len) = (buffer.len(), head.write(None, content, outgoing.shift, buffer));
        Held { len: buffer.len() - start, header_len, ssrc: self.ssrc, index: outgoing.index }
    }

    /// Which kept packet an outgoing sequence number stands for.
    pub fn locate(&self, sequence: u16) -> Option<(&Origin, u64, u64, Shift)> {
        self.rewriter.locate(sequence)
    }

    /// Appends a sealed packet once more. Without RTX it is the very same packet, bit by bit: two different ones under one
    /// SRTP index would give the key away (RFC 7714 §8.1). Nothing: too old for that.
    pub fn write_again(
        &mut self,
        context: &Context,
        again: &Again,
        content: &Content<'_>,
        predecessor: Option<&Predecessor<'_>>,
        buffer: &mut Vec<u8>,
    ) -> Option<()> {
        let Again { out, timestamp, shift, number } = *again;
        let timestamp = timestamp.wrapping_add(shift.timestamp);
        let marker = content.marker;
        match &mut self.rtx {
            Some(rtx) => {
                rtx.index += 1;
                let Rtx { ssrc, payload_type, index } = *rtx;
                let transport = self.transport_cc.map(|id| (id, number));
                let head = Head { marker, payload_type, index, timestamp, ssrc, transport };
                head.seal(context, Some(out as u16), content, shift, buffer)
            }
            None => {
                let first = self.firsts.get(out, self.rewriter.top())?;
                let transport = self.transport_cc.map(|id| (id, first.number));
                let (payload_type, marker, ssrc) = (self.payload_type, first.marker, self.ssrc);
                let head = Head { marker, payload_type, index: out, timestamp, ssrc, transport };
                if first.red {
                    let head = Head { payload_type: self.red?, ..head };
                    return head.seal_red(context, payload_type, predecessor?, content.payload, buffer);
                }
                head.seal(context, None, content, shift, buffer)
            }
        }
    }

    /// Does [`Self::write_again`] use up a transport-wide number?
    pub fn repeats_with_number(&self) -> bool {
        self.transport_cc.is_some() && self.rtx.is_some()
    }

    pub fn can_probe(&self) -> bool {
        self.medium == Medium::Video && self.repeats_with_number()
    }

    /// May a packet wait in the pacer? Not where a repetition must be equal to it, before it has its number.
    pub fn may_wait(&self) -> bool {
        self.medium == Medium::Video && self.rtx.is_some()
    }

    /// Appends a sealed packet of nothing but padding (RFC 3550 §5.1), on the stream of the retransmissions, where it
    /// leaves no gap in the media's numbers.
    pub fn write_padding(&mut self, context: &Context, number: u16, buffer: &mut Vec<u8>) -> Option<()> {
        let Rtx { ssrc, payload_type, index } = self.rtx.as_mut().map(|rtx| {
            rtx.index += 1;
            Rtx { ..*rtx }
        })?;
        let timestamp = self.rewriter.timestamp();
        let transport = self.transport_cc.map(|id| (id, number));
        Head { marker: false, payload_type, index, timestamp, ssrc, transport }.seal_padding(context, buffer)
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
