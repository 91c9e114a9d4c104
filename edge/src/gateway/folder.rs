//! What is kept of the schools on disk: a folder for each, with its store and two marks.
//!
//! | file | meaning |
//! |---|---|
//! | `box.redb` | the store, as a box has it |
//! | `blobs/` | files of messages: on their way to the core, and copies |
//! | `whole` | index at which the store held all that the core had: if it still does, it may be served when the core cannot be asked |
//! | `unfinished` | the store was opened and not yet closed with everything handed over: operations may wait in it |
//! | `box.redb.damaged` | a store that could not be read, kept for whoever wants to look |
//!
//! Everything here is a copy, except for operations that wait: a folder marked `unfinished` is never removed.

use schulhof_wire::{LogIndex, SchoolId};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

const STORE: &str = "box.redb";
const BLOBS: &str = "blobs";
const DAMAGED: &str = "box.redb.damaged";
const WHOLE: &str = "whole";
const UNFINISHED: &str = "unfinished";

/// The folder of all schools' folders.
#[derive(Debug)]
pub struct Folder(PathBuf);

/// What a school takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub school: SchoolId,
    pub bytes: u64,
    /// Last change.
    pub used: SystemTime,
    pub unfinished: bool,
}

impl Folder {
    /// Makes it if it is missing.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn of(&self, school: &SchoolId, file: &str) -> PathBuf {
        self.0.join(school.as_str()).join(file)
    }

    pub fn store(&self, school: &SchoolId) -> PathBuf {
        self.of(school, STORE)
    }

    pub fn blobs(&self, school: &SchoolId) -> PathBuf {
        self.of(school, BLOBS)
    }

    /// Before the store is opened. The mark is durable when this returns.
    pub fn begin(&self, school: &SchoolId) -> io::Result<()> {
        fs::create_dir_all(self.0.join(school.as_str()))?;
        File::create(self.of(school, UNFINISHED))?;
        File::open(self.0.join(school.as_str()))?.sync_all()?;
        File::open(&self.0)?.sync_all()
    }

    /// After the store was closed with nothing left in its outbox.
    pub fn finish(&self, school: &SchoolId) -> io::Result<()> {
        match fs::remove_file(self.of(school, UNFINISHED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// From which index on the store is a whole copy.
    pub fn whole(&self, school: &SchoolId) -> Option<LogIndex> {
        fs::read_to_string(self.of(school, WHOLE)).ok()?.trim().parse().ok().map(LogIndex)
    }

    /// The store held all that the core had, which was up to `head`. That need not be durable yet: what a crash takes is seen
    /// by the index.
    pub fn set_whole(&self, school: &SchoolId, head: LogIndex) -> io::Result<()> {
        let path = self.of(school, WHOLE);
        let beside = path.with_extension("new");
        fs::write(&beside, head.0.to_string())?;
        fs::rename(beside, path)
    }

    /// Puts a store aside that cannot be read, in place of an earlier one.
    pub fn put_aside(&self, school: &SchoolId) -> io::Result<()> {
        let whole = fs::remove_file(self.of(school, WHOLE));
        if let Err(error) = whole
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        fs::rename(self.store(school), self.of(school, DAMAGED))
    }

    /// All schools that have a folder. What cannot be read is left out.
    pub fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let Ok(entry) = entry else { continue };
            let Some(school) = entry.file_name().to_str().and_then(|name| SchoolId::new(name).ok()) else { continue };
            let Ok(files) = fs::read_dir(entry.path()) else { continue };
            let files: Vec<_> =
                files.flatten().filter_map(|file| Some((file.file_name(), file.metadata().ok()?))).collect();
            let blobs = len_below(&entry.path().join(BLOBS));
            let bytes = files.iter().map(|(_, metadata)| metadata.len()).sum::<u64>() + blobs;
            let used = files.iter().filter_map(|(_, metadata)| metadata.modified().ok()).max();
            let unfinished = files.iter().any(|(name, _)| name == UNFINISHED);
            all.push(Kept { school, bytes, used: used.unwrap_or(SystemTime::UNIX_EPOCH), unfinished });
        }
        Ok(all)
    }

    /// Which schools' folders go so that all take at most `bytes_max`: those unused for longest, and none that is unfinished.
    pub fn too_many(kept: Vec<Kept>, bytes_max: u64) -> Vec<SchoolId> {
        let mut excess = kept.iter().map(|kept| kept.bytes).sum::<u64>().saturating_sub(bytes_max);
        let mut closed: Vec<Kept> = kept.into_iter().filter(|kept| !kept.unfinished && kept.bytes > 0).collect();
        closed.sort_by(|a, b| (a.used, &a.school).cmp(&(b.used, &b.school)));
        let mut gone = Vec::new();
        for kept in closed {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(kept.bytes);
            gone.push(kept.school);
        }
        gone
    }

    /// Removes a school's folder, unless it is unfinished. The caller sees to it that nobody opens it meanwhile.
    pub fn remove(&self, school: &SchoolId) -> io::Result<()> {
        if self.of(school, UNFINISHED).exists() {
            return Ok(());
        }
        // In this order: a store that is only half there must not be taken for a whole one.
        match fs::remove_file(self.of(school, WHOLE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::remove_dir_all(self.0.join(school.as_str()))
    }
}

/// Bytes of all files below a folder; none for what cannot be read.
fn len_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => len_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn school(name: &str) -> SchoolId {
        SchoolId::new(name).unwrap()
    }

    fn kept(name: &str, bytes: u64, used_s: u64, unfinished: bool) -> Kept {
        Kept { school: school(name), bytes, used: SystemTime::UNIX_EPOCH + Duration::from_secs(used_s), unfinished }
    }

    #[test]
    fn the_longest_unused_go_first_and_never_one_with_something_to_hand_over() {
        let all =
            || vec![kept("a", 10, 3, false), kept("b", 10, 1, true), kept("c", 10, 2, false), kept("d", 10, 4, false)];
        assert_eq!(Folder::too_many(all(), 40), []);
        assert_eq!(Folder::too_many(all(), 39), [school("c")]);
        assert_eq!(Folder::too_many(all(), 15), [school("c"), school("a"), school("d")]);
        assert_eq!(Folder::too_many(all(), 0), [school("c"), school("a"), school("d")]);
    }

    #[test]
    fn an_unfinished_folder_cannot_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("tenants")).unwrap();
        let nord = school("nord");
        folder.begin(&nord).unwrap();
        folder.set_whole(&nord, LogIndex(7)).unwrap();
        fs::write(folder.store(&nord), b"12345").unwrap();
        folder.remove(&nord).unwrap();
        let found = folder.kept().unwrap();
        assert_eq!((found.len(), found[0].bytes, found[0].unfinished), (1, 6, true), "the store and the mark");
        folder.finish(&nord).unwrap();
        assert_eq!(folder.whole(&nord), Some(LogIndex(7)));
        folder.remove(&nord).unwrap();
        assert_eq!(folder.kept().unwrap(), []);
        assert_eq!(folder.whole(&nord), None);
    }

    #[test]
    fn a_damaged_store_is_kept_beside_and_no_longer_counts_as_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        let nord = school("nord");
        folder.begin(&nord).unwrap();
        folder.set_whole(&nord, LogIndex(7)).unwrap();
        fs::write(folder.store(&nord), b"garbage").unwrap();
        folder.put_aside(&nord).unwrap();
        assert!(folder.whole(&nord).is_none() && !folder.store(&nord).exists());
        assert_eq!(fs::read(dir.path().join("nord").join(DAMAGED)).unwrap(), b"garbage");
    }
}
