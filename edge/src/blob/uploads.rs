//! Uploads that are not whole: a file each, written at its end only, so that its length says how far it has come.
//!
//! Durable piece by piece: a browser that was told `have` goes on there after a cut line, a reload or a killed box. What is
//! not continued for a day goes.

use super::hash;
use parking_lot::Mutex;
use schulhof_wire::{
    AccountId, BlobHash,
    blob::{BLOB_LEN_MAX, PART_LEN},
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Unfinished uploads of one person: a message's attachments.
pub const PER_ACCOUNT_MAX: usize = 10;
/// Bytes that all unfinished uploads of a school may come to.
pub const TOTAL_LEN_MAX: u64 = 20 * BLOB_LEN_MAX;
/// An upload that nobody went on with for this long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);
/// Bytes of the account's hash in a file's name.
const OWNER_LEN: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("a file has 1 byte to {} MiB, not {size} bytes", BLOB_LEN_MAX >> 20)]
    Size { size: u64 },
    #[error("too many uploads are unfinished")]
    TooMany,
    #[error("no such upload was begun")]
    NotBegun,
    #[error("the upload has {have} bytes, these would begin at {offset}")]
    Offset { have: u64, offset: u64 },
    #[error("these bytes go beyond the upload's end, or are more than {PART_LEN}")]
    TooLong,
    #[error("the bytes are not those of the hash: the upload begins anew")]
    WrongHash,
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// What a piece led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Partial {
        have: u64,
    },
    /// Whole and verified, in this file; it is to be moved on.
    Whole {
        path: PathBuf,
        size: u64,
    },
}

type Name = (String, BlobHash);
/// Announced size, and a lock: pieces of one upload come one after the other.
type Open = BTreeMap<Name, (u64, Arc<Mutex<()>>)>;

/// The unfinished uploads of a school.
pub struct Uploads {
    folder: PathBuf,
    open: Mutex<Open>,
}

impl Uploads {
    /// Takes up what a killed box has left.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("uploads");
        fs::create_dir_all(&folder)?;
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.file_name().and_then(|name| parse(name.to_str()?)) {
                Some((name, size)) => {
                    open.insert(name, (size, Arc::default()));
                }
                None => tracing::warn!(path = %path.display(), "not an upload; left alone"),
            }
        }
        Ok(Self { folder, open: Mutex::new(open) })
    }

    fn path(&self, (owner, blob): &Name, size: u64) -> PathBuf {
        self.folder.join(format!("{owner}-{blob}-{size}"))
    }

    /// Begins an upload, or finds how far it has come. Blocks.
    pub fn begin(&self, account: &AccountId, blob: BlobHash, size: u64) -> Result<u64, UploadError> {
        if size == 0 || size > BLOB_LEN_MAX {
            return Err(UploadError::Size { size });
        }
        let name = (owner(account), blob);
        let mut open = self.open.lock();
        if let Some((announced, _)) = open.get(&name) {
            if *announced == size {
                return Ok(len(&self.path(&name, size))?);
            }
            let announced = *announced;
            remove(&self.path(&name, announced))?;
            open.remove(&name);
        }
        self.give_up(&mut open, SystemTime::now())?;
        let own = open.keys().filter(|(owner, _)| *owner == name.0).count();
        let total: u64 = open.values().map(|(size, _)| size).sum();
        if own >= PER_ACCOUNT_MAX || total + size > TOTAL_LEN_MAX {
            return Err(UploadError::TooMany);
        }
        File::create(self.path(&name, size))?.sync_all()?;
        open.insert(name, (size, Arc::default()));
        Ok(0)
    }

    fn give_up(&self, open: &mut Open, now: SystemTime) -> io::Result<()> {
        let mut old = Vec::new();
        for (name, (size, _)) in open.iter() {
            let path = self.path(name, *size);
            let written = fs::metadata(&path).and_then(|meta| meta.modified());
            let idle = written.ok().and_then(|written| now.duration_since(written).ok());
            if written_is_old(idle) {
                old.push((name.clone(), path));
            }
        }
        for (name, path) in old {
            remove(&path)?;
            open.remove(&name);
        }
        Ok(())
    }

    /// Appends a piece; it is on the disk when this returns. Blocks.
    pub fn append(
        &self,
        account: &AccountId,
        blob: BlobHash,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Progress, UploadError> {
        let name = (owner(account), blob);
        let Some((size, turn)) = self.open.lock().get(&name).cloned() else { return Err(UploadError::NotBegun) };
        let _turn = turn.lock();
        let path = self.path(&name, size);
        let have = len(&path)?;
        if offset != have {
            return Err(UploadError::Offset { have, offset });
        }
        let end = have + bytes.len() as u64;
        if end > size || bytes.len() > PART_LEN {
            return Err(UploadError::TooLong);
        }
        let mut file = OpenOptions::new().append(true).open(&path)?;
        if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_data()) {
            // A piece is there whole or not at all.
            file.set_len(have)?;
            return Err(error.into());
        }
        if end < size {
            return Ok(Progress::Partial { have: end });
        }
        if hash_of(&path)? != blob {
            remove(&path)?;
            self.open.lock().remove(&name);
            return Err(UploadError::WrongHash);
        }
        Ok(Progress::Whole { path, size })
    }

    /// The whole file was moved on.
    pub fn done(&self, account: &AccountId, blob: BlobHash) {
        self.open.lock().remove(&(owner(account), blob));
    }
}

