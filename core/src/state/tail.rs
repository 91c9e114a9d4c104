//! The tail of a school's log: entries are kept for those who are a little behind, and deleted from the oldest on.
//!
//! Nothing else needs an old entry: what it led to stands in the school's state, the numbers of its device too, and whoever
//! lacks it is loaded from the state. What may go is decided on one node ([`Store::tail`]); that it goes is an entry of the
//! group's log ([`trim`]), so that all replicas keep the same. The state, and its hash, know nothing of it.

use super::{
    Store, io_error,
    kv::{Key, Value},
    place,
    school::first_entry,
    store::{ENTRIES, STATE, decode_entry},
};
use crate::{
    raft::types::{Answer, Epoch},
    tail::Keep,
};
use redb::{ReadableTable, Table};
use schulhof_wire::{Hlc, LogIndex, SchoolId};
use serde::Deserialize;
use std::io;

/// Entries that are deleted at once: few enough that others do not wait for it, and that a dump repeats nearly all chunks of
/// the one before.
pub const BLOCK: u64 = 1_000;
/// Entries whose clocks are asked for the time of a place in the log. One device whose clock is wrong shall not keep
/// everything, nor delete it: the median counts.
const SAMPLE: u64 = 33;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What is to be done about a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// It is not longer than it may be in any case.
    Short,
    /// It is longer, but its oldest entries are not old enough: look again when there are many new ones after this.
    Young { head: LogIndex },
    /// Entries before this one may go.
    Old { first: LogIndex },
}

