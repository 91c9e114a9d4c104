//! Whole blobs on the box.
//!
//! `waiting/HASH` is here and not in the core yet: never removed, the only copy. Everything else is a copy of what the core
//! has, within a number of bytes: small ones in sled, larger ones as `kept/HASH`, the longest unused go first. Beside each
//! file stands `HASH.parts`, the names of its parts: what is read is compared with them part by part, and a copy that is
//! damaged is thrown away and fetched again. A waiting one that is damaged is refused, and said.

use super::{hash, is_part};
use crate::cache::SledCache;
use bytes::Bytes;
use parking_lot::Mutex;
use schulhof_wire::{
    BlobHash,
    blob::{PART_LEN, Recipe},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Up to here a copy is kept in sled: thumbnails and small documents, of which there are many.
pub const SMALL_LEN_MAX: u64 = 64 << 10;
/// Of the copies' bytes, what sled may take.
const SMALL_SHARE: u64 = 4;

/// A blob's bytes on this box.
#[derive(Debug, Clone)]
pub enum Source {
    Small(Bytes),
    File(Arc<Parts>),
}

/// A file that is read part by part. Open: it may be removed meanwhile.
#[derive(Debug)]
pub struct Parts {
    path: PathBuf,
    file: File,
    pub recipe: Recipe,
}

impl Source {
    pub fn len(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::File(parts) => parts.recipe.size,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        match self {
            Self::Small(_) => 1,
            Self::File(parts) => parts.recipe.parts.len(),
        }
    }

    /// One part, compared with its name. Blocks.
    pub fn read(&self, n: usize) -> io::Result<Bytes> {
        match self {
            Self::Small(bytes) => Ok(bytes.clone()),
            Self::File(parts) => parts.read(n),
        }
    }
}

impl Parts {
    fn read(&self, n: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.recipe.part_len(n)];
        let read = self.file.read_exact_at(&mut bytes, (n * PART_LEN) as u64);
        let bytes = Bytes::from(bytes);
        if read.is_ok() && is_part(&self.recipe.parts[n], &bytes) {
            return Ok(bytes);
        }
        metrics::counter!("schulhof_edge_blobs_damaged_total").increment(1);
        let detail = format!("{}: part {n} is damaged", self.path.display());
        tracing::error!("{detail}");
        if self.path.parent().is_some_and(|folder| folder.ends_with(KEPT)) {
            // The next who asks has it fetched anew.
            let _ = fs::remove_file(&self.path);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, detail))
    }
}

const WAITING: &str = "waiting";
const KEPT: &str = "kept";

struct Kept {
    /// Size and when it was last used, by a counter.
    files: BTreeMap<BlobHash, (u64, u64)>,
    len: u64,
    clock: u64,
}

pub struct Shelf {
    waiting: PathBuf,
    kept: PathBuf,
    small: Arc<SledCache>,
    files_len_max: u64,
    state: Mutex<Kept>,
}

