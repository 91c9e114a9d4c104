//! Files of messages (blobs), out of the core and back into it, part by part: none is ever whole in memory.
//!
//! A blob has one object in the backup, whose name is made of the blob's hash: what is there already is not read again, whichever
//! school names it. Which blobs a school needs stands in its state, so nothing is written down about them.

use super::{
    manifest::Name,
    read::{Damage, OpenRun},
    repository::Repository,
    seal::Sealer,
};
use crate::{
    age::{self, PIECE_LEN, Pieces},
    operate::Core,
};
use anyhow::Context as _;
use schulhof_core::state::school::SchoolChunk;
use schulhof_edge::{
    blob::{CoreDepot, Depot, DepotError, hash},
    config,
};
use schulhof_net::quic::Endpoint;
use schulhof_school::export::{Exported, export};
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{PART_LEN, Recipe},
};
use serde::Serialize;
use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};
use tokio::{task::block_in_place, time::Instant};

/// A core that gives and takes nothing for so long has no majority.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// Pieces of an object that make a part of a blob.
const PIECES_PER_PART: usize = PART_LEN / PIECE_LEN;

/// Blobs that messages name, with their sizes as the messages say them.
pub type Named = BTreeMap<BlobHash, u64>;

/// Adds what the records of a chunk name.
pub fn collect(chunk: &SchoolChunk, named: &mut Named) {
    let SchoolChunk::State(records) = chunk else { return };
    for (key, value) in records {
        if let Some(Exported::Attachments { attachments, .. }) = export(key, value) {
            named.extend(attachments.into_iter().map(|attachment| (attachment.hash, attachment.size)));
        }
    }
}

/// A blob that the core cannot give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    pub blob: BlobHash,
    pub why: String,
}

/// What became of a school's blobs.
#[derive(Debug, Default)]
pub struct Taken {
    pub fetched: usize,
    /// Bytes written.
    pub bytes: u64,
    pub lost: Vec<Lost>,
}

/// The core's blob door, as an operator reaches it.
pub struct CoreBlobs(CoreDepot);

impl CoreBlobs {
    pub fn new(endpoint: Endpoint, cores: &[Core]) -> anyhow::Result<Self> {
        let core = |core: &Core| config::Core { name: core.name.clone(), addr: core.addr };
        let cores: Vec<_> = cores.iter().map(core).collect();
        Ok(Self(CoreDepot::new(endpoint, &cores)?))
    }

