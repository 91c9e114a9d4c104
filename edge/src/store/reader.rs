//! Reading: a redb snapshot, and over it what waits in the outbox, of one and the same moment.

use super::{
    error::{ReadError, StoreError},
    kv::ReadKv,
    tables::{self, ENTRIES, OUTBOX, STATE, StoredEntry},
};
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use schulhof_school::{Layered, Operation};
use schulhof_sync::BoxSync;
use schulhof_wire::{LogIndex, node::Entry};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One moment of the school on this box.
pub struct Snapshot<'a> {
    txn: ReadTransaction,
    confirmed: ReadKv,
    sync: &'a BoxSync,
}

/// Entries for a browser that was away.
pub enum Resume {
    Entries(Vec<StoredEntry>),
    /// Older than what is kept.
    NotKept,
}

impl Snapshot<'_> {
    /// What people see: the confirmed state, and over it what waits.
    pub fn kv(&self) -> Layered<'_, ReadKv> {
        self.sync.read(&self.confirmed)
    }

    /// Highest confirmed index.
    pub fn head(&self) -> LogIndex {
        self.sync.cursor()
    }

    /// The next entries after an index, at most `count`.
    pub fn entries_after(&self, after: LogIndex, count: u64) -> Result<Resume, ReadError> {
        let table = self.txn.open_table(ENTRIES)?;
        let mut entries = Vec::new();
        let from = after.0.saturating_add(1);
        for row in table.range(from..from.saturating_add(count))? {
            entries.push(StoredEntry::decode(row?.1.value()).map_err(StoreError::from)?);
        }
        // Before a loaded state only those are here that were rejected.
        let follows = entries.iter().zip(from..).all(|(stored, expected)| stored.entry.index.0 == expected);
        let complete = !entries.is_empty() || after >= self.head();
        Ok(if follows && complete { Resume::Entries(entries) } else { Resume::NotKept })
    }

    /// Of the entries from an index on those that were rejected, as far as they are kept; looks at `count`, and tells from
    /// where to go on.
    pub fn rejected_from(&self, from: LogIndex, count: u64) -> Result<(Vec<Entry>, Option<LogIndex>), ReadError> {
        let mut rejected = Vec::new();
        let mut last = None;
        for row in self.txn.open_table(ENTRIES)?.range(from.0..)?.take(count as usize) {
            let (index, stored) = row?;
            last = Some(index.value());
            let entry = StoredEntry::decode(stored.value()).map_err(StoreError::from)?.entry;
            rejected.extend(entry.rejected.is_some().then_some(entry));
        }
        Ok((rejected, last.map(|last| LogIndex(last + 1))))
    }

    /// What waits for the core, by position.
    pub fn outbox(&self) -> Result<Vec<(u64, Operation)>, ReadError> {
        Ok(tables::outbox(&self.txn.open_table(OUTBOX)?)?)
    }
}

/// Runs `work` on the present moment. A disk error or a broken invariant is an error of this reading, not of the box.
pub(super) fn read<T>(
    db: Option<&Database>,
    sync: &BoxSync,
    work: impl FnOnce(&Snapshot<'_>) -> T,
) -> Result<T, ReadError> {
    let txn = db.ok_or(ReadError::Closed)?.begin_read()?;
    let confirmed = ReadKv::new(txn.open_table(STATE)?);
    let snapshot = Snapshot { txn, confirmed, sync };
    let result = catch_unwind(AssertUnwindSafe(|| work(&snapshot)));
    // A missing value after a disk error may be what the panic was about: the disk error is the better answer.
    snapshot.confirmed.check()?;
    result.map_err(|_| ReadError::Store(StoreError::Panicked))
}
