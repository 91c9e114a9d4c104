//! What a receiver tells the node, as Chromium does: when each packet arrived (transport-wide feedback,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), and once a second what was lost (receiver reports, RFC 3550
//! §6.4.2). It never asks for a packet again: on loopback none is lost that would still be wanted.

use std::time::{Duration, Instant};

/// Chromium's is 50 to 250 ms, the more often the more arrives.
const FEEDBACK_EVERY: Duration = Duration::from_millis(50);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Statuses in one feedback packet: at most two bytes each, and two bits.
const STATUSES_MAX: usize = 500;
/// A longer gap in the numbers is a new beginning.
const GAP_MAX: i64 = 1_000;
/// Units of the format, in microseconds.
const REFERENCE_US: i64 = 64_000;
const DELTA_US: i64 = 250;
/// Most report blocks in one packet.
const BLOCKS_MAX: usize = 31;
/// Our own SSRC in feedback.
const SENDER_SSRC: u32 = 1;

/// One stream that is received.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    first: u32,
    highest: u32,
    received: u32,
    /// Expected and received at the last report.
    reported: (u32, u32),
    /// The node's latest sender report: middle of its time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

#[derive(Debug, Default)]
pub(super) struct Feedback {
    /// Nothing is said of arrivals: the node guesses nobody's line.
    pub without_arrivals: bool,
    /// Extended transport-wide numbers and microseconds, since the last feedback.
    arrived: Vec<(i64, i64)>,
    /// What the next feedback begins with.
    next: Option<i64>,
    count: u8,
    streams: Vec<Stream>,
    tell_at: Option<Instant>,
    report_at: Option<Instant>,
    /// Numbers that were told as not arrived.
    pub lost: u64,
}

