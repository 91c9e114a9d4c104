//! Reading the log at start: what is whole is taken, a torn end is cut, damage is refused.
//!
//! A write that was under way when the power failed leaves anything behind, but nothing was written after it: such an end
//! is cut off and filled with zeros. If a valid record of a later write follows on a bad one, then something that had
//! been synced, and perhaps acknowledged, is gone. Then the node must not start: it would vote as if it had never known.

use super::{
    LogError,
    disk::{Disk, DiskFile},
    index::{Index, Place},
    record::{self, ALIGN, Record},
    segment::{self, Header},
    writer::{Checkpoint, Sealed},
};
use crate::raft::types::Group;
use openraft::entry::RaftEntry;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What the log held.
pub struct Recovered {
    pub indices: BTreeMap<Group, Index>,
    pub checkpoints: BTreeMap<Group, Checkpoint>,
    pub files: BTreeMap<u64, Arc<dyn DiskFile>>,
    pub sealed: VecDeque<Sealed>,
    /// The segment that is written on, and where. None: there is no segment yet.
    pub open: Option<(Sealed, u32)>,
}

/// Reads all segments. `cached_len_max` is passed on to the groups' indices.
pub fn recover(disk: &dyn Disk, cached_len_max: usize) -> Result<Recovered, LogError> {
    // Killed between a rename and its sync, a node would find a name here that a loss of power takes back.
    disk.sync()?;
    let numbers = segment::list(disk)?;
    let mut recovered = Recovered {
        indices: BTreeMap::new(),
        checkpoints: BTreeMap::new(),
        files: BTreeMap::new(),
        sealed: VecDeque::new(),
        open: None,
    };
    let mut previous: Option<(u64, u32)> = None;
    for (at, &number) in numbers.iter().enumerate() {
        let damaged = |offset: usize, detail: String| LogError::damaged(disk, number, offset, detail);
        let file = segment::open(disk, number)?;
        let bytes = file.read_all()?;
        let header = Header::decode(&bytes).map_err(|e| damaged(0, e))?;
        if header.number != number {
            return Err(damaged(0, format!("it says that it is segment {}", header.number)));
        }
        if let Some((before, end)) = previous {
            if before + 1 != number {
                return Err(damaged(0, format!("segment {} before it is missing", number - 1)));
            }
            if header.previous_end != end {
                let detail = format!("the records end here, but the next segment says at {}", header.previous_end);
                return Err(LogError::damaged(disk, before, end as usize, detail));
            }
        }
        let last = at + 1 == numbers.len();
        let mut sealed = Sealed { number, last: BTreeMap::new() };
        let end = walk(disk, number, &bytes, last, cached_len_max, &mut recovered, &mut sealed)?;
        if last {
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
            if used > end {
                tracing::warn!(
                    segment = number,
                    offset = end,
                    bytes = used - end,
                    "cut a torn write off the log's end"
                );
                segment::zero(&*file, end, used)?;
            }
            // The process before may have been killed ahead of its sync: what was found here counts from now on.
            file.sync_data()?;
            recovered.open = Some((sealed, end as u32));
        } else {
            recovered.sealed.push_back(sealed);
        }
        recovered.files.insert(number, file);
        previous = Some((number, end as u32));
    }
    for (group, index) in &recovered.indices {
        let expected = index.purged().map_or(0, |purged| purged.index + 1);
        if let Some(first) = index.first()
            && first != expected
        {
            let detail = format!("entries {expected} to {} of group {group} are missing", first - 1);
            return Err(LogError::damaged(disk, numbers[0], segment::HEADER_LEN, detail));
        }
    }
    Ok(recovered)
}

/// Takes the records of one segment; returns where they end.
fn walk(
    disk: &dyn Disk,
    number: u64,
    bytes: &[u8],
    last_segment: bool,
    cached_len_max: usize,
    recovered: &mut Recovered,
    sealed: &mut Sealed,
) -> Result<usize, LogError> {
    let mut offset = segment::HEADER_LEN;
    let mut batch = offset as u32;
    while let Some(framed) = record::read(bytes, number, offset) {
        // A record belongs to the write of the one before it, or begins one.
        if framed.batch != batch && framed.batch as usize != offset {
            break;
        }
        batch = framed.batch;
        let record =
            Record::decode(framed.payload).map_err(|e| LogError::damaged(disk, number, offset, e.to_string()))?;
        let place = Place { segment: number, offset: offset as u32 };
        take(record, framed.payload.len(), place, cached_len_max, recovered, sealed)
            .map_err(|e| LogError::damaged(disk, number, offset, e.to_string()))?;
        offset = framed.next;
    }
    // What is not the last segment was left behind whole: its end is checked against the next one's header.
    if let Some(found) = find_later_write(bytes, number, offset) {
        let detail = format!("a valid record of a later write follows at offset {found}");
        return Err(LogError::damaged(disk, number, offset, detail));
    }
    if !last_segment && bytes.get(offset..).unwrap_or_default().iter().any(|b| *b != 0) {
        return Err(LogError::damaged(disk, number, offset, "it is no record, and not the log's end".into()));
    }
    Ok(offset)
}

/// Looks behind a bad record for a valid one that was written after everything before it had been synced.
fn find_later_write(bytes: &[u8], number: u64, bad: usize) -> Option<usize> {
    let mut offset = bad + ALIGN;
    while offset + record::HEADER_LEN < bytes.len() {
        // Mostly zeros: the length of a record is never zero.
        if bytes[offset..offset + 4] != [0; 4]
            && record::read(bytes, number, offset).is_some_and(|framed| framed.batch as usize > bad)
        {
            return Some(offset);
        }
        offset += ALIGN;
    }
    None
}

fn take(
    record: Record,
    payload_len: usize,
    place: Place,
    cached_len_max: usize,
    recovered: &mut Recovered,
    sealed: &mut Sealed,
) -> std::io::Result<()> {
    let group = record.group();
    let index = recovered.indices.entry(group).or_insert_with(|| Index::new(cached_len_max));
    let checkpoint = recovered.checkpoints.entry(group).or_default();
    match record {
        Record::Entry { entry, .. } => {
            let log_id = entry.log_id();
            index.restore(log_id, payload_len as u32, place)?;
            sealed.last.insert(group, log_id.index);
        }
        Record::Vote { vote, .. } => {
            checkpoint.vote = Some(vote);
            index.vote = Some(vote);
        }
        Record::Truncate { from, .. } => index.truncate(from),
        Record::Purge { upto, .. } => {
            checkpoint.purged = Some(upto);
            index.purge(upto);
        }
        Record::Checkpoint { vote, purged, .. } => {
            *checkpoint = Checkpoint { vote, purged };
            index.vote = vote;
            if let Some(purged) = purged {
                index.purge(purged);
            }
        }
    }
    Ok(())
}
