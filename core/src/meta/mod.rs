//! The meta group: which group holds which school, and which nodes there are.
//!
//! What this is: the state machine of group 0 and what its leader does. It is replicated on the same nodes and in the same
//! write-ahead log as the data groups. What it must not do: lie on the way of an operation; every node reads its own copy
//! ([`View`]), and the data group itself refuses what is proposed for a place that the school has left.
//!
//! - `state`: commands and records, pure
//! - `view`: the records in memory, for whoever looks up
//! - `begin`: the first entries, from the configuration
//! - `nodes`: core nodes that come and go
//! - `moves`: carrying a school from one group to another

mod begin;
mod moves;
mod nodes;
mod state;
mod view;

pub use begin::begin;
pub use moves::drive;
pub use nodes::watch;
pub use state::{MetaAnswer, MetaCommand, Moving, NewSchool, Node, NodeState, School, apply, try_out};
pub use view::View;

/// Schools that one core can have: its view is in the memory of each node, some 200 bytes for each, and
/// a list of all fits into one frame.
pub const SCHOOLS_MAX: usize = 10_000;
