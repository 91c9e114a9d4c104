//! A run's schools, back into a core that has none of their data.
//!
//! A school is read and checked to its end before the core is touched. Then its chunks go through the log of its group at the next
//! epoch, and only when the core has found the same hashes does it serve the school again. Whatever dies on the way: the same
//! command again goes on.

use super::{
    client::Cores,
    manifest::{Index, SchoolRun},
    read::{Damage, OpenRun},
};
use anyhow::{Context as _, bail};
use schulhof_core::state::school::SchoolChunk;
use schulhof_wire::{BlobHash, SchoolId};
use serde::Serialize;

/// A school that the core serves again.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    pub school: SchoolId,
    pub head: u64,
    /// As the core has computed it.
    pub state_hash: BlobHash,
    pub parts: usize,
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
    cores: &Cores,
    open: &OpenRun<'_>,
    school: &SchoolRun,
    replace: bool,
) -> Result<Restored, NotRestored> {
    let index = tokio::task::block_in_place(|| open.check(school)).map_err(NotRestored::Damaged)?;
    let id = &school.school;
    cores.place(id).await?;
    let loaded =
        cores.load(id, replace, |number| tokio::task::block_in_place(|| chunk(open, school, &index, number))).await?;
    if (loaded.head, loaded.state_hash) != (school.head, school.state_hash) {
        let detail = format!("entry {} with state {}", loaded.head.0, loaded.state_hash);
        return Err(anyhow::anyhow!("the core has {id} up to {detail}, which is not this run; use --replace").into());
    }
    cores.serve(id, loaded.epoch).await?;
    Ok(Restored { school: id.clone(), head: loaded.head.0, state_hash: loaded.state_hash, parts: index.parts.len() })
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