impl Feedback {
    /// A media packet came, at `at` of any steady clock. `transport_extension`: the id of its number's extension.
    pub fn received(&mut self, at: Duration, packet: &[u8], transport_extension: u8) {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        match self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            Some(stream) => {
                let ahead = sequence.wrapping_sub(stream.highest as u16).cast_signed();
                stream.highest = stream.highest.max(stream.highest.saturating_add_signed(ahead.into()));
                stream.received += 1;
            }
            None => {
                let first = u32::from(sequence);
                let (reported, sender_report) = ((0, 0), None);
                self.streams.push(Stream { ssrc, first, highest: first, received: 1, reported, sender_report });
            }
        }
        if self.without_arrivals {
            return;
        }
        if let Some(number) = extension(packet, transport_extension) {
            let latest = self.arrived.last().map(|(number, _)| *number).or(self.next.map(|next| next - 1));
            let number = match latest {
                Some(latest) => latest + i64::from(number.wrapping_sub(latest as u16).cast_signed()),
                None => i64::from(number),
            };
            self.arrived.push((number, at.as_micros() as i64));
        }
    }

    /// Packets of these streams that there should have been, and those that came.
    pub fn expected(&self, ssrcs: &[u32]) -> (u64, u64) {
        let streams = self.streams.iter().filter(|stream| ssrcs.contains(&stream.ssrc));
        streams.fold((0, 0), |(expected, received), stream| {
            (expected + u64::from(stream.highest - stream.first + 1), received + u64::from(stream.received))
        })
    }

    /// The node's sender report, in plain.
    pub fn sender_report(&mut self, now: Instant, rtcp: &[u8]) {
        if let (Some(200), Some(head)) = (rtcp.get(1), rtcp.first_chunk::<16>()) {
            let ssrc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
                stream.sender_report = Some((u32::from_be_bytes([head[10], head[11], head[12], head[13]]), now));
            }
        }
    }

    /// What is to be told now: plain RTCP, each to be sealed alone.
    pub fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if self.tell_at.is_none_or(|at| now >= at) {
            self.tell_at = Some(now + FEEDBACK_EVERY);
            while !self.arrived.is_empty() {
                packets.extend(self.arrivals());
            }
        }
        if self.report_at.is_none_or(|at| now >= at) && !self.streams.is_empty() {
            self.report_at = Some(now + REPORT_EVERY);
            packets.push(self.report(now));
        }
        packets
    }

    /// One feedback packet about the first of the arrivals. Nothing: they were told before.
    fn arrivals(&mut self) -> Option<Vec<u8>> {
        self.arrived.sort_by_key(|(number, _)| *number);
        self.arrived.dedup_by_key(|(number, _)| *number);
        let (first, first_us) = self.arrived[0];
        let base = self.next.filter(|next| first - next < GAP_MAX).unwrap_or(first);
        let reference = first_us / REFERENCE_US;
        let (mut symbols, mut deltas) = (Vec::new(), Vec::new());
        let (mut before_us, mut taken) = (reference * REFERENCE_US, 0);
        for (number, at_us) in &self.arrived {
            taken += 1;
            if *number < base {
                continue;
            }
            let place = (number - base) as usize;
            if place >= STATUSES_MAX + GAP_MAX as usize || symbols.len() >= STATUSES_MAX {
                taken -= 1;
                break;
            }
            symbols.resize(place, 0);
            let ticks = (at_us - before_us).div_euclid(DELTA_US);
            before_us += ticks * DELTA_US;
            if let Ok(small) = u8::try_from(ticks) {
                symbols.push(1u16);
                deltas.push(small);
            } else {
                symbols.push(2);
                let ticks = ticks.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
                deltas.extend_from_slice(&ticks.to_be_bytes());
            }
        }
        // At least one is taken each time: the first is within the gap, or the base itself.
        self.arrived.drain(..taken.max(1));
        if symbols.is_empty() {
            return None;
        }
        self.next = Some(base + symbols.len() as i64);
        self.lost += symbols.iter().filter(|symbol| **symbol == 0).count() as u64;
        let media = self.streams.first().map_or(0, |stream| stream.ssrc);
        let mut packet = vec![0x8f, 205, 0, 0];
        packet.extend_from_slice(&SENDER_SSRC.to_be_bytes());
        packet.extend_from_slice(&media.to_be_bytes());
        packet.extend_from_slice(&(base as u16).to_be_bytes());
        packet.extend_from_slice(&(symbols.len() as u16).to_be_bytes());
        packet.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
        packet.push(self.count);
        self.count = self.count.wrapping_add(1);
        write_chunks(&symbols, &mut packet);
        packet.extend_from_slice(&deltas);
        finish(&mut packet);
        Some(packet)
    }

    fn report(&mut self, now: Instant) -> Vec<u8> {
        let streams = &mut self.streams[..];
        let streams = &mut streams.iter_mut().take(BLOCKS_MAX);
        let mut packet = vec![0, 201, 0, 0];
        packet.extend_from_slice(&SENDER_SSRC.to_be_bytes());
        let mut blocks = 0;
        for stream in streams {
            blocks += 1;
            let expected = stream.highest - stream.first + 1;
            let (expected_since, received_since) =
                (expected - stream.reported.0, stream.received.saturating_sub(stream.reported.1));
            stream.reported = (expected, stream.received);
            let fraction =
                (expected_since.saturating_sub(received_since) * 256).checked_div(expected_since).unwrap_or(0);
            let lost = expected.saturating_sub(stream.received).min(0x7f_ffff);
            let (last, delay) = stream
                .sender_report
                .map_or((0, 0), |(middle, at)| (middle, (now.duration_since(at).as_secs_f64() * 65_536.0) as u32));
            for word in [stream.ssrc, fraction.min(255) << 24 | lost, stream.highest, 0, last, delay] {
                packet.extend_from_slice(&word.to_be_bytes());
            }
        }
        packet[0] = 0x80 | blocks;
        finish(&mut packet);
        packet
    }
}

/// A 16-bit value of a one-byte header extension (RFC 8285 §4.2).
fn extension(packet: &[u8], id: u8) -> Option<u16> {
    let at = 12 + 4 * usize::from(packet[0] & 0x0f);
    if packet[0] & 0x10 == 0 || packet.get(at..at + 2)? != [0xbe, 0xde] {
        return None;
    }
    let len = 4 * usize::from(u16::from_be_bytes([*packet.get(at + 2)?, *packet.get(at + 3)?]));
    let mut elements = packet.get(at + 4..at + 4 + len)?;
    while let Some((head, rest)) = elements.split_first() {
        if *head == 0 {
            elements = rest;
            continue;
        }
        let len = usize::from(head & 0x0f) + 1;
        if head >> 4 == id {
            return rest.first_chunk().copied().map(u16::from_be_bytes);
        }
        elements = rest.get(len..)?;
    }
    None
}

