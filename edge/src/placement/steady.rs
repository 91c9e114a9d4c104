//! Whether the box's own media process has proven itself since it died last. Pure.

/// It must have run so long before conferences come home to it, and twice as long after each further death: it is not to be
/// left and come back to in turn.
const PROVEN_AFTER_MS: u64 = 60_000;
const DOUBLINGS_MAX: u32 = 5;

#[derive(Debug, Default)]
pub struct Steady {
    /// It runs and listens since then.
    ready_ms: Option<u64>,
    deaths: u32,
}

impl Steady {
    pub fn ready(&mut self, now_ms: u64) {
        self.ready_ms = Some(now_ms);
    }

    pub fn lost(&mut self) {
        if self.ready_ms.take().is_some() {
            self.deaths += 1;
        }
    }

    pub fn is_ready(&self) -> bool {
        self.ready_ms.is_some()
    }

    pub fn is_proven(&self, now_ms: u64) -> bool {
        let wanted = PROVEN_AFTER_MS << self.deaths.saturating_sub(1).min(DOUBLINGS_MAX);
        self.ready_ms.is_some_and(|since| now_ms.saturating_sub(since) >= wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_keeps_dying_has_to_prove_itself_for_longer() {
        let mut steady = Steady::default();
        assert!(!steady.is_proven(1_000_000), "it was never there");
        steady.ready(0);
        assert_eq!([59_999, 60_000].map(|now| steady.is_proven(now)), [false, true]);
        steady.lost();
        steady.lost();
        assert!(!steady.is_ready() && !steady.is_proven(1_000_000));
        steady.ready(1_000_000);
        assert!(steady.is_proven(1_060_000), "once may happen");
        for _ in 0..20 {
            steady.lost();
            steady.ready(2_000_000);
        }
        assert!(!steady.is_proven(2_000_000 + 31 * PROVEN_AFTER_MS));
        assert!(steady.is_proven(2_000_000 + 32 * PROVEN_AFTER_MS), "half an hour is enough");
    }
}
