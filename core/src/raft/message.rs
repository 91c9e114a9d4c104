//! What core nodes say to each other (ALPN `schulhof-raft/1`): one bidirectional stream per request.
//!
//! ```text
//! request:  kind u8 | group u32 big endian | postcard of Request      kind 0
//! snapshot: kind u8 | group u32 big endian | frames of Part           kind 1
//! answer:   postcard of Response
//! ```

use super::types::{Answer, Command, Group, NodeId, SnapshotMeta, TypeConfig, Vote};
use crate::state::Chunk;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Longest request or answer. An append holds about 2 MiB, or one entry that is larger.
pub const MESSAGE_LEN_MAX: usize = 16 << 20;
pub const HEAD_LEN: usize = 5;
/// A request that is not answered for this long has failed; openraft tries again.
pub const REQUEST_MAX: Duration = Duration::from_secs(2);
/// One part of a snapshot that is not taken for this long: the transfer has failed.
pub const PART_MAX: Duration = Duration::from_secs(10);
/// The receiver installs a snapshot in one transaction before it answers.
pub const INSTALL_MAX: Duration = Duration::from_mins(10);

pub const KIND_REQUEST: u8 = 0;
pub const KIND_SNAPSHOT: u8 = 1;

/// Variants are numbered on the wire: add at the end.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Has the group begun?
    Probe,
    /// Up to where must a reader have applied? For the node that leads the group.
    ReadIndex,
    /// For the node that leads the group.
    Propose(Command),
    /// A node that was added asks for its number; the group does not matter.
    WhoAmI,
    /// Has the node room on its disk? The group does not matter.
    Space,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    Snapshot(SnapshotResponse<TypeConfig>),
    Transfer {
        accepted: bool,
    },
    Probe {
        begun: bool,
    },
    /// The node cannot answer now.
    Failed(String),
    ReadIndex(u64),
    Proposed(Answer),
    NotLeader,
    YouAre {
        id: NodeId,
        /// Data groups that the core has.
        groups: u32,
    },
    Space {
        /// It takes no operations.
        low: bool,
    },
}

/// Part of a snapshot: first `Begin`, then chunks, the last of which is [`Chunk::End`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Part {
    Begin { vote: Vote, meta: SnapshotMeta },
    Chunk(Chunk),
}

/// What stands before a request.
pub fn head(kind: u8, group: Group) -> [u8; HEAD_LEN] {
    let mut head = [kind; HEAD_LEN];
    head[1..].copy_from_slice(&group.0.to_be_bytes());
    head
}

pub fn read_head(head: [u8; HEAD_LEN]) -> (u8, Group) {
    (head[0], Group(u32::from_be_bytes([head[1], head[2], head[3], head[4]])))
}

/// Head and request.
pub fn encode(group: Group, request: &Request) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(request, head(KIND_REQUEST, group).to_vec())
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(bytes)
}
