//! The way to one listener: what was sent on it, what its feedback says, and what it carries. Listeners without
//! transport-wide feedback have no estimate; they are judged by their losses ([`crate::downlink`]).

use crate::{
    gcc::Gcc,
    probe::{Prober, Situation},
    sent::Sent,
    twcc_report::Report,
};

/// IPv4 and UDP headers, which take their part of the line.
pub(crate) const WIRE_OVERHEAD: usize = 28;
/// A longer round trip is not believed.
const RTT_MAX_US: u64 = 2_000_000;
/// The part of the line that repetitions of pictures may take, and for how long it may be saved up.
const REPEATS: (u64, u64) = (1, 4);
const REPEATS_US: u64 = 500_000;
/// No feedback for this long while packets are sent: the way is cut, or full to the brim.
const SILENCE_US: u64 = 1_500_000;
/// A listener that has negotiated feedback and gives none for this long never will.
const NEVER_US: u64 = 5_000_000;
/// A fall of the estimate by this much is acted on at once, not with the next regular look.
const FALL: (u64, u64) = (9, 10);
/// After packets have queued up, or were lost like this, bursts are spread for so long.
const NARROW_US: u64 = 20_000_000;
const NARROW_LOSS: f64 = 0.02;

#[derive(Debug)]
pub(crate) struct Egress {
    pub sent: Sent,
    gcc: Gcc,
    prober: Prober,
    /// The listener's clock at its latest packet.
    arrived_us: Option<i64>,
    heard_us: Option<u64>,
    /// From sending a packet until its feedback.
    rtt_us: u64,
    first_sent_us: Option<u64>,
    silent_since_us: u64,
    /// Bytes of repetitions that may be sent now, and since when.
    repeats: i64,
    repeats_at_us: u64,
    /// What the listener would get on a line without limits.
    pub wanted_bps: u64,
    /// The estimate when layers were chosen last.
    pub allotted_bps: u64,
    /// Of what is wanted, the part that was chosen then, 0 to 1.
    pub carried: f64,
}

impl Egress {
    pub fn new() -> Self {
        Self {
            sent: Sent::default(),
            gcc: Gcc::new(),
            prober: Prober::new(),
            arrived_us: None,
            heard_us: None,
            rtt_us: 0,
            first_sent_us: None,
            silent_since_us: 0,
            repeats: 0,
            repeats_at_us: 0,
            wanted_bps: 0,
            allotted_bps: 0,
            carried: 1.0,
        }
    }

    /// After a numbered packet was queued.
    #[inline]
    pub fn note(&mut self, now_us: u64, len: usize) {
        let bytes = len + WIRE_OVERHEAD;
        let probe = self.prober.id(now_us);
        self.sent.note(now_us, bytes, probe);
        if probe != 0 {
            self.prober.sent(bytes);
        }
        if self.first_sent_us.is_none() {
            self.first_sent_us = Some(now_us);
        }
    }

    /// May a picture's packet of this length be repeated? Counts as sent. On a line that is full, repetitions would be
    /// what fills it.
    pub fn may_repeat(&mut self, now_us: u64, len: usize) -> bool {
        let per_s = (self.gcc.bps() * REPEATS.0 / REPEATS.1 / 8) as i64;
        let since_us = now_us.saturating_sub(self.repeats_at_us).min(REPEATS_US) as i64;
        self.repeats_at_us = now_us;
        let most = per_s * REPEATS_US as i64 / 1_000_000;
        self.repeats = (self.repeats + per_s * since_us / 1_000_000).min(most);
        let may = self.repeats > 0;
        if may {
            self.repeats -= len as i64;
        }
        may
    }

