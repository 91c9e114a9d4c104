//! A bit rate over the latest seconds, in a ring of counters: what a layer of a publisher takes, what a listener's line
//! has delivered. A fixed size, no allocation, a few instructions per packet.

/// `N` counters of `WIDTH_US` microseconds each.
#[derive(Debug, Clone)]
pub(crate) struct Window<const N: usize, const WIDTH_US: u64> {
    bytes: [u32; N],
    /// The counter that is being filled, counted from time 0.
    newest: u64,
    first_us: Option<u64>,
    latest_us: u64,
}

impl<const N: usize, const WIDTH_US: u64> Window<N, WIDTH_US> {
    pub const fn new() -> Self {
        Self { bytes: [0; N], newest: 0, first_us: None, latest_us: 0 }
    }

    #[inline]
    pub fn add(&mut self, at_us: u64, bytes: usize) {
        let counter = at_us / WIDTH_US;
        if self.first_us.is_none() {
            self.first_us = Some(at_us);
            self.newest = counter;
        }
        if counter > self.newest {
            self.roll(counter);
        }
        // What comes later than the ring reaches back is not counted any more.
        if self.newest - counter < N as u64 {
            let place = &mut self.bytes[counter as usize % N];
            *place = place.saturating_add(bytes as u32);
            self.latest_us = self.latest_us.max(at_us);
        }
    }

    fn roll(&mut self, counter: u64) {
        for between in self.newest + 1..=counter.min(self.newest + N as u64) {
            self.bytes[between as usize % N] = 0;
        }
        self.newest = counter;
    }

    /// In bit/s at `now_us`. Nothing before the first packet, and not before one counter has been filled.
    pub fn bps(&self, now_us: u64) -> Option<u64> {
        let first_us = self.first_us?;
        let now_us = now_us.max(self.latest_us);
        let now = now_us / WIDTH_US;
        let oldest = (now + 1).saturating_sub(N as u64);
        let span_us = now_us - first_us.max(oldest * WIDTH_US).min(now_us);
        if span_us < WIDTH_US {
            return None;
        }
        let counted = (oldest..=now).filter(|counter| *counter <= self.newest && self.newest - counter < N as u64);
        let bytes: u64 = counted.map(|counter| u64::from(self.bytes[counter as usize % N])).sum();
        Some(bytes * 8 * 1_000_000 / span_us)
    }

    /// The same at the time of the latest packet.
    pub fn bps_at_latest(&self) -> Option<u64> {
        self.bps(self.latest_us)
    }

    /// How long packets have been counted.
    pub fn age_us(&self, now_us: u64) -> u64 {
        self.first_us.map_or(0, |first_us| now_us.saturating_sub(first_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_a_silence_falls_to_nothing() {
        let mut window = Window::<8, 250_000>::new();
        assert_eq!(window.bps(0), None);
        for n in 0..400u64 {
            window.add(5_000_000 + n * 10_000, 1_250);
        }
        let bps = window.bps_at_latest().unwrap();
        assert!((950_000..=1_050_000).contains(&bps), "{bps}");
        assert!(window.bps(10_500_000).unwrap() < bps / 2);
        assert_eq!(window.bps(60_000_000), Some(0));
    }

    #[test]
    fn late_and_early_packets_do_not_disturb() {
        let mut window = Window::<4, 50_000>::new();
        window.add(1_000_000, 100);
        window.add(9_000_000, 100);
        window.add(1_000_000, 60_000);
        window.add(8_960_000, 100);
        assert_eq!(window.bps(9_000_000), Some(2 * 100 * 8 * 1_000_000 / 150_000));
        window.add(u64::MAX, 1);
        assert_eq!(window.bps(0).map(|bps| bps > 1_000_000), Some(false));
    }
}
