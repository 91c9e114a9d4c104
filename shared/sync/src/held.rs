//! Operations that wait for their blobs: the core must have the bytes before it orders what names them.
//!
//! A held operation keeps back those behind it on its device, since numbers have no gaps, and nobody else's. It was passed
//! over in the order of positions; when its blobs are there it goes before everything that was not sent yet.

use crate::outbox::{Next, Outbox};
use schulhof_wire::{BlobHash, DeviceId};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Held {
    /// Blobs that are here and not yet in the core.
    missing: BTreeSet<BlobHash>,
    /// Positions below the uplink's mark that were passed over.
    passed: BTreeSet<u64>,
    /// A blob has come to the core since the passed ones were looked at.
    freed: bool,
}

/// Which operations go next, and what is passed over then.
pub struct Walk<'a> {
    missing: &'a BTreeSet<BlobHash>,
    blocked: BTreeSet<&'a DeviceId>,
    pub passed: BTreeSet<u64>,
}

impl<'a> Walk<'a> {
    /// Whether the operation may go now.
    pub fn lets(&mut self, Next { position, operation, .. }: Next<'a>) -> bool {
        let free = !self.blocked.contains(&operation.device)
            && (self.missing.is_empty() || operation.body.blobs().all(|blob| !self.missing.contains(&blob)));
        if !free {
            self.blocked.insert(&operation.device);
            self.passed.insert(position);
        }
        free
    }
}

impl Held {
    /// A blob is here that the core does not have.
    pub fn wait_for(&mut self, blob: BlobHash) {
        self.missing.insert(blob);
    }

    /// The core has it.
    pub fn arrived(&mut self, blob: &BlobHash) {
        self.freed |= self.missing.remove(blob) && !self.passed.is_empty();
    }

    /// Whether passed ones should be looked at again.
    pub fn is_freed(&self) -> bool {
        self.freed
    }

    /// Sending begins anew behind a position.
    pub fn rewind(&mut self, sent: u64) {
        self.passed.split_off(&(sent + 1));
    }

    /// Passed ones first, then those behind `sent`. [`Walk::lets`] says which of them may go.
    pub fn walk<'a>(&'a self, outbox: &'a Outbox, sent: u64) -> (Walk<'a>, impl Iterator<Item = Next<'a>> + use<'a>) {
        let passed = self.passed.iter().filter_map(|&position| outbox.at(position));
        let walk = Walk { missing: &self.missing, blocked: BTreeSet::new(), passed: BTreeSet::new() };
        (walk, passed.chain(outbox.after(sent)))
    }

    /// The walk's end: `passed` of it, and those that it did not come to.
    pub fn walked(&mut self, passed: BTreeSet<u64>, upto: u64) {
        let rest = self.passed.split_off(&(upto + 1));
        self.freed = false;
        self.passed = passed;
        self.passed.extend(rest);
    }
}
