//! Which nodes a group is on: each leader brings its group's members to what the meta group's records say, step by step.
//!
//! A new node is a learner until it has caught up, then it votes; one that leaves first gives away what it leads, then loses
//! its vote and is forgotten (joint consensus, Raft section 6). What stands in the records is a goal: a leader that dies in
//! between leaves its successor to go on, and what is done already is not done again.

use super::{
    groups::{GroupHandle, Groups},
    types::{Group, NodeId},
};
use crate::meta::{NodeState, View};
use futures_util::future::join_all;
use openraft::{BasicNode, ChangeMembers, async_runtime::WatchReceiver};
use std::{collections::BTreeSet, time::Duration};

/// How often members are compared with the records.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A change is agreed on within this time, or tried again.
const CHANGE_MAX: Duration = Duration::from_secs(10);
/// Entries that a learner may be behind when it gets its vote: what it catches up within a heartbeat or two.
const CAUGHT_UP_LAG_MAX: u64 = 200;

/// A group's members as one node knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// Between two memberships.
    pub is_joint: bool,
    pub leader: Option<NodeId>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Learn(NodeId),
    Promote(NodeId),
    /// Give the lead to that node, since this one leaves.
    HandOver(NodeId),
    Remove {
        id: NodeId,
        votes: bool,
    },
    /// A change was left half done.
    Settle(BTreeSet<NodeId>),
}

/// The first step from what is to what shall be. `caught_up`: learners that may vote.
fn next(members: &Members, view: &View, own: NodeId, caught_up: &BTreeSet<NodeId>) -> Option<Step> {
    let stays = |id: &NodeId| view.nodes.get(id).is_some_and(|node| node.state.is_member());
    if members.is_joint {
        let mut settled: BTreeSet<NodeId> = members.voters.iter().copied().filter(|id| stays(id)).collect();
        if settled.is_empty() {
            settled.clone_from(&members.voters);
        }
        return Some(Step::Settle(settled));
    }
    let known = |id: &NodeId| members.voters.contains(id) || members.learners.contains(id);
    if let Some(id) = view.nodes.keys().find(|id| stays(id) && !known(id)) {
        return Some(Step::Learn(*id));
    }
    if let Some(id) = members.learners.iter().find(|id| stays(id) && caught_up.contains(id)) {
        return Some(Step::Promote(*id));
    }
    // As long as somebody is still catching up nobody leaves: a node that is replaced stays until the other one votes.
    if members.learners.iter().any(stays) {
        return None;
    }
    let leaving = members.voters.union(&members.learners).copied().find(|id| !stays(id))?;
    if leaving != own {
        return Some(Step::Remove { id: leaving, votes: members.voters.contains(&leaving) });
    }
    members.voters.iter().copied().find(|id| *id != own && stays(id)).map(Step::HandOver)
}

impl Groups {
    /// A group's members, as this node knows them.
    pub fn members(&self, group: Group) -> Option<Members> {
        let metrics = self.get(group)?.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        Some(Members {
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            is_joint: membership.get_joint_config().len() > 1,
            leader: metrics.current_leader,
        })
    }

