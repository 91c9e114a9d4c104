//! Invitations and boxes as one node has applied them, in memory.

use super::record::{self, BoxRecord, CaRecord, Invitation};
use schulhof_net::{enrol::TokenId, identity::KeyHash};
use schulhof_school::Kv;
use schulhof_wire::NodeName;
use std::collections::BTreeMap;

/// May be behind: what is decided by it must be confirmed where it is done. Some 500 bytes for each box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    pub ca: Option<CaRecord>,
    pub invitations: BTreeMap<TokenId, Invitation>,
    pub boxes: BTreeMap<NodeName, BoxRecord>,
    names: BTreeMap<KeyHash, NodeName>,
}

impl View {
    pub fn read(kv: &dyn Kv) -> Self {
        let boxes: BTreeMap<_, _> = record::boxes(kv).into_iter().map(|record| (record.name.clone(), record)).collect();
        Self {
            ca: record::ca(kv),
            invitations: record::invitations(kv).into_iter().collect(),
            names: boxes.values().map(|record| (record.key, record.name.clone())).collect(),
            boxes,
        }
    }

    pub fn box_of(&self, key: KeyHash) -> Option<&BoxRecord> {
        self.boxes.get(self.names.get(&key)?)
    }

    /// Whether an operator has turned the box with this key away.
    pub fn is_revoked(&self, key: KeyHash) -> bool {
        self.box_of(key).is_some_and(|record| record.revoked_ms.is_some())
    }
}
