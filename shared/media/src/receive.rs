//! An SRTP packet of a publisher: opened in place, told to which source and layer it belongs, counted, and made ready to
//! be forwarded. State for a stream is made only after its first packet has authenticated.

use crate::{
    replay::Replay,
    rewrite::Incoming,
    rtp::{self, Header},
    session::{Carries, STREAMS_MAX, Session, Stream},
    source::{Layer, Source},
    speakers::LEVEL_UNKNOWN,
    stats::DropReason,
    upstream::Arrival,
    vp8::Descriptor,
};
use schulhof_wire::media::SourceKind;
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// A packet that is new and belongs to a known layer.
#[derive(Debug)]
pub(crate) struct Received {
    pub kind: SourceKind,
    pub layer: usize,
    pub packet: Incoming,
    pub marker: bool,
    /// Of the voice, 0 silent .. 127 full.
    pub level: Option<u8>,
    /// The layer has appeared, come back, or changed its size.
    pub layer_changed: bool,
}

/// A packet with its payload in plain, of whichever way it came.
#[derive(Debug)]
pub(crate) struct Packet {
    pub kind: SourceKind,
    pub layer: usize,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// It came as a repetition.
    pub repeated: bool,
    /// Its source may be forwarded.
    pub published: bool,
    pub level: Option<u8>,
}

impl Layer {
    /// Nothing: there is nothing to forward (a repetition that came twice). An empty payload is padding alone.
    pub fn take(
        &mut self,
        now: Instant,
        now_us: u64,
        packet: &Packet,
        payload: &[u8],
    ) -> Result<Option<Received>, DropReason> {
        let is_audio = packet.kind == SourceKind::Microphone;
        let index = match self.upstream.receive(now, packet.sequence, packet.timestamp, !is_audio) {
            Arrival::New(index) => index,
            Arrival::Jumped(index) => {
                self.renumber();
                index
            }
            Arrival::Duplicate | Arrival::TooOld if packet.repeated => return Ok(None),
            Arrival::Duplicate | Arrival::TooOld => return Err(DropReason::Replayed),
        };
        let mut layer_changed = !self.is_alive(now);
        self.packet_at = Some(now);
        if !payload.is_empty() {
            self.count(now_us, payload.len());
        }
        let mut descriptor = None;
        if !is_audio && !payload.is_empty() {
            let vp8 = Descriptor::parse(payload).ok_or(DropReason::BadPayload)?;
            if vp8.key_frame {
                self.key_frame_came();
                if let Some(height) = vp8.height.filter(|height| *height != self.height) {
                    self.height = height;
                    layer_changed = true;
                }
            }
            descriptor = Some(vp8);
        }
        // What may not be forwarded is not to be asked for afterwards either.
        if !payload.is_empty() && packet.published && self.is_wanted() {
            self.history.store(index, packet.timestamp, packet.marker, payload);
        }
        Ok(Some(Received {
            kind: packet.kind,
            layer: packet.layer,
            packet: Incoming { index, timestamp: packet.timestamp, descriptor },
            marker: packet.marker,
            level: packet.level,
            layer_changed,
        }))
    }
}

impl Session {
    /// With the place of its plain payload in the datagram. Nothing: authentic, but nothing to forward (a probe, a repetition
    /// that came twice).
    pub fn receive(
        &mut self,
        now: Instant,
        since_start: Duration,
        packet: &mut [u8],
    ) -> Result<Option<(Received, Range<usize>)>, DropReason> {
        let header = Header::parse(packet).ok_or(DropReason::Malformed)?;
        let keys = self.keys.as_ref().ok_or(DropReason::EarlyMedia)?;
        let known = self.streams.iter().position(|stream| stream.ssrc == header.ssrc);
        let index = match known {
            Some(place) => {
                let replay = &self.streams[place].replay;
                let index = replay.index_of(header.sequence).filter(|index| replay.is_fresh(*index));
                index.ok_or(DropReason::Replayed)?
            }
            None => u64::from(header.sequence),
        };
        let (head, sealed) = packet.split_at_mut(header.len);
        let plain = keys.remote.open_rtp(header.ssrc, index, head, sealed).ok_or(DropReason::Forged)?;
        let payload = rtp::unpadded(&header, plain).ok_or(DropReason::BadPayload)?;
        let mut payload = header.len..header.len + payload.len();
        self.alive_at = now;
        let place = match known {
            Some(place) => place,
            None => self.admit(&header, packet)?,
        };
        let stream = &mut self.streams[place];
        stream.replay.accept(index);
        let Stream { kind, layer, carries, .. } = *stream;

        let mut level = None;
        let level_id = self.sources[0].as_ref().and_then(|source| source.line.extensions.audio_level);
        for (id, value) in header.extensions(packet) {
            if self.transport_cc == Some(id)
                && let Some(sequence) = value.first_chunk::<2>()
            {
                self.arrivals.receive(u16::from_be_bytes(*sequence), since_start);
            } else if level_id == Some(id)
                && let Some(byte) = value.first()
            {
                level = Some(127 - (byte & 0x7F));
            }
        }

        let mut sequence = header.sequence;
        if carries == Carries::Retransmissions {
            // The original sequence number stands first (RFC 4588 §4); without one it is a probe of the bandwidth.
            let Some(original) = packet[payload.clone()].first_chunk::<2>() else { return Ok(None) };
            sequence = u16::from_be_bytes(*original);
            payload.start += 2;
        }
        let Some(source) = self.source_mut(kind) else { return Err(DropReason::UnknownStream) };
        let published = source.published;
        let state = &mut source.layers[layer];
        // A stream whose place another one has taken must not mix with it.
        if carries == Carries::Media && state.ssrc != Some(header.ssrc) {
            return Err(DropReason::UnknownStream);
        }
        let is_audio = kind == SourceKind::Microphone;
        let arrived = Packet {
            kind,
            layer,
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            repeated: carries == Carries::Retransmissions,
            published,
            level: is_audio.then(|| level.unwrap_or(LEVEL_UNKNOWN)),
        };
        let received = state.take(now, since_start.as_micros() as u64, &arrived, &packet[payload.clone()]);
        self.urgent |= state.upstream.is_missing_some();
        let received = received?;
        Ok(received.map(|received| (received, payload)))
    }

