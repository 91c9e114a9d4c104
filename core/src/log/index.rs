//! Where each entry of one group's log is: on disk, in memory, or (while it is being written) in memory only.

use crate::raft::types::{Entry, LogId, Vote};
use openraft::entry::RaftEntry;
use std::{
    collections::VecDeque,
    io,
    ops::{Bound, RangeBounds},
};

/// A record's payload on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub segment: u64,
    /// Of the record, header included.
    pub offset: u32,
}

struct Slot {
    log_id: LogId,
    /// Of the payload: what it counts in the cache and in an answer.
    len: u32,
    /// None until it is written; until then `entry` is there.
    place: Option<Place>,
    entry: Option<Entry>,
}

/// How to get at an entry.
pub enum Source {
    Memory(Entry),
    Disk { place: Place, log_id: LogId },
}

/// One group's log without the bytes on disk. Entries follow on each other without holes.
#[derive(Default)]
pub struct Index {
    pub vote: Option<Vote>,
    purged: Option<LogId>,
    /// Index of the first slot, if there is one.
    first: u64,
    slots: VecDeque<Slot>,
    /// Payload bytes of the entries in memory.
    cached_len: usize,
    /// No entry below this index is in memory.
    cached_from: u64,
    cached_len_max: usize,
}

impl Index {
    /// Holds recent entries of at most this many bytes in memory, besides those that are not written yet.
    pub fn new(cached_len_max: usize) -> Self {
        Self { cached_len_max, ..Self::default() }
    }

    pub fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last entry, or what was purged last.
    pub fn last(&self) -> Option<LogId> {
        self.slots.back().map(|slot| slot.log_id).or(self.purged)
    }

    /// Index of the first entry that is still there.
    pub fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    fn push(&mut self, slot: Slot) -> io::Result<()> {
        let index = slot.log_id.index;
        if self.slots.is_empty() {
            self.first = index;
            self.cached_from = index;
        } else if index != self.first + self.slots.len() as u64 {
            let last = self.first + self.slots.len() as u64 - 1;
            return Err(io::Error::other(format!("log entry {index} does not follow on entry {last}")));
        }
        self.slots.push_back(slot);
        Ok(())
    }

    /// A new entry, readable from now on, not written yet.
    pub fn append(&mut self, entry: Entry, len: u32) -> io::Result<()> {
        self.push(Slot { log_id: entry.log_id(), len, place: None, entry: Some(entry) })?;
        self.cached_len += len as usize;
        Ok(())
    }

    /// An entry found on disk at start.
    pub fn restore(&mut self, log_id: LogId, len: u32, place: Place) -> io::Result<()> {
        self.push(Slot { log_id, len, place: Some(place), entry: None })?;
        self.cached_from = log_id.index + 1;
        Ok(())
    }

    /// The entry is on disk now. Nothing happens if another one took its index meanwhile.
    pub fn placed(&mut self, log_id: LogId, place: Place) {
        if let Some(slot) = log_id.index.checked_sub(self.first).and_then(|at| self.slots.get_mut(at as usize))
            && slot.log_id == log_id
        {
            slot.place = Some(place);
        }
        self.evict();
    }

    /// Forgets the oldest entries in memory that are on disk, down to the bound.
    fn evict(&mut self) {
        while self.cached_len > self.cached_len_max {
            let at = self.cached_from.saturating_sub(self.first) as usize;
            match self.slots.get_mut(at) {
                Some(slot) if slot.place.is_some() => {
                    if slot.entry.take().is_some() {
                        self.cached_len -= slot.len as usize;
                    }
                    self.cached_from = slot.log_id.index + 1;
                }
                _ => return,
            }
        }
    }

    /// Entries from this index on are void.
    pub fn truncate(&mut self, from: u64) {
        let keep = from.saturating_sub(self.first) as usize;
        while self.slots.len() > keep {
            self.drop_slot(true);
        }
        self.cached_from = self.cached_from.min(from);
    }

