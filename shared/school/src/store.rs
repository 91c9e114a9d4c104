//! The store under the state machine: ordered keys, byte values. Implemented in memory here, over redb in box and core;
//! [`Layered`] and [`Overlay`] lay changes over a base that itself stays as it is.
//!
//! Not here: transactions and durability. The shell opens a transaction, hands it in as [`KvMut`], and commits it whole.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

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

impl<K: Kv + ?Sized> Kv for &K {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        (**self).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        (**self).scan(from, to, descending, visit);
    }
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
        let mut range = self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        while let Some((key, value)) = if descending { range.next_back() } else { range.next() } {
            if !visit(key, value) {
                return;
            }
        }
    }
}

impl KvMut for MemoryKv {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        // Most writes replace a value (counters, marks): no new key then.
        if let Some(slot) = self.0.get_mut(key) {
            value.clone_into(slot);
        } else {
            self.0.insert(key.to_vec(), value.to_vec());
        }
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

/// Changes over a base, kept apart from it so that they can outlive a read transaction.
///
/// Each key knows how many operations wrote it ([`Changes::absorb`]), so that the oldest operation can be taken out again
/// ([`Changes::release`]) once the base itself holds its effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<Arc<[u8]>, Changed>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    /// `None` is a deletion.
    value: Option<Vec<u8>>,
    writers: u32,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of changed keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Changed keys in order; `None` is a deletion.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(key, changed)| (&**key, changed.value.as_deref()))
    }

    /// Lays the changes of one operation on top, and tells its keys for a later [`Changes::release`].
    pub fn absorb(&mut self, newer: Changes) -> Vec<Arc<[u8]>> {
        newer
            .0
            .into_iter()
            .map(|(key, changed)| match self.0.entry(key) {
                Entry::Occupied(mut slot) => {
                    let key = Arc::clone(slot.key());
                    slot.get_mut().value = changed.value;
                    slot.get_mut().writers += 1;
                    key
                }
                Entry::Vacant(slot) => {
                    let key = Arc::clone(slot.key());
                    slot.insert(Changed { value: changed.value, writers: 1 });
                    key
                }
            })
            .collect()
    }

    /// One operation that wrote the key is no longer part of these changes. The value stays while a later one wrote it too.
    pub fn release(&mut self, key: &[u8]) {
        if let Some(changed) = self.0.get_mut(key) {
            changed.writers -= 1;
            if changed.writers == 0 {
                self.0.remove(key);
            }
        }
    }

    fn set(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        if let Some(changed) = self.0.get_mut(key) {
            changed.value = value;
        } else {
            self.0.insert(Arc::from(key), Changed { value, writers: 1 });
        }
    }

    fn get_over(&self, base: &(impl Kv + ?Sized), key: &[u8]) -> Option<Vec<u8>> {
        match self.0.get(key) {
            Some(changed) => changed.value.clone(),
            None => base.get(key),
        }
    }

    /// Merges two ordered runs; where both hold a key, the change wins, and a deletion hides it.
    fn scan_over(
        &self,
        base: &(impl Kv + ?Sized),
        (from, to): (&[u8], &[u8]),
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        if from >= to {
            return;
        }
        let mut range = self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut step = move || if descending { range.next_back() } else { range.next() };
        let mut next = step();
        let mut more = true;
        base.scan(from, to, descending, &mut |key, value| {
            while let Some((changed_key, changed)) = next {
                let before = if descending { **changed_key > *key } else { **changed_key < *key };
                if !before {
                    break;
                }
                next = step();
                if let Some(value) = &changed.value {
                    more = visit(changed_key, value);
                    if !more {
                        return false;
                    }
                }
            }
            more = match next {
                Some((changed_key, changed)) if **changed_key == *key => {
                    next = step();
                    changed.value.as_ref().is_none_or(|value| visit(key, value))
                }
                _ => visit(key, value),
            };
            more
        });
        while more && let Some((changed_key, changed)) = next {
            next = step();
            if let Some(value) = &changed.value {
                more = visit(changed_key, value);
            }
        }
    }
}

/// Reads a base through changes.
#[derive(Debug)]
pub struct Layered<'a, B: Kv + ?Sized> {
    pub base: &'a B,
    pub changes: &'a Changes,
}

impl<B: Kv + ?Sized> Clone for Layered<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Kv + ?Sized> Copy for Layered<'_, B> {}

impl<B: Kv + ?Sized> Kv for Layered<'_, B> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.changes.get_over(self.base, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.changes.scan_over(self.base, (from, to), descending, visit);
    }
}

/// Writes into changes over a base that itself stays as it is.
#[derive(Debug)]
pub struct Overlay<'a, B: Kv + ?Sized> {
    pub base: &'a B,
    pub changes: &'a mut Changes,
}

impl<B: Kv + ?Sized> Kv for Overlay<'_, B> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.changes.get_over(self.base, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.changes.scan_over(self.base, (from, to), descending, visit);
    }
}

impl<B: Kv + ?Sized> KvMut for Overlay<'_, B> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changes.set(key, Some(value.to_vec()));
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.set(key, None);
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
