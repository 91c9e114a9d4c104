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

/// Shorter ones are not kept, further ones neither.
const GAP_MIN: Duration = Duration::from_millis(500);
const GAPS_MAX: usize = 10_000;

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

/// A time without a commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// At that school; `None`: at none.
    pub school: Option<SchoolId>,
    /// Since people began to write.
    pub at_ms: u64,
    pub ms: u64,
}

/// Where gaps come from.
#[derive(Debug)]
struct Gaps {
    heads: BTreeMap<SchoolId, (LogIndex, Instant)>,
    last: Instant,
    /// Those of [`GAP_MIN`] and more.
    found: Vec<Gap>,
    /// Over all schools, however short.
    longest: Gap,
    started: Instant,
}

impl Gaps {
    fn note(&mut self, school: Option<&SchoolId>, from: Instant, to: Instant) {
        let ms = |time: Duration| time.as_millis() as u64;
        let gap = Gap { school: school.cloned(), at_ms: ms(from - self.started), ms: ms(to - from) };
        if gap.school.is_none() && gap.ms > self.longest.ms {
            self.longest = gap.clone();
        }
        if to - from >= GAP_MIN && self.found.len() < GAPS_MAX {
            self.found.push(gap);
        }
    }
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
        let longest = Gap { school: None, at_ms: 0, ms: 0 };
        *self.gaps.lock() = Some(Gaps { heads: BTreeMap::new(), last: now, found: Vec::new(), longest, started: now });
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
        let of_school = std::mem::replace(last, now);
        let of_all = std::mem::replace(&mut gaps.last, now);
        gaps.note(Some(school), of_school, now);
        gaps.note(None, of_all, now);
    }

    /// People stop writing. Gives the longest gap over all schools, and all of half a second and more, the longest first.
    pub fn gaps(&self) -> Option<(Gap, Vec<Gap>)> {
        let mut gaps = self.gaps.lock().take()?;
        let now = Instant::now();
        for (school, (_, last)) in std::mem::take(&mut gaps.heads) {
            gaps.note(Some(&school), last, now);
        }
        gaps.note(None, gaps.last, now);
        gaps.found.sort_by_key(|gap| std::cmp::Reverse(gap.ms));
        Some((gaps.longest, gaps.found))
    }
}