fn written_is_old(idle: Option<Duration>) -> bool {
    idle.is_some_and(|idle| idle > GIVEN_UP_AFTER)
}

fn owner(account: &AccountId) -> String {
    hash(account.as_str().as_bytes()).to_string()[..OWNER_LEN].to_owned()
}

fn parse(name: &str) -> Option<(Name, u64)> {
    let mut parts = name.split('-');
    let (owner, blob, size) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && owner.len() == OWNER_LEN;
    whole.then_some(((owner.to_owned(), blob.parse().ok()?), size.parse().ok()?))
}

fn len(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hash_of(path: &Path) -> io::Result<BlobHash> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, blake3::Hasher::new(), vec![0; PART_LEN]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(BlobHash(*hasher.finalize().as_bytes())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eva() -> AccountId {
        AccountId::new("eva").unwrap()
    }

    #[test]
    fn an_upload_goes_on_where_it_was_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..PART_LEN + 10).map(|n| n as u8).collect();
        let (blob, size) = (hash(&bytes), bytes.len() as u64);
        let uploads = Uploads::open(folder.path()).unwrap();
        assert_eq!(uploads.begin(&eva(), blob, size).unwrap(), 0);
        let first = uploads.append(&eva(), blob, 0, &bytes[..PART_LEN]).unwrap();
        assert_eq!(first, Progress::Partial { have: PART_LEN as u64 });
        drop(uploads);
        let uploads = Uploads::open(folder.path()).unwrap();
        assert_eq!(uploads.begin(&eva(), blob, size).unwrap(), PART_LEN as u64);
        // The answer to a piece was lost, and it comes again.
        let again = uploads.append(&eva(), blob, 0, &bytes[..PART_LEN]);
        assert!(matches!(again, Err(UploadError::Offset { have, .. }) if have == PART_LEN as u64));
        let last = uploads.append(&eva(), blob, PART_LEN as u64, &bytes[PART_LEN..]).unwrap();
        let Progress::Whole { path, .. } = last else { panic!("{last:?}") };
        assert_eq!(fs::read(path).unwrap(), bytes);
    }

    #[test]
    fn bytes_that_are_not_those_of_the_hash_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let blob = hash(b"good");
        uploads.begin(&eva(), blob, 4).unwrap();
        assert!(matches!(uploads.append(&eva(), blob, 0, b"evil"), Err(UploadError::WrongHash)));
        assert!(matches!(uploads.append(&eva(), blob, 0, b"good"), Err(UploadError::NotBegun)));
        assert_eq!(uploads.begin(&eva(), blob, 4).unwrap(), 0);
        assert!(matches!(uploads.append(&eva(), blob, 0, b"goods"), Err(UploadError::TooLong)));
        assert!(matches!(uploads.append(&eva(), blob, 0, b"good"), Ok(Progress::Whole { size: 4, .. })));
    }

    #[test]
    fn a_person_has_only_so_many_unfinished_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let blob = |n: usize| hash(&n.to_be_bytes());
        for n in 0..PER_ACCOUNT_MAX {
            uploads.begin(&eva(), blob(n), 10).unwrap();
        }
        assert!(matches!(uploads.begin(&eva(), blob(99), 10), Err(UploadError::TooMany)));
        uploads.begin(&AccountId::new("ali").unwrap(), blob(0), 10).unwrap();
        assert!(matches!(uploads.begin(&eva(), blob(99), 0), Err(UploadError::Size { size: 0 })));
        let old = uploads.path(&(owner(&eva()), blob(0)), 10);
        let yesterday = SystemTime::now() - Duration::from_hours(25);
        File::options().append(true).open(old).unwrap().set_modified(yesterday).unwrap();
        assert_eq!(uploads.begin(&eva(), blob(99), 10).unwrap(), 0);
    }
}
