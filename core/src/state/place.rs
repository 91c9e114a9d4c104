//! Whether a group serves a school, and at which epoch: what keeps a school in one group at a time.
//!
//! A school moves in steps that are entries of two groups' logs: the old group is told to seal it, its dump is loaded chunk by
//! chunk into the new one at the next epoch, the meta group names the new place, the old group drops it. Each step may come
//! again, late or from two drivers at once; what does not fit the stage that the school has here changes nothing.

use super::{
    io_error,
    kv::{Key, Value},
    school::{LoadError, SchoolChunk, drop_school, load_chunk},
    stored,
};
use crate::raft::types::{Answer, Epoch, Loaded};
use redb::{ReadableTable, Table};
use schulhof_school::view;
use schulhof_wire::{LogIndex, SchoolId};
use serde::{Deserialize, Serialize};
use std::io;

/// In the table of the state, behind this name: school -> version, postcard of [`Place`].
pub(super) const PLACES: &str = "/place";
const VERSION: u8 = 1;

/// What a school is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub epoch: Epoch,
    pub stage: Stage,
}

/// Add variants at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Operations are taken.
    Served,
    /// Nothing is taken any more; it can be dumped.
    Sealed,
    /// Chunks come; the next one has this number.
    Loading { next: u64 },
    /// It was here at this epoch.
    Gone,
}

/// Nothing is written down of a school that was never moved. Only the group that the meta group names gets proposals at the
/// first epoch, so this needs no proof.
impl Default for Place {
    fn default() -> Self {
        Self { epoch: Epoch::FIRST, stage: Stage::Served }
    }
}

impl Place {
    pub fn serves(&self, epoch: Epoch) -> bool {
        *self == Self { epoch, stage: Stage::Served }
    }
}

pub(super) fn read(state: &impl ReadableTable<Key, Value>, school: &SchoolId) -> io::Result<Place> {
    let Some(value) = state.get((PLACES, school.as_str().as_bytes())).map_err(io_error)? else {
        return Ok(Place::default());
    };
    let bad = |detail: String| io::Error::new(io::ErrorKind::InvalidData, format!("the place of {school}: {detail}"));
    match value.value().split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| bad(e.to_string())),
        first => Err(bad(format!("version {:?}", first.map(|(version, _)| version)))),
    }
}

fn write(state: &mut Table<'_, Key, Value>, school: &SchoolId, epoch: Epoch, stage: Stage) -> io::Result<()> {
    let bytes = postcard::to_extend(&Place { epoch, stage }, vec![VERSION]).map_err(io::Error::other)?;
    state.insert((PLACES, school.as_str().as_bytes()), bytes.as_slice()).map_err(io_error)?;
    Ok(())
}

pub(super) fn seal(state: &mut Table<'_, Key, Value>, school: &SchoolId, epoch: Epoch) -> io::Result<Answer> {
    let place = read(state, school)?;
    if place.epoch != epoch || !matches!(place.stage, Stage::Served | Stage::Sealed) {
        return Ok(Answer::Moved);
    }
    write(state, school, epoch, Stage::Sealed)?;
    Ok(Answer::Sealed { head: head(state, school)? })
}

type Entries<'a> = Table<'a, (&'static str, u64), &'static [u8]>;

/// Takes a chunk; the second of the answer is where the school's log ends, once it is whole.
pub(super) fn load(
    state: &mut Table<'_, Key, Value>,
    entries: &mut Entries<'_>,
    school: &SchoolId,
    epoch: Epoch,
    number: u64,
    chunk: &[u8],
) -> io::Result<(Answer, Option<LogIndex>)> {
    let place = read(state, school)?;
    let next = match place.stage {
        _ if place.epoch > epoch => return Ok((Answer::Moved, None)),
        // What is served must be sealed before something else takes its place.
        Stage::Served if place.epoch < epoch && head(state, school)? > LogIndex(0) => return Ok((Answer::Moved, None)),
        _ if place.epoch < epoch => 0,
        Stage::Served => return Ok((Answer::Loaded(Loaded::Whole), Some(head(state, school)?))),
        Stage::Sealed | Stage::Gone => return Ok((Answer::Moved, None)),
        Stage::Loading { next } => next,
    };
    // Chunk 0 begins anew at any time: who loads may have died, and another one knows nothing of it.
    if number != next && number != 0 {
        return Ok((Answer::Loaded(Loaded::Next(next)), None));
    }
    let chunk = match SchoolChunk::decode(chunk) {
        Ok(chunk) if matches!(chunk, SchoolChunk::Begin { .. }) == (number == 0) => Ok(chunk),
        Ok(_) => Err("its chunks are not in order".to_owned()),
        Err(detail) => Err(detail),
    };
    let loaded = match chunk {
        Ok(chunk) => match load_chunk(state, entries, school, &chunk) {
            Ok(loaded) => Ok(loaded),
            Err(LoadError::Io(e)) => return Err(e),
            Err(e @ LoadError::Damaged { .. }) => Err(e.to_string()),
        },
        Err(detail) => Err(detail),
    };
    match loaded {
        Ok(Some(summary)) => {
            write(state, school, epoch, Stage::Served)?;
            Ok((Answer::Loaded(Loaded::Whole), Some(summary.head)))
        }
        Ok(None) => {
            write(state, school, epoch, Stage::Loading { next: number + 1 })?;
            Ok((Answer::Loaded(Loaded::Next(number + 1)), None))
        }
        // Nothing has begun: what stands here stays.
        Err(detail) if place.epoch < epoch => Ok((Answer::Loaded(Loaded::Damaged(detail)), None)),
        Err(detail) => {
            drop_school(state, entries, school)?;
            write(state, school, epoch, Stage::Loading { next: 0 })?;
            Ok((Answer::Loaded(Loaded::Damaged(detail)), None))
        }
    }
}

pub(super) fn drop(
    state: &mut Table<'_, Key, Value>,
    entries: &mut Entries<'_>,
    school: &SchoolId,
    epoch: Epoch,
) -> io::Result<Answer> {
    let place = read(state, school)?;
    if place.epoch != epoch || place.stage == Stage::Served {
        return Ok(Answer::Moved);
    }
    drop_school(state, entries, school)?;
    stored::forget(state, school)?;
    write(state, school, epoch, Stage::Gone)?;
    Ok(Answer::Dropped)
}

pub(super) fn head(state: &impl ReadableTable<Key, Value>, school: &SchoolId) -> io::Result<LogIndex> {
    let kv = super::kv::SchoolKv::new(state, school);
    let head = view::head(&kv);
    kv.finish().map_err(io_error)?;
    Ok(head)
}
