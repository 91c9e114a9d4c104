//! What a Raft group is made of here: its number, what an entry holds, what a write answers.

use crate::{
    meta::{MetaAnswer, MetaCommand},
    state::stored::SchoolSnapshot,
};
use openraft::BasicNode;
use schulhof_wire::{LogIndex, SchoolId, node::EncodedOperation};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

openraft::declare_raft_types!(
    /// Types of all groups. A node is known by its number; where it listens stands in the meta group's state.
    pub TypeConfig: D = Command, R = Answer, NodeId = u64, Node = BasicNode
);

/// A core node's number: its place in the configuration, from 1, never used again for another node.
pub type NodeId = u64;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Raft = openraft::Raft<TypeConfig, crate::state::Machine>;

/// Number of a group: [`META`], then the data groups from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub u32);

/// The group that knows which group holds which school.
pub const META: Group = Group(0);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the places that a school has had, from 1: a school is in one group at one epoch, and goes to the next epoch with
/// each move or restore. What is proposed for an older one is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of a school that was never moved.
    pub const FIRST: Self = Self(1);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one Raft entry carries. What is large is shared, because openraft copies entries for each follower. Stored by number:
/// add variants at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Operations of one school, in the order in which they are to be applied.
    Operations { school: SchoolId, epoch: Epoch, operations: Arc<Vec<EncodedOperation>> },
    /// Part of a school's dump ([`crate::state::school::SchoolChunk::encode`]), numbered from 0. With the last one the school
    /// is served in this group at this epoch.
    Load { school: SchoolId, epoch: Epoch, number: u64, chunk: Arc<Vec<u8>> },
    /// From here on nothing more is taken for the school at this epoch.
    Seal { school: SchoolId, epoch: Epoch },
    /// The school is served elsewhere since: what it had here at this epoch goes away.
    Drop { school: SchoolId, epoch: Epoch },
    /// For [`META`] only.
    Meta(MetaCommand),
    /// Entries of the school before this one are deleted; its state stays as it is.
    Trim { school: SchoolId, epoch: Epoch, first: LogIndex },
    /// A state of the school lies in the object store, after the one of entry `follows`.
    Stored { school: SchoolId, epoch: Epoch, follows: Option<LogIndex>, snapshot: Arc<SchoolSnapshot> },
}

impl Command {
    /// How many operations it brings.
    pub fn operations(&self) -> usize {
        match self {
            Self::Operations { operations, .. } => operations.len(),
            _ => 0,
        }
    }

    /// About how long it is: what of it can be long.
    pub fn len_about(&self) -> usize {
        match self {
            Self::Operations { operations, .. } => operations.iter().map(|operation| operation.0.len()).sum(),
            Self::Load { chunk, .. } => chunk.len(),
            Self::Stored { snapshot, .. } => snapshot.chunks.len() * 32,
            Self::Seal { .. } | Self::Drop { .. } | Self::Meta(_) | Self::Trim { .. } => 0,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operations { school, epoch, operations } => {
                write!(f, "{} operations of {school} at epoch {epoch}", operations.len())
            }
            Self::Load { school, epoch, number, .. } => write!(f, "chunk {number} of {school} for epoch {epoch}"),
            Self::Seal { school, epoch } => write!(f, "{school} is sealed at epoch {epoch}"),
            Self::Drop { school, epoch } => write!(f, "{school} is dropped at epoch {epoch}"),
            Self::Meta(command) => write!(f, "{command:?}"),
            Self::Stored { school, epoch, snapshot, .. } => {
                write!(f, "the state of {school} after {} is stored at epoch {epoch}", snapshot.head.0)
            }
            Self::Trim { school, epoch, first } => {
                write!(f, "entries of {school} before {} are deleted at epoch {epoch}", first.0)
            }
        }
    }
}

/// What became of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To Raft's own entries.
    #[default]
    Nothing,
    /// Per operation, in their order.
    Operations(Vec<OperationAnswer>),
    /// The school is not served in this group at this epoch: nothing was taken.
    Moved,
    Loaded(Loaded),
    /// Nothing follows on this index at the epoch.
    Sealed {
        head: LogIndex,
    },
    Dropped,
    Meta(MetaAnswer),
    /// The first entry that is kept; one above the head if there is none.
    Trimmed {
        first: LogIndex,
    },
    /// Whether a stored state is known from now on; not if another one was noted meanwhile.
    Noted {
        noted: bool,
    },
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operations(answers) => write!(f, "{} answers", answers.len()),
            other => write!(f, "{other:?}"),
        }
    }
}

/// How far the loading of a school has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loaded {
    /// The chunk of this number is expected.
    Next(u64),
    /// The school is served here.
    Whole,
    /// It was not what had been dumped: it was thrown away, chunk 0 is expected.
    Damaged(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationAnswer {
    /// It has its place, accepted or rejected.
    Entry { index: LogIndex, rejected: Option<String> },
    /// It had its place already.
    Duplicate,
    /// Its device's numbers before it are missing: it was not taken.
    Gap { expected: u64 },
    /// Not even its envelope can be read; the door keeps such out.
    Malformed,
}
