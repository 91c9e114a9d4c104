//! The folder of a backup. Each file appears whole or not at all: written beside, synced, renamed, and the folders are synced before
//! the run that names them.

use super::manifest::Name;
use schulhof_net::datadir::{self, DataDir};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

const KIND: &str = "backup";
const VERSION: u32 = 1;
const OBJECTS: &str = "objects";
const RUNS: &str = "runs";
const BESIDE: &str = "tmp";
const SUFFIX: &str = ".age";
/// Longest file that is read into memory: a list of the parts of the largest school is far below it.
const FILE_LEN_MAX: u64 = 256 << 20;

/// Where objects and runs are.
#[derive(Debug, Clone)]
pub struct Reader {
    dir: PathBuf,
}

/// The same, to write into. Only one process at a time.
pub struct Repository {
    reader: Reader,
    number: AtomicU64,
    /// Folders with new files.
    touched: Mutex<BTreeSet<PathBuf>>,
    _lock: DataDir,
}

/// A file that is being written. What is left of one that was given up goes when the folder is opened next.
pub struct NewObject {
    file: File,
    beside: PathBuf,
    path: PathBuf,
}

impl io::Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Reader {
    /// Takes no lock and writes nothing: the folder may be a read-only copy.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("VERSION");
        let text = fs::read_to_string(&path)
            .map_err(|e| anyhow::anyhow!("{}: {e}: is this the folder of a backup?", path.display()))?;
        let known = format!("{KIND} {VERSION}");
        anyhow::ensure!(text.trim() == known, "{}: `{}`, this program reads `{known}`", path.display(), text.trim());
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where an object is, from the folder on.
    pub fn object(name: &Name) -> PathBuf {
        let name = name.to_string();
        Path::new(OBJECTS).join(&name[..2]).join(format!("{name}{SUFFIX}"))
    }

    /// Where a run is, from the folder on.
    pub fn run(taken: &str) -> PathBuf {
        Path::new(RUNS).join(format!("{taken}{SUFFIX}"))
    }

    /// Names of all runs, oldest first.
    pub fn runs(&self) -> io::Result<Vec<String>> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(self.dir.join(RUNS))? {
            let name = entry?.file_name();
            runs.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// Where a file of the folder is.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// A file of the folder.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = self.dir.join(path);
        let len = fs::metadata(&path)?.len();
        if len > FILE_LEN_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes are too many")));
        }
        fs::read(path)
    }
}

impl Repository {
    /// Made if it is not there; refused if it is something else.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let lock = datadir::open(dir, KIND, VERSION)?;
        let beside = dir.join(BESIDE);
        // What a run left there that was killed.
        match fs::remove_dir_all(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        for folder in [&beside, &dir.join(OBJECTS), &dir.join(RUNS)] {
            fs::create_dir_all(folder)?;
        }
        let reader = Reader { dir: dir.to_owned() };
        Ok(Self { reader, number: AtomicU64::new(0), touched: Mutex::default(), _lock: lock })
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether an object is there with that length; whether it is whole shows when it is read.
    pub fn has(&self, name: &Name, len: u64) -> io::Result<bool> {
        match fs::metadata(self.reader.dir.join(Reader::object(name))) {
            Ok(found) => Ok(found.is_file() && found.len() == len),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub fn put(&self, name: &Name, bytes: &[u8]) -> io::Result<()> {
        self.write(&Reader::object(name), bytes)
    }

    /// A run, after everything that it names is on the disk.
    pub fn put_run(&self, taken: &str, bytes: &[u8]) -> io::Result<()> {
        self.sync_folders()?;
        self.write(&Reader::run(taken), bytes)?;
        self.sync_folders()
    }

    /// An object that comes piece by piece; there when [`Repository::finish`] has returned.
    pub fn begin(&self, name: &Name) -> io::Result<NewObject> {
        self.beside(&Reader::object(name))
    }

    /// Whole and on the disk.
    pub fn finish(&self, object: NewObject) -> io::Result<()> {
        let NewObject { file, beside, path } = object;
        file.sync_all()?;
        let folder = path.parent().expect("files lie in a folder");
        fs::create_dir_all(folder)?;
        fs::rename(&beside, &path)?;
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.contains(folder) {
            touched.insert(folder.to_owned());
        }
        Ok(())
    }

    fn beside(&self, path: &Path) -> io::Result<NewObject> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let beside = self.reader.dir.join(BESIDE).join(number.to_string());
        Ok(NewObject { file: File::create(&beside)?, beside, path: self.reader.dir.join(path) })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut object = self.beside(path)?;
        object.write_all(bytes)?;
        self.finish(object)
    }

    fn sync_folders(&self) -> io::Result<()> {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        let above = [self.reader.dir.join(OBJECTS), self.reader.dir.clone()];
        touched.iter().chain(&above).try_for_each(|folder| File::open(folder)?.sync_all())
    }
}
