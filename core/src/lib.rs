//! The core: what orders and keeps the schools' logs, in the cloud.
//!
//! Place: above `net` and everything below it, beside `edge`, which it never imports; `ops` starts it. Three or more core
//! nodes replicate a fixed number of Raft groups; each school's log is in one of them, which one the meta group knows. A box
//! or an operator connects to the node that leads its school's group, submits operations and gets the school's entries.
//!
//! What it must not do: know pupils from teachers (that is `school`), carry media (that is [`relay`]), or acknowledge
//! anything that a majority does not have on disk.
//!
//! - [`config`]: what an operator sets
//! - [`node`]: one node, from its configuration to its end
//! - [`log`]: the write-ahead log of all groups of a node
//! - [`state`]: state and entries of the schools, per group
//! - [`objects`]: blobs and snapshots, outside of the logs; [`blob`]: the door to them; [`sweep`]: removes what nobody names
//! - [`raft`]: groups, and the network between core nodes
//! - [`meta`]: which group holds which school
//! - [`door`]: boxes, gateways and operators, to a school's log
//! - [`admin`]: operators, to the core itself
//! - [`backup`]: operators, to whole schools
//! - [`enrol`]: invitations, boxes and the CA
//! - [`snapshots`]: states of schools in the object store
//! - [`space`]: free disk space
//! - [`tail`]: old entries of the schools' logs go away
//! - [`relay`]: the cloud media relay

pub mod admin;
pub mod backup;
pub mod blob;
pub mod config;
pub mod door;
pub mod enrol;
pub mod log;
pub mod meta;
pub mod node;
pub mod objects;
pub mod raft;
pub mod relay;
pub mod snapshots;
pub mod space;
pub mod state;
pub mod sweep;
pub mod tail;

pub use config::Config;
pub use node::{Node, run};
