//! The two times a box knows.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for what is shown, kept or compared with other machines.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Milliseconds since the process began: never goes back, whatever the clock does.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now_ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// The instant of a reading, for sleeping until it.
    pub fn instant(self, at_ms: u64) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + std::time::Duration::from_millis(at_ms))
    }
}
