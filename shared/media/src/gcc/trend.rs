//! Do packets queue up on the way? Groups of packets that were sent together, the variation of the delay from group to
//! group, its trend, and a detector with an adapting threshold.
//!
//! Grouping: draft-ietf-rmcat-gcc-02 §5.2. Trend: least squares over the smoothed accumulated delay of the latest groups,
//! which takes the place of the Kalman filter (G. Carlucci, L. De Cicco, S. Holmer, S. Mascolo: "Congestion Control for
//! Web Real-Time Communication", IEEE/ACM ToN 2017, and libwebrtc's trendline filter). Detector and threshold: §5.4.

/// Packets sent within this are one group (§5.2: burst_time).
const BURST_US: u64 = 5_000;
/// Groups under the line.
const GROUPS: usize = 20;
/// Of the smoothed delay, the part that stays.
const SMOOTHING: f64 = 0.9;
/// The trend is a small number; this and the number of groups bring it to the threshold's scale.
const GAIN: f64 = 4.0;
const GROUPS_WEIGHED_MAX: u32 = 60;
/// Start and bounds of the threshold in ms (§5.4: del_var_th 12.5, 6 to 600).
const THRESHOLD_START: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast the threshold follows upwards and downwards, per ms (§5.4: K_u, K_d, as in the paper).
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
/// A trend this far above the threshold is an outlier, which the threshold does not follow (§5.4).
const OUTLIER: f64 = 15.0;
/// The threshold moves by at most this much time at once.
const FOLLOW_MS_MAX: f64 = 100.0;
/// The trend must be over the threshold for this long (§5.4: overuse_time_th).
const OVER_MS: f64 = 10.0;
/// A gap of this length between groups begins everything anew: the clocks or the way have changed.
const GAP_US: u64 = 3_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The queue drains.
    Under,
    Normal,
    /// The queue grows.
    Over,
}

/// Times of its first and of its latest packet.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the unit")]
struct Group {
    first_sent_us: u64,
    sent_us: u64,
    first_arrived_us: u64,
    arrived_us: u64,
}

#[derive(Debug)]
pub(crate) struct Trend {
    current: Option<Group>,
    previous: Option<Group>,
    /// Time and smoothed delay of the latest groups in ms, in a ring.
    points: [(f64, f64); GROUPS],
    groups: u32,
    began_us: u64,
    accumulated: f64,
    smoothed: f64,
    slope: f64,
    threshold: f64,
    threshold_at_us: Option<u64>,
    over_ms: f64,
    over_groups: u32,
    usage: Usage,
}

impl Trend {
    pub fn new() -> Self {
        Self {
            current: None,
            previous: None,
            points: [(0.0, 0.0); GROUPS],
            groups: 0,
            began_us: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            slope: 0.0,
            threshold: THRESHOLD_START,
            threshold_at_us: None,
            over_ms: 0.0,
            over_groups: 0,
            usage: Usage::Normal,
        }
    }

    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet that arrived. Times of two clocks; only differences matter.
    pub fn packet(&mut self, sent_us: u64, arrived_us: u64) {
        let Some(current) = &mut self.current else {
            self.current = Some(Group { first_sent_us: sent_us, sent_us, first_arrived_us: arrived_us, arrived_us });
            return;
        };
        // Sent before the group: reordered on our side, says nothing.
        let Some(since_first_us) = sent_us.checked_sub(current.first_sent_us) else { return };
        if since_first_us > GAP_US || arrived_us.abs_diff(current.arrived_us) > GAP_US {
            let Self { threshold, .. } = *self;
            *self = Self { threshold, ..Self::new() };
            return self.packet(sent_us, arrived_us);
        }
        // Sent together, or arrived in one burst because something had held them up (§5.2).
        let between_arrivals_us = arrived_us.saturating_sub(current.arrived_us);
        let between_sends_us = sent_us.saturating_sub(current.sent_us);
        let burst = between_arrivals_us <= BURST_US
            && between_arrivals_us < between_sends_us
            && arrived_us.saturating_sub(current.first_arrived_us) < 100_000;
        if since_first_us <= BURST_US || burst {
            current.sent_us = current.sent_us.max(sent_us);
            current.arrived_us = current.arrived_us.max(arrived_us);
            return;
        }
        let complete = *current;
        *current = Group { first_sent_us: sent_us, sent_us, first_arrived_us: arrived_us, arrived_us };
        if let Some(previous) = self.previous.replace(complete) {
            self.group(&previous, &complete);
        }
    }

    /// The variation of the delay between two groups: d(i) = (t(i) - t(i-1)) - (T(i) - T(i-1)).
    fn group(&mut self, previous: &Group, group: &Group) {
        let ms = |later: u64, earlier: u64| (later as f64 - earlier as f64) / 1_000.0;
        let sent_ms = ms(group.sent_us, previous.sent_us);
        let variation = ms(group.arrived_us, previous.arrived_us) - sent_ms;
        if self.groups == 0 {
            self.began_us = group.arrived_us;
        }
        self.accumulated += variation;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.points[self.groups as usize % GROUPS] = (ms(group.arrived_us, self.began_us), self.smoothed);
        self.groups = self.groups.wrapping_add(1).max(1);
        let before = self.slope;
        if self.groups as usize >= GROUPS {
            self.slope = slope(&self.points).unwrap_or(before);
        }
        self.detect(before, sent_ms, group.arrived_us);
    }

    fn detect(&mut self, slope_before: f64, sent_ms: f64, arrived_us: u64) {
        if self.groups < 2 {
            return;
        }
        let trend = f64::from(self.groups.min(GROUPS_WEIGHED_MAX)) * self.slope * GAIN;
        if trend > self.threshold {
            // In the middle of the group, on average, the threshold was passed.
            self.over_ms += if self.over_groups == 0 { sent_ms / 2.0 } else { sent_ms };
            self.over_groups += 1;
            if self.over_ms > OVER_MS && self.over_groups > 1 && self.slope >= slope_before {
                self.over_ms = 0.0;
                self.over_groups = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = 0.0;
            self.over_groups = 0;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.follow(trend, arrived_us);
    }

    /// The threshold follows the trend, so that neither a competing flow starves ours nor a jittery line passes for a
    /// full one (§5.4).
    fn follow(&mut self, trend: f64, arrived_us: u64) {
        let since_us = arrived_us.saturating_sub(self.threshold_at_us.unwrap_or(arrived_us));
        self.threshold_at_us = Some(arrived_us);
        let distance = trend.abs() - self.threshold;
        if distance > OUTLIER {
            return;
        }
        let pace = if distance < 0.0 { FOLLOW_DOWN } else { FOLLOW_UP };
        let since_ms = (since_us as f64 / 1_000.0).min(FOLLOW_MS_MAX);
        self.threshold = (self.threshold + pace * distance * since_ms).clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

/// Of the least-squares line. Nothing: all at one time.
fn slope(points: &[(f64, f64); GROUPS]) -> Option<f64> {
    let count = GROUPS as f64;
    let (x_sum, y_sum) = points.iter().fold((0.0, 0.0), |(x_sum, y_sum), (x, y)| (x_sum + x, y_sum + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let (upper, lower) = points.iter().fold((0.0, 0.0), |(upper, lower), (x, y)| {
        (upper + (x - x_mean) * (y - y_mean), lower + (x - x_mean) * (x - x_mean))
    });
    (lower > f64::EPSILON).then(|| upper / lower)
}
