//! The meta group's records as one node has applied them, in memory.

use super::state::{self, Node, School};
use crate::{enrol, raft::types::NodeId};
use schulhof_school::Kv;
use schulhof_wire::SchoolId;
use std::collections::BTreeMap;

/// May be behind: what is decided by it must be confirmed where it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Data groups; 0 before the meta group's beginning.
    pub groups: u32,
    pub schools: BTreeMap<SchoolId, School>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub enrol: enrol::View,
}

impl View {
    pub fn read(kv: &dyn Kv) -> Self {
        Self {
            groups: state::groups_of(kv).unwrap_or(0),
            schools: state::schools(kv),
            nodes: state::nodes(kv),
            enrol: enrol::View::read(kv),
        }
    }

    pub fn has_begun(&self) -> bool {
        self.groups > 0
    }
}
