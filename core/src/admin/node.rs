//! Core nodes: which there are, which come and which go.

use super::{AdminDoor, Answer, refused};
use crate::{
    config::NODES_MAX,
    meta::{self, MetaAnswer, MetaCommand, NodeState, View},
    raft::types::NodeId,
};
use schulhof_net::identity::{PeerIdentity, Role};
use schulhof_wire::{
    NodeName,
    admin::{self, NodeChange},
};
use std::{collections::BTreeSet, net::SocketAddr};

/// With fewer voters the loss of one node stops everything.
const VOTERS_MIN: usize = 3;

impl AdminDoor {
    pub(super) async fn nodes(&self) -> Result<Answer, Answer> {
        let view = self.view().await?;
        let live = self.live(&view).await;
        Ok(Answer::Nodes(view.nodes.values().map(|node| self.listed(node, &live)).collect()))
    }

    pub(super) async fn node_add(
        &self,
        name: NodeName,
        address: SocketAddr,
        replaces: Option<NodeName>,
        dry_run: bool,
    ) -> Result<Answer, Answer> {
        PeerIdentity::new(Role::Core, name.as_str()).map_err(|e| refused("node-name", e.to_string()))?;
        let view = self.view().await?;
        let live = self.live(&view).await;
        if view.nodes.values().filter(|node| node.state.is_member()).count() >= NODES_MAX {
            return Err(refused("too-many-nodes", format!("a core has at most {NODES_MAX} nodes")));
        }
        self.bears(&live, None)?;
        self.change(MetaCommand::NodeAdd { name: name.clone(), address, replaces }, &name, dry_run).await
    }

    pub(super) async fn node_change(
        &self,
        name: NodeName,
        change: NodeChange,
        dry_run: bool,
    ) -> Result<Answer, Answer> {
        let view = self.view().await?;
        let found = view.nodes.values().find(|node| node.name == name && node.state != NodeState::Gone);
        let Some(&meta::Node { id, state: before, .. }) = found else {
            return Err(refused("unknown-node", format!("there is no core node {name}")));
        };
        if before == NodeState::Joining && change != NodeChange::Remove {
            return Err(refused("node-state", format!("{name} does not vote in all groups yet")));
        }
        let state = match change {
            NodeChange::Serve => NodeState::Active,
            NodeChange::Drain => NodeState::Draining,
            NodeChange::Remove => NodeState::Leaving,
        };
        let live = self.live(&view).await;
        match state {
            NodeState::Leaving => self.bears(&live, Some(id))?,
            NodeState::Draining => self.others_lead(&view, &live, id)?,
            _ => {}
        }
        self.change(MetaCommand::NodeState { id, state }, &name, dry_run).await
    }

    async fn change(&self, command: MetaCommand, name: &NodeName, dry_run: bool) -> Result<Answer, Answer> {
        let answer = if dry_run { self.try_out(command).await? } else { self.propose(command).await? };
        match answer {
            MetaAnswer::Node(node) => {
                let view = self.view().await?;
                let live = self.live(&view).await;
                Ok(Answer::Nodes(vec![self.listed(&node, &live)]))
            }
            other => Err(refused("internal", format!("the meta group answered {other:?} to a change of {name}"))),
        }
    }

    /// Which nodes answer now.
    async fn live(&self, view: &View) -> BTreeSet<NodeId> {
        let here = view.nodes.values().filter(|node| node.state != NodeState::Gone).map(|node| node.id);
        self.groups.answering(here).await
    }

    fn listed(&self, node: &meta::Node, live: &BTreeSet<NodeId>) -> admin::Node {
        let members: Vec<_> = self.groups.all().filter_map(|(group, _)| self.groups.members(group)).collect();
        let count = |is: &dyn Fn(&crate::raft::Members) -> bool| members.iter().filter(|m| is(m)).count() as u32;
        admin::Node {
            id: node.id,
            name: node.name.clone(),
            address: self.groups.peers().member(node.id).map_or(node.address, |member| member.address),
            state: match node.state {
                NodeState::Joining => admin::NodeState::Joining,
                NodeState::Active => admin::NodeState::Active,
                NodeState::Draining => admin::NodeState::Draining,
                NodeState::Leaving => admin::NodeState::Leaving,
                NodeState::Gone => admin::NodeState::Gone,
            },
            answers: live.contains(&node.id),
            groups: members.len() as u32,
            votes: count(&|m| m.voters.contains(&node.id)),
            learns: count(&|m| m.learners.contains(&node.id)),
            leads: count(&|m| m.leader == Some(node.id)),
        }
    }

    /// Refuses what would leave a group without a majority, or with so few voters that it bears no failure; says which.
    /// `away`: who goes. Nobody: one comes, which answers by the time that it votes.
    fn bears(&self, live: &BTreeSet<NodeId>, away: Option<NodeId>) -> Result<(), Answer> {
        let mut too_few = Vec::new();
        let mut silent = Vec::new();
        for (group, _) in self.groups.all() {
            let Some(members) = self.groups.members(group) else { continue };
            let after = members.voters.iter().filter(|id| Some(**id) != away).count();
            let answering = members.voters.iter().filter(|id| live.contains(id) && Some(**id) != away).count();
            let (after, answering) = if away.is_none() { (after + 1, answering + 1) } else { (after, answering) };
            if away.is_some() && after < VOTERS_MIN {
                too_few.push(group.to_string());
            }
            // The change itself needs a majority of those before, too.
            let now = members.voters.intersection(live).count();
            if answering <= after / 2 || now <= members.voters.len() / 2 {
                silent.push(group.to_string());
            }
        }
        if !silent.is_empty() {
            let groups = silent.join(", ");
            return Err(refused(
                "no-majority",
                format!("no majority of nodes that answer would be left in group {groups}"),
            ));
        }
        if !too_few.is_empty() {
            let groups = too_few.join(", ");
            return Err(refused(
                "too-few-nodes",
                format!("fewer than {VOTERS_MIN} voters would be left in group {groups}"),
            ));
        }
        Ok(())
    }

    /// Refuses to drain the last one that could lead a group.
    fn others_lead(&self, view: &View, live: &BTreeSet<NodeId>, id: NodeId) -> Result<(), Answer> {
        let able = |other: &NodeId| {
            *other != id && live.contains(other) && view.nodes.get(other).is_some_and(|n| n.state == NodeState::Active)
        };
        let groups = self.groups.all().filter_map(|(group, _)| Some((group, self.groups.members(group)?)));
        let without: Vec<String> =
            groups.filter(|(_, m)| !m.voters.iter().any(able)).map(|(group, _)| group.to_string()).collect();
        if without.is_empty() {
            return Ok(());
        }
        Err(refused("nobody-else", format!("no other node could lead group {}", without.join(", "))))
    }
}
