//! Core nodes that come and go: the meta group's leader writes down when one votes everywhere, and when one is in no group
//! any more. The changes themselves are made by the leaders of the groups (`raft::members`).

use super::{MetaCommand, NodeState, View};
use crate::raft::{
    Groups,
    types::{Command, META},
};
use std::{sync::Arc, time::Duration};

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Until it is dropped.
pub async fn watch(groups: Arc<Groups>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if !groups.leads(META) {
            continue;
        }
        let view = groups.view().borrow().clone();
        for command in arrived(&groups, &view) {
            if let Err(e) = groups.propose(META, Command::Meta(command)).await {
                tracing::debug!("the state of a node is noted later: {e}");
            }
        }
    }
}

/// Nodes that have reached what was wanted of them, as this node's copies of the groups show.
fn arrived(groups: &Groups, view: &View) -> Vec<MetaCommand> {
    let all: Vec<_> = groups.all().filter_map(|(group, _)| groups.members(group)).collect();
    let everywhere = |id| all.iter().all(|members| !members.is_joint && members.voters.contains(&id));
    let nowhere = |id| all.iter().all(|m| !m.is_joint && !m.voters.contains(&id) && !m.learners.contains(&id));
    let next = |node: &super::Node| match node.state {
        NodeState::Joining if everywhere(node.id) => {
            Some(MetaCommand::NodeState { id: node.id, state: NodeState::Active })
        }
        NodeState::Leaving if nowhere(node.id) => Some(MetaCommand::NodeState { id: node.id, state: NodeState::Gone }),
        _ => None,
    };
    view.nodes.values().filter_map(next).collect()
}