    /// A new authentic stream: finds its place, or drops it.
    fn admit(&mut self, header: &Header, packet: &[u8]) -> Result<usize, DropReason> {
        let names = Names::read(header, packet);
        let (kind, layer, carries) = self.classify(header, &names).ok_or(DropReason::UnknownStream)?;
        if self.streams.len() == STREAMS_MAX {
            return Err(DropReason::UnknownStream);
        }
        if carries == Carries::Media
            && let Some(source) = self.source_mut(kind)
        {
            let clock_hz = source.clock_hz();
            source.layers[layer].restart(header.ssrc, clock_hz);
            self.urgent = true;
        }
        self.streams.push(Stream { ssrc: header.ssrc, kind, layer, carries, replay: Replay::new() });
        Ok(self.streams.len() - 1)
    }

    /// By the m-line that the packet names (RFC 9143 §9.2), else by the SSRC that was announced, else by a payload type
    /// that only one m-line has.
    fn classify(&self, header: &Header, names: &Names<'_>) -> Option<(SourceKind, usize, Carries)> {
        let sources =
            || crate::source::KINDS.into_iter().filter_map(|kind| self.source(kind).map(|source| (kind, source)));
        let payload_type = header.payload_type;
        let has_type = |source: &Source| {
            source.line.payload_type == payload_type || source.line.rtx_payload_type == Some(payload_type)
        };
        let announced = |source: &Source| {
            source.line.ssrcs.iter().any(|(ssrc, rtx)| *ssrc == header.ssrc || *rtx == Some(header.ssrc))
        };
        let mid_of = |source: &Source| source.line.extensions.mid.and_then(|id| names.get(id));
        let by_mid = sources().find(|(_, source)| mid_of(source) == Some(source.line.mid.as_bytes()));
        let by_ssrc = || sources().find(|(_, source)| announced(source));
        let by_type = || {
            let mut candidates = sources().filter(|(_, source)| has_type(source));
            candidates.next().filter(|_| candidates.next().is_none())
        };
        let (kind, source) = by_mid.or_else(by_ssrc).or_else(by_type)?;
        let line = &source.line;
        let carries = if line.payload_type == payload_type {
            Carries::Media
        } else if line.rtx_payload_type == Some(payload_type) {
            Carries::Retransmissions
        } else {
            return None;
        };
        if line.rids.is_empty() {
            return Some((kind, 0, carries));
        }
        let rid = line.extensions.rid.and_then(|id| names.get(id));
        let repaired = line.extensions.repaired_rid.and_then(|id| names.get(id));
        let rid = if carries == Carries::Media { rid } else { repaired.or(rid) }?;
        let layer = line.rids.iter().position(|known| known.as_bytes() == rid)?;
        Some((kind, layer, carries))
    }
}

/// Header extensions that are looked at for names; a packet of ours never has more.
const ELEMENTS_MAX: usize = 12;

struct Names<'a> {
    elements: [(u8, &'a [u8]); ELEMENTS_MAX],
}

impl<'a> Names<'a> {
    fn read(header: &Header, packet: &'a [u8]) -> Self {
        let mut elements = [(0, &[][..]); ELEMENTS_MAX];
        for (place, element) in elements.iter_mut().zip(header.extensions(packet)) {
            *place = element;
        }
        Self { elements }
    }

    fn get(&self, id: u8) -> Option<&'a [u8]> {
        self.elements.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }
}
