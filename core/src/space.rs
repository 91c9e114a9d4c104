//! Free disk space of the core nodes, looked at every second: a disk that runs full in the middle of a write stops its node,
//! one that is nearly full only takes no more operations.
//!
//! What is known here: this node's own disk, and of which other nodes the disks are nearly full. What follows from it:
//! - A node whose disk is nearly full takes no operations, blobs and loads, and gives its leads to nodes that have room.
//! - Nor does a leader that has room, while fewer than a majority of the nodes have: what it takes they must write, too.
//! - A single follower is no reason to stop the others. When its disk is all but full it takes no more entries that carry
//!   something, and no snapshots: it falls behind instead of dying, and catches up when there is room.
//!
//! What a node must still write then (its groups' own entries, what it has taken already, a durable commit of each state)
//! fits into what is kept free; the log besides writes into segments whose room was taken before. Reading, and everything
//! that goes down to the boxes, goes on.

use crate::raft::{Groups, types::NodeId};
use parking_lot::Mutex;
use schulhof_wire::NodeName;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Below this much free space no operations are taken, in bytes: several segments of the log, and what the states hold back
/// until their next durable commit.
pub const KEPT_FREE: u64 = 256 << 20;
/// Below this part of it a follower takes no entries: what the leader sends before it knows must not fill the disk.
const EXHAUSTED_SHARE: u64 = 4;
/// A second's operations are a few megabytes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much is free on the disk that holds a folder, and whether the other nodes have room. In bytes.
pub struct FreeSpace {
    folder: PathBuf,
    kept_free: AtomicU64,
    free: AtomicU64,
    /// What was said last in the log of this program.
    told_low: AtomicBool,
    /// Nodes whose disks are nearly full.
    others_low: Mutex<BTreeMap<NodeId, NodeName>>,
    /// Fewer than a majority have room.
    too_few: AtomicBool,
}

impl FreeSpace {
    /// Looks once.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        let space = Self {
            folder: folder.into(),
            kept_free: AtomicU64::new(KEPT_FREE),
            // Until the first look, and if it cannot be known: the disk itself will tell.
            free: AtomicU64::new(u64::MAX),
            told_low: AtomicBool::new(false),
            others_low: Mutex::default(),
            too_few: AtomicBool::new(false),
        };
        space.look();
        space
    }

    /// Whether this node's disk is nearly full, as of the last look.
    pub fn is_low(&self) -> bool {
        self.free() < self.kept_free.load(Ordering::Relaxed)
    }

    /// Whether this node should write nothing that it can do without.
    pub fn is_exhausted(&self) -> bool {
        self.free() < self.kept_free.load(Ordering::Relaxed) / EXHAUSTED_SHARE
    }

    /// As of the last look, in bytes.
    pub fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Whether another node's disk was nearly full when it was asked last.
    pub fn is_low_at(&self, node: NodeId) -> bool {
        self.others_low.lock().contains_key(&node)
    }

    /// Whether a leader here may take operations.
    pub fn has_room(&self) -> bool {
        !self.is_low() && !self.too_few.load(Ordering::Relaxed)
    }

    /// Why no operations are taken, for operators; `None` if they are.
    pub fn refusal(&self) -> Option<String> {
        if self.is_low() {
            let kept = self.kept_free.load(Ordering::Relaxed);
            return Some(format!("this node's disk is nearly full: {} bytes are free, {kept} are kept", self.free()));
        }
        self.too_few.load(Ordering::Relaxed).then(|| {
            let names: Vec<String> = self.others_low.lock().values().map(ToString::to_string).collect();
            format!("too few nodes have room on their disks; nearly full: {}", names.join(", "))
        })
    }

    /// Another amount to be kept free, in bytes.
    pub fn keep_free(&self, bytes: u64) {
        self.kept_free.store(bytes, Ordering::Relaxed);
        self.look();
    }

    fn look(&self) {
        let Ok(stat) = rustix::fs::statvfs(&self.folder) else { return };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        self.free.store(free, Ordering::Relaxed);
        metrics::gauge!("schulhof_core_disk_free_bytes").set(free as f64);
        let low = self.is_low();
        if self.told_low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!(free, "too little free disk space: operations are not taken until there is more");
            } else {
                tracing::warn!(free, "enough free disk space again: operations are taken");
            }
        }
    }

    /// What the other nodes said; `nodes` is how many there are with this one.
    fn heard(&self, low: BTreeMap<NodeId, NodeName>, nodes: usize) {
        let with_room = nodes.saturating_sub(low.len() + usize::from(self.is_low()));
        let too_few = with_room <= nodes / 2;
        *self.others_low.lock() = low;
        if self.too_few.swap(too_few, Ordering::Relaxed) != too_few && !self.is_low() {
            match self.refusal() {
                Some(why) => tracing::error!("operations are not taken: {why}"),
                None => tracing::warn!("enough nodes have room on their disks again: operations are taken"),
            }
        }
    }
}

/// Looks, and asks the other nodes, now and then until it is dropped. Who does not answer writes nothing either.
pub async fn watch(groups: Arc<Groups>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        groups.space().look();
        let (low, nodes) = groups.low_on_space().await;
        groups.space().heard(low, nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(nodes: &[NodeId]) -> BTreeMap<NodeId, NodeName> {
        nodes.iter().map(|id| (*id, NodeName::new(format!("core-{id}")).unwrap())).collect()
    }

    #[test]
    fn it_is_low_below_what_is_kept_free_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let space = FreeSpace::of(folder.path());
        space.keep_free(u64::MAX);
        assert!(space.is_low() && space.is_exhausted() && !space.has_room());
        assert!(space.refusal().unwrap().contains("this node's disk"));
        space.keep_free(space.free().saturating_mul(2));
        assert!(space.is_low() && !space.is_exhausted(), "half of it is more than a quarter");
        space.keep_free(0);
        assert!(!space.is_low() && space.has_room());
        assert_eq!(space.refusal(), None);
    }

    #[test]
    fn a_leader_with_room_stops_when_fewer_than_a_majority_have_room_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let space = FreeSpace::of(folder.path());
        space.keep_free(0);
        space.heard(named(&[2]), 3);
        assert!(space.has_room() && space.is_low_at(2) && !space.is_low_at(3), "one of three is no reason");
        space.heard(named(&[2, 3]), 3);
        assert!(!space.has_room());
        assert!(space.refusal().unwrap().ends_with("core-2, core-3"));
        space.heard(named(&[3]), 3);
        assert_eq!(space.refusal(), None);
        space.heard(named(&[2, 3]), 5);
        assert!(space.has_room(), "three of five have room");
        space.heard(named(&[2]), 2);
        assert!(!space.has_room(), "both of two are needed");
    }
}
