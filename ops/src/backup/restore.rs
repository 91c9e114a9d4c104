//! A run's schools, back into a core that has none of their data.
//!
//! A school is read and checked to its end before the core is touched. Then its chunks go through the log of its group at the next
//! epoch, its blobs into the core's objects, and only when the core has found the same hashes does it serve the school again. Whatever dies on the way: the same
//! command again goes on.

use super::{
    blobs::Named,
    connection::Connected,
    manifest::{Index, SchoolRun},
    read::{Checked, Damage, OpenRun},
};
use anyhow::{Context as _, bail};
use schulhof_core::state::school::SchoolChunk;
use schulhof_wire::{BlobHash, SchoolId};
use serde::Serialize;
use tokio::task::block_in_place;

/// A school that the core serves again.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    pub school: SchoolId,
    pub head: u64,
    /// As the core has computed it.
    pub state_hash: BlobHash,
    pub parts: usize,
    /// Blobs that the core has again.
    pub files: usize,
    /// Blobs that the backup cannot give back: the school is restored without them.
    #[serde(skip)]
    pub lost: Vec<Damage>,
}

/// Why a school was not restored.
pub enum NotRestored {
    Damaged(Vec<Damage>),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotRestored {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// `replace`: what the core has of the school is thrown away.
pub async fn restore(
    core: &Connected,
    open: &OpenRun<'_>,
    school: &SchoolRun,
    replace: bool,
) -> Result<Restored, NotRestored> {
    let Checked { index, named, damages } = block_in_place(|| open.check(school));
    if !damages.is_empty() {
        return Err(NotRestored::Damaged(damages));
    }
    let cores = &core.cores;
    let id = &school.school;
    cores.place(id).await?;
    let loaded = cores.load(id, replace, |number| block_in_place(|| chunk(open, school, &index, number))).await?;
    if (loaded.head, loaded.state_hash) != (school.head, school.state_hash) {
        let detail = format!("entry {} with state {}", loaded.head.0, loaded.state_hash);
        return Err(anyhow::anyhow!("the core has {id} up to {detail}, which is not this run; use --replace").into());
    }
    let (files, lost) = blobs(core, open, id, &named).await?;
    cores.serve(id, loaded.epoch).await?;
    let (head, parts) = (loaded.head.0, index.parts.len());
    Ok(Restored { school: id.clone(), head, state_hash: loaded.state_hash, parts, files, lost })
}

/// What messages name is there again before anybody can ask for it. How many, and those that cannot be read.
async fn blobs(
    core: &Connected,
    open: &OpenRun<'_>,
    school: &SchoolId,
    named: &Named,
) -> anyhow::Result<(usize, Vec<Damage>)> {
    let (mut files, mut lost) = (0, Vec::new());
    for blob in named.keys().filter(|_| open.run.has_blobs()) {
        match block_in_place(|| open.blob(school, *blob)) {
            Ok(stored) => {
                core.blobs.put_back(school, stored).await?;
                files += 1;
            }
            Err(damage) => lost.push(damage),
        }
    }
    Ok((files, lost))
}

/// The chunks of a dump by number: the frame around the parts is made of what the run says.
fn chunk(open: &OpenRun<'_>, school: &SchoolRun, index: &Index, number: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let id = &school.school;
    match number.checked_sub(1) {
        None => {
            let begin = SchoolChunk::Begin { school: id.clone(), head: school.head, first: school.first };
            Ok(Some(begin.encode()))
        }
        Some(part) if part < index.parts.len() => {
            let (bytes, chunk) = open.part(school, index, part).with_context(|| format!("school {id}"))?;
            match chunk {
                SchoolChunk::State(_) | SchoolChunk::Entries(_) => Ok(Some(bytes)),
                SchoolChunk::Begin { .. } | SchoolChunk::End(_) => bail!("school {id}: part {} is a frame", part + 1),
            }
        }
        Some(part) if part == index.parts.len() => Ok(Some(SchoolChunk::End(school.summary()).encode())),
        Some(_) => Ok(None),
    }
}
