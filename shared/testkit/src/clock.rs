//! Virtual time.

/// Milliseconds since the start of a run. Moves only when told, and only forward.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    now_ms: u64,
}

impl Clock {
    pub fn new(now_ms: u64) -> Self {
        Self { now_ms }
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub fn advance(&mut self, by_ms: u64) {
        self.now_ms += by_ms;
    }

    /// Jumps to a time, such as the next timeout; stays if that has passed.
    pub fn advance_to(&mut self, at_ms: u64) {
        self.now_ms = self.now_ms.max(at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let mut clock = Clock::new(10);
        clock.advance(5);
        clock.advance_to(3);
        assert_eq!(clock.now_ms(), 15);
        clock.advance_to(20);
        assert_eq!(clock.now_ms(), 20);
    }
}
