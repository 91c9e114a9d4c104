//! `schulhof_school`'s store over a redb table: one table for all schools of a group, the school first in the key.

use redb::{ReadableTable, Table};
use schulhof_school::{Kv, KvMut};
use schulhof_wire::SchoolId;
use std::{cell::RefCell, ops::Deref};

/// (school, key) -> value
pub type Key = (&'static str, &'static [u8]);
pub type Value = &'static [u8];

/// One school's part of the table.
///
/// The trait cannot say that the disk failed: then this answers as if nothing were there and keeps the error.
/// Whoever writes must look at [`SchoolKv::finish`] before committing.
pub struct SchoolKv<'a, T> {
    table: T,
    school: &'a str,
    failed: RefCell<Option<redb::StorageError>>,
}

impl<'a, T> SchoolKv<'a, T> {
    pub fn new(table: T, school: &'a SchoolId) -> Self {
        Self::named(table, school.as_str())
    }

    /// What is no school's, under a name that no school can have.
    pub fn named(table: T, name: &'a str) -> Self {
        Self { table, school: name, failed: RefCell::new(None) }
    }

    /// The first error.
    pub fn finish(self) -> Result<(), redb::StorageError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn note<V>(&self, result: Result<V, redb::StorageError>) -> Option<V> {
        result.map_err(|e| self.failed.borrow_mut().get_or_insert(e).to_string()).ok()
    }
}

impl<T: Deref<Target: ReadableTable<Key, Value>>> Kv for SchoolKv<'_, T> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.note(self.table.get((self.school, key)))?.map(|value| value.value().to_vec())
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        if from >= to {
            return;
        }
        let Some(mut range) = self.note(self.table.range((self.school, from)..(self.school, to))) else { return };
        while let Some(item) = if descending { range.next_back() } else { range.next() } {
            let Some((key, value)) = self.note(item) else { return };
            if !visit(key.value().1, value.value()) {
                return;
            }
        }
    }
}

impl KvMut for SchoolKv<'_, &mut Table<'_, Key, Value>> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let result = self.table.insert((self.school, key), value).map(|_| ());
        self.note(result);
    }

    fn delete(&mut self, key: &[u8]) {
        let result = self.table.remove((self.school, key)).map(|_| ());
        self.note(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, TableDefinition};

    const TABLE: TableDefinition<Key, Value> = TableDefinition::new("state");

    #[test]
    fn schools_are_apart_and_scans_stay_in_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::create(dir.path().join("test.redb")).unwrap();
        let schools = ["nord", "nordwest", "sued"].map(|name| SchoolId::new(name).unwrap());
        let txn = db.begin_write().unwrap();
        {
            let mut table = txn.open_table(TABLE).unwrap();
            for school in &schools {
                let mut kv = SchoolKv::new(&mut table, school);
                for key in [b"a".as_slice(), b"b", b"c", b"\xff"] {
                    kv.put(key, school.as_str().as_bytes());
                }
                kv.delete(b"c");
                kv.finish().unwrap();
            }
            let kv = SchoolKv::new(&mut table, &schools[0]);
            for (descending, expected) in [(false, ["a", "b"]), (true, ["b", "a"])] {
                let mut seen = Vec::new();
                kv.scan(b"", b"\xff", descending, &mut |key, value| {
                    assert_eq!(value, b"nord");
                    seen.push(String::from_utf8(key.to_vec()).unwrap());
                    true
                });
                assert_eq!(seen, expected);
            }
            let mut first = Vec::new();
            kv.scan(b"", b"z", false, &mut |key, _| {
                first.push(key.to_vec());
                false
            });
            assert_eq!(first, [b"a"], "the visitor ends the scan");
            kv.scan(b"b", b"a", false, &mut |_, _| panic!("nothing is between"));
            assert_eq!((kv.get(b"a"), kv.get(b"c")), (Some(b"nord".to_vec()), None));
            kv.finish().unwrap();
        }
        txn.commit().unwrap();
    }
}