    /// Brings the members of the groups that this node leads to what the meta group says, until it is dropped.
    pub async fn tend_members(&self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let view = self.view().borrow().clone();
            if view.has_begun() {
                join_all(self.all().map(|(group, handle)| self.tend_group(group, handle, &view))).await;
            }
        }
    }

    async fn tend_group(&self, group: Group, handle: &GroupHandle, view: &View) {
        if !handle.raft.is_leader() {
            return;
        }
        let Some(members) = self.members(group) else { return };
        let caught_up = {
            let metrics = handle.raft.metrics();
            let metrics = metrics.borrow_watched();
            let last = metrics.last_log_index.unwrap_or(0);
            let near =
                |matched: &Option<super::types::LogId>| matched.is_some_and(|id| id.index + CAUGHT_UP_LAG_MAX >= last);
            let replication = metrics.replication.iter().flatten();
            replication.filter(|(_, matched)| near(matched)).map(|(id, _)| *id).collect()
        };
        let Some(step) = next(&members, view, self.peers().own(), &caught_up) else { return };
        tracing::info!(group = group.0, ?step, "the group's members change");
        let change = async {
            let failed = |e: &dyn std::fmt::Display| e.to_string();
            let ids = |id: &NodeId| BTreeSet::from([*id]);
            let change = match &step {
                Step::HandOver(to) => {
                    return handle.raft.trigger().transfer_leader(*to).await.map_err(|e| failed(&e));
                }
                Step::Learn(id) => {
                    let node = BasicNode::new(view.nodes[id].address.to_string());
                    return handle.raft.add_learner(*id, node, false).await.map(drop).map_err(|e| failed(&e));
                }
                Step::Promote(id) => ChangeMembers::AddVoterIds(ids(id)),
                Step::Remove { id, votes: true } => ChangeMembers::RemoveVoters(ids(id)),
                Step::Remove { id, votes: false } => ChangeMembers::RemoveNodes(ids(id)),
                Step::Settle(voters) => ChangeMembers::ReplaceAllVoters(voters.clone()),
            };
            handle.raft.change_membership(change, false).await.map(drop).map_err(|e| failed(&e))
        };
        match tokio::time::timeout(CHANGE_MAX, change).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(group = group.0, ?step, "the members could not be changed yet: {e}"),
            Err(_) => tracing::warn!(group = group.0, ?step, "no agreement on the members yet"),
        }
    }

    /// Who may be given the lead of a group: its home node, since groups are spread over the active nodes that have room on
    /// their disks. If this node is not to lead at all: any of them, the home node first.
    pub(super) fn homes(&self, group: Group, view: &View) -> Vec<NodeId> {
        let Some(members) = self.members(group) else { return Vec::new() };
        let active = |id: &NodeId| view.nodes.get(id).is_none_or(|node| node.state == NodeState::Active);
        let own = self.peers().own();
        let has_room = |id: &NodeId| if *id == own { !self.space().is_low() } else { !self.space().is_low_at(*id) };
        let mut able: Vec<NodeId> = members.voters.into_iter().filter(|id| active(id) && has_room(id)).collect();
        if !able.is_empty() {
            let home = (group.0 as usize + able.len() - 1) % able.len();
            able.rotate_left(home);
            if able.contains(&own) {
                able.truncate(1);
            }
        }
        able
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Node;
    use schulhof_wire::NodeName;

    fn view(states: &[(NodeId, NodeState)]) -> View {
        let node = |&(id, state): &(NodeId, NodeState)| {
            let name = NodeName::new(format!("core-{id}")).unwrap();
            (id, Node { id, name, address: ([127, 0, 0, 1], id as u16).into(), state, replaces: None })
        };
        View { groups: 1, nodes: states.iter().map(node).collect(), ..View::default() }
    }

    fn members(voters: &[NodeId], learners: &[NodeId]) -> Members {
        let set = |ids: &[NodeId]| ids.iter().copied().collect();
        Members { voters: set(voters), learners: set(learners), is_joint: false, leader: Some(1) }
    }

    #[test]
    fn a_new_node_learns_then_votes_and_only_then_another_leaves() {
        use NodeState::{Active, Joining, Leaving};
        let goal = view(&[(1, Active), (2, Active), (3, Leaving), (4, Joining)]);
        let nobody = BTreeSet::new();
        let four = BTreeSet::from([4]);
        let step = |members: &Members, caught_up| next(members, &goal, 1, caught_up);
        assert_eq!(step(&members(&[1, 2, 3], &[]), &nobody), Some(Step::Learn(4)));
        assert_eq!(step(&members(&[1, 2, 3], &[4]), &nobody), None, "nobody leaves while it catches up");
        assert_eq!(step(&members(&[1, 2, 3], &[4]), &four), Some(Step::Promote(4)));
        let all = members(&[1, 2, 3, 4], &[]);
        assert_eq!(step(&all, &nobody), Some(Step::Remove { id: 3, votes: true }));
        assert_eq!(next(&all, &goal, 3, &nobody), Some(Step::HandOver(1)), "who leaves does not remove itself");
        assert_eq!(step(&members(&[1, 2, 4], &[]), &nobody), None);
    }

    #[test]
    fn a_change_that_was_left_half_done_is_settled_first() {
        use NodeState::{Active, Leaving};
        let goal = view(&[(1, Active), (2, Active), (3, Leaving), (4, Active)]);
        let joint = Members { is_joint: true, ..members(&[1, 2, 3, 4], &[]) };
        assert_eq!(next(&joint, &goal, 1, &BTreeSet::new()), Some(Step::Settle(BTreeSet::from([1, 2, 4]))));
    }
}
