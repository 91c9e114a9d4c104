//! What this node has said to be there, and what it will say of it no more: so that nothing is removed under the hands of somebody
//! who counts on it.
//!
//! Whoever is told that an object is there may name it, or send the rest of a blob and not this: the promise holds for
//! [`PROMISE`]. Removing is two steps on all nodes. *Condemned*, an object is answered as missing, so whoever needs it sends it again,
//! which spares it; a node that has promised it lately refuses. Only what all have condemned is removed, where it still is so.
//!
//! In memory: after a start everything counts as promised for [`PROMISE`].

use parking_lot::Mutex;
use schulhof_wire::blob::ObjectKey;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long an answer "it is there" can be counted on; PROTOCOL.md section 3.3.
pub const PROMISE: Duration = Duration::from_hours(24);
/// Promises that are remembered, some 100 bytes each. With more of them, everything counts as promised.
const PROMISES_MAX: usize = 200_000;

/// Time since the node has started. Does not jump with the wall clock; counts nothing while the machine sleeps.
pub struct Clock {
    started: Instant,
    skipped: Mutex<Duration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), skipped: Mutex::default() }
    }
}

impl Clock {
    pub fn now(&self) -> Duration {
        self.started.elapsed() + *self.skipped.lock()
    }

    /// As if so much time had passed: for tests.
    pub fn skip(&self, time: Duration) {
        *self.skipped.lock() += time;
    }
}

#[derive(Default)]
struct State {
    promised: BTreeMap<ObjectKey, Duration>,
    /// Everything counts as promised at this moment.
    all_promised: Duration,
    condemned: BTreeMap<ObjectKey, Duration>,
}

#[derive(Default)]
pub struct Uses(Mutex<State>);

impl Uses {
    /// Somebody is to be told that it is there. False: it is condemned, and is to be answered as missing.
    pub fn promise(&self, key: &ObjectKey, now: Duration) -> bool {
        let mut state = self.0.lock();
        if state.is_condemned(key, now) {
            return false;
        }
        state.promise(key, now);
        true
    }

    /// It is written anew, and with that as good as never condemned.
    pub fn written(&self, key: &ObjectKey, now: Duration) {
        let mut state = self.0.lock();
        state.condemned.remove(key);
        state.promise(key, now);
    }

    /// From now on it is answered as missing, unless it was promised lately; then false.
    pub fn condemn(&self, key: &ObjectKey, now: Duration) -> bool {
        let mut state = self.0.lock();
        let lately = |at: Duration| now < at + PROMISE;
        if lately(state.all_promised) || state.promised.get(key).is_some_and(|at| lately(*at)) {
            return false;
        }
        state.condemned.retain(|_, at| now < *at + PROMISE);
        state.condemned.insert(key.clone(), now);
        true
    }

    pub fn spare(&self, key: &ObjectKey) {
        self.0.lock().condemned.remove(key);
    }

    pub fn is_condemned(&self, key: &ObjectKey, now: Duration) -> bool {
        self.0.lock().is_condemned(key, now)
    }
}

impl State {
    /// Whoever has condemned it and did not come back has given up.
    fn is_condemned(&self, key: &ObjectKey, now: Duration) -> bool {
        self.condemned.get(key).is_some_and(|at| now < *at + PROMISE)
    }

    fn promise(&mut self, key: &ObjectKey, now: Duration) {
        if self.promised.len() >= PROMISES_MAX {
            self.promised.retain(|_, at| now < *at + PROMISE);
        }
        if self.promised.len() >= PROMISES_MAX {
            self.all_promised = now;
            self.promised.clear();
        }
        self.promised.insert(key.clone(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::{BlobHash, SchoolId, blob::Space};

    const HOUR: Duration = Duration::from_hours(1);

    fn key(n: u32) -> ObjectKey {
        let hash = BlobHash(*blake3::hash(&n.to_be_bytes()).as_bytes());
        ObjectKey { school: SchoolId::new("nord").unwrap(), space: Space::Part, hash }
    }

    #[test]
    fn what_was_promised_is_not_condemned_for_a_day_and_what_is_condemned_is_not_promised() {
        let uses = Uses::default();
        assert!(!uses.condemn(&key(1), 23 * HOUR), "after a start everything may have been promised");
        assert!(uses.promise(&key(1), 24 * HOUR));
        assert!(!uses.condemn(&key(1), 47 * HOUR));
        assert!(uses.condemn(&key(1), 48 * HOUR) && uses.condemn(&key(2), 48 * HOUR));
        assert!(!uses.promise(&key(1), 49 * HOUR) && uses.is_condemned(&key(1), 49 * HOUR));
        uses.written(&key(1), 49 * HOUR);
        assert!(!uses.is_condemned(&key(1), 49 * HOUR), "sent again");
        assert!(!uses.condemn(&key(1), 72 * HOUR));
        uses.spare(&key(2));
        assert!(uses.promise(&key(2), 49 * HOUR));
    }

    #[test]
    fn a_sentence_that_nobody_carries_out_ends_by_itself() {
        let uses = Uses::default();
        assert!(uses.condemn(&key(1), 24 * HOUR));
        assert!(!uses.promise(&key(1), 47 * HOUR));
        assert!(uses.promise(&key(1), 48 * HOUR));
    }

    #[test]
    fn too_many_promises_to_remember_are_all_kept() {
        let uses = Uses::default();
        for n in 0..=PROMISES_MAX as u32 {
            assert!(uses.promise(&key(n), 24 * HOUR));
        }
        assert!(!uses.condemn(&key(0), 47 * HOUR));
        assert!(uses.condemn(&key(0), 48 * HOUR));
    }
}
