//! The store under the state machine: ordered keys, byte values. Implemented in memory here, over redb in box and core.

use std::collections::BTreeMap;

/// Reading. Keys are ordered by bytes.
pub trait Kv {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Calls `visit` for keys in `from..to` (`to` excluded), ascending or descending, until it returns `false`.
    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool);
}

/// Writing.
pub trait KvMut: Kv {
    fn put(&mut self, key: &[u8], value: &[u8]);
    fn delete(&mut self, key: &[u8]);
}

/// Everything in a `BTreeMap`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryKv(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        if from >= to {
            return;
        }
        let range = self.0.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)));
        if descending {
            for (k, v) in range.rev() {
                if !visit(k, v) {
                    return;
                }
            }
        } else {
            for (k, v) in range {
                if !visit(k, v) {
                    return;
                }
            }
        }
    }
}

impl KvMut for MemoryKv {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

/// Changes over a base that itself stays as it is: `None` is a deletion.
pub struct Overlay<'a, B: Kv + ?Sized> {
    pub base: &'a B,
    pub changes: &'a mut Changes,
}

/// The changes of an overlay, kept apart from the base so that they can outlive a read transaction.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
