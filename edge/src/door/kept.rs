//! What was read from an uploaded file and waits for a yes: few of a school, not for long, and for whoever uploaded it.

use schulhof_wire::{AccountId, DeviceId};
use std::collections::VecDeque;

/// What waits, per school; one more forgets the oldest.
const KEPT_MAX: usize = 2;
/// It is forgotten after this long.
const KEPT_MS: u64 = 30 * 60_000;

/// By the import's name.
pub struct Kept<T>(VecDeque<One<T>>);

struct One<T> {
    import: DeviceId,
    by: AccountId,
    what: T,
    at_ms: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Kept<T> {
    pub fn keep(&mut self, import: DeviceId, by: AccountId, what: T, now_ms: u64) {
        self.0.retain(|before| before.at_ms + KEPT_MS > now_ms);
        while self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(One { import, by, what, at_ms: now_ms });
    }

    pub fn take(&mut self, import: &DeviceId, by: &AccountId, now_ms: u64) -> Option<T> {
        let fits = |kept: &One<T>| kept.import == *import && kept.by == *by && kept.at_ms + KEPT_MS > now_ms;
        let at = self.0.iter().position(fits)?;
        self.0.remove(at).map(|kept| kept.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_and_not_for_long_and_for_whom_they_were_read() {
        let mut kept = Kept::default();
        let root: AccountId = "root".parse().unwrap();
        for (import, at_ms) in [("i1", 0), ("i2", 1), ("i3", 2)] {
            kept.keep(import.parse().unwrap(), root.clone(), (), at_ms);
        }
        assert_eq!(kept.0.len(), KEPT_MAX);
        let mut take = |import: &str, by: &AccountId, now_ms| kept.take(&import.parse().unwrap(), by, now_ms).is_some();
        assert!(!take("i1", &root, 3), "the oldest went");
        assert!(!take("i2", &"tina".parse().unwrap(), 3));
        assert!(take("i2", &root, 3));
        assert!(!take("i2", &root, 3), "once");
        assert!(!take("i3", &root, 2 + KEPT_MS));
    }
}