    /// A feedback of the listener.
    pub fn feedback(&mut self, now_us: u64, report: &Report<'_>) {
        let mut number = report.base;
        let mut newest_us = None;
        for status in report.statuses(self.arrived_us) {
            if let Some(at_us) = status {
                self.arrived_us = self.arrived_us.max(Some(at_us));
                if let Some(packet) = self.sent.arrived(number) {
                    let at_us = at_us.cast_unsigned();
                    if packet.was_lost {
                        self.gcc.found();
                    }
                    newest_us = newest_us.max(Some(packet.sent_us));
                    self.gcc.arrived(packet.sent_us, at_us, packet.bytes, packet.probe != 0);
                    if packet.probe != 0 {
                        self.prober.arrived(packet.probe, at_us, packet.bytes);
                    }
                }
            } else if self.sent.lost(number).is_some() {
                self.gcc.lost();
            }
            number = number.wrapping_add(1);
        }
        self.heard_us = Some(now_us);
        self.silent_since_us = now_us;
        // There and back, with what waits on the way: so long it takes until a change is seen.
        if let Some(sent_us) = newest_us {
            self.rtt_us = now_us.saturating_sub(sent_us).min(RTT_MAX_US);
        }
        self.gcc.update(now_us, self.rtt_us);
        self.evaluate_probe(now_us);
    }

    fn evaluate_probe(&mut self, now_us: u64) {
        if let Some(bps) = self.prober.evaluate(now_us, self.gcc.bps()) {
            self.gcc.probed(bps);
        }
    }

    /// Each few milliseconds. True: a probe runs, ask [`Self::padding`].
    pub fn tick(&mut self, now_us: u64) -> bool {
        let Some(first_sent_us) = self.first_sent_us else { return false };
        // Only while something is under way: a room in which nobody sends is silent too.
        let waits_since_us = self.silent_since_us.max(first_sent_us);
        if self.heard_us.is_some()
            && self.sent.latest_us() > waits_since_us + SILENCE_US / 2
            && now_us.saturating_sub(waits_since_us) >= SILENCE_US
        {
            self.gcc.silent();
            self.silent_since_us = now_us;
        }
        self.evaluate_probe(now_us);
        if self.heard_us.is_some() && self.prober.id(now_us) == 0 {
            let situation = Situation {
                estimate_bps: self.gcc.bps(),
                wanted_bps: self.wanted_bps,
                loss: self.gcc.loss(),
                over_at_us: self.gcc.over_at_us(),
            };
            if let Some(until_us) = self.prober.begin(now_us, &situation) {
                self.gcc.expect_queue_until(until_us);
            }
        }
        self.prober.id(now_us) != 0
    }

    /// Bytes of padding to send before `until_us`.
    pub fn padding(&self, now_us: u64, until_us: u64) -> u64 {
        self.prober.padding(now_us, until_us)
    }

    /// Has the listener ever given feedback?
    pub fn is_heard(&self) -> bool {
        self.heard_us.is_some()
    }

    /// What the line carries, with headers. Nothing: the listener does not tell.
    pub fn estimate_bps(&self, now_us: u64) -> Option<u64> {
        let never =
            self.heard_us.is_none() && self.first_sent_us.is_some_and(|at_us| now_us.saturating_sub(at_us) > NEVER_US);
        (!never).then(|| self.gcc.bps())
    }

    /// The rate that bursts are to be spread for. Nothing: the line has room for all that is asked of it.
    pub fn pace_bps(&self, now_us: u64) -> Option<u64> {
        let queued = self.gcc.over_at_us().is_some_and(|at_us| now_us.saturating_sub(at_us) < NARROW_US);
        let narrow = self.wanted_bps > 0 || queued || self.gcc.loss() >= NARROW_LOSS;
        (self.heard_us.is_some() && narrow).then(|| self.gcc.bps())
    }

    /// Of the latest packets, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.gcc.loss()
    }

    /// The estimate has fallen so far that layers should be chosen anew at once.
    pub fn has_fallen(&self) -> bool {
        self.heard_us.is_some() && self.gcc.bps() * FALL.1 < self.allotted_bps * FALL.0
    }
}
