//! Blobs on the box: what browsers upload, on its way to the core; and a bounded copy of what they look at.
//!
//! What this is: an upload is durable here before anybody may name it, is sent to the core in the background, and until it
//! has arrived the operations that name it wait (see `schulhof_sync`'s `held`). What it must not do: decide who may see a
//! blob (that is the rooms' matter, see `door`), serve bytes that are not what their name says, or delete what the core
//! does not have.
//!
//! ```text
//!  browser --PUT parts--> uploads --whole, verified--> waiting --courier--> core
//!  browser <--GET-------- shelf (small: sled, large: files) <--on demand----'
//! ```
//!
//! - [`uploads`]: files that are not whole yet
//! - [`shelf`]: whole ones: waiting for the core, or kept as long as there is room
//! - [`courier`]: brings waiting ones to the core
//! - [`prefetch`]: fetches what people will look at next
//! - [`depot`]: the core's blob door as the box sees it

pub mod courier;
pub mod depot;
pub mod prefetch;
pub mod shelf;
pub mod uploads;

pub use depot::{CoreDepot, Depot, DepotError};
pub use shelf::{Shelf, Source};
pub use uploads::{UploadError, Uploads};

use crate::store::Store;
use bytes::Bytes;
use parking_lot::Mutex;
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{PART_LEN, Recipe},
};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Hashes of which is remembered that the core has them: a day's attachments of a large school.
const KNOWN_MAX: usize = 20_000;
/// How long the core is believed that it has a blob. It promises a day.
const BELIEVED: Duration = Duration::from_hours(12);
/// Fetches from the core that run at once; each holds a part in memory. Others wait their turn.
const FETCHES_MAX: usize = 8;

/// What a box needs for blobs of one school.
pub struct Parts<'a> {
    pub school: SchoolId,
    /// Folder of uploads and copies.
    pub folder: &'a Path,
    /// Bytes of copies of what the core has.
    pub cache_len_max: u64,
    pub depot: Arc<dyn Depot>,
    pub store: Arc<Store>,
}

/// The blobs of one school on this node.
pub struct Blobs {
    school: SchoolId,
    uploads: Uploads,
    shelf: Arc<Shelf>,
    depot: Arc<dyn Depot>,
    store: Arc<Store>,
    /// In the core, and when it said so.
    known: Mutex<BTreeMap<BlobHash, Instant>>,
    /// One fetch for all who want the same.
    fetching: Mutex<BTreeMap<BlobHash, Weak<tokio::sync::Mutex<()>>>>,
    fetches: tokio::sync::Semaphore,
    /// Bytes that may be fetched before anybody asks: half of the copies' room.
    prefetch_len_max: u64,
    work: Notify,
}

/// Why a blob cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("nobody has it")]
    Unknown,
    #[error(transparent)]
    Depot(#[from] DepotError),
    #[error("the box's disk: {0}")]
    Disk(#[from] io::Error),
}

impl Blobs {
    /// Opens the folder. Operations that name what waits there are held from now on: before the link to the core runs.
    pub fn open(parts: Parts<'_>) -> io::Result<Arc<Self>> {
        let shelf = Shelf::open(parts.folder, parts.cache_len_max)?;
        for blob in shelf.waiting() {
            parts.store.wait_for_blob(blob);
        }
        Ok(Arc::new(Self {
            school: parts.school,
            uploads: Uploads::open(parts.folder)?,
            shelf: Arc::new(shelf),
            depot: parts.depot,
            store: parts.store,
            known: Mutex::default(),
            fetching: Mutex::default(),
            fetches: tokio::sync::Semaphore::new(FETCHES_MAX),
            prefetch_len_max: parts.cache_len_max / 2,
            work: Notify::new(),
        }))
    }

    pub fn school(&self) -> &SchoolId {
        &self.school
    }

    pub fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// An upload is whole and durable: from now on operations may name it, and wait for it.
    pub fn uploaded(&self, blob: BlobHash) {
        self.store.wait_for_blob(blob);
        self.work.notify_one();
    }

    /// The core has it, for good.
    fn arrived(&self, blob: BlobHash) {
        self.remember(blob);
        self.store.blob_arrived(&blob);
    }

    fn remember(&self, blob: BlobHash) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.pop_first();
        }
        known.insert(blob, Instant::now());
    }

    /// Whether an operation may name it: it is here and waits for the core, or the core says that it has it.
    pub async fn exists(&self, blob: BlobHash) -> Result<bool, DepotError> {
        let lately = |at: &Instant| at.elapsed() < BELIEVED;
        if self.shelf.is_waiting(&blob) || self.known.lock().get(&blob).is_some_and(lately) {
            return Ok(true);
        }
        let answer = self.depot.stat(&self.school, blob).await;
        if matches!(answer, Ok(Some(_))) {
            self.remember(blob);
            return Ok(true);
        }
        // A copy from which the core can have it again: it may have given it up since nobody named it.
        let shelf = self.shelf.clone();
        let again = tokio::task::spawn_blocking(move || shelf.wait_again(&blob)).await.map_err(io::Error::other)?;
        if again? {
            self.uploaded(blob);
            return Ok(true);
        }
        answer.map(|recipe| recipe.is_some())
    }

    /// Where its bytes are on this box; fetched from the core if they are not here.
    pub async fn source(&self, blob: BlobHash) -> Result<Source, BlobError> {
        if let Some(source) = self.shelf.get(&blob)? {
            return Ok(source);
        }
        let turn = {
            let mut fetching = self.fetching.lock();
            fetching.retain(|_, turn| turn.strong_count() > 0);
            let known = fetching.get(&blob).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(tokio::sync::Mutex::new(()));
                fetching.insert(blob, Arc::downgrade(&turn));
                turn
            })
        };
        let _turn = turn.lock().await;
        // Somebody may have fetched it meanwhile.
        if let Some(source) = self.shelf.get(&blob)? {
            return Ok(source);
        }
        let _permit = self.fetches.acquire().await.expect("never closed");
        let recipe = self.depot.stat(&self.school, blob).await?.ok_or(BlobError::Unknown)?;
        self.remember(blob);
        self.fetch(&recipe).await?;
        self.shelf.get(&blob)?.ok_or(BlobError::Unknown)
    }

    async fn fetch(&self, recipe: &Recipe) -> Result<(), BlobError> {
        let mut copy = self.shelf.begin(recipe)?;
        for (n, &part) in recipe.parts.iter().enumerate() {
            let bytes = self.depot.get(&self.school, part).await?;
            // Verified by the depot against the part's name; its place by the recipe.
            if bytes.len() != recipe.part_len(n) {
                return Err(DepotError::Refused("a part is shorter than its recipe says".into()).into());
            }
            copy = tokio::task::spawn_blocking(move || copy.write(&bytes).map(|()| copy))
                .await
                .map_err(io::Error::other)??;
        }
        let whole = recipe.clone();
        tokio::task::spawn_blocking(move || copy.finish(&whole)).await.map_err(io::Error::other)??;
        self.shelf.kept(recipe.blob, recipe.size);
        metrics::counter!("schulhof_edge_blobs_fetched_total").increment(1);
        Ok(())
    }
}

/// Hash of bytes.
pub fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash(*blake3::hash(bytes).as_bytes())
}

/// A part as it is read from a file and compared with its name.
pub(crate) fn is_part(part: &BlobHash, bytes: &Bytes) -> bool {
    bytes.len() <= PART_LEN && hash(bytes) == *part
}
