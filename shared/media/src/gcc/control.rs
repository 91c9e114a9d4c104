//! The two controllers: by delay (draft-ietf-rmcat-gcc-02 §5.5) and by loss (§6). The lower one counts.

use super::trend::Usage;

/// Before anything is known: one picture of the largest layer. A browser's own start is 300 kbit/s, but a listener in a
/// building or at home nearly always has more, and a weaker one is found out within half a second.
pub(crate) const BPS_START: u64 = 2_000_000;
/// Below this a conference is not worth having: three voices.
pub(crate) const BPS_MIN: u64 = 100_000;
/// Beyond this nobody is limited: nine pictures of the largest layer are 20 Mbit/s.
pub(crate) const BPS_MAX: u64 = 100_000_000;

/// §5.5: eta, the increase per second while the line's limit is unknown; and beta, what is left of the delivered rate.
const INCREASE: f64 = 1.08;
const DECREASE: f64 = 0.85;
/// §5.5: the estimate must not run away from what is delivered.
const DELIVERED_FACTOR: f64 = 1.5;
const DELIVERED_EXTRA: f64 = 10_000.0;
/// Near the limit, one packet more per response time, and at least this per second.
const NEAR_BPS_MIN: f64 = 4_000.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const RESPONSE_US: u64 = 100_000;
/// One decrease takes at most this part.
const DECREASE_MIN: f64 = 0.5;
/// Two decreases are at least this far apart: a round trip, within bounds.
const APART_US: (u64, u64) = (50_000, 500_000);
/// Of the limit's average, the part that a new decrease replaces.
const LIMIT_WEIGHT: f64 = 0.05;
/// Bounds of its variance, relative to the average in kbit/s.
const VARIANCE: (f64, f64) = (0.4, 2.5);
const DEVIATIONS: f64 = 3.0;

/// Where the line's limit was met before (§5.5: the average of R at decreases, and its standard deviation), in kbit/s.
#[derive(Debug, Clone, Copy)]
struct Limit {
    kbps: f64,
    variance: f64,
}

impl Limit {
    fn met(before: Option<Self>, kbps: f64) -> Self {
        let Some(Self { kbps: average, variance }) = before else { return Self { kbps, variance: VARIANCE.0 } };
        let next = average * (1.0 - LIMIT_WEIGHT) + kbps * LIMIT_WEIGHT;
        let error = next - kbps;
        let variance = variance * (1.0 - LIMIT_WEIGHT) + LIMIT_WEIGHT * error * error / next.max(1.0);
        Self { kbps: next, variance: variance.clamp(VARIANCE.0, VARIANCE.1) }
    }

