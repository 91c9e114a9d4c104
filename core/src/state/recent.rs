//! The last entries of the schools that somebody follows, in memory.
//!
//! Who follows a school wants each entry a moment after it was applied. From here that costs neither a read transaction nor a
//! thread that may block; who is further behind reads the file.

use schulhof_wire::{LogIndex, SchoolId, node::Entry};
use std::collections::{BTreeMap, VecDeque};

/// Of all schools of a group together.
const BYTES_MAX: usize = 2 << 20;

#[derive(Default)]
pub struct Recent {
    schools: BTreeMap<SchoolId, VecDeque<Entry>>,
    /// All of them, in the order in which they came. What has gone since is passed over.
    order: VecDeque<(SchoolId, LogIndex, usize)>,
    bytes: usize,
}

impl Recent {
    /// Takes the next entries of a school. After a gap only they are kept.
    pub fn push(&mut self, school: &SchoolId, entries: impl IntoIterator<Item = Entry>) {
        let kept = self.schools.entry(school.clone()).or_default();
        for entry in entries {
            if kept.back().is_some_and(|last| last.index.0 + 1 != entry.index.0) {
                kept.clear();
            }
            let len = entry.operation.0.len() + size_of::<Entry>();
            self.order.push_back((school.clone(), entry.index, len));
            self.bytes += len;
            kept.push_back(entry);
        }
        while self.bytes > BYTES_MAX
            && let Some((school, index, len)) = self.order.pop_front()
        {
            self.bytes -= len;
            if let Some(kept) = self.schools.get_mut(&school)
                && kept.front().is_some_and(|first| first.index == index)
            {
                kept.pop_front();
            }
        }
    }

    pub fn forget(&mut self, school: &SchoolId) {
        self.schools.remove(school);
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Entries that follow on an index: at most so many, and not many more bytes than that, but one at least. `None` if the
    /// next one is not here.
    pub fn after(&self, school: &SchoolId, after: LogIndex, count_max: usize, bytes_max: usize) -> Option<Vec<Entry>> {
        let kept = self.schools.get(school)?;
        let at = (after.0 + 1).checked_sub(kept.front()?.index.0)? as usize;
        kept.get(at)?;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let before = bytes;
            bytes += entry.operation.0.len();
            before == 0 || before < bytes_max
        };
        Some(kept.range(at..).take(count_max).take_while(fits).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::node::EncodedOperation;

    fn entry(index: u64, len: usize) -> Entry {
        Entry { index: LogIndex(index), operation: EncodedOperation(vec![7; len]), rejected: None }
    }

    fn indices(recent: &Recent, school: &SchoolId, after: u64, count: usize, bytes: usize) -> Option<Vec<u64>> {
        let entries = recent.after(school, LogIndex(after), count, bytes)?;
        Some(entries.iter().map(|entry| entry.index.0).collect())
    }

    #[test]
    fn what_follows_is_given_out_within_limits_and_nothing_after_a_gap() {
        let [nord, sued] = ["nord", "sued"].map(|name| SchoolId::new(name).unwrap());
        let mut recent = Recent::default();
        recent.push(&nord, (5..=8).map(|index| entry(index, 100)));
        assert_eq!(indices(&recent, &nord, 4, 10, 1_000), Some(vec![5, 6, 7, 8]));
        assert_eq!(indices(&recent, &nord, 6, 1, 1_000), Some(vec![7]));
        assert_eq!(indices(&recent, &nord, 4, 10, 150), Some(vec![5, 6]));
        assert_eq!(indices(&recent, &nord, 4, 10, 0), Some(vec![5]));
        for (school, after) in [(&nord, 3), (&nord, 8), (&nord, 20), (&sued, 4)] {
            assert_eq!(indices(&recent, school, after, 10, 1_000), None, "{school} after {after}");
        }
        recent.push(&nord, [entry(20, 100)]);
        assert_eq!(
            (indices(&recent, &nord, 7, 10, 1_000), indices(&recent, &nord, 19, 10, 1_000)),
            (None, Some(vec![20]))
        );
        recent.forget(&nord);
        assert_eq!(indices(&recent, &nord, 19, 10, 1_000), None);
    }

    #[test]
    fn the_oldest_of_all_schools_go_first_and_the_rest_is_whole() {
        let [nord, sued] = ["nord", "sued"].map(|name| SchoolId::new(name).unwrap());
        let mut recent = Recent::default();
        for index in 1..=100 {
            recent.push(&nord, [entry(index, 20_000)]);
            recent.push(&sued, [entry(index, 20_000)]);
            assert!(recent.bytes <= BYTES_MAX);
        }
        for school in [&nord, &sued] {
            assert_eq!(indices(&recent, school, 1, 10, usize::MAX), None);
            assert_eq!(indices(&recent, school, 90, 100, usize::MAX), Some((91..=100).collect()));
        }
    }
}
