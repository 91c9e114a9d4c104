//! One log and one state, and nothing around them.

use schulhof_school::MemoryKv;
use schulhof_sync::{Ordered, order};
use schulhof_wire::{
    LogIndex,
    node::{EncodedOperation, Entry},
};

#[derive(Default)]
pub struct Core {
    pub store: MemoryKv,
    pub log: Vec<Entry>,
}

impl Core {
    pub fn head(&self) -> LogIndex {
        LogIndex(self.log.len() as u64)
    }

    pub fn order(&mut self, operation: EncodedOperation) -> Ordered {
        let ordered = order(&mut self.store, operation).unwrap();
        if let Ordered::Entry { entry, .. } = &ordered {
            self.log.push(entry.clone());
        }
        ordered
    }

    pub fn entries_after(&self, after: LogIndex) -> Vec<Entry> {
        self.log[after.0 as usize..].to_vec()
    }
}
