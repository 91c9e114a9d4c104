//! redb under the school's key-value traits.
//!
//! The traits know no errors, a disk does: the first one is kept, reads go on as if the key were missing, and whoever
//! owns the adapter must ask [`ReadKv::check`] or [`WriteKv::check`] before believing the result.

use redb::{ReadOnlyTable, ReadableTable, StorageError, Table};
use schulhof_school::{Kv, KvMut};
use std::{cell::RefCell, ops::Bound};

/// The confirmed state in a read transaction.
pub struct ReadKv {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    error: RefCell<Option<StorageError>>,
}

impl ReadKv {
    pub fn new(table: ReadOnlyTable<&'static [u8], &'static [u8]>) -> Self {
        Self { table, error: RefCell::new(None) }
    }

    pub fn check(&self) -> Result<(), StorageError> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Kv for ReadKv {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        get(&self.table, key).unwrap_or_else(|error| keep(&self.error, error))
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        scan(&self.table, from, to, descending, visit).unwrap_or_else(|error| keep(&self.error, error));
    }
}

/// The confirmed state in a write transaction.
pub struct WriteKv<'txn> {
    table: Table<'txn, &'static [u8], &'static [u8]>,
    error: RefCell<Option<StorageError>>,
}

impl<'txn> WriteKv<'txn> {
    pub fn new(table: Table<'txn, &'static [u8], &'static [u8]>) -> Self {
        Self { table, error: RefCell::new(None) }
    }

    pub fn check(&self) -> Result<(), StorageError> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Kv for WriteKv<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        get(&self.table, key).unwrap_or_else(|error| keep(&self.error, error))
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        scan(&self.table, from, to, descending, visit).unwrap_or_else(|error| keep(&self.error, error));
    }
}

impl KvMut for WriteKv<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        if let Err(error) = self.table.insert(key, value) {
            keep::<()>(&self.error, error);
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if let Err(error) = self.table.remove(key) {
            keep::<()>(&self.error, error);
        }
    }
}

fn keep<T: Default>(first: &RefCell<Option<StorageError>>, error: StorageError) -> T {
    first.borrow_mut().get_or_insert(error);
    T::default()
}

fn get(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    to: &[u8],
    descending: bool,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StorageError> {
    if from >= to {
        return Ok(());
    }
    let mut range = table.range::<&[u8]>((Bound::Included(from), Bound::Excluded(to)))?;
    while let Some(row) = if descending { range.next_back() } else { range.next() } {
        let (key, value) = row?;
        if !visit(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::STATE;
    use redb::{Database, ReadableDatabase as _};

    fn keys(kv: &impl Kv, from: &[u8], to: &[u8], descending: bool) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        kv.scan(from, to, descending, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < 2
        });
        keys
    }

    #[test]
    fn both_adapters_give_what_was_put_in_the_order_of_bytes() {
        let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut kv = WriteKv::new(txn.open_table(STATE).unwrap());
            for key in [&b"a"[..], b"b", b"b\0", b"c"] {
                kv.put(key, b"v");
            }
            kv.delete(b"b\0");
            assert_eq!(keys(&kv, b"a", b"c", false), [b"a".to_vec(), b"b".to_vec()]);
            kv.check().unwrap();
        }
        txn.commit().unwrap();
        let kv = ReadKv::new(db.begin_read().unwrap().open_table(STATE).unwrap());
        assert_eq!(kv.get(b"b"), Some(b"v".to_vec()));
        assert_eq!(kv.get(b"b\0"), None);
        assert_eq!(keys(&kv, b"a", b"d", true), [b"c".to_vec(), b"b".to_vec()]);
        assert!(keys(&kv, b"c", b"a", true).is_empty());
        kv.check().unwrap();
    }
}