    /// Asks until somebody answers, or nobody did for too long.
    async fn patiently<T>(&self, ask: impl AsyncFn(&CoreDepot) -> Result<T, DepotError>) -> Result<T, DepotError> {
        let until = Instant::now() + SILENCE_MAX;
        loop {
            let pause = match ask(&self.0).await {
                Err(DepotError::Busy { retry_after_ms }) => Duration::from_millis(retry_after_ms.into()),
                Err(DepotError::Unreachable(_)) => RETRY_EVERY,
                // A node that has not heard yet that the school has a place.
                Err(DepotError::Refused(why)) if why.starts_with("unknown-school") => RETRY_EVERY,
                other => return other,
            };
            if Instant::now() + pause > until {
                return ask(&self.0).await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Gives a blob part by part to `take`; `Err` in `Ok`: the core does not have it whole.
    pub async fn fetch(
        &self,
        school: &SchoolId,
        recipe: &Recipe,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> anyhow::Result<Result<(), Lost>> {
        let lost = |why: String| Ok(Err(Lost { blob: recipe.blob, why }));
        let mut hasher = blake3::Hasher::new();
        for part in &recipe.parts {
            let bytes = match self.patiently(async |depot| depot.get(school, *part).await).await {
                Ok(bytes) => bytes,
                Err(DepotError::Refused(why)) => return lost(why),
                Err(error) => return Err(error.into()),
            };
            hasher.update(&bytes);
            block_in_place(|| take(&bytes))?;
        }
        if hasher.finalize().as_bytes() == &recipe.blob.0 { Ok(Ok(())) } else { lost("its parts make another".into()) }
    }

    pub async fn recipe(&self, school: &SchoolId, blob: BlobHash) -> anyhow::Result<Result<Recipe, Lost>> {
        let lost = |why: String| Ok(Err(Lost { blob, why }));
        match self.patiently(async |depot| depot.stat(school, blob).await).await {
            Ok(Some(recipe)) => Ok(Ok(recipe)),
            Ok(None) => lost("the core does not have it".into()),
            Err(DepotError::Refused(why)) => lost(why),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings what the backup's folder does not hold yet.
    pub async fn take(
        &self,
        repository: &Repository,
        sealer: &Sealer,
        school: &SchoolId,
        named: &Named,
    ) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        let has = |blob, size| block_in_place(|| sealer.has_blob(repository, blob, size));
        for (blob, size) in named {
            if has(blob, *size)? {
                continue;
            }
            let recipe = match self.recipe(school, *blob).await? {
                Ok(recipe) => recipe,
                Err(lost) => {
                    taken.lost.push(lost);
                    continue;
                }
            };
            // What a message says of its size may be wrong.
            if recipe.size != *size && has(blob, recipe.size)? {
                continue;
            }
            let mut sealing = sealer.begin_blob(repository, blob).context("the backup cannot be written")?;
            match self.fetch(school, &recipe, |bytes| sealing.write(bytes)).await? {
                Ok(()) => {
                    block_in_place(|| repository.finish(sealing.finish()?)).context("the backup cannot be written")?;
                    taken.fetched += 1;
                    taken.bytes += recipe.size;
                }
                Err(lost) => taken.lost.push(lost),
            }
        }
        Ok(taken)
    }

    /// Brings a blob of a backup into the core, of which the core asks for what it lacks.
    pub async fn put_back(&self, school: &SchoolId, stored: StoredBlob) -> anyhow::Result<()> {
        let StoredBlob { recipe, pieces } = stored;
        let pieces = Arc::new(pieces);
        let read = Arc::new(move |n| part(&pieces, n).map(Into::into));
        let put = self.patiently(async |depot| depot.put(school, recipe.clone(), read.clone()).await).await;
        put.with_context(|| format!("file {}", recipe.blob))
    }
}

/// A blob in a backup that was read to its end.
pub struct StoredBlob {
    recipe: Recipe,
    pieces: Pieces,
}

/// Bytes of a part.
fn part(pieces: &Pieces, n: usize) -> io::Result<Vec<u8>> {
    let first = n * PIECES_PER_PART;
    let mut bytes = Vec::with_capacity(PART_LEN);
    for piece in first..pieces.count().min(first + PIECES_PER_PART) {
        bytes.extend(pieces.piece(piece)?);
    }
    Ok(bytes)
}

impl OpenRun<'_> {
    /// Reads a blob through. Blocks.
    pub fn blob(&self, school: &SchoolId, blob: BlobHash) -> Result<StoredBlob, Damage> {
        let name: Name = super::seal::blob_name(&self.run.name_key.0, &blob);
        let file = super::repository::Reader::object(&name);
        self.read_blob(&file, blob).map_err(|problem| Damage {
            file: Some(file),
            school: Some(school.clone()),
            part: format!("attached file {blob}"),
            problem,
        })
    }

    fn read_blob(&self, file: &Path, blob: BlobHash) -> Result<StoredBlob, String> {
        let unreadable = |e: io::Error| super::read::io_problem(&e);
        let pieces = age::open_file(self.identities, &self.reader.path(file)).map_err(unreadable)?;
        let mut recipe = Recipe { blob, size: 0, parts: Vec::new() };
        let mut hasher = blake3::Hasher::new();
        for n in 0..pieces.count().div_ceil(PIECES_PER_PART) {
            let bytes = part(&pieces, n).map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            hasher.update(&bytes);
            recipe.size += bytes.len() as u64;
            recipe.parts.push(hash(&bytes));
        }
        if hasher.finalize().as_bytes() != &blob.0 {
            return Err("it holds something else than its name says".into());
        }
        Ok(StoredBlob { recipe, pieces })
    }

    /// Reads all of a school's blobs; what is wrong with them. Blocks.
    pub fn check_blobs(&self, school: &SchoolId, named: &Named) -> Vec<Damage> {
        if !self.run.has_blobs() {
            return Vec::new();
        }
        named.keys().filter_map(|blob| self.blob(school, *blob).err()).collect()
    }
}
