//! Free disk space, looked at before writing: a disk that runs full in the middle of a commit closes the database, one that
//! is nearly full only closes the door for new operations.

use crate::clock::Monotonic;
use std::path::Path;

/// Below this no more operations are taken: room for a day's entries, sessions and the log file.
pub const LOW_BYTES: u64 = 64 << 20;
/// Below this nothing is written at all.
pub const EMPTY_BYTES: u64 = 8 << 20;
/// Looking costs a system call; a second's operations are below a megabyte.
const LOOK_EVERY_MS: u64 = 1_000;

/// How much may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    Empty,
    Low,
    Plenty,
}

/// Looks at a disk's free space now and then.
pub struct FreeSpace {
    look: Box<dyn Fn() -> Option<u64> + Send>,
    seen: Space,
    next_look_ms: u64,
}

impl FreeSpace {
    /// Of the disk that holds a folder.
    pub fn of(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self::by(move || {
            let stat = rustix::fs::statvfs(&folder).ok()?;
            Some(stat.f_bavail.saturating_mul(stat.f_frsize))
        })
    }

    /// By any means; `None` when it cannot be known.
    pub fn by(look: impl Fn() -> Option<u64> + Send + 'static) -> Self {
        Self { look: Box::new(look), seen: Space::Plenty, next_look_ms: 0 }
    }

    pub fn now(&mut self, clock: Monotonic) -> Space {
        let now_ms = clock.now_ms();
        if now_ms >= self.next_look_ms {
            self.next_look_ms = now_ms + LOOK_EVERY_MS;
            let seen = match (self.look)() {
                Some(bytes) if bytes < EMPTY_BYTES => Space::Empty,
                Some(bytes) if bytes < LOW_BYTES => Space::Low,
                // If it cannot be known, the disk itself will tell.
                _ => Space::Plenty,
            };
            if seen != self.seen {
                tracing::warn!(?seen, "free disk space");
            }
            self.seen = seen;
        }
        self.seen
    }
}
