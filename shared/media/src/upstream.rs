//! What a publisher's stream arrives like: extended sequence numbers, duplicates, losses to ask for again (RFC 4585
//! generic NACK), and the figures of a receiver report (RFC 3550 §6.4.1, appendix A).

use rtc_rtcp::reception_report::ReceptionReport;
use std::time::{Duration, Instant};

/// How far back a late packet is still told from a duplicate.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;
/// Lost packets that are asked for at a time; a longer gap is an outage that only a key frame mends.
const MISSING_MAX: usize = 128;
/// A packet that was just reordered gets this long to come by itself.
const NACK_DELAY: Duration = Duration::from_millis(5);
/// How often one packet is asked for.
const NACK_TRIES_MAX: u8 = 5;
/// After this long the decoder has given up on the frame.
const NACK_AGE_MAX: Duration = Duration::from_millis(600);
/// Extended numbers begin here, so that packets from before the first one have one too.
const FIRST_INDEX: u64 = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Its extended sequence number.
    New(u64),
    /// The same, but so far ahead that the stream has to be taken up anew: a long outage, or a sender that plays with
    /// its numbers. Passed on as a gap, it would lead listeners' rollover counters astray.
    Jumped(u64),
    Duplicate,
    TooOld,
}

#[derive(Debug)]
struct Missing {
    index: u64,
    since: Instant,
    asked_at: Option<Instant>,
    tries: u8,
}

#[derive(Debug)]
struct SenderReport {
    /// Middle 32 bits of the NTP timestamp.
    ntp_mid: u32,
    at: Instant,
}

/// One incoming SSRC.
#[derive(Debug)]
pub(crate) struct Upstream {
    clock_hz: u32,
    /// Lowest and highest extended number; none before the first packet.
    range: Option<(u64, u64)>,
    seen: [u64; WORDS],
    missing: Vec<Missing>,
    received: u64,
    /// Expected and received at the last report.
    reported: (u64, u64),
    /// Of the packets before the last report, after repetitions, 0 to 1.
    loss: f64,
    /// Interarrival jitter in ticks, and the last packet's transit.
    jitter: f64,
    transit: Option<(Instant, u32)>,
    sender_report: Option<SenderReport>,
}