type Entries = (&'static str, u64);

impl Store {
    /// Looks at the school's tail; `not_before`: a head below which there is nothing to see. Blocks.
    pub fn tail(&self, school: &SchoolId, keep: Keep, not_before: LogIndex) -> io::Result<Tail> {
        let txn = self.file.read()?;
        let head = place::head(&txn.open_table(STATE).map_err(io_error)?, school)?;
        if head < not_before {
            return Ok(Tail::Short);
        }
        let entries = txn.open_table(ENTRIES).map_err(io_error)?;
        let first = first_entry(&entries, school, head)?;
        if head.0 + 1 - first.0 < keep.entries + BLOCK {
            return Ok(Tail::Short);
        }
        let next = first.0 + BLOCK;
        let (old, new) = (time_ms(&entries, school, next - 1)?, time_ms(&entries, school, head.0)?);
        if old.saturating_add(u64::from(keep.days) * DAY_MS) > new {
            return Ok(Tail::Young { head });
        }
        Ok(Tail::Old { first: LogIndex(next) })
    }
}

/// When the entries up to this one were made, by their own clocks, in milliseconds since 1970; 0 if none can be read.
fn time_ms(entries: &impl ReadableTable<Entries, &'static [u8]>, school: &SchoolId, upto: u64) -> io::Result<u64> {
    /// What is the same in operations of all kinds and versions.
    #[derive(Deserialize)]
    struct Dated {
        at: Hlc,
    }
    let from = (upto + 1).saturating_sub(SAMPLE);
    let mut times = Vec::new();
    for item in entries.range((school.as_str(), from)..=(school.as_str(), upto)).map_err(io_error)? {
        let (_, value) = item.map_err(io_error)?;
        let dated = serde_json::from_slice::<Dated>(&decode_entry(value.value())?.operation.0);
        times.extend(dated.ok().map(|dated| dated.at.ms()));
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or(0))
}

/// Deletes the school's entries before one; twice, late or beyond the head does no harm.
pub(super) fn trim(
    state: &mut Table<'_, Key, Value>,
    entries: &mut Table<'_, Entries, &'static [u8]>,
    school: &SchoolId,
    epoch: Epoch,
    first: LogIndex,
) -> io::Result<Answer> {
    // What is sealed is being read on its way to another group: each replica must read the same of it.
    if !place::read(state, school)?.serves(epoch) {
        return Ok(Answer::Moved);
    }
    let head = place::head(state, school)?;
    let before = first.0.min(head.0 + 1);
    entries.retain_in((school.as_str(), 0)..(school.as_str(), before), |_, _| false).map_err(io_error)?;
    Ok(Answer::Trimmed { first: first_entry(entries, school, head)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        raft::types::{Command, OperationAnswer},
        state::{
            school::{Parts, SchoolChunk},
            tests::{command, dated, entry, open, school},
        },
    };
    use std::sync::Arc;

    const KEEP: Keep = Keep { entries: 2_000, days: 14 };

    fn apply(store: &Store, next: Command) -> Answer {
        let index = store.applied().unwrap().0.map_or(0, |id| id.index + 1);
        store.apply(&[command(index, next)]).unwrap().remove(0)
    }

    fn trim_to(store: &Store, epoch: u64, first: u64) -> Answer {
        apply(store, Command::Trim { school: school("nord"), epoch: Epoch(epoch), first: LogIndex(first) })
    }

    /// One operation per minute, except for those of these numbers.
    fn write(store: &Store, seqs: impl IntoIterator<Item = u64>, minutes: impl Fn(u64) -> u64) {
        let operations = seqs.into_iter().map(|seq| dated(seq, minutes(seq) * 60_000)).collect();
        let operations = Arc::new(operations);
        apply(store, Command::Operations { school: school("nord"), epoch: Epoch::FIRST, operations });
    }

    fn tail(store: &Store) -> Tail {
        store.tail(&school("nord"), KEEP, LogIndex(0)).unwrap()
    }

    const DAY: u64 = 24 * 60;

    #[test]
    fn a_block_goes_when_it_is_beyond_both_the_number_and_the_days_that_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert_eq!(tail(&store), Tail::Short, "nothing is there");
        write(&store, 1..=2_999, |seq| seq);
        assert_eq!(tail(&store), Tail::Short, "not even one block more than is kept");
        write(&store, 3_000..=3_001, |seq| seq);
        assert_eq!(tail(&store), Tail::Young { head: LogIndex(3_001) }, "two days old");
        write(&store, 3_002..=3_020, |seq| 20 * DAY + seq);
        assert_eq!(
            store.tail(&school("nord"), KEEP, LogIndex(4_001)).unwrap(),
            Tail::Short,
            "it is not looked at before there is more"
        );
        assert_eq!(tail(&store), Tail::Old { first: LogIndex(1_001) });
        assert_eq!(trim_to(&store, 1, 1_001), Answer::Trimmed { first: LogIndex(1_001) });
        assert_eq!(tail(&store), Tail::Short);
    }

    #[test]
    fn wrong_clocks_of_a_few_neither_keep_nor_delete_anything() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        // The oldest block ends with some from the far future and from 1970.
        let wrong = |seq: u64| match seq % 5 {
            0 => 10_000 * DAY,
            1 => 0,
            _ => 100 * DAY + seq,
        };
        write(&store, 1..=3_100, wrong);
        assert!(matches!(tail(&store), Tail::Young { .. }));
        write(&store, 3_101..=3_200, |seq| wrong(seq) + 20 * DAY);
        assert_eq!(tail(&store), Tail::Old { first: LogIndex(1_001) });
    }

    #[test]
    fn what_goes_is_gone_everywhere_and_nothing_else_changes() {
        let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, other) = (open(dir.path()), open(other_dir.path()));
        store.apply(&[entry(0, "nord", 1..=50), entry(1, "nordwest", [1, 2])]).unwrap();
        other.apply(&[entry(0, "nord", 1..=50), entry(1, "nordwest", [1, 2])]).unwrap();
        let nord = school("nord");
        let before = store.state_hash(&nord).unwrap();
        assert_eq!(trim_to(&store, 1, 31), Answer::Trimmed { first: LogIndex(31) });
        assert_eq!(trim_to(&store, 1, 11), Answer::Trimmed { first: LogIndex(31) }, "late");
        assert_eq!(trim_to(&store, 2, 41), Answer::Moved, "not at another epoch");
        assert_eq!(store.kept(&nord).unwrap(), (LogIndex(50), LogIndex(31)));
        assert_eq!(store.state_hash(&nord).unwrap(), before);
        assert_eq!(store.kept(&school("nordwest")).unwrap(), (LogIndex(2), LogIndex(1)), "its neighbour is as it was");
        assert_eq!(store.entries(&nord, LogIndex(0), 1, usize::MAX).unwrap()[0].index, LogIndex(31));
        // Numbers of devices stand in the state.
        let answers = store.apply(&[entry(5, "nord", [1, 50, 51])]).unwrap();
        let place = OperationAnswer::Entry { index: LogIndex(51), rejected: None };
        let expected = vec![OperationAnswer::Duplicate, OperationAnswer::Duplicate, place];
        assert_eq!(answers, [Answer::Operations(expected)]);
        other.apply(&[entry(2, "nord", [51])]).unwrap();
        assert_eq!(store.state_hash(&nord).unwrap(), other.state_hash(&nord).unwrap());
        assert_eq!(trim_to(&store, 1, 1_000), Answer::Trimmed { first: LogIndex(52) }, "never beyond the head");
    }

    #[test]
    fn a_trimmed_school_is_dumped_and_loaded_with_what_it_has() {
        let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, other) = (open(dir.path()), open(other_dir.path()));
        let nord = school("nord");
        store.apply(&[entry(0, "nord", 1..=50)]).unwrap();
        trim_to(&store, 1, 31);
        let chunks: Vec<SchoolChunk> =
            store.dump_school(&nord, Parts::StateAndEntries).unwrap().map(Result::unwrap).collect();
        let summary = other.load_school(&nord, chunks.into_iter().map(Ok)).unwrap();
        assert_eq!((summary.head, summary.first), (LogIndex(50), LogIndex(31)));
        assert_eq!(other.kept(&nord).unwrap(), (LogIndex(50), LogIndex(31)));
        // A school that is on its way keeps what it has.
        apply(&store, Command::Seal { school: nord.clone(), epoch: Epoch::FIRST });
        assert_eq!(trim_to(&store, 1, 41), Answer::Moved);
        assert_eq!(store.kept(&nord).unwrap().1, LogIndex(31));
    }
}