impl Shelf {
    /// Opens the folders; half-written copies go.
    pub fn open(folder: &Path, cache_len_max: u64) -> io::Result<Self> {
        let (waiting, kept) = (folder.join(WAITING), folder.join(KEPT));
        fs::create_dir_all(&waiting)?;
        fs::create_dir_all(&kept)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&kept)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            match entry.file_name().to_str().map(str::parse::<BlobHash>) {
                Some(Ok(blob)) => found.push((meta.modified()?, blob, meta.len())),
                // Names of parts go with their file; unfinished copies of an earlier run go now.
                _ if entry.file_name().to_string_lossy().ends_with(".parts") => {}
                _ => fs::remove_file(entry.path())?,
            }
        }
        found.sort();
        let mut state = Kept { files: BTreeMap::new(), len: 0, clock: 0 };
        for (_, blob, len) in found {
            state.clock += 1;
            state.len += len;
            state.files.insert(blob, (len, state.clock));
        }
        let small = Arc::new(SledCache::with_bytes_max(folder.join("small"), cache_len_max / SMALL_SHARE));
        let files_len_max = cache_len_max - cache_len_max / SMALL_SHARE;
        let shelf = Self { waiting, kept, small, files_len_max, state: Mutex::new(state) };
        shelf.make_room();
        Ok(shelf)
    }

    /// What the core does not have yet.
    pub fn waiting(&self) -> Vec<BlobHash> {
        let Ok(entries) = fs::read_dir(&self.waiting) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    pub fn is_waiting(&self, blob: &BlobHash) -> bool {
        self.waiting.join(blob.to_string()).exists()
    }

    pub fn has(&self, blob: &BlobHash) -> bool {
        self.is_waiting(blob) || self.state.lock().files.contains_key(blob) || self.small.get_bytes(&blob.0).is_some()
    }

    /// Takes over an upload that is whole. Durable when this returns. Blocks.
    pub fn take(&self, upload: &Path, blob: BlobHash, size: u64) -> io::Result<()> {
        let recipe = recipe_of(upload, blob, size)?;
        let path = self.waiting.join(blob.to_string());
        write_synced(&parts_file(&path), &encode(&recipe))?;
        fs::rename(upload, &path)?;
        File::open(&self.waiting)?.sync_all()
    }

    /// A copy is to be brought to the core again; durable when this returns. False: there is no whole copy. Blocks.
    pub fn wait_again(&self, blob: &BlobHash) -> io::Result<bool> {
        let Some(source) = self.get(blob)? else { return Ok(false) };
        let beside = new_file(&self.kept.join(format!("{blob}-again")));
        let mut file = File::create(&beside)?;
        for n in 0..source.parts() {
            file.write_all(&source.read(n)?)?;
        }
        file.sync_all()?;
        self.take(&beside, *blob, source.len())?;
        Ok(true)
    }

    /// Recipe and bytes of a waiting one.
    pub fn waiting_source(&self, blob: &BlobHash) -> io::Result<Option<Arc<Parts>>> {
        source(&self.waiting.join(blob.to_string()), blob)
    }

    /// The core has it: from now on it is a copy.
    pub fn settle(&self, recipe: &Recipe) -> io::Result<()> {
        let name = recipe.blob.to_string();
        let (from, to) = (self.waiting.join(&name), self.kept.join(&name));
        fs::write(parts_file(&to), encode(recipe))?;
        fs::rename(&from, &to)?;
        let _ = fs::remove_file(parts_file(&from));
        self.kept(recipe.blob, recipe.size);
        Ok(())
    }

    /// Where it is, if it is here.
    pub fn get(&self, blob: &BlobHash) -> io::Result<Option<Source>> {
        if let Some(parts) = source(&self.waiting.join(blob.to_string()), blob)? {
            return Ok(Some(Source::File(parts)));
        }
        if let Some(bytes) = self.small.get_bytes(&blob.0)
            && hash(&bytes) == *blob
        {
            return Ok(Some(Source::Small(bytes.into())));
        }
        let mut state = self.state.lock();
        if !state.files.contains_key(blob) {
            return Ok(None);
        }
        state.clock += 1;
        let clock = state.clock;
        match source(&self.kept.join(blob.to_string()), blob)? {
            Some(parts) => {
                state.files.entry(*blob).and_modify(|(_, used)| *used = clock);
                Ok(Some(Source::File(parts)))
            }
            None => {
                // Damaged and thrown away.
                let (len, _) = state.files.remove(blob).unwrap_or_default();
                state.len -= len;
                Ok(None)
            }
        }
    }

    /// A copy from the core begins.
    pub fn begin(&self, recipe: &Recipe) -> io::Result<NewCopy> {
        if recipe.size <= SMALL_LEN_MAX {
            return Ok(NewCopy::Small { bytes: Vec::with_capacity(recipe.size as usize), cache: self.small.clone() });
        }
        let path = self.kept.join(recipe.blob.to_string());
        Ok(NewCopy::File { file: File::create(new_file(&path))?, path })
    }

    /// A copy is there.
    pub fn kept(&self, blob: BlobHash, size: u64) {
        if size > SMALL_LEN_MAX || self.kept.join(blob.to_string()).exists() {
            let mut state = self.state.lock();
            state.clock += 1;
            let used = state.clock;
            if state.files.insert(blob, (size, used)).is_none() {
                state.len += size;
            }
        }
        self.make_room();
    }

    fn make_room(&self) {
        let mut state = self.state.lock();
        while state.len > self.files_len_max {
            let Some((&blob, _)) = state.files.iter().min_by_key(|(_, (_, used))| *used) else { return };
            let (len, _) = state.files.remove(&blob).unwrap_or_default();
            state.len -= len;
            let path = self.kept.join(blob.to_string());
            // Whoever reads it has it open.
            for path in [parts_file(&path), path] {
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "a copy cannot be removed");
                }
            }
        }
    }
}