impl Upstream {
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz,
            range: None,
            seen: [0; WORDS],
            missing: Vec::new(),
            received: 0,
            reported: (0, 0),
            loss: 0.0,
            jitter: 0.0,
            transit: None,
            sender_report: None,
        }
    }

    pub fn receive(&mut self, now: Instant, sequence: u16, timestamp: u32, nack: bool) -> Arrival {
        let Some((lowest, highest)) = self.range else {
            let index = FIRST_INDEX + u64::from(sequence);
            self.range = Some((index, index));
            self.mark(index);
            self.received = 1;
            self.transit = Some((now, timestamp));
            return Arrival::New(index);
        };
        let distance = sequence.wrapping_sub(highest as u16).cast_signed();
        let Some(index) = highest.checked_add_signed(i64::from(distance)) else { return Arrival::TooOld };
        if index > highest {
            self.open_gap(now, highest, index, nack);
            self.range = Some((lowest, index));
            self.update_jitter(now, timestamp);
        } else {
            if highest - index >= WINDOW {
                return Arrival::TooOld;
            }
            if self.seen[word(index)] & bit(index) != 0 {
                return Arrival::Duplicate;
            }
            self.missing.retain(|missing| missing.index != index);
            self.range = Some((lowest.min(index), highest));
        }
        self.mark(index);
        self.received += 1;
        if index > highest && index - highest >= WINDOW { Arrival::Jumped(index) } else { Arrival::New(index) }
    }

    /// The extended number of a packet that came lately, by its low 16 bits.
    pub fn index_of(&self, sequence: u16) -> Option<u64> {
        let (_, highest) = self.range?;
        let distance = sequence.wrapping_sub(highest as u16).cast_signed();
        highest.checked_add_signed(i64::from(distance))
    }

    fn open_gap(&mut self, now: Instant, highest: u64, index: u64, nack: bool) {
        if index - highest >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            for between in highest + 1..=index {
                self.seen[word(between)] &= !bit(between);
            }
        }
        let gap = (index - highest - 1) as usize;
        if !nack || gap == 0 {
            return;
        }
        if self.missing.len() + gap > MISSING_MAX {
            self.missing.clear();
            return;
        }
        self.missing.extend((highest + 1..index).map(|index| Missing { index, since: now, asked_at: None, tries: 0 }));
    }

    fn mark(&mut self, index: u64) {
        self.seen[word(index)] |= bit(index);
    }

    /// RFC 3550 appendix A.8, on packets in order only.
    fn update_jitter(&mut self, now: Instant, timestamp: u32) {
        if let Some((last_at, last_timestamp)) = self.transit
            && timestamp != last_timestamp
        {
            let arrived = now.saturating_duration_since(last_at).as_secs_f64() * f64::from(self.clock_hz);
            let sent = f64::from(timestamp.wrapping_sub(last_timestamp).cast_signed());
            let difference = (arrived - sent).abs();
            // Beyond a second it is a pause of the source, not of the network.
            if difference < f64::from(self.clock_hz) {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
        self.transit = Some((now, timestamp));
    }

    /// Adds the sequence numbers to ask for now. `again` is the time to wait before asking once more: about a round trip.
    pub fn nacks(&mut self, now: Instant, again: Duration, sequences: &mut Vec<u16>) {
        self.missing.retain_mut(|missing| {
            let age = now.saturating_duration_since(missing.since);
            if age > NACK_AGE_MAX || missing.tries == NACK_TRIES_MAX {
                return false;
            }
            let due = match missing.asked_at {
                None => age >= NACK_DELAY,
                Some(asked_at) => now.saturating_duration_since(asked_at) >= again,
            };
            if due {
                missing.asked_at = Some(now);
                missing.tries += 1;
                sequences.push(missing.index as u16);
            }
            true
        });
    }

    pub fn loss(&self) -> f64 {
        self.loss
    }

    pub fn is_missing_some(&self) -> bool {
        !self.missing.is_empty()
    }

    /// From the publisher's sender report.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(SenderReport { ntp_mid: (ntp >> 16) as u32, at: now });
    }

    /// The block about this stream in the next receiver report. Nothing before the first packet.
    pub fn report(&mut self, now: Instant, ssrc: u32) -> Option<ReceptionReport> {
        let (lowest, highest) = self.range?;
        let expected = highest - lowest + 1;
        let lost = expected.saturating_sub(self.received);
        let (expected_before, received_before) = self.reported;
        let expected_since = expected - expected_before.min(expected);
        let lost_since = expected_since.saturating_sub(self.received - received_before);
        self.reported = (expected, self.received);
        self.loss = lost_since as f64 / expected_since.max(1) as f64;
        let fraction_lost = (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = self.sender_report.as_ref().map_or((0, 0), |report| {
            let delay = now.saturating_duration_since(report.at).as_secs_f64() * 65_536.0;
            (report.ntp_mid, delay as u32)
        });
        Some(ReceptionReport {
            ssrc,
            fraction_lost,
            total_lost: lost.min(0x7F_FFFF) as u32,
            last_sequence_number: (highest - FIRST_INDEX) as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            delay,
        })
    }
}

fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;

    #[test]
    fn a_lost_packet_is_asked_for_after_a_moment_and_again_after_a_round_trip_but_not_for_ever() {
        let start = instant();
        let at = |ms| start + Duration::from_millis(ms);
        let mut upstream = Upstream::new(90_000);
        let again = Duration::from_millis(50);
        assert_eq!(upstream.receive(at(0), 65_534, 0, true), Arrival::New(FIRST_INDEX + 65_534));
        assert_eq!(upstream.receive(at(0), 1, 0, true), Arrival::New(FIRST_INDEX + 65_537));
        let mut asked = Vec::new();
        upstream.nacks(at(1), again, &mut asked);
        assert!(asked.is_empty(), "it may only be late");
        upstream.nacks(at(6), again, &mut asked);
        assert_eq!(asked, [65_535, 0]);
        assert_eq!(upstream.receive(at(10), 0, 0, true), Arrival::New(FIRST_INDEX + 65_536));
        assert_eq!(upstream.receive(at(10), 0, 0, true), Arrival::Duplicate);
        asked.clear();
        for ms in 10..2_000 {
            upstream.nacks(at(ms), again, &mut asked);
        }
        assert_eq!(asked, [65_535; NACK_TRIES_MAX as usize - 1]);
        assert!(!upstream.is_missing_some());
    }

    #[test]
    fn an_outage_is_not_asked_for_packet_by_packet() {
        let now = instant();
        let mut upstream = Upstream::new(90_000);
        upstream.receive(now, 0, 0, true);
        assert_eq!(upstream.receive(now, 5_000, 0, true), Arrival::Jumped(FIRST_INDEX + 5_000));
        assert!(!upstream.is_missing_some());
        assert_eq!(upstream.receive(now, 1, 0, true), Arrival::TooOld);
    }

    #[test]
    fn a_report_tells_the_losses_since_the_last_one() {
        let start = instant();
        let mut upstream = Upstream::new(90_000);
        assert!(upstream.report(start, 9).is_none());
        for sequence in (0..100).filter(|n| n % 4 != 3) {
            upstream.receive(start, sequence, 0, true);
        }
        upstream.sender_report(start, 0x1111_2222_3333_4444);
        let report = upstream.report(start + Duration::from_millis(500), 9).unwrap();
        assert_eq!((report.ssrc, report.total_lost, report.last_sequence_number), (9, 24, 98));
        assert_eq!(report.fraction_lost, (24 * 256 / 99) as u8);
        assert_eq!((report.last_sender_report, report.delay), (0x2222_3333, 32_768));
        for sequence in 99..199 {
            upstream.receive(start, sequence, 0, true);
        }
        assert_eq!(upstream.report(start, 9).unwrap().fraction_lost, 0);
    }
}
