//! A node that begins with an empty log may have had one before: its disk was replaced, or its folder moved away after
//! damage. It no longer knows whom it voted for and what it acknowledged; with its vote, a candidate could win
//! that lacks committed entries. So it keeps its vote back until it has caught up with a leader, over restarts
//! too: a mark in the data folder says so.

use super::types::{Group, LogId};
use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether this node keeps its vote back in one group.
pub struct Rejoin {
    mark: PathBuf,
    withheld: AtomicBool,
}

impl Rejoin {
    /// `empty`: the group's log holds neither entries nor a vote.
    pub fn open(dir: &Path, group: Group, empty: bool) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mark = dir.join(format!("group-{group}"));
        if empty {
            std::fs::File::create(&mark)?.sync_all()?;
            std::fs::File::open(dir)?.sync_all()?;
        }
        let withheld = AtomicBool::new(mark.exists());
        Ok(Self { mark, withheld })
    }

    /// Whether to vote for a candidate whose log ends there. In a group that is just beginning (only its membership is in
    /// the log) nothing can have been acknowledged.
    pub fn may_vote(&self, candidate_last: Option<LogId>) -> bool {
        candidate_last.is_none_or(|last| last.index == 0) || !self.withheld.load(Ordering::Acquire)
    }

    pub fn is_withheld(&self) -> bool {
        self.withheld.load(Ordering::Acquire)
    }

    /// A leader's append was taken; what it knows as committed, and what is applied here.
    pub fn appended(&self, leader_committed: Option<LogId>, applied: Option<LogId>) {
        // The first entry of a leader's own term is committed before it answers anybody.
        let caught_up = leader_committed.is_some_and(|committed| committed.index > 0) && applied >= leader_committed;
        if caught_up && self.is_withheld() {
            if let Err(e) = std::fs::remove_file(&self.mark)
                && e.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("the mark {} cannot be removed: {e}", self.mark.display());
                return;
            }
            self.withheld.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::id;

    #[test]
    fn a_fresh_node_votes_in_a_beginning_group_only_until_it_has_caught_up() {
        let dir = tempfile::tempdir().unwrap();
        let rejoin = Rejoin::open(dir.path(), Group(1), true).unwrap();
        assert!(rejoin.may_vote(Some(id(1, 0))));
        assert!(!rejoin.may_vote(Some(id(1, 1))));
        rejoin.appended(Some(id(2, 9)), Some(id(2, 8)));
        assert!(!rejoin.may_vote(Some(id(2, 9))));
        // Not even after a restart with part of the log.
        let rejoin = Rejoin::open(dir.path(), Group(1), false).unwrap();
        assert!(!rejoin.may_vote(Some(id(2, 9))));
        rejoin.appended(Some(id(2, 9)), Some(id(2, 9)));
        assert!(rejoin.may_vote(Some(id(2, 9))));
        assert!(Rejoin::open(dir.path(), Group(1), false).unwrap().may_vote(Some(id(2, 9))));
    }
}
