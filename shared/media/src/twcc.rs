//! Transport-wide congestion control feedback to publishers (draft-holmer-rmcat-transport-wide-cc-extensions-01): when
//! each of their packets arrived. Without it a browser never raises its simulcast layers.

use std::time::{Duration, Instant};

/// Packets between two feedbacks that are remembered: 50 ms at 100 Mbit/s are 520.
const PENDING_MAX: usize = 1024;
/// Statuses in one feedback, so that it fits one datagram with large deltas throughout: 20 + 2/7 * n + 2 * n bytes.
const STATUSES_MAX: usize = 480;
/// A feedback is sent this often, or when enough packets wait.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);
const FULL: usize = 256;

/// Unit of the reference time: 64 ms.
const REFERENCE_US: i64 = 64_000;
/// Unit of the deltas.
const DELTA_US: i64 = 250;

#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Next status to report, extended.
    base: Option<i64>,
    highest: i64,
    /// Arrival in microseconds since the engine's start, by number from `base`; none: not arrived.
    arrived_us: Vec<Option<i64>>,
    pending: usize,
    feedbacks: u8,
    last_at: Option<Instant>,
}

impl Arrivals {
    pub fn receive(&mut self, sequence: u16, since_start: Duration) {
        let number = match self.base {
            None => i64::from(sequence),
            Some(_) => self.highest + i64::from(sequence.wrapping_sub(self.highest as u16).cast_signed()),
        };
        let base = *self.base.get_or_insert(number);
        if self.arrived_us.is_empty() && self.pending == 0 && number < base {
            return;
        }
        let Ok(place) = usize::try_from(number - base) else { return };
        if place >= PENDING_MAX {
            // A jump: what was before it is not worth a report.
            self.arrived_us.clear();
            self.pending = 0;
            self.base = Some(number);
            self.highest = number;
            return self.note(0, since_start);
        }
        self.highest = self.highest.max(number);
        self.note(place, since_start);
    }

    fn note(&mut self, place: usize, since_start: Duration) {
        if self.arrived_us.len() <= place {
            self.arrived_us.resize(place + 1, None);
        }
        if self.arrived_us[place].is_none() {
            self.arrived_us[place] = i64::try_from(since_start.as_micros()).ok();
            self.pending += 1;
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.pending > 0
            && (self.pending >= FULL || self.last_at.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL))
    }

    /// Appends one feedback packet. False: nothing to report.
    pub fn feedback(&mut self, now: Instant, sender_ssrc: u32, media_ssrc: u32, packet: &mut Vec<u8>) -> bool {
        let Some(base) = self.base else { return false };
        let count = self.arrived_us.len().min(STATUSES_MAX);
        let Some(first_us) = self.arrived_us[..count].iter().flatten().next().copied() else {
            // Only losses up to here: they are told with the next arrival.
            return false;
        };
        self.last_at = Some(now);
        let start = packet.len();
        let reference = first_us / REFERENCE_US;
        packet.extend_from_slice(&[0x8F, 205, 0, 0]);
        packet.extend_from_slice(&sender_ssrc.to_be_bytes());
        packet.extend_from_slice(&media_ssrc.to_be_bytes());
        packet.extend_from_slice(&(base as u16).to_be_bytes());
        packet.extend_from_slice(&(count as u16).to_be_bytes());
        packet.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
        packet.push(self.feedbacks);
        self.feedbacks = self.feedbacks.wrapping_add(1);

        // Two bits per packet, seven to a chunk (§3.1.4); then the deltas (§3.1.5).
        let mut deltas = [0u8; 2 * STATUSES_MAX];
        let mut deltas_len = 0;
        let mut before_us = reference * REFERENCE_US;
        for chunk in self.arrived_us[..count].chunks(7) {
            let mut word = 0xC000u16;
            for (place, arrived_us) in chunk.iter().enumerate() {
                let Some(arrived_us) = arrived_us else { continue };
                let delta = (arrived_us - before_us) / DELTA_US;
                let symbol = if (0..=255).contains(&delta) {
                    deltas[deltas_len] = delta as u8;
                    deltas_len += 1;
                    before_us += delta * DELTA_US;
                    1
                } else {
                    let delta = delta.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
                    deltas[deltas_len..deltas_len + 2].copy_from_slice(&(delta as i16).to_be_bytes());
                    deltas_len += 2;
                    before_us += delta * DELTA_US;
                    2
                };
                word |= symbol << (12 - 2 * place);
            }
            packet.extend_from_slice(&word.to_be_bytes());
        }
        packet.extend_from_slice(&deltas[..deltas_len]);
        let padding = (4 - (packet.len() - start) % 4) % 4;
        if padding > 0 {
            packet.extend_from_slice(&[0, 0, 0][..padding - 1]);
            packet.push(padding as u8);
            packet[start] |= 0x20;
        }
        let words = ((packet.len() - start) / 4 - 1) as u16;
        packet[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());

        self.arrived_us.drain(..count);
        self.pending = self.arrived_us.iter().flatten().count();
        self.base = Some(base + count as i64);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;
    use rtc_rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
    use rtc_shared::marshal::Unmarshal;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn parse(packet: &[u8]) -> TransportLayerCc {
        TransportLayerCc::unmarshal(&mut &packet[..]).unwrap()
    }

    #[test]
    fn arrivals_losses_and_reordering_are_told_as_another_implementation_reads_them() {
        let mut arrivals = Arrivals::default();
        for (sequence, at) in [(65_534, 1_000), (65_535, 1_001), (1, 1_300), (0, 1_301)] {
            arrivals.receive(sequence, ms(at));
        }
        arrivals.receive(4, ms(1_302));
        arrivals.receive(4, ms(1_400));
        let mut packet = Vec::new();
        assert!(arrivals.feedback(instant(), 1, 2, &mut packet));
        let feedback = parse(&packet);
        assert_eq!((feedback.sender_ssrc, feedback.media_ssrc), (1, 2));
        assert_eq!((feedback.base_sequence_number, feedback.packet_status_count), (65_534, 7));
        assert_eq!(feedback.reference_time, 15);
        let deltas: Vec<i64> = feedback.recv_deltas.iter().map(|delta| delta.delta / DELTA_US).collect();
        // From 960 ms: +40, +1, then number 0 at 1301, number 1 at 1300, and number 4 at 1302.
        assert_eq!(deltas, [160, 4, 1_200, -4, 8]);
        assert!(!arrivals.feedback(instant(), 1, 2, &mut packet), "nothing is told twice");
        arrivals.receive(5, ms(1_500));
        packet.clear();
        assert!(arrivals.feedback(instant(), 1, 2, &mut packet));
        assert_eq!(parse(&packet).base_sequence_number, 5);
    }

    #[test]
    fn a_jump_or_a_flood_of_numbers_keeps_memory_and_packets_bounded() {
        let mut arrivals = Arrivals::default();
        for n in 0..200_000u32 {
            arrivals.receive((n.wrapping_mul(7_919)) as u16, ms(u64::from(n)));
            assert!(arrivals.arrived_us.len() <= PENDING_MAX);
        }
        for n in 0..2_000u16 {
            arrivals.receive(n, ms(300_000 + u64::from(n) * 500));
        }
        let mut packet = Vec::new();
        while arrivals.feedback(instant(), 1, 2, &mut packet) {
            assert!(packet.len() <= 1_200, "{} bytes", packet.len());
            parse(&packet);
            packet.clear();
        }
    }
}