    fn deviation(self) -> f64 {
        (self.variance * self.kbps).sqrt() * DEVIATIONS
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// By the delay: additive or multiplicative increase, multiplicative decrease.
#[derive(Debug)]
pub(super) struct Delay {
    bps: f64,
    state: State,
    limit: Option<Limit>,
    updated_at_us: Option<u64>,
    decreased_at_us: Option<u64>,
}

impl Delay {
    pub fn new() -> Self {
        Self { bps: BPS_START as f64, state: State::Increase, limit: None, updated_at_us: None, decreased_at_us: None }
    }

    pub fn bps(&self) -> u64 {
        self.bps as u64
    }

    /// §5.5, figure 2: over -> decrease and then hold, under -> hold, normal -> hold, then increase.
    pub fn update(&mut self, now_us: u64, rtt_us: u64, usage: Usage, delivered_bps: Option<u64>) {
        let since_us = now_us.saturating_sub(self.updated_at_us.unwrap_or(now_us)).min(1_000_000);
        self.updated_at_us = Some(now_us);
        let delivered = delivered_bps.map(|bps| bps as f64);
        match (usage, self.state) {
            (Usage::Over, _) => {
                self.decrease(now_us, rtt_us, delivered);
                self.state = State::Hold;
            }
            (Usage::Under, _) => self.state = State::Hold,
            (Usage::Normal, State::Hold) => self.state = State::Increase,
            (Usage::Normal, State::Increase) => self.increase(since_us, rtt_us, delivered),
        }
    }

    fn decrease(&mut self, now_us: u64, rtt_us: u64, delivered: Option<f64>) {
        let apart_us = rtt_us.clamp(APART_US.0, APART_US.1);
        let Some(delivered) = delivered else { return };
        if self.decreased_at_us.is_some_and(|at_us| now_us.saturating_sub(at_us) < apart_us) {
            return;
        }
        self.decreased_at_us = Some(now_us);
        let kbps = delivered / 1_000.0;
        // Far below where the limit was: it is another one.
        let known = self.limit.filter(|limit| kbps >= limit.kbps - limit.deviation());
        self.limit = Some(Limit::met(known, kbps));
        let target = (DECREASE * delivered).max(DECREASE_MIN * self.bps);
        self.bps = target.min(self.bps).max(BPS_MIN as f64);
    }

    fn increase(&mut self, since_us: u64, rtt_us: u64, delivered: Option<f64>) {
        let Some(delivered) = delivered else { return };
        let kbps = delivered / 1_000.0;
        self.limit = self.limit.filter(|limit| kbps <= limit.kbps + limit.deviation());
        let since_s = since_us as f64 / 1e6;
        let raised = if self.limit.is_some() {
            let response_s = (RESPONSE_US + rtt_us) as f64 / 1e6;
            self.bps + (PACKET_BITS / response_s / 2.0).max(NEAR_BPS_MIN) * since_s
        } else {
            self.bps * INCREASE.powf(since_s)
        };
        let bound = DELIVERED_FACTOR * delivered + DELIVERED_EXTRA;
        self.bps = raised.min(bound).max(self.bps).min(BPS_MAX as f64);
    }

    pub fn halve(&mut self) {
        self.bps = (self.bps * DECREASE_MIN).max(BPS_MIN as f64);
        self.state = State::Hold;
    }

    /// The line has just carried this much.
    pub fn raise(&mut self, bps: u64) {
        if bps as f64 > self.bps {
            self.bps = bps as f64;
            self.limit = None;
        }
    }
}

/// §6: under 2 % the estimate rises, over 10 % it falls, in between it stays: losses of that size are the radio's.
const LOSS_LOW: f64 = 0.02;
const LOSS_HIGH: f64 = 0.10;
/// Packets that tell of a loss, and the least time between two judgements.
const PACKETS_TELLING: u32 = 20;
const JUDGE_US: u64 = 200_000;
/// A line that loses this much is far too full.
const LOSS_HEAVY: f64 = 0.25;
/// Packets that the shown fraction is an average of, about.
const AVERAGED: f64 = 100.0;

/// By the loss.
#[derive(Debug)]
pub(super) struct Loss {
    bps: f64,
    arrived: u32,
    lost: u32,
    fraction: f64,
    judged_at_us: Option<u64>,
    decreased_at_us: Option<u64>,
}

impl Loss {
    pub fn new() -> Self {
        Self { bps: BPS_START as f64, arrived: 0, lost: 0, fraction: 0.0, judged_at_us: None, decreased_at_us: None }
    }

    pub fn bps(&self) -> u64 {
        self.bps as u64
    }

    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    pub fn arrived(&mut self) {
        self.arrived = self.arrived.saturating_add(1);
    }

    pub fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    pub fn found(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    pub fn update(&mut self, now_us: u64, rtt_us: u64, by_delay_bps: u64, delivered_bps: Option<u64>) {
        let total = self.arrived.saturating_add(self.lost);
        let since_us = now_us.saturating_sub(*self.judged_at_us.get_or_insert(now_us));
        if total < PACKETS_TELLING || since_us < JUDGE_US {
            return;
        }
        self.judged_at_us = Some(now_us);
        let loss = f64::from(self.lost) / f64::from(total);
        (self.arrived, self.lost) = (0, 0);
        self.fraction += (loss - self.fraction) * f64::from(total) / (f64::from(total) + AVERAGED);
        // A handful of packets says little: both the latest ones and the average must tell the same.
        if loss.min(self.fraction) > LOSS_HIGH {
            if self.decreased_at_us.is_some_and(|at_us| now_us.saturating_sub(at_us) < JUDGE_US + rtt_us) {
                return;
            }
            self.decreased_at_us = Some(now_us);
            // What is delivered is the line's truth. Far above it, many small steps would be needed.
            let delivered = delivered_bps.map_or(0.0, |bps| bps as f64);
            let near = if loss < LOSS_HEAVY { f64::MAX } else { DELIVERED_FACTOR * delivered + DELIVERED_EXTRA };
            let from = self.bps.min(by_delay_bps as f64).min(near.max(self.bps * DECREASE_MIN));
            let target = (from * (1.0 - 0.5 * loss)).max(DECREASE * delivered);
            self.bps = target.min(self.bps).max(BPS_MIN as f64);
        } else if loss.max(self.fraction) < LOSS_LOW {
            let since_s = (since_us as f64 / 1e6).min(1.0);
            self.bps = (self.bps * INCREASE.powf(since_s) + 1_000.0 * since_s).min(BPS_MAX as f64);
        }
    }

    pub fn raise(&mut self, bps: u64) {
        self.bps = self.bps.max(bps as f64);
    }
}
