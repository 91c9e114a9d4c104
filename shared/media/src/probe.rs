//! Does the line carry more than is asked of it just now? A short burst of padding at a higher rate tells, within one
//! round trip, what slow growth would need minutes for (draft-ietf-rmcat-gcc-02 leaves probing to the sender; the
//! evaluation follows M. Jain, C. Dovrolis: "Pathload", in its simplest form: the rate at which a burst arrives).
//!
//! Probes are short, few, and grow rarer while they fail; there are none while the line loses packets as a full one does.

/// Duration of one probe, longer where it would have too few bytes to tell anything. Sent in bursts, one per tick.
const DURATION_US: (u64, u64) = (30_000, 120_000);
const BYTES_MIN: u64 = 2_400;
/// Bytes of one probe in any case.
const BYTES_MAX: u64 = 60_000;
/// A probe aims at most this far above the estimate.
const FACTOR: u64 = 2;
/// The first probe, the next after a success, and the next after a failure at least and at most.
const AGAIN_US: u64 = 200_000;
const FAILED_US: (u64, u64) = (3_000_000, 12_000_000);
/// On a lossy line probes are this much rarer.
const LOSSY: u64 = 2;
/// Losses that are as good as none, and losses of a full line (the same borders as in GCC's controller).
const LOSS_LOW: f64 = 0.02;
const LOSS_HIGH: f64 = 0.10;
/// No probe so soon after packets have queued up.
const CALM_US: u64 = 2_000_000;
/// Feedback of a probe is waited for this long.
const ANSWER_US: u64 = 1_000_000;
/// After a probe, its own queue may be seen for this long.
const QUEUE_US: u64 = 300_000;
/// Packets of a probe that must have arrived to tell anything.
const ARRIVED_MIN: u32 = 5;

#[derive(Debug)]
struct Burst {
    id: u8,
    target_bps: u64,
    began_us: u64,
    sent_packets: u32,
    sent_bytes: u64,
    arrived_packets: u32,
    arrived_bytes: u64,
    first_bytes: u64,
    first_arrived_us: u64,
    last_arrived_us: u64,
}

impl Burst {
    fn end_us(&self) -> u64 {
        let wanted_us = BYTES_MIN * 8_000_000 / self.target_bps.max(1);
        self.began_us + wanted_us.clamp(DURATION_US.0, DURATION_US.1)
    }

    /// The rate at which it arrived.
    fn arrived_bps(&self) -> Option<u64> {
        let span_us = self.last_arrived_us.checked_sub(self.first_arrived_us).filter(|span_us| *span_us > 0)?;
        let enough = self.arrived_packets >= ARRIVED_MIN && self.arrived_packets * 10 >= self.sent_packets * 8;
        enough.then(|| (self.arrived_bytes - self.first_bytes) * 8 * 1_000_000 / span_us)
    }
}

/// What is known of the line when a probe is thought of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub estimate_bps: u64,
    /// What the listener would get on a line without limits.
    pub wanted_bps: u64,
    pub loss: f64,
    pub over_at_us: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Prober {
    burst: Option<Burst>,
    latest_id: u8,
    next_at_us: u64,
    pause_us: u64,
}

impl Prober {
    pub fn new() -> Self {
        Self { burst: None, latest_id: 0, next_at_us: 0, pause_us: FAILED_US.0 }
    }

    /// Of the probe to which packets that are sent now belong; 0 none.
    #[inline]
    pub fn id(&self, now_us: u64) -> u8 {
        self.burst.as_ref().filter(|burst| now_us < burst.end_us()).map_or(0, |burst| burst.id)
    }

    /// Begins a probe, if one is due. The result is until when it may be seen as a queue.
    pub fn begin(&mut self, now_us: u64, situation: &Situation) -> Option<u64> {
        let Situation { estimate_bps, wanted_bps, loss, over_at_us } = *situation;
        let calm = over_at_us.is_none_or(|at_us| now_us.saturating_sub(at_us) >= CALM_US);
        if self.burst.is_some() || wanted_bps <= estimate_bps || loss >= LOSS_HIGH || !calm {
            return None;
        }
        let wait_us = if loss >= LOSS_LOW { self.pause_us * (LOSSY - 1) } else { 0 };
        if now_us < self.next_at_us + wait_us {
            return None;
        }
        self.latest_id = self.latest_id.checked_add(1).unwrap_or(1);
        let burst = self.burst.insert(Burst {
            id: self.latest_id,
            target_bps: (wanted_bps + wanted_bps / 10).min(estimate_bps * FACTOR),
            began_us: now_us,
            sent_packets: 0,
            sent_bytes: 0,
            arrived_packets: 0,
            arrived_bytes: 0,
            first_bytes: 0,
            first_arrived_us: 0,
            last_arrived_us: 0,
        });
        Some(burst.end_us() + QUEUE_US)
    }

