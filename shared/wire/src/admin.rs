//! Operator -> core over QUIC (ALPN [`ALPN_ADMIN`]): what changes the core itself. One bidirectional stream per request, frames
//! as at the other doors (`node`): one [`Request`], one [`Answer`].
//!
//! Only a certificate of an operator opens this door.

use crate::{
    enrol::CoreNode,
    id::{NodeName, SchoolId},
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Version of [`Request`] and [`Answer`].
pub const VERSION: u16 = 1;
pub const ALPN_ADMIN: &[u8] = b"schulhof-admin/1";
/// Largest request in bytes.
pub const REQUEST_LEN_MAX: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub version: u16,
    pub ask: Ask,
}

/// Variants are numbered on the wire: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Answered by [`Answer::Schools`].
    Schools,
    /// Answered by [`Answer::Schools`] with the new one. `group`: the data group that shall hold it; none: the core chooses.
    SchoolAdd { school: SchoolId, name: Option<String>, group: Option<u32> },
    /// The school shall be in this data group. Answered by [`Answer::Schools`] with the school as it is at once: the move goes
    /// on by itself. `dry_run`: only what stands against it.
    SchoolMove { school: SchoolId, to: u32, dry_run: bool },
    /// Answered by [`Answer::Nodes`].
    Nodes,
    /// A node that is to be in all groups, and the one that leaves in its place when it is. Answered by [`Answer::Nodes`] with
    /// the node as it is at once; the change goes on by itself.
    NodeAdd { name: NodeName, address: SocketAddr, replaces: Option<NodeName>, dry_run: bool },
    /// Answered as above.
    NodeChange { name: NodeName, change: NodeChange, dry_run: bool },
    /// From then on the core signs boxes' certificates with this CA: X.509 and PKCS #8, in DER. Once; again with the same CA,
    /// its key is sealed anew. Answered by [`Answer::Done`].
    CaInstall { certificate: Vec<u8>, key: Private },
    /// A box of the school may join with the token of this id (`enrol`): SHA-256 over `schulhof-token/1\n` and its secret, which
    /// stays with whoever asks. For 24 h, or shorter. Answered by [`Answer::BoxInvited`].
    BoxInvite { school: SchoolId, token: [u8; 32], ttl_ms: Option<u64> },
    /// Answered by [`Answer::Boxes`].
    Boxes,
    /// Turns a box away, or withdraws an invitation. Answered by [`Answer::BoxRevoked`].
    BoxRevoke { what: String },
}

/// Variants are numbered on the wire: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Another node can answer this: ask there. None known: ask any, later.
    Redirect {
        leader: Option<Leader>,
    },
    /// Not now, nothing was done.
    Busy {
        retry_after_ms: u32,
    },
    /// Not so: `code` is stable.
    Refused {
        code: String,
        detail: String,
    },
    /// It is done, and there is nothing to say about it.
    Done,
    Schools(Vec<School>),
    Nodes(Vec<Node>),
    BoxInvited {
        /// SHA-256 of the CA's certificate.
        ca: [u8; 32],
        expires_ms: u64,
        /// All nodes of the core.
        core: Vec<CoreNode>,
    },
    Boxes {
        boxes: Vec<BoxState>,
        invitations: Vec<Invitation>,
    },
    /// The box; none: it was an invitation.
    BoxRevoked(Option<Box<BoxState>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeChange {
    /// It may lead again.
    Serve,
    /// It goes on voting and gives away what it leads.
    Drain,
    /// It leaves all groups.
    Remove,
}

/// A core node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number in Raft; never used again.
    pub id: u64,
    pub name: NodeName,
    pub address: SocketAddr,
    pub state: NodeState,
    /// To the node that answers here.
    pub answers: bool,
    /// How many groups there are, the meta group included; in how many it votes, learns and leads.
    pub groups: u32,
    pub votes: u32,
    pub learns: u32,
    pub leads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Joining,
    Active,
    Draining,
    Leaving,
    Gone,
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    pub name: NodeName,
    pub address: SocketAddr,
}

/// A school's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct School {
    pub school: SchoolId,
    pub name: Option<String>,
    pub group: u32,
    /// Counts its places, from 1.
    pub epoch: u64,
    pub moving: Option<Moving>,
}

/// How far a school's move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moving {
    /// It shall be in this group: boxes are asked to come again.
    To(u32),
    /// It was in this group, which has not dropped it yet. It is served where it is now.
    From(u32),
}

/// Bytes that no log may show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private(pub Vec<u8>);

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Private")
    }
}

/// A box that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxState {
    pub name: NodeName,
    pub school: SchoolId,
    /// Must be those that the box has shown.
    pub words: String,
    /// SHA-256 of its public key (SubjectPublicKeyInfo in DER), in hexadecimal digits.
    pub key: String,
    pub joined_ms: u64,
    /// When its certificate was issued.
    pub renewed_ms: u64,
    /// When that ends.
    pub expires_ms: u64,
    pub revoked_ms: Option<u64>,
    pub software: String,
    /// With which it signs tickets (Ed25519 in base64url).
    pub ticket_key: Option<String>,
}

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The first 40 bits of the token id in base32: enough to name it.
    pub id: String,
    pub school: SchoolId,
    /// Name of the operator.
    pub by: String,
    pub expires_ms: u64,
    /// The box that has come with it.
    pub used: Option<NodeName>,
    pub revoked_ms: Option<u64>,
}