    /// Entries up to this one are no longer needed; it may be ahead of the last one.
    pub fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        while !self.slots.is_empty() && self.first <= upto.index {
            self.drop_slot(false);
            self.first += 1;
        }
        self.cached_from = self.cached_from.max(self.first);
    }

    fn drop_slot(&mut self, last: bool) {
        let slot = if last { self.slots.pop_back() } else { self.slots.pop_front() };
        if let Some(Slot { entry: Some(_), len, .. }) = slot {
            self.cached_len -= len as usize;
        }
    }

    /// The entries of a range that are there, in order, up to `len_max` bytes but at least one.
    pub fn sources(&self, range: impl RangeBounds<u64>, len_max: usize) -> Vec<Source> {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        let start = from.saturating_sub(self.first).min(self.slots.len() as u64) as usize;
        let end = to.saturating_sub(self.first).min(self.slots.len() as u64) as usize;
        let mut sources = Vec::new();
        let mut len = 0;
        for slot in self.slots.range(start..end.max(start)) {
            len += slot.len as usize;
            if len > len_max && !sources.is_empty() {
                break;
            }
            sources.push(match (&slot.entry, slot.place) {
                (Some(entry), _) => Source::Memory(entry.clone()),
                (None, Some(place)) => Source::Disk { place, log_id: slot.log_id },
                (None, None) => unreachable!("an entry is in memory until it is placed"),
            });
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::{entry, id};

    const PLACE: Place = Place { segment: 1, offset: 32 };

    fn indices(index: &Index, range: impl RangeBounds<u64>) -> Vec<(u64, bool)> {
        let described = |source| match source {
            Source::Memory(entry) => (entry.log_id().index, true),
            Source::Disk { log_id, .. } => (log_id.index, false),
        };
        index.sources(range, usize::MAX).into_iter().map(described).collect()
    }

    #[test]
    fn the_oldest_written_entries_leave_memory_first() {
        let mut index = Index::new(20);
        for i in 0..5 {
            index.append(entry(1, i, "x"), 10).unwrap();
        }
        assert_eq!(index.cached_len, 50, "what is not written stays");
        for i in 0..5 {
            index.placed(id(1, i), PLACE);
        }
        assert_eq!(indices(&index, ..), [(0, false), (1, false), (2, false), (3, true), (4, true)]);
        assert_eq!(index.cached_len, 20);
    }

    #[test]
    fn a_truncated_entry_that_is_written_late_does_not_move_its_successor() {
        let mut index = Index::new(0);
        index.append(entry(1, 0, "old"), 10).unwrap();
        index.truncate(0);
        index.append(entry(2, 0, "new"), 10).unwrap();
        index.placed(id(1, 0), PLACE);
        assert_eq!(indices(&index, ..), [(0, true)], "the new one is not written yet");
        index.placed(id(2, 0), PLACE);
        assert_eq!(indices(&index, ..), [(0, false)]);
    }

    #[test]
    fn holes_are_refused_and_a_purge_may_jump_ahead() {
        let mut index = Index::new(100);
        index.append(entry(1, 0, "x"), 1).unwrap();
        assert!(index.append(entry(1, 2, "x"), 1).is_err());
        index.purge(id(1, 9));
        assert_eq!((index.last(), index.first()), (Some(id(1, 9)), None));
        index.append(entry(1, 10, "x"), 1).unwrap();
        assert_eq!(index.first(), Some(10));
        assert_eq!(indices(&index, 3..=10), [(10, true)]);
    }

    #[test]
    fn an_answer_is_bounded_by_bytes_but_never_empty() {
        let mut index = Index::new(1000);
        for i in 0..5 {
            index.append(entry(1, i, "x"), 10).unwrap();
        }
        assert_eq!(index.sources(1..5, 25).len(), 2);
        assert_eq!(index.sources(1..5, 1).len(), 1);
        assert_eq!(index.sources(5..9, 1).len(), 0);
    }
}
