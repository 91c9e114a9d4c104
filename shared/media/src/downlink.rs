//! How much a listener's line carries if it gives no transport-wide feedback ([`crate::egress`]), judged by the losses it
//! reports (RFC 3550 §6.4): a simple ladder of layers, down quickly and up slowly. Audio is never touched.

use std::time::{Duration, Instant};

/// Losses in 1/256 that are more than chance: 8 %.
const LOSS_HIGH: u8 = 20;
/// Losses that are as good as none: 2 %.
const LOSS_LOW: u8 = 5;
/// Bad reports in a row (about one a second) before a step down.
const BAD_REPORTS: u8 = 2;
/// Calm time before the first step up; doubled each time that the step up failed.
const CALM_MIN: Duration = Duration::from_secs(8);
const CALM_MAX: Duration = Duration::from_mins(2);
/// A step down this soon after a step up means that the step up was the reason.
const FAILED_WITHIN: Duration = Duration::from_secs(6);
/// Rungs: all, without the best layer, only the smallest layer.
pub(crate) const STEPS_MAX: usize = 2;

#[derive(Debug)]
pub(crate) struct Downlink {
    steps_down: usize,
    bad_reports: u8,
    calm_since: Option<Instant>,
    calm: Duration,
    up_at: Option<Instant>,
}

impl Downlink {
    pub fn new() -> Self {
        Self { steps_down: 0, bad_reports: 0, calm_since: None, calm: CALM_MIN, up_at: None }
    }

    pub fn steps_down(&self) -> usize {
        self.steps_down
    }

    /// The worst loss among the listener's busy video slots of one report. True: the rung has changed.
    pub fn report(&mut self, now: Instant, fraction_lost: u8) -> bool {
        if fraction_lost >= LOSS_HIGH {
            self.calm_since = None;
            self.bad_reports += 1;
            if self.bad_reports < BAD_REPORTS {
                return false;
            }
            self.bad_reports = 0;
            if self.steps_down == STEPS_MAX {
                return false;
            }
            if self.up_at.take().is_some_and(|at| now.saturating_duration_since(at) < FAILED_WITHIN) {
                self.calm = (self.calm * 2).min(CALM_MAX);
            }
            self.steps_down += 1;
            return true;
        }
        self.bad_reports = 0;
        if fraction_lost > LOSS_LOW {
            self.calm_since = None;
            return false;
        }
        let since = *self.calm_since.get_or_insert(now);
        if self.steps_down > 0 && now.saturating_duration_since(since) >= self.calm {
            self.steps_down -= 1;
            self.calm_since = Some(now);
            self.up_at = Some(now);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;

    #[test]
    fn lasting_loss_steps_down_and_calm_steps_up_ever_more_carefully() {
        let mut now = instant();
        let mut downlink = Downlink::new();
        let mut report = |seconds: u32, loss| {
            let mut changes = 0;
            for _ in 0..seconds {
                now += Duration::from_secs(1);
                changes += u32::from(downlink.report(now, loss));
            }
            (changes, downlink.steps_down())
        };
        assert_eq!(report(1, 80), (0, 0), "one bad second is chance");
        assert_eq!(report(1, 0), (0, 0));
        assert_eq!(report(2, 80), (1, 1));
        assert_eq!(report(10, 80), (1, 2), "never below the smallest layer");
        assert_eq!(report(9, 10), (0, 2), "not calm");
        assert_eq!(report(9, 0), (1, 1));
        assert_eq!(report(2, 80), (1, 2), "it failed");
        assert_eq!(report(15, 0), (0, 2), "so wait twice as long");
        assert_eq!(report(3, 0), (1, 1));
    }
}