    /// Bytes of padding that the running probe lacks until `until_us`, when it is asked again.
    pub fn padding(&self, now_us: u64, until_us: u64) -> u64 {
        let Some(burst) = self.burst.as_ref().filter(|burst| now_us < burst.end_us()) else { return 0 };
        let so_far_us = until_us.min(burst.end_us()).saturating_sub(burst.began_us);
        let due = (burst.target_bps.saturating_mul(so_far_us) / 8_000_000).min(BYTES_MAX);
        due.saturating_sub(burst.sent_bytes)
    }

    /// A packet of the running probe left.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(burst) = &mut self.burst {
            burst.sent_packets += 1;
            burst.sent_bytes += bytes as u64;
        }
    }

    /// A packet of a probe arrived.
    pub fn arrived(&mut self, id: u8, arrived_us: u64, bytes: usize) {
        let Some(burst) = self.burst.as_mut().filter(|burst| burst.id == id) else { return };
        if burst.arrived_packets == 0 {
            burst.first_arrived_us = arrived_us;
            burst.first_bytes = bytes as u64;
        }
        burst.arrived_packets += 1;
        burst.arrived_bytes += bytes as u64;
        burst.last_arrived_us = burst.last_arrived_us.max(arrived_us);
    }

    /// After a feedback, and now and then: the rate that the line has shown, if a probe has ended well.
    pub fn evaluate(&mut self, now_us: u64, estimate_bps: u64) -> Option<u64> {
        let burst = self.burst.as_ref().filter(|burst| now_us >= burst.end_us())?;
        let complete = burst.arrived_packets >= burst.sent_packets;
        if !complete && now_us < burst.end_us() + ANSWER_US {
            return None;
        }
        let target_bps = burst.target_bps;
        // A burst that arrives more slowly than it was sent shows the line's own rate; a little below is safe.
        let shown =
            burst.arrived_bps().map(|bps| if bps * 10 < target_bps * 9 { bps * 19 / 20 } else { bps.min(target_bps) });
        self.burst = None;
        let better = shown.filter(|bps| *bps > estimate_bps + estimate_bps / 20);
        if better.is_some_and(|bps| bps * 10 >= target_bps * 9) {
            self.pause_us = FAILED_US.0;
            self.next_at_us = now_us + AGAIN_US;
        } else {
            self.next_at_us = now_us + self.pause_us;
            self.pause_us = (self.pause_us * 3 / 2).min(FAILED_US.1);
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Situation = Situation { estimate_bps: 500_000, wanted_bps: 4_000_000, loss: 0.0, over_at_us: None };

    /// Sends one probe over a line of that rate; the result is what it showed.
    fn probe(prober: &mut Prober, now_us: u64, line_bps: u64) -> Option<u64> {
        let id = prober.id(now_us);
        assert_ne!(id, 0);
        let mut free_us = now_us;
        for tick in 0..3 {
            let at_us = now_us + tick * 10_000;
            while prober.padding(at_us, at_us + 10_000) > 0 {
                prober.sent(300);
                free_us = free_us.max(at_us) + 300 * 8 * 1_000_000 / line_bps;
                prober.arrived(id, 9_000_000 + free_us, 300);
            }
        }
        assert_eq!(prober.id(now_us + DURATION_US.0), 0);
        prober.evaluate(now_us + 200_000, CALM.estimate_bps)
    }

    #[test]
    fn a_wide_line_shows_what_was_aimed_at_and_a_narrow_one_its_own_rate() {
        let mut prober = Prober::new();
        assert!(prober.begin(0, &CALM).is_some());
        let wide = probe(&mut prober, 0, 50_000_000).unwrap();
        assert!((900_000..=1_000_000).contains(&wide), "{wide}");
        assert!(prober.begin(300_000, &CALM).is_none(), "soon, not at once");
        assert!(prober.begin(400_000, &CALM).is_some());
        let narrow = probe(&mut prober, 400_000, 700_000).unwrap();
        assert!((600_000..=700_000).contains(&narrow), "{narrow}");
        assert!(prober.begin(3_400_000, &CALM).is_none());
        assert!(prober.begin(3_700_000, &CALM).is_some());
        assert_eq!(probe(&mut prober, 3_700_000, 500_000), None, "nothing better");
    }

    #[test]
    fn there_are_no_probes_for_nothing_on_a_losing_line_or_behind_a_queue() {
        let mut prober = Prober::new();
        assert!(prober.begin(0, &Situation { wanted_bps: 400_000, ..CALM }).is_none());
        assert!(prober.begin(0, &Situation { loss: 0.2, ..CALM }).is_none());
        assert!(prober.begin(5_000_000, &Situation { over_at_us: Some(4_000_000), ..CALM }).is_none());
        assert!(prober.begin(2_000_000, &Situation { loss: 0.05, ..CALM }).is_none());
        assert!(prober.begin(6_000_000, &Situation { loss: 0.05, ..CALM }).is_some(), "but rarely on a radio's");
        assert!(prober.padding(6_000_000, u64::MAX) <= BYTES_MAX);
    }
}
