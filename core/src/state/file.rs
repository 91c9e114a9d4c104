//! A group's redb file, written in transactions that stay open.
//!
//! A commit costs redb more than what a small batch writes: each copies anew every page that it touches. So a batch is added to
//! the transaction of those before it, and that is committed when somebody reads, or when a durable commit is due. Readers
//! see all that was written before; after a crash the log is replayed from the last durable commit, as it is when each
//! batch has its own.
//!
//! A batch that fails may have been written in part: what is open is then rolled back, and nothing is read or written any more.

use super::io_error;
use parking_lot::{Mutex, MutexGuard};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

/// A durable commit comes after at most this much: it bounds what is replayed after a crash (seconds) and what redb
/// holds in memory until then.
const DURABLE_AFTER_OPERATIONS: usize = 20_000;
const DURABLE_AFTER_BYTES: usize = 16 << 20;
const DURABLE_AFTER: Duration = Duration::from_secs(5);

/// How much a batch, or all since the last durable commit, has written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub operations: usize,
    pub bytes: usize,
}

#[derive(Default)]
struct Writing {
    open: Option<WriteTransaction>,
    undurable: Work,
    /// Since the first batch after the last durable commit.
    since: Option<Instant>,
    failed: Option<String>,
}

impl Writing {
    fn due(&self) -> bool {
        self.undurable.operations >= DURABLE_AFTER_OPERATIONS
            || self.undurable.bytes >= DURABLE_AFTER_BYTES
            || self.since.is_some_and(|since| since.elapsed() >= DURABLE_AFTER)
    }

    /// Commits what is open, so that it can be read.
    fn settle(&mut self) -> io::Result<()> {
        let Some(mut txn) = self.open.take() else { return Ok(()) };
        let committed =
            txn.set_durability(Durability::None).map_err(io_error).and_then(|()| txn.commit().map_err(io_error));
        committed.inspect_err(|e| self.failed = Some(e.to_string()))
    }

    /// Commits a transaction and all before it.
    fn settle_durably(&mut self, mut txn: WriteTransaction) -> io::Result<()> {
        txn.set_durability(Durability::Immediate).map_err(io_error)?;
        // After a crash the file opens without reading it whole.
        txn.set_quick_repair(true);
        let committed = txn.commit().map_err(io_error);
        committed.inspect_err(|e| self.failed = Some(e.to_string()))?;
        (self.undurable, self.since) = (Work::default(), None);
        metrics::counter!("schulhof_core_durable_commits_total").increment(1);
        Ok(())
    }
}

/// All methods block.
pub struct File {
    // Before the database: what is open is rolled back first.
    writing: Mutex<Writing>,
    db: Database,
}

impl File {
    /// Opens or creates it. `cache_len` bounds redb's memory.
    pub fn open(path: &Path, cache_len: usize) -> io::Result<Self> {
        let named = |e: redb::DatabaseError| {
            let e = io_error(e);
            io::Error::new(e.kind(), format!("state file {}: {e}", path.display()))
        };
        let db = Database::builder().set_cache_size(cache_len).create(path).map_err(named)?;
        Ok(Self { writing: Mutex::default(), db })
    }

    fn writing(&self) -> io::Result<MutexGuard<'_, Writing>> {
        let writing = self.writing.lock();
        match &writing.failed {
            None => Ok(writing),
            Some(first) => Err(io::Error::other(format!("writing the state failed before: {first}"))),
        }
    }

    /// A view of all that was written.
    pub fn read(&self) -> io::Result<ReadTransaction> {
        let mut writing = self.writing()?;
        writing.settle()?;
        self.db.begin_read().map_err(io_error)
    }

    /// Adds a batch to what is open; `write` also tells how much that was.
    pub fn extend<R>(&self, write: impl FnOnce(&WriteTransaction) -> io::Result<(R, Work)>) -> io::Result<R> {
        let mut writing = self.writing()?;
        let txn = match writing.open.take() {
            Some(txn) => txn,
            None => self.db.begin_write().map_err(io_error)?,
        };
        let (result, work) = write(&txn).inspect_err(|e| writing.failed = Some(e.to_string()))?;
        writing.undurable.operations += work.operations;
        writing.undurable.bytes += work.bytes;
        writing.since.get_or_insert_with(Instant::now);
        if writing.due() {
            writing.settle_durably(txn)?;
        } else {
            writing.open = Some(txn);
        }
        Ok(result)
    }

    /// In a durable transaction of its own: all of it or nothing. It must write something to take along those before it.
    pub fn alone<R>(&self, write: impl FnOnce(&WriteTransaction) -> io::Result<R>) -> io::Result<R> {
        let mut writing = self.writing()?;
        writing.settle()?;
        let txn = self.db.begin_write().map_err(io_error)?;
        let result = write(&txn)?;
        writing.settle_durably(txn)?;
        Ok(result)
    }

    /// Whether what was written has waited long enough.
    pub fn is_due(&self) -> bool {
        self.writing.lock().due()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::TableDefinition;

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("numbers");
    const SMALL: Work = Work { operations: 1, bytes: 8 };

    fn put(file: &File, key: u64) {
        file.extend(|txn| {
            txn.open_table(TABLE).map_err(io_error)?.insert(key, key).map_err(io_error)?;
            Ok(((), SMALL))
        })
        .unwrap();
    }

    fn has(txn: &ReadTransaction, key: u64) -> bool {
        txn.open_table(TABLE).unwrap().get(key).unwrap().is_some()
    }

    #[test]
    fn a_reader_sees_all_before_it_and_nothing_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(&dir.path().join("state.redb"), 1 << 20).unwrap();
        (1..=3).for_each(|key| put(&file, key));
        let before = file.read().unwrap();
        put(&file, 4);
        assert!((1..=3).all(|key| has(&before, key)) && !has(&before, 4));
        assert!(has(&file.read().unwrap(), 4));
    }

    #[test]
    fn a_batch_that_fails_ends_it_and_one_alone_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let file = File::open(&path, 1 << 20).unwrap();
        put(&file, 1);
        let refused = file.alone(|txn| {
            txn.delete_table(TABLE).map_err(io_error)?;
            Err::<(), _>(io::Error::other("cut"))
        });
        assert!(refused.is_err() && has(&file.read().unwrap(), 1));
        file.alone(|txn| {
            txn.open_table(TABLE).map_err(io_error)?.insert(3, 3).map_err(io_error)?;
            Ok(())
        })
        .unwrap();

        let failed = file.extend(|txn| {
            txn.open_table(TABLE).map_err(io_error)?.insert(2, 2).map_err(io_error)?;
            Err::<((), Work), _>(io::Error::other("no room"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no room");
        let Err(later) = file.read() else { panic!("half a batch is read") };
        assert_eq!(later.to_string(), "writing the state failed before: no room");
        drop(file);
        let file = File::open(&path, 1 << 20).unwrap();
        let txn = file.read().unwrap();
        assert!(has(&txn, 1) && has(&txn, 3) && !has(&txn, 2));
    }
}
