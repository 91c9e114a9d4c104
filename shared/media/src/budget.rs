//! How much a peer may demand per second.

use std::time::Instant;

/// A token bucket of one second.
#[derive(Debug)]
pub(crate) struct Rate {
    per_s: u32,
    tokens: f64,
    at: Option<Instant>,
}

impl Rate {
    pub fn new(per_s: u32) -> Self {
        Self { per_s, tokens: f64::from(per_s), at: None }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if let Some(at) = self.at {
            let since = now.saturating_duration_since(at).as_secs_f64();
            self.tokens = (self.tokens + since * f64::from(self.per_s)).min(f64::from(self.per_s));
        }
        self.at = Some(now);
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;
    use std::time::Duration;

    #[test]
    fn a_burst_is_cut_at_one_second_s_worth_and_refills() {
        let now = instant();
        let mut rate = Rate::new(10);
        assert_eq!((0..100).filter(|_| rate.take(now)).count(), 10);
        assert_eq!((0..100).filter(|_| rate.take(now + Duration::from_millis(500))).count(), 5);
        assert_eq!((0..100).filter(|_| rate.take(now + Duration::from_mins(1))).count(), 10);
    }
}
