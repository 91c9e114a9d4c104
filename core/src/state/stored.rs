//! Which states of a school lie in the object store: an entry of the group's log says so, so that every node knows it.
//!
//! The objects themselves are chunks ([`super::school`]), named by their hashes; here are the names, in order. The last
//! [`KEPT`] are known: one that is being read may be followed by one more.

use super::{
    Store, io_error,
    kv::{Key, Value},
    place,
    store::STATE,
};
use crate::raft::types::{Answer, Epoch};
use redb::{ReadableTable, Table};
use schulhof_wire::{BlobHash, LogIndex, SchoolId};
use serde::{Deserialize, Serialize};
use std::io;

/// In the table of the state, behind this name: school -> version, postcard of [`Known`].
const SNAPSHOTS: &str = "/snapshots";
const VERSION: u8 = 1;
/// Stored states of a school that are kept.
pub const KEPT: usize = 2;

/// A school's state in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchoolSnapshot {
    /// It is the state after this entry.
    pub head: LogIndex,
    /// By the clock of the node that took it, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Objects of `Space::Snapshot`: the chunks of a dump of the state alone, from its first to its last.
    pub chunks: Vec<BlobHash>,
}

/// What is known of a school's, the oldest first. Those of another epoch are of another life of the school.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    epoch: Epoch,
    snapshots: Vec<SchoolSnapshot>,
}

/// One more is there. `follows`: the newest that its writer knew; if there is another one since, this one is not noted.
pub(super) fn note(
    state: &mut Table<'_, Key, Value>,
    school: &SchoolId,
    epoch: Epoch,
    follows: Option<LogIndex>,
    snapshot: &SchoolSnapshot,
) -> io::Result<Answer> {
    if !place::read(state, school)?.serves(epoch) {
        return Ok(Answer::Moved);
    }
    let mut snapshots = read(state, school, epoch)?;
    if snapshots.last().map(|newest| newest.head) != follows || snapshot.head > place::head(state, school)? {
        return Ok(Answer::Noted { noted: false });
    }
    snapshots.push(snapshot.clone());
    snapshots.drain(..snapshots.len().saturating_sub(KEPT));
    let bytes = postcard::to_extend(&Known { epoch, snapshots }, vec![VERSION]).map_err(io::Error::other)?;
    state.insert((SNAPSHOTS, school.as_str().as_bytes()), bytes.as_slice()).map_err(io_error)?;
    Ok(Answer::Noted { noted: true })
}

/// The school is gone from this group.
pub(super) fn forget(state: &mut Table<'_, Key, Value>, school: &SchoolId) -> io::Result<()> {
    state.remove((SNAPSHOTS, school.as_str().as_bytes())).map_err(io_error)?;
    Ok(())
}

fn read(state: &impl ReadableTable<Key, Value>, school: &SchoolId, epoch: Epoch) -> io::Result<Vec<SchoolSnapshot>> {
    let Some(value) = state.get((SNAPSHOTS, school.as_str().as_bytes())).map_err(io_error)? else {
        return Ok(Vec::new());
    };
    let bad = |detail: String| io::Error::new(io::ErrorKind::InvalidData, format!("snapshots of {school}: {detail}"));
    let known: Known = match value.value().split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| bad(e.to_string()))?,
        first => return Err(bad(format!("version {:?}", first.map(|(version, _)| version)))),
    };
    Ok(if known.epoch == epoch { known.snapshots } else { Vec::new() })
}

impl Store {
    /// The school's states in the object store, the oldest first. Blocks.
    pub fn snapshots(&self, school: &SchoolId) -> io::Result<Vec<SchoolSnapshot>> {
        let txn = self.file.read()?;
        let state = txn.open_table(STATE).map_err(io_error)?;
        read(&state, school, place::read(&state, school)?.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        raft::types::Command,
        state::tests::{command, entry, open, school},
    };
    use std::sync::Arc;

    fn note(store: &Store, epoch: u64, follows: Option<u64>, head: u64) -> Answer {
        let index = store.applied().unwrap().0.map_or(0, |id| id.index + 1);
        let snapshot =
            SchoolSnapshot { head: LogIndex(head), taken_ms: head, chunks: vec![BlobHash([head as u8; 32])] };
        let (school, follows) = (school("nord"), follows.map(LogIndex));
        let next = Command::Stored { school, epoch: Epoch(epoch), follows, snapshot: Arc::new(snapshot) };
        store.apply(&[command(index, next)]).unwrap().remove(0)
    }

    fn heads(store: &Store) -> Vec<u64> {
        store.snapshots(&school("nord")).unwrap().iter().map(|snapshot| snapshot.head.0).collect()
    }

    #[test]
    fn the_last_two_are_known_each_after_the_one_that_its_writer_knew() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.apply(&[entry(0, "nord", 1..=50)]).unwrap();
        let nord = school("nord");
        let before = store.state_hash(&nord).unwrap();
        let (yes, no) = (Answer::Noted { noted: true }, Answer::Noted { noted: false });
        assert_eq!(note(&store, 1, None, 10), yes);
        assert_eq!(note(&store, 1, None, 20), no, "another node was first");
        assert_eq!(note(&store, 1, Some(10), 20), yes);
        assert_eq!(note(&store, 2, Some(20), 30), Answer::Moved);
        assert_eq!(note(&store, 1, Some(20), 51), no, "beyond the head");
        assert_eq!(note(&store, 1, Some(20), 30), yes);
        assert_eq!(heads(&store), [20, 30]);
        assert_eq!(store.state_hash(&nord).unwrap(), before, "the school's state knows nothing of it");

        let seal = Command::Seal { school: nord.clone(), epoch: Epoch::FIRST };
        let leave = Command::Drop { school: nord, epoch: Epoch::FIRST };
        let next = store.applied().unwrap().0.unwrap().index + 1;
        store.apply(&[command(next, seal), command(next + 1, leave)]).unwrap();
        assert_eq!(heads(&store), [0_u64; 0], "it has moved away");
    }
}
