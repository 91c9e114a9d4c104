//! What a node does for its groups by itself: begins them, gives leads home, lets the log forget.

use super::{
    groups::{GroupHandle, Groups},
    message::{Request, Response},
    types::{Group, NodeId},
};
use futures_util::future::join_all;
use openraft::{BasicNode, async_runtime::WatchReceiver};
use std::{collections::BTreeMap, time::Duration};

/// How often the groups are looked after.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Rounds in which a group's home node must have been up to date before the lead goes back to it.
const HOME_STEADY_ROUNDS: u32 = 5;
/// Entries that the home node may be behind then.
const HOME_LAG_MAX: u64 = 100;
/// Segments above which groups with little traffic give up old entries, so that segments can go.
const SEGMENTS_WANTED: usize = 16;
/// Heartbeats between the nodes that may ask for votes after the home node.
const OTHERS_APART: u32 = 3;
/// Another node begins a group in the place of its home node after this many of the longest election timeouts.
const BEGIN_PATIENCE: u32 = 5;

impl Groups {
    /// Begins groups that do not exist anywhere, keeps leaders spread, lets the log forget. Until it is dropped.
    pub async fn tend(&self) {
        let begin = join_all(self.handles.iter().map(|(&group, handle)| self.begin(group, handle)));
        let care = async {
            let mut steady = BTreeMap::new();
            let mut every = tokio::time::interval(TEND_EVERY);
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                let view = self.view().borrow().clone();
                for (&group, handle) in &self.handles {
                    if handle.rejoin.is_withheld() {
                        let metrics = handle.raft.metrics().borrow_watched().clone();
                        handle.rejoin.leads(self.peers.own(), &metrics.vote, metrics.last_applied);
                    }
                    let homes = self.homes(group, &view);
                    self.give_lead_home(group, handle, homes, steady.entry(group).or_insert(0)).await;
                    let store = handle.store.clone();
                    // A failure shows at the next apply too, and there it ends the node.
                    if let Ok(Err(e)) = tokio::task::spawn_blocking(move || store.make_durable_if_due()).await {
                        tracing::error!(group = group.0, "the state cannot be made durable: {e}");
                    }
                }
                self.free_segments().await;
            }
        };
        tokio::join!(begin, self.let_others_ask(), care);
    }

    /// After a start the home nodes are the only ones to ask for votes: with the lead elsewhere, all boxes would come there and go
    /// home with it some seconds later. Then the others may ask too, one after the other.
    async fn let_others_ask(&self) {
        let turn = self.founders.iter().position(|member| member.id == self.peers.own()).unwrap_or(0) as u32;
        let heartbeat = Duration::from_millis(self.settings.heartbeat_ms);
        tokio::time::sleep(self.settings.election_max() + heartbeat * OTHERS_APART * turn).await;
        for handle in self.handles.values() {
            handle.raft.runtime_config().elect(true);
        }
    }

    /// Waits until the group has begun; begins it if a majority says that nothing exists.
    async fn begin(&self, group: Group, handle: &GroupHandle) {
        let members: BTreeMap<NodeId, BasicNode> =
            self.founders.iter().map(|m| (m.id, BasicNode::new(m.address.to_string()))).collect();
        if members.is_empty() {
            return;
        }
        let own = self.peers.own();
        let mine = members.keys().nth((group.0 as usize + members.len() - 1) % members.len()) == Some(&own);
        // Nodes that stand in for the home node wait, each for longer than the one before it.
        let turn = members.keys().position(|id| *id == self.peers.own()).unwrap_or(0) as u32;
        let patience = if mine { Duration::ZERO } else { self.settings.election_max() * BEGIN_PATIENCE * (turn + 1) };
        let started = tokio::time::Instant::now();
        while matches!(handle.raft.is_initialized().await, Ok(false)) {
            if started.elapsed() >= patience && self.nowhere_begun(group, &members).await {
                match handle.raft.initialize(members.clone()).await {
                    Ok(()) => tracing::info!(group = group.0, members = members.len(), "began a group"),
                    Err(e) => tracing::warn!(group = group.0, "a group could not begin: {e}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(self.settings.heartbeat_ms)).await;
        }
    }

    async fn nowhere_begun(&self, group: Group, members: &BTreeMap<NodeId, BasicNode>) -> bool {
        let others = members.keys().filter(|id| **id != self.peers.own());
        let probes = join_all(others.map(|&id| self.peers.call(id, group, &Request::Probe))).await;
        let mut answered = 1;
        for probe in probes {
            match probe {
                Ok(Response::Probe { begun: true }) => return false,
                Ok(Response::Probe { begun: false }) => answered += 1,
                _ => {}
            }
        }
        answered > members.len() / 2
    }

    /// Hands the lead to the group's home node once that has been up to date for a while.
    async fn give_lead_home(&self, group: Group, handle: &GroupHandle, homes: Vec<NodeId>, steady: &mut u32) {
        let own = self.peers.own();
        let ready: Vec<NodeId> = {
            let metrics = handle.raft.metrics();
            let metrics = metrics.borrow_watched();
            let last = metrics.last_log_index.unwrap_or(0);
            let matched = |id: &NodeId| metrics.replication.as_ref()?.get(id).copied().flatten();
            let up_to_date = |id: &NodeId| matched(id).is_some_and(|id| id.index + HOME_LAG_MAX >= last);
            let leads = metrics.current_leader == Some(own);
            homes.into_iter().filter(|id| leads && *id != own && up_to_date(id)).collect()
        };
        *steady = if ready.is_empty() { 0 } else { *steady + 1 };
        if *steady < HOME_STEADY_ROUNDS {
            return;
        }
        for home in ready {
            // A dead node looks up to date when nothing is written: ask it.
            if self.peers.call(home, group, &Request::Probe).await.is_ok() {
                *steady = 0;
                tracing::info!(group = group.0, to = home, "handing the lead to the group's home node");
                if let Err(e) = handle.raft.trigger().transfer_leader(home).await {
                    tracing::warn!(group = group.0, "the lead could not be handed over: {e}");
                }
                return;
            }
        }
    }

    /// A group with little traffic keeps old segments, although its few entries in them are durable in its state.
    async fn free_segments(&self) {
        let (segments, holding) = self.log.segments();
        if segments <= SEGMENTS_WANTED {
            return;
        }
        for group in holding {
            let Some(handle) = self.handles.get(&group) else { continue };
            let (snapshot, applied) = {
                let metrics = handle.raft.metrics();
                let metrics = metrics.borrow_watched();
                (metrics.snapshot, metrics.last_applied)
            };
            let result = match snapshot {
                Some(snapshot) if Some(snapshot) == applied => handle.raft.trigger().purge_log(snapshot.index).await,
                _ => handle.raft.trigger().snapshot().await,
            };
            if let Err(e) = result {
                tracing::warn!(group = group.0, "old log entries cannot be given up: {e}");
            }
        }
    }
}
