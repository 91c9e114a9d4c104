//! Parts that were put and that no blob names yet: a school may have only so much of that, or a broken box fills the disk.
//!
//! Counted on the node that took them and forgotten when it stops; what is left of given-up uploads goes when the store is
//! cleared of what nobody names.

use parking_lot::Mutex;
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{BLOB_LEN_MAX, Recipe},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Twenty of the largest blobs under way at once.
pub const UNFINISHED_LEN_MAX: u64 = 20 * BLOB_LEN_MAX;
/// An upload that takes longer counts anew.
const FORGET_AFTER: Duration = Duration::from_hours(24);

#[derive(Default)]
struct Parts {
    parts: BTreeMap<BlobHash, (u64, Instant)>,
    len: u64,
}

#[derive(Default)]
pub struct Unfinished(Mutex<BTreeMap<SchoolId, Parts>>);

impl Unfinished {
    /// Whether one more part may come.
    pub fn admit(&self, school: &SchoolId, part: BlobHash, len: u64, now: Instant) -> bool {
        let mut schools = self.0.lock();
        let of = schools.entry(school.clone()).or_default();
        if of.parts.contains_key(&part) {
            return true;
        }
        if of.len + len > UNFINISHED_LEN_MAX {
            of.parts.retain(|_, (_, since)| now.duration_since(*since) < FORGET_AFTER);
            of.len = of.parts.values().map(|(len, _)| len).sum();
            if of.len + len > UNFINISHED_LEN_MAX {
                return false;
            }
        }
        of.len += len;
        of.parts.insert(part, (len, now));
        true
    }

    /// Its parts belong to a blob now.
    pub fn finished(&self, school: &SchoolId, recipe: &Recipe) {
        let mut schools = self.0.lock();
        let Some(of) = schools.get_mut(school) else { return };
        for part in &recipe.parts {
            if let Some((len, _)) = of.parts.remove(part) {
                of.len -= len;
            }
        }
        if of.parts.is_empty() {
            schools.remove(school);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: u64) -> BlobHash {
        BlobHash(*blake3::hash(&n.to_be_bytes()).as_bytes())
    }

    #[test]
    fn a_school_has_only_so_much_unfinished_until_a_blob_takes_it_or_a_day_has_passed() {
        let (unfinished, now) = (Unfinished::default(), Instant::now());
        let school = SchoolId::new("nord").unwrap();
        for n in 0..20 {
            assert!(unfinished.admit(&school, part(n), BLOB_LEN_MAX, now));
        }
        assert!(!unfinished.admit(&school, part(20), 1, now));
        assert!(unfinished.admit(&school, part(3), BLOB_LEN_MAX, now), "the same part again costs nothing");
        assert!(unfinished.admit(&SchoolId::new("sued").unwrap(), part(20), 1, now), "schools do not share it");
        let recipe = Recipe { blob: part(99), size: 2 * BLOB_LEN_MAX, parts: vec![part(0), part(1)] };
        unfinished.finished(&school, &recipe);
        assert!(unfinished.admit(&school, part(20), BLOB_LEN_MAX, now));
        assert!(unfinished.admit(&school, part(21), BLOB_LEN_MAX, now));
        assert!(!unfinished.admit(&school, part(22), 1, now));
        assert!(unfinished.admit(&school, part(22), BLOB_LEN_MAX, now + FORGET_AFTER));
    }
}
