//! A node's data folder: which program and which version wrote it, and that only one process uses it.
//!
//! The file `VERSION` holds `KIND N`, such as `core 1`; the file `LOCK` is locked (flock) for as long as [`DataDir`] lives and
//! is free again when the process dies, however it dies. A folder of another kind or of a newer version is refused
//! before anything in it is touched.
//!
//! Must not: look into what the stores put there, or mend anything.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const VERSION_FILE: &str = "VERSION";
const VERSION_NEW_FILE: &str = "VERSION.new";
const LOCK_FILE: &str = "LOCK";
/// Longest VERSION file that is read, in bytes.
const VERSION_LEN_MAX: u64 = 256;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("data folder {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("data folder {}: in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("data folder {}: written by a newer program ({kind} version {found}, this program reads up to {known}); left untouched", path.display())]
    Newer { path: PathBuf, kind: String, found: u32, known: u32 },
    #[error("data folder {}: version {found} of {kind} is too old for this program (reads {known}); left untouched", path.display())]
    Older { path: PathBuf, kind: String, found: u32, known: u32 },
    #[error("data folder {}: belongs to `{found}`, not to `{kind}`; left untouched", path.display())]
    OtherKind { path: PathBuf, kind: String, found: String },
    #[error("data folder {}: not empty, but has no file VERSION; left untouched", path.display())]
    Foreign { path: PathBuf },
    #[error("data folder {}: its file VERSION is damaged; left untouched", path.display())]
    Damaged { path: PathBuf },
}

/// An open data folder; dropping it gives up the lock.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

/// Opens the folder of a `kind` (one word) at `version`, creating it if it is missing or empty.
pub fn open(path: impl AsRef<Path>, kind: &str, version: u32) -> Result<DataDir, DataDirError> {
    let path = path.as_ref();
    let failed = |error| DataDirError::Io { path: path.to_owned(), error };

    fs::create_dir_all(path).map_err(failed)?;
    // The version is looked at before the lock file is made: a folder that is not ours stays as it is.
    let found = read_version(path)?;
    match &found {
        Some(found) => check(path, kind, version, found)?,
        None if is_fresh(path).map_err(failed)? => {}
        None => return Err(DataDirError::Foreign { path: path.to_owned() }),
    }

    let lock = File::options().create(true).write(true).truncate(false).open(path.join(LOCK_FILE)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DataDirError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }

    // Read again under the lock: another process may have created the folder in between.
    match read_version(path)? {
        Some(found) => check(path, kind, version, &found)?,
        None => write_version(path, kind, version).map_err(failed)?,
    }
    Ok(DataDir { path: path.to_owned(), _lock: lock })
}

struct Version {
    kind: String,
    number: u32,
}

fn read_version(path: &Path) -> Result<Option<Version>, DataDirError> {
    let file = path.join(VERSION_FILE);
    let damaged = || DataDirError::Damaged { path: path.to_owned() };
    match fs::metadata(&file) {
        Ok(meta) if meta.len() > VERSION_LEN_MAX => return Err(damaged()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataDirError::Io { path: path.to_owned(), error }),
    }
    let bytes = fs::read(&file).map_err(|error| DataDirError::Io { path: path.to_owned(), error })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let (kind, number) = text.trim_end().split_once(' ').ok_or_else(damaged)?;
    let number = number.parse().map_err(|_| damaged())?;
    Ok(Some(Version { kind: kind.to_owned(), number }))
}

fn check(path: &Path, kind: &str, version: u32, found: &Version) -> Result<(), DataDirError> {
    let path = path.to_owned();
    if found.kind != kind {
        return Err(DataDirError::OtherKind { path, kind: kind.to_owned(), found: found.kind.clone() });
    }
    match found.number.cmp(&version) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            Err(DataDirError::Newer { path, kind: kind.to_owned(), found: found.number, known: version })
        }
        std::cmp::Ordering::Less => {
            Err(DataDirError::Older { path, kind: kind.to_owned(), found: found.number, known: version })
        }
    }
}

/// Whether nothing is in the folder but what an interrupted first start leaves.
fn is_fresh(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != LOCK_FILE && name != VERSION_NEW_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Durable before anything else is put into the folder: written beside, synced, renamed, folder synced.
fn write_version(path: &Path, kind: &str, version: u32) -> io::Result<()> {
    let new = path.join(VERSION_NEW_FILE);
    let mut file = File::create(&new)?;
    file.write_all(format!("{kind} {version}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path.join(VERSION_FILE))?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(path: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name(), fs::read(e.path()).unwrap()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_new_folder_is_created_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        drop(open(&path, "core", 1).unwrap());
        assert_eq!(fs::read_to_string(path.join("VERSION")).unwrap(), "core 1\n");
        assert_eq!(open(&path, "core", 1).unwrap().path(), path);
    }

    #[test]
    fn a_newer_folder_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("VERSION"), "core 2\n").unwrap();
        fs::write(dir.path().join("state.redb"), "precious").unwrap();
        let before = snapshot(dir.path());
        let error = open(dir.path(), "core", 1).unwrap_err();
        assert!(matches!(error, DataDirError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("newer"), "{error}");
        assert_eq!(snapshot(dir.path()), before);
    }

    #[test]
    fn an_older_folder_and_one_of_another_kind_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "core", 1).unwrap());
        assert!(matches!(open(dir.path(), "core", 2), Err(DataDirError::Older { found: 1, .. })));
        assert!(matches!(open(dir.path(), "box", 1), Err(DataDirError::OtherKind { .. })));
    }

    #[test]
    fn a_folder_with_other_things_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.odt"), "precious").unwrap();
        let before = snapshot(dir.path());
        assert!(matches!(open(dir.path(), "core", 1), Err(DataDirError::Foreign { .. })));
        assert_eq!(snapshot(dir.path()), before);
    }

    #[test]
    fn a_damaged_version_is_refused() {
        for text in [&b"core"[..], b"core x\n", b"\xff\xfe 1", &[b'x'; 300]] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("VERSION"), text).unwrap();
            assert!(matches!(open(dir.path(), "core", 1), Err(DataDirError::Damaged { .. })));
        }
    }

    #[test]
    fn a_second_process_is_kept_out_until_the_first_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "core", 1).unwrap();
        // A second open file description conflicts with the first, in the same process too (flock).
        assert!(matches!(open(dir.path(), "core", 1), Err(DataDirError::Locked { .. })));
        drop(first);
        open(dir.path(), "core", 1).unwrap();
    }

    #[test]
    fn an_interrupted_first_start_does_not_block_the_next() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("LOCK"), "").unwrap();
        fs::write(dir.path().join("VERSION.new"), "co").unwrap();
        open(dir.path(), "core", 1).unwrap();
    }
}