/// Runs where there are any, else vectors of one or two bits.
fn write_chunks(mut symbols: &[u16], packet: &mut Vec<u8>) {
    while let Some(first) = symbols.first() {
        let run = symbols.iter().take_while(|symbol| *symbol == first).count();
        let few = symbols.iter().take(14).all(|symbol| *symbol < 2);
        let (word, taken) = if run >= 14 || run == symbols.len() {
            (first << 13 | run as u16, run)
        } else if few {
            let bits = symbols.iter().take(14).enumerate().map(|(place, symbol)| symbol << (13 - place));
            (0x8000 | bits.sum::<u16>(), 14)
        } else {
            let bits = symbols.iter().take(7).enumerate().map(|(place, symbol)| symbol << (12 - 2 * place));
            (0xc000 | bits.sum::<u16>(), 7)
        };
        packet.extend_from_slice(&word.to_be_bytes());
        symbols = &symbols[taken.min(symbols.len())..];
    }
}

/// Pads to whole words and fills in the length.
fn finish(packet: &mut Vec<u8>) {
    let padding = (4 - packet.len() % 4) % 4;
    if padding > 0 {
        packet.resize(packet.len() + padding - 1, 0);
        packet.push(padding as u8);
        packet[0] |= 0x20;
    }
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_rtcp::{receiver_report::ReceiverReport, transport_feedbacks::transport_layer_cc::TransportLayerCc};
    use rtc_shared::marshal::Unmarshal;

    fn packet(sequence: u16, number: u16) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xbe, 0xde, 0, 2, 0x10, 7, 0x31, 0, 0, 0, 0, 0];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[19..21].copy_from_slice(&number.to_be_bytes());
        packet
    }

    #[test]
    fn another_implementation_reads_when_packets_came_and_which_are_lost() {
        let now = Instant::now();
        let mut feedback = Feedback::default();
        let ms = Duration::from_millis;
        for n in 0..40u16 {
            if n != 20 {
                feedback.received(ms(1_000 + u64::from(n)), &packet(n, 65_520u16.wrapping_add(n)), 3);
            }
        }
        feedback.received(ms(2_000), &packet(41, 65_520u16.wrapping_add(41)), 3);
        let told = feedback.due(now);
        assert_eq!(told.len(), 2);
        let arrivals = TransportLayerCc::unmarshal(&mut &told[0][..]).unwrap();
        assert_eq!((arrivals.base_sequence_number, arrivals.packet_status_count), (65_520, 42));
        let deltas: Vec<i64> = arrivals.recv_deltas.iter().map(|delta| delta.delta / DELTA_US).collect();
        assert_eq!(deltas.len(), 40);
        // From 960 ms on; the last comes late.
        assert_eq!((deltas[0], deltas[1], deltas[20], deltas[39]), (160, 4, 8, 3_844));
        let report = ReceiverReport::unmarshal(&mut &told[1][..]).unwrap();
        let block = &report.reports[0];
        assert_eq!((block.ssrc, block.total_lost, block.fraction_lost, block.last_sequence_number), (9, 2, 12, 41));
        assert!(feedback.due(now + FEEDBACK_EVERY).is_empty(), "nothing is told twice");
    }

    #[test]
    fn what_is_lost_between_two_feedbacks_is_told_with_the_second() {
        let now = Instant::now();
        let mut feedback = Feedback::default();
        feedback.received(Duration::from_secs(1), &packet(1, 1), 3);
        feedback.due(now);
        feedback.received(Duration::from_secs(1), &packet(4, 4), 3);
        let told = feedback.due(now + FEEDBACK_EVERY);
        let arrivals = TransportLayerCc::unmarshal(&mut &told[0][..]).unwrap();
        assert_eq!((arrivals.base_sequence_number, arrivals.packet_status_count), (2, 3));
    }
}
