//! What the store tells the live stream after each commit.

use crate::session::SessionKey;
use schulhof_school::{Actor, Change};
use schulhof_wire::{DeviceId, LogIndex, Seq, api::DeviceMarks};

/// Everything that one commit changed, in order.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    /// Highest confirmed index after it; 0 if it says nothing about entries.
    pub head: LogIndex,
    pub changes: Vec<Changed>,
    /// Devices whose operations moved on.
    pub marks: Vec<DeviceMarks>,
    /// Operations that the core refused when they came to their place.
    pub rejected: Vec<Rejected>,
    /// The way to the core opened or closed.
    pub core_online: Option<bool>,
    /// Sessions that ended.
    pub ended: Vec<SessionKey>,
    /// Whoever is connected has to load everything anew.
    pub reload: bool,
}

/// An operation that has its place, and no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub device: DeviceId,
    pub seq: Seq,
    /// Who wrote it: somebody else may use the same name of a device.
    pub actor: Actor,
    pub reason: String,
}

/// One change, and the entry that made it; none for what waits in the outbox.
#[derive(Debug, Clone)]
pub struct Changed {
    pub index: Option<LogIndex>,
    pub change: Change,
}

impl Notice {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.marks.is_empty()
            && self.rejected.is_empty()
            && self.core_online.is_none()
            && self.ended.is_empty()
            && !self.reload
    }
}
