//! Raft between the core nodes: the meta group and groups of schools, replicated over QUIC.
//!
//! What this is: openraft's groups, the network under them, their beginning and their care. What it must not do: look
//! into operations; it passes batches on.
//!
//! - [`types`]: what an entry is, what a write answers
//! - `peers`: connections to the other core nodes
//! - `network`: openraft's network: requests to one node for one group
//! - `serve`: the other end of it
//! - `members`: which nodes a group is on
//! - `join`: a new node gets its number
//! - [`reads`]: one read index for all who wait for it
//! - `groups`: the groups of this node; `tend`: their beginning, leaders, purging

mod groups;
mod join;
mod members;
mod message;
mod network;
mod peers;
pub mod reads;
mod rejoin;
mod serve;
mod tend;
pub mod types;

pub use groups::{GroupHandle, GroupStatus, Groups, ProposeError, Settings};
pub use join::own_number;
pub use members::Members;
pub use peers::{Member, Peers};
pub use serve::serve;
