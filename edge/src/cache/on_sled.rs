//! The page cache on sled.
//!
//! sled does not fsync on Linux, keeps the space of what it deletes, and may panic on damaged files. All three are fine
//! here: nothing depends on a page's survival, the whole folder is removed when it has taken its bytes or at any error,
//! and a panic counts as an error. Values carry a checksum of their own.

use super::{PAGE_BYTES_MAX, PageCache, PageKey};
use parking_lot::Mutex;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Bytes written until the folder is wiped: 2000 pages of 30 KB.
pub const BYTES_MAX: u64 = 64 << 20;
/// sled's own memory.
const MEMORY_BYTES: u64 = 4 << 20;
/// Wipes in a row without a page kept in between, after which the cache stays off until the next start.
const FAILURES_MAX: u32 = 3;
const SUM_LEN: usize = 8;

/// Pages in a sled tree.
pub struct SledCache {
    folder: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
}

struct State {
    db: Option<sled::Db>,
    written: u64,
    failures: u32,
}

impl SledCache {
    /// Opens the folder; whatever is wrong with it, it is wiped and begun anew.
    pub fn open(folder: impl Into<PathBuf>) -> Self {
        Self::with_bytes_max(folder, BYTES_MAX)
    }

    /// With another limit of bytes.
    pub fn with_bytes_max(folder: impl Into<PathBuf>, bytes_max: u64) -> Self {
        let folder = folder.into();
        let mut state = State { db: None, written: 0, failures: 0 };
        match open(&folder) {
            Some((db, size)) => (state.db, state.written) = (Some(db), size),
            None => state.restart(&folder, "cannot be opened"),
        }
        Self { folder, bytes_max, state: Mutex::new(state) }
    }
}

impl State {
    fn restart(&mut self, folder: &Path, why: &str) {
        self.failures += 1;
        tracing::warn!(folder = %folder.display(), why, "the page cache is wiped");
        self.wipe(folder);
    }

    fn wipe(&mut self, folder: &Path) {
        self.written = 0;
        // Dropping joins sled's threads, which may have panicked.
        let old = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(old)));
        if self.failures > FAILURES_MAX {
            tracing::warn!(folder = %folder.display(), "the page cache stays off until the next start");
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.display(), %error, "the page cache cannot be removed");
            return;
        }
        self.db = open(folder).map(|(db, _)| db);
    }
}

fn open(folder: &Path) -> Option<(sled::Db, u64)> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(MEMORY_BYTES)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(10_000));
    guarded(|| {
        let db = config.open()?;
        let size = db.size_on_disk()?;
        Ok((db, size))
    })
}

/// A panic is an error like any other.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, "page cache");
            None
        }
        Err(_) => None,
    }
}

fn sum(page: &[u8]) -> [u8; SUM_LEN] {
    let hash = blake3::hash(page);
    hash.as_bytes()[..SUM_LEN].try_into().expect("a hash is longer than its first bytes")
}

impl SledCache {
    /// What is under a key, if it is whole.
    pub fn get_bytes(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let db = state.db.clone()?;
        let Some(found) = guarded(|| db.get(key)) else {
            drop(db);
            state.restart(&self.folder, "reading failed");
            return None;
        };
        let found = found?;
        match found.split_first_chunk::<SUM_LEN>() {
            Some((expected, page)) if *expected == sum(page) => Some(page.to_vec()),
            _ => {
                drop((db, found));
                state.restart(&self.folder, "a page is damaged");
                None
            }
        }
    }

    /// Keeps up to [`PAGE_BYTES_MAX`] under a key.
    pub fn put_bytes(&self, key: &[u8], page: &[u8]) {
        if page.len() > PAGE_BYTES_MAX {
            return;
        }
        let mut state = self.state.lock();
        if state.written + page.len() as u64 > self.bytes_max {
            tracing::info!(folder = %self.folder.display(), "the page cache is full and begins anew");
            state.wipe(&self.folder);
        }
        let Some(db) = state.db.clone() else { return };
        let mut value = sum(page).to_vec();
        value.extend_from_slice(page);
        if guarded(|| db.insert(key, value)).is_some() {
            state.written += page.len() as u64;
            state.failures = 0;
        } else {
            drop(db);
            state.restart(&self.folder, "writing failed");
        }
    }
}

impl PageCache for SledCache {
    fn get(&self, key: &PageKey) -> Option<Vec<u8>> {
        self.get_bytes(&key.bytes())
    }

    fn put(&self, key: &PageKey, page: &[u8]) {
        self.put_bytes(&key.bytes(), page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::{LogIndex, RoomId};

    fn key(before: u64) -> PageKey {
        PageKey { room: RoomId::new("7a").unwrap(), before: LogIndex(before), limit: 50 }
    }

    #[test]
    fn pages_survive_a_proper_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let cache = SledCache::open(&path);
        cache.put(&key(50), b"[1,2]");
        drop(cache);
        let cache = SledCache::open(&path);
        assert_eq!(cache.get(&key(50)).as_deref(), Some(&b"[1,2]"[..]));
        assert_eq!(cache.get(&key(51)), None);
    }

    #[test]
    fn a_damaged_folder_is_wiped_and_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        drop(SledCache::open(&path));
        for file in std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()) {
            if file.is_file() {
                std::fs::write(&file, b"this is no database of any kind".repeat(100)).unwrap();
            }
        }
        let cache = SledCache::open(&path);
        assert_eq!(cache.get(&key(1)), None);
        cache.put(&key(1), b"page");
        assert_eq!(cache.get(&key(1)).as_deref(), Some(&b"page"[..]));
    }

    #[test]
    fn a_page_that_does_not_fit_its_sum_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SledCache::open(folder.path().join("pages"));
        cache.put(&key(1), b"page");
        let db = cache.state.lock().db.clone().unwrap();
        db.insert(key(1).bytes(), b"12345678other").unwrap();
        drop(db);
        assert_eq!(cache.get(&key(1)), None);
        cache.put(&key(2), b"next");
        assert_eq!(cache.get(&key(2)).as_deref(), Some(&b"next"[..]));
    }

    #[test]
    fn the_cache_stays_within_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = SledCache::with_bytes_max(folder.path().join("pages"), 10_000_000);
        let page = vec![7; 100_000];
        for n in 0..250 {
            cache.put(&key(n), &page);
            assert!(cache.state.lock().written <= 10_000_000);
        }
        assert!(cache.get(&key(249)).is_some());
        assert!(cache.get(&key(0)).is_none(), "the first ones went when it began anew");
    }

    #[test]
    fn a_folder_that_cannot_be_used_costs_only_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"not a folder").unwrap();
        let cache = SledCache::open(path.join("pages"));
        cache.put(&key(1), b"page");
        assert_eq!(cache.get(&key(1)), None);
    }
}
