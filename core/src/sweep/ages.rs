//! For how long objects were seen that nobody names. A file per school, which may be lost: then counting begins anew.
//!
//! No moment is compared with another one: time is what passed between two looks of the same node, so a clock that jumps ages
//! nothing. An object that was written since begins at nothing.

use schulhof_wire::blob::ObjectKey;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

const VERSION: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Age {
    /// When its file was written, as the file system says: whether it is still the same.
    written: SystemTime,
    age: Duration,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages(BTreeMap<ObjectKey, Age>);

impl Ages {
    /// Empty if there is none, or none that can be read.
    pub fn load(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let Some((&VERSION, rest)) = bytes.split_first() else { return Self::default() };
        postcard::from_bytes(rest).unwrap_or_default()
    }

    pub fn save(&self, path: &Path) -> io::Result<()> {
        if self.0.is_empty() {
            return match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        }
        let beside = path.with_extension("new");
        fs::write(&beside, postcard::to_extend(self, vec![VERSION]).map_err(io::Error::other)?)?;
        fs::rename(beside, path)
    }

    /// Takes what is unnamed now, `passed` after the look before; gives what was so for `keep`.
    pub fn look(
        &mut self,
        unnamed: impl IntoIterator<Item = (ObjectKey, SystemTime)>,
        passed: Duration,
        keep: Duration,
    ) -> Vec<ObjectKey> {
        let before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for (key, written) in unnamed {
            let known = before.get(&key).filter(|known| known.written == written);
            let age = known.map_or(Duration::ZERO, |known| known.age + passed);
            if known.is_some() && age >= keep {
                due.push(key.clone());
            }
            self.0.insert(key, Age { written, age });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::{BlobHash, SchoolId, blob::Space};

    const HOUR: Duration = Duration::from_hours(1);

    fn key(n: u8) -> ObjectKey {
        ObjectKey { school: SchoolId::new("nord").unwrap(), space: Space::Blob, hash: BlobHash([n; 32]) }
    }

    #[test]
    fn only_what_was_seen_for_so_long_is_due_and_what_is_named_or_written_meanwhile_begins_anew() {
        let (mut ages, keep) = (Ages::default(), 10 * HOUR);
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        // However long the first look says that it was: it has not been seen before.
        assert_eq!(ages.look([(key(1), at(0)), (key(2), at(0)), (key(3), at(0))], 99 * HOUR, keep), []);
        assert_eq!(ages.look([(key(1), at(0)), (key(2), at(5))], 6 * HOUR, keep), []);
        let due = ages.look([(key(1), at(0)), (key(2), at(5)), (key(3), at(0))], 4 * HOUR, keep);
        assert_eq!(due, [key(1)], "2 was written again, 3 was named");
        assert_eq!(ages.look([(key(2), at(5)), (key(3), at(0))], 6 * HOUR, keep), [key(2)]);
    }

    #[test]
    fn ages_outlive_a_restart_and_damage_begins_them_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nord");
        let mut ages = Ages::load(&path);
        ages.look([(key(1), SystemTime::UNIX_EPOCH)], HOUR, HOUR);
        ages.save(&path).unwrap();
        assert_eq!(Ages::load(&path), ages);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(Ages::load(&path), Ages::default());
        Ages::default().save(&path).unwrap();
        assert!(!path.exists());
    }
}
