//! What the run's people have seen, to be held against the replicas afterwards.

use super::linear::{Action, Operation};
use parking_lot::Mutex;
use schulhof_wire::{DeviceId, LogIndex, RoomId, SchoolId, Seq};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Operations whose time until they were secured is kept; further ones are counted only.
const LATENCIES_MAX: usize = 1 << 20;

/// A register: who wrote last in a room.
pub type Key = (SchoolId, RoomId);

/// What a register holds: the place of a device among all, and its number. 0 is nobody.
pub fn value(device: usize, seq: Seq) -> u64 {
    ((device as u64 + 1) << 40) | seq.0
}

/// One device's operations.
#[derive(Debug, Default, Clone)]
pub struct DeviceRecord {
    pub school: Option<SchoolId>,
    /// Highest number that was made.
    pub made: u64,
    /// Numbers that a box has acknowledged as saved.
    pub acked: BTreeSet<u64>,
    /// Highest number that a box has called secured.
    pub secured: u64,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub devices: BTreeMap<DeviceId, DeviceRecord>,
    pub registers: BTreeMap<Key, Vec<Operation>>,
    /// Indices that people were shown.
    pub shown: BTreeMap<(SchoolId, DeviceId, Seq), LogIndex>,
    pub latencies: Vec<Duration>,
    /// What must not happen, as it was seen.
    pub violations: Vec<String>,
    /// Answers other than success, by status or kind.
    pub refusals: BTreeMap<String, u64>,
    pub reads: u64,
}

/// Time without a commit, over all schools and for each.
#[derive(Debug)]
pub struct Gaps {
    heads: BTreeMap<SchoolId, (LogIndex, Instant)>,
    last: Instant,
    longest: Duration,
    /// When the longest began, since the start of the run.
    longest_at: Duration,
    longest_of: BTreeMap<SchoolId, Duration>,
    started: Instant,
}

pub struct Recorder {
    pub seen: Mutex<Seen>,
    gaps: Mutex<Option<Gaps>>,
    pub started: Instant,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { seen: Mutex::default(), gaps: Mutex::new(None), started: Instant::now() }
    }
}

impl Recorder {
    /// Microseconds since the run began: the clock of all histories.
    pub fn time(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_micros() as u64
    }

    pub fn violation(&self, what: String) {
        self.seen.lock().violations.push(what);
    }

    pub fn refused(&self, kind: &str) {
        *self.seen.lock().refusals.entry(kind.to_owned()).or_default() += 1;
    }

    pub fn register(&self, key: Key, invoked: Instant, responded: Option<Instant>, action: Action) {
        // What was never answered may take effect at any later time.
        let responded = responded.map_or(u64::MAX, |at| self.time(at));
        let operation = Operation { invoked: self.time(invoked), responded, action };
        self.seen.lock().registers.entry(key).or_default().push(operation);
    }

    pub fn secured(&self, took: Duration) {
        let latencies = &mut self.seen.lock().latencies;
        if latencies.len() < LATENCIES_MAX {
            latencies.push(took);
        }
    }

    pub fn shown(&self, school: &SchoolId, device: &DeviceId, seq: Seq, index: LogIndex) {
        let mut seen = self.seen.lock();
        let before = seen.shown.insert((school.clone(), device.clone(), seq), index);
        if before.is_some_and(|before| before != index) {
            let what = format!("{school}: {device} {} was shown at {before:?} and at {index:?}", seq.0);
            seen.violations.push(what);
        }
    }

    /// From now on people write: gaps are counted.
    pub fn measure_gaps(&self) {
        let now = Instant::now();
        *self.gaps.lock() = Some(Gaps {
            heads: BTreeMap::new(),
            last: now,
            longest: Duration::ZERO,
            longest_at: Duration::ZERO,
            longest_of: BTreeMap::new(),
            started: now,
        });
    }

    /// Somebody has learnt of a school's committed index.
    pub fn committed(&self, school: &SchoolId, head: LogIndex) {
        let mut gaps = self.gaps.lock();
        let Some(gaps) = gaps.as_mut() else { return };
        let now = Instant::now();
        let (highest, last) = gaps.heads.entry(school.clone()).or_insert((LogIndex(0), gaps.started));
        if head <= *highest {
            return;
        }
        *highest = head;
        let of_school = now - std::mem::replace(last, now);
        let longest = gaps.longest_of.entry(school.clone()).or_default();
        *longest = of_school.max(*longest);
        let before = std::mem::replace(&mut gaps.last, now);
        if now - before > gaps.longest {
            gaps.longest = now - before;
            gaps.longest_at = before - gaps.started;
        }
    }

    /// People stop writing. Gives the longest gap over all schools, when it began, and the longest of each.
    pub fn gaps(&self) -> (Duration, Duration, BTreeMap<SchoolId, Duration>) {
        let Some(gaps) = self.gaps.lock().take() else { return (Duration::ZERO, Duration::ZERO, BTreeMap::new()) };
        let running = gaps.last.elapsed();
        if running > gaps.longest {
            return (running, gaps.last - gaps.started, gaps.longest_of);
        }
        (gaps.longest, gaps.longest_at, gaps.longest_of)
    }
}