/// A copy that is being fetched. Dropped before its end it leaves a file that the next start or fetch replaces.
pub enum NewCopy {
    Small { bytes: Vec<u8>, cache: Arc<SledCache> },
    File { file: File, path: PathBuf },
}

impl NewCopy {
    /// The next part. Blocks.
    pub fn write(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Small { bytes, .. } => {
                bytes.extend_from_slice(part);
                Ok(())
            }
            Self::File { file, .. } => file.write_all(part),
        }
    }

    /// All parts are there. Blocks. Not synced: a copy that a power cut damages is found and fetched again.
    pub fn finish(self, recipe: &Recipe) -> io::Result<()> {
        match self {
            Self::Small { bytes, cache } => {
                cache.put_bytes(&recipe.blob.0, &bytes);
                Ok(())
            }
            Self::File { path, .. } => {
                fs::write(parts_file(&path), encode(recipe))?;
                fs::rename(new_file(&path), path)
            }
        }
    }
}

fn parts_file(path: &Path) -> PathBuf {
    path.with_extension("parts")
}

fn new_file(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// The recipe and its hash.
fn encode(recipe: &Recipe) -> Vec<u8> {
    let mut bytes = postcard::to_stdvec(recipe).expect("a recipe is plain data");
    let sum = hash(&bytes);
    bytes.extend_from_slice(&sum.0);
    bytes
}

fn decode(bytes: &[u8], blob: &BlobHash) -> Option<Recipe> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    let recipe: Recipe = (hash(body).0 == *sum).then(|| postcard::from_bytes(body).ok())??;
    (recipe.blob == *blob && recipe.is_sound()).then_some(recipe)
}

/// A file with its recipe; `None` if it is not there, or a copy of which the recipe is gone.
fn source(path: &Path, blob: &BlobHash) -> io::Result<Option<Arc<Parts>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let recipe = match fs::read(parts_file(path)) {
        Ok(bytes) => decode(&bytes, blob),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // The names of the parts can be made again from the bytes, if these are what the blob's name says.
    let recipe = match recipe {
        Some(recipe) => recipe,
        None => match recipe_of(path, *blob, file.metadata()?.len()) {
            Ok(recipe) => recipe,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!("{error}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        },
    };
    Ok(Some(Arc::new(Parts { path: path.to_owned(), file, recipe })))
}

/// Reads a file through: the names of its parts, if it is what its name says.
fn recipe_of(path: &Path, blob: BlobHash, size: u64) -> io::Result<Recipe> {
    let (mut file, mut hasher) = (File::open(path)?, blake3::Hasher::new());
    let mut recipe = Recipe { blob, size, parts: Vec::new() };
    while recipe.parts.len() as u64 != size.div_ceil(PART_LEN as u64) {
        let mut bytes = vec![0; recipe.part_len(recipe.parts.len())];
        file.read_exact(&mut bytes)?;
        hasher.update(&bytes);
        recipe.parts.push(hash(&bytes));
    }
    if hasher.finalize().as_bytes() == &blob.0 && recipe.is_sound() {
        Ok(recipe)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not what its name says", path.display())))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
