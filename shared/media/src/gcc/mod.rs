//! How much a listener's line carries: Google Congestion Control (draft-ietf-rmcat-gcc-02), from what its feedback says
//! about each packet.
//!
//! ```text
//! packet ->  trend: are packets queueing up?   ->  delay: additive or multiplicative increase, decrease  -> min -> bps
//!        ->  window: what arrives (bit/s)      ->
//!        ->  loss                                                                                        ->
//! ```
//!
//! Differences from the draft, with their reasons: the Kalman filter of section 5.3 is replaced by the trendline filter
//! that browsers use today ([`trend`]); one decrease takes at most half, since a listener of few packets delivers little
//! without being weak; probes may raise the estimate at once ([`crate::probe`]).
//!
//! It must not: read a clock, allocate, or believe a number that the listener cannot have measured.

mod control;
mod trend;

use crate::window::Window;
use control::{BPS_MAX, BPS_MIN, Delay, Loss};
use trend::Trend;

pub(crate) use trend::Usage;

/// What arrived in the latest half second, by the listener's clock.
type Delivered = Window<10, 50_000>;

#[derive(Debug)]
pub(crate) struct Gcc {
    trend: Trend,
    delay: Delay,
    loss: Loss,
    delivered: Delivered,
    /// Until then a queue is our own probe's.
    probed_until_us: u64,
    over_at_us: Option<u64>,
}

impl Gcc {
    pub fn new() -> Self {
        Self {
            trend: Trend::new(),
            delay: Delay::new(),
            loss: Loss::new(),
            delivered: Delivered::new(),
            probed_until_us: 0,
            over_at_us: None,
        }
    }

    /// A packet arrived. To be called in the order of the transport-wide numbers. Its own way's clock for each time;
    /// `in_probe`: its burst says nothing about the delay under usual load.
    pub fn arrived(&mut self, sent_us: u64, arrived_us: u64, bytes: usize, in_probe: bool) {
        self.delivered.add(arrived_us, bytes);
        self.loss.arrived();
        if !in_probe {
            self.trend.packet(sent_us, arrived_us);
        }
    }

    pub fn lost(&mut self) {
        self.loss.lost();
    }

    /// A packet that was given up has come after all.
    pub fn found(&mut self) {
        self.loss.found();
    }

    /// After the packets of one feedback.
    pub fn update(&mut self, now_us: u64, rtt_us: u64) {
        let delivered = self.delivered.bps_at_latest();
        let mut usage = self.trend.usage();
        if usage == Usage::Over && now_us < self.probed_until_us {
            usage = Usage::Under;
        }
        if usage == Usage::Over {
            self.over_at_us = Some(now_us);
        }
        self.delay.update(now_us, rtt_us, usage, delivered);
        self.loss.update(now_us, rtt_us, self.delay.bps(), delivered);
    }

    /// Nothing has been heard for a while although packets are under way.
    pub fn silent(&mut self) {
        self.delay.halve();
    }

    /// A probe fills the line until then.
    pub fn expect_queue_until(&mut self, until_us: u64) {
        self.probed_until_us = until_us;
    }

    /// A probe was delivered at this rate.
    pub fn probed(&mut self, bps: u64) {
        self.delay.raise(bps);
        self.loss.raise(bps);
    }

    pub fn bps(&self) -> u64 {
        self.delay.bps().min(self.loss.bps()).clamp(BPS_MIN, BPS_MAX)
    }

    /// Of the latest packets, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss.fraction()
    }

    /// When packets last queued up.
    pub fn over_at_us(&self) -> Option<u64> {
        self.over_at_us
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
