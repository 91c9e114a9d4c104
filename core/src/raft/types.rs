//! What a Raft group is made of here: its number, what an entry holds, what a write answers.

use openraft::BasicNode;
use schulhof_wire::{LogIndex, SchoolId, node::EncodedOperation};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

openraft::declare_raft_types!(
    /// Types of a data group. A node is known by its number; where it listens stands in the configuration.
    pub TypeConfig: D = Batch, R = Answer, NodeId = u64, Node = BasicNode
);

/// A core node's number: its place in the configuration, from 1, never used again for another node.
pub type NodeId = u64;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Raft = openraft::Raft<TypeConfig, crate::state::Machine>;

/// Number of a data group, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub u32);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one Raft entry carries: operations of one school, in the order in which they are to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub school: SchoolId,
    /// Shared, because openraft copies entries for each follower.
    pub operations: Arc<Vec<EncodedOperation>>,
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations of {}", self.operations.len(), self.school)
    }
}

/// What became of a batch, per operation in its order; empty for Raft's own entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer(pub Vec<OperationAnswer>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.0.len())
    }
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
