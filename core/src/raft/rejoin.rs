//! A node that begins with an empty log may have had one before: its disk was replaced, or its folder moved away after
//! damage. It no longer knows whom it voted for and what it acknowledged; with its vote, a candidate could win
//! that lacks committed entries. So it keeps its vote back until it has caught up with a leader, over restarts
//! too: a mark in the data folder says so.
//!
//! A node that leads hears no leader's append, and would keep its mark for as long as it leads; in a fresh core that is each
//! group's first leader, and a group of three cannot elect anybody when one of the two others is gone. So it is also done
//! once an entry of its own lead is applied here. That is safe:
//! - Votes are withheld so that this node does not help a candidate that lacks a committed entry. An entry of its own lead
//!   is committed when a majority holds its log up to there, this node among them. Whatever counts as committed from
//!   then on is in its own log, and Raft's comparison of logs keeps its vote from candidates that lack it.
//! - A vote that it has forgotten is mostly of a term before the lead's, and stale. One of a later term, given just before
//!   the log was lost to a candidate that has not won since, it could give again to another one; that is no more so than for a
//!   node that has caught up as a follower, and takes a new disk within the time of one election.
//! - To follow somebody is not enough: of that leader's entries it may hold some, and lack later ones that are committed.
//!   Nor is to lead without an entry of its own: what it holds of earlier terms may not be committed.
//!
//! What the mark does not do: keep this node from standing for election itself. Caught up half-way it can win with its own vote
//! and that of a node which lacks the same entries, if the only other one that has them goes just then.

use super::types::{Group, LogId, NodeId, Vote};
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
        if caught_up {
            self.vote_again();
        }
    }

    /// What stands as this node's vote, and what is applied here: for whether it leads, and has an entry of its own committed.
    pub fn leads(&self, own: NodeId, vote: &Vote, applied: Option<LogId>) {
        let lead = vote.leader_id();
        let is_own = vote.is_committed() && lead.node_id == own;
        if is_own && applied.is_some_and(|applied| applied.leader_id == *lead) {
            self.vote_again();
        }
    }

    fn vote_again(&self) {
        if !self.is_withheld() {
            return;
        }
        if let Err(e) = std::fs::remove_file(&self.mark)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("the mark {} cannot be removed: {e}", self.mark.display());
            return;
        }
        self.withheld.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::id;
    use openraft::impls::leader_id_adv::LeaderId;

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

    #[test]
    fn a_leader_votes_again_once_an_entry_of_its_own_lead_is_applied() {
        let dir = tempfile::tempdir().unwrap();
        let rejoin = Rejoin::open(dir.path(), Group(1), true).unwrap();
        let applied = Some(id(3, 8));
        let (own, other) = (1, 2);
        // `id` is of entries that node 1 has ordered.
        rejoin.leads(
            own,
            &Vote::new_committed(3, other),
            Some(LogId { leader_id: LeaderId { term: 3, node_id: other }, index: 8 }),
        );
        assert!(rejoin.is_withheld(), "another one leads");
        rejoin.leads(own, &Vote::new(3, own), applied);
        assert!(rejoin.is_withheld(), "it is a candidate");
        rejoin.leads(own, &Vote::new_committed(4, own), applied);
        assert!(rejoin.is_withheld(), "what it has is of an earlier term");
        rejoin.leads(own, &Vote::new_committed(4, own), None);
        assert!(rejoin.is_withheld(), "it has nothing");
        rejoin.leads(own, &Vote::new_committed(3, own), applied);
        assert!(rejoin.may_vote(Some(id(4, 9))));
        assert!(Rejoin::open(dir.path(), Group(1), false).unwrap().may_vote(Some(id(4, 9))), "over restarts");
    }
}
