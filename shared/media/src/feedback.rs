//! RTCP at work: listeners' losses are answered from the sources' histories, key frames are asked for, and reports go
//! both ways.

use crate::{
    DropReason, Engine,
    packet::Content,
    rtcp::{self, Feedback},
    sdp::Medium,
    slot::Again,
    source::{KINDS, Peer},
    srtp::RTCP_HEADER_LEN,
    twcc_report::Report,
    vp8::Descriptor,
};
use rtc_rtcp::reception_report::ReceptionReport;
use schulhof_wire::media::SourceKind;
use std::time::{Duration, Instant};

/// Reports go out this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A source's key frames and its memory are looked after this often; what is urgent of it happens at once elsewhere.
const CHORES_INTERVAL: Duration = Duration::from_millis(50);
/// Bounds of a believable round trip.
const RTT_MIN: Duration = Duration::from_millis(10);
const RTT_MAX: Duration = Duration::from_millis(500);
/// Seconds between 1900 and 2020: the engine's clock starts there, since only differences matter and 0 looks unset.
const NTP_START_S: u64 = 3_786_825_600;

impl Engine {
    /// SRTCP from a checked address.
    pub(crate) fn receive_rtcp(&mut self, now: Instant, peer: Peer, packet: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let Some(keys) = &session.keys else { return self.stats.drop(DropReason::EarlyMedia) };
        let Some(sender) = packet.get(4..RTCP_HEADER_LEN).and_then(|bytes| bytes.try_into().ok()) else {
            return self.stats.drop(DropReason::Malformed);
        };
        let sender = u32::from_be_bytes(sender);
        let Some((index, len)) = keys.remote.open_rtcp(packet) else { return self.stats.drop(DropReason::Forged) };
        if !session.is_fresh_rtcp(sender, index) || !session.accept_rtcp(sender, index) {
            return self.stats.drop(DropReason::Replayed);
        }
        session.alive_at = now;
        let mut feedback = std::mem::take(&mut self.feedback);
        if rtcp::parse(&packet[..len], &mut feedback).is_err() {
            self.stats.drop(DropReason::BadRtcp);
        }
        let mut worst_loss = None;
        let now_us = self.since_start_us(now);
        for item in feedback.drain(..) {
            match item {
                Feedback::KeyFrame { ssrc } => self.listener_wants_key_frame(now, peer, ssrc),
                Feedback::Nack { ssrc, sequences } => self.retransmit(now, peer, ssrc, &sequences),
                Feedback::SenderReport { ssrc, ntp } => self.sender_report(now, peer, ssrc, ntp),
                Feedback::Arrivals(range) => match Report::parse(&packet[range]) {
                    Some(report) => self.arrivals(now_us, peer, &report),
                    None => self.stats.drop(DropReason::BadRtcp),
                },
                Feedback::Reception(report) => {
                    let loss = self.reception(now, peer, &report);
                    worst_loss = worst_loss.max(loss);
                }
            }
        }
        self.feedback = feedback;
        if let Some(loss) = worst_loss
            && let Some(session) = self.sessions.get_mut(peer)
            && session.estimate_bps(now_us).is_none()
        {
            session.line_loss += (f64::from(loss) / 256.0 - session.line_loss) / 2.0;
            if session.downlink.report(now, loss)
                && let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut)
            {
                room.slots_changed = true;
            }
        }
    }

    /// A listener's transport-wide feedback.
    fn arrivals(&mut self, now_us: u64, peer: Peer, report: &Report<'_>) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        session.egress.feedback(now_us, report);
    }

    /// The engine's clock in microseconds.
    pub(crate) fn since_start_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_micros() as u64
    }

    fn listener_wants_key_frame(&mut self, now: Instant, peer: Peer, ssrc: u32) {
        self.stats.plis_received += 1;
        let Some((_, slot)) = self.sessions.get_mut(peer).and_then(|session| session.slot_of(ssrc)) else { return };
        let (source, layer) = (slot.source, slot.target.or(slot.current));
        if slot.medium != Medium::Video || !slot.ask_key_frame(now) {
            return;
        }
        let (Some(source), Some(layer)) = (source, layer) else { return };
        let layer = usize::from(layer);
        let state = self.sessions.source_mut(source);
        if let Some(state) = state.and_then(|state| state.layers.get_mut(layer)) {
            state.want_key_frame();
            self.ask_key_frame(now, source.peer, source.kind, layer);
        }
    }

    /// Sends a PLI to the publisher, if one is wanted and none went out too lately. What is still wanted later goes out
    /// with [`Self::tick`].
    pub(crate) fn ask_key_frame(&mut self, now: Instant, publisher: Peer, kind: SourceKind, layer: usize) {
        if self.sessions.remote(publisher).is_some() {
            return self.ask_remote_key_frame(now, publisher, kind, layer);
        }
        let due = self
            .sessions
            .get_mut(publisher)
            .filter(|session| session.keys.is_some())
            .and_then(|session| session.source_mut(kind)?.layers.get_mut(layer)?.key_frame_due(now));
        if let Some(ssrc) = due {
            self.sessions.queue(publisher, |session| {
                let sender = session.rtcp_ssrc;
                session.send_rtcp(|buffer| rtcp::pli(sender, ssrc, buffer));
            });
            self.stats.plis_sent += 1;
        }
    }

    /// Answers a listener's NACK from the history of the source.
    fn retransmit(&mut self, now: Instant, listener: Peer, ssrc: u32, sequences: &[u16]) {
        let now_us = self.since_start_us(now);
        for sequence in sequences {
            let Some(session) = self.sessions.get_mut(listener) else { return };
            if !session.retransmissions.take(now) {
                return;
            }
            let Some((place, slot)) = session.slot_of(ssrc) else { return };
            let medium = slot.medium;
            let Some((origin, index, out, shift)) = slot.locate(*sequence) else {
                self.stats.retransmissions_missed += 1;
                continue;
            };
            let origin = *origin;
            // Out of the table for a moment, to read one session while writing to another.
            let layer = self.sessions.source_mut(origin.source).and_then(|state| {
                state.layers.get_mut(usize::from(origin.layer)).filter(|layer| layer.generation == origin.generation)
            });
            let Some(history) = layer.map(|layer| std::mem::take(&mut layer.history)) else {
                self.stats.retransmissions_missed += 1;
                continue;
            };
            let sent = history.get(index).is_some_and(|kept| {
                let descriptor = Descriptor::parse(kept.payload);
                let content = Content { marker: kept.marker, descriptor, payload: kept.payload };
                let predecessor = history.before(index, kept.timestamp);
                let queued = self.sessions.queue(listener, |session| {
                    let Some(keys) = &session.keys else { return 0 };
                    let slots = if medium == Medium::Audio { &mut session.audio } else { &mut session.video };
                    let Some(slot) = slots.get_mut(usize::from(place)) else { return 0 };
                    if session.outbox.is_full() {
                        return 0;
                    }
                    let told = slot.transport_cc.is_some() && medium == Medium::Video;
                    if told && !session.egress.may_repeat(now_us, kept.payload.len()) {
                        return 0;
                    }
                    let number = session.egress.sent.number();
                    let again = Again { out, timestamp: kept.timestamp, shift, number };
                    let len = session
                        .outbox
                        .push(|buffer| slot.write_again(&keys.local, &again, &content, predecessor.as_ref(), buffer));
                    if len > 0 && slot.repeats_with_number() {
                        session.egress.note(now_us, len);
                    }
                    len
                });
                queued.is_some_and(|len| len > 0)
            });
            if sent {
                self.stats.retransmitted_packets += 1;
            } else {
                self.stats.retransmissions_missed += 1;
            }
            let layer = self.sessions.source_mut(origin.source);
            let layer = layer.and_then(|state| state.layers.get_mut(usize::from(origin.layer)));
            if let Some(layer) = layer {
                layer.history = history;
            }
        }
    }

    /// Of a publisher: its clock, for the delay in our reports.
    fn sender_report(&mut self, now: Instant, peer: Peer, ssrc: u32, ntp: u64) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let layers = session.sources.iter_mut().flatten().flat_map(|source| &mut source.layers);
        if let Some(layer) = layers.into_iter().find(|layer| layer.ssrc == Some(ssrc)) {
            layer.upstream.sender_report(now, ntp);
        }
    }

    /// Of a listener: the round trip, and how much of a busy video slot was lost.
    fn reception(&mut self, now: Instant, peer: Peer, report: &ReceptionReport) -> Option<u8> {
        let ntp_mid = (self.ntp(now) >> 16) as u32;
        let session = self.sessions.get_mut(peer)?;
        if report.last_sender_report != 0 {
            let units = ntp_mid.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
            let rtt = Duration::from_secs_f64(f64::from(units) / 65_536.0);
            if rtt <= RTT_MAX {
                session.rtt = (session.rtt * 7 + rtt.max(RTT_MIN)) / 8;
            }
        }
        let (_, slot) = session.slot_of(report.ssrc)?;
        let loss = slot.loss_of_line(report.fraction_lost);
        loss.filter(|_| slot.medium == Medium::Video)
    }

    /// The engine's clock as an NTP timestamp (RFC 3550 §4).
    fn ntp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        (NTP_START_S + since.as_secs()) << 32 | fraction
    }

    /// What one session is to be told regularly: losses to repeat, key frames, arrivals, reports.
    pub(crate) fn send_feedback(&mut self, now: Instant, peer: Peer) {
        self.look_after_sources(now, peer);
        let ntp = self.ntp(now);
        self.sessions.queue(peer, |session| {
            let sender = session.rtcp_ssrc;
            if session.arrivals.is_due(now) {
                let media = session.streams.first().map_or(0, |stream| stream.ssrc);
                let mut arrivals = std::mem::take(&mut session.arrivals);
                session.send_rtcp(|buffer| {
                    arrivals.feedback(now, sender, media, buffer);
                });
                session.arrivals = arrivals;
            }
            if now >= session.report_at {
                session.report_at = now + REPORT_INTERVAL;
                let reports: Vec<ReceptionReport> = session
                    .sources
                    .iter_mut()
                    .flatten()
                    .flat_map(|source| &mut source.layers)
                    .filter_map(|layer| layer.upstream.report(now, layer.ssrc?))
                    .collect();
                if !reports.is_empty() {
                    session.send_rtcp(|buffer| rtcp::receiver_report(sender, reports, buffer));
                }
                let sent: Vec<(u32, (u32, u32, u32))> = session
                    .audio
                    .iter()
                    .chain(&session.video)
                    .filter(|slot| slot.current.is_some())
                    .filter_map(|slot| Some((slot.ssrc, slot.sender_report(now)?)))
                    .collect();
                for (ssrc, (timestamp, packets, octets)) in sent {
                    session.send_rtcp(|buffer| rtcp::sender_report(ssrc, ntp, timestamp, packets, octets, buffer));
                }
            }
        });
    }

    /// Losses to ask for again, key frames, memory that nobody needs any more. Most sessions have nothing of it at most
    /// times, and their layers are not touched then: with a thousand of them that would be the node's main work.
    fn look_after_sources(&mut self, now: Instant, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer).filter(|session| !session.streams.is_empty()) else { return };
        let chores = now >= session.chores_at;
        if chores {
            session.chores_at = now + CHORES_INTERVAL;
        }
        if !chores && !session.urgent {
            return;
        }
        session.urgent = false;
        let mut sequences = std::mem::take(&mut self.sequences);
        for kind in KINDS {
            let Some(source) = self.sessions.get(peer).and_then(|session| session.source(kind)) else { continue };
            for layer in 0..source.layers.len() {
                self.send_nacks(now, peer, kind, layer, &mut sequences);
                if kind != SourceKind::Microphone {
                    self.ask_key_frame(now, peer, kind, layer);
                }
            }
        }
        self.sequences = sequences;
    }

    fn send_nacks(&mut self, now: Instant, peer: Peer, kind: SourceKind, layer: usize, sequences: &mut Vec<u16>) {
        let Some(session) = self.sessions.get_mut(peer).filter(|session| session.keys.is_some()) else { return };
        let again = session.rtt;
        let Some(layer) = session.source_mut(kind).and_then(|source| source.layers.get_mut(layer)) else { return };
        layer.forget(now);
        let Some(media) = layer.ssrc.filter(|_| layer.upstream.is_missing_some()) else { return };
        sequences.clear();
        layer.upstream.nacks(now, again, sequences);
        session.urgent = true;
        if sequences.is_empty() {
            return;
        }
        self.stats.nacks_sent += sequences.len() as u64;
        self.sessions.queue(peer, |session| {
            let sender = session.rtcp_ssrc;
            session.send_rtcp(|buffer| rtcp::nack(sender, media, sequences, buffer));
        });
    }
}
