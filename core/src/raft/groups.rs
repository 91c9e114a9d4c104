//! The groups of this node: opening them, asking and proposing, stopping. What a node does for them by itself is in `tend`.

use super::{
    message::{Request, Response},
    network::Network,
    peers::{Member, Peers},
    reads::Reads,
    rejoin::Rejoin,
    types::{Answer, Command, Group, META, NodeId, Raft},
};
use crate::{
    log::{self, Log},
    meta::View,
    space::FreeSpace,
    state::{Machine, Store},
};
use futures_util::future::{join_all, select_all};
use openraft::{
    Config, ReadPolicy, SnapshotPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, LinearizableReadError, RaftError},
    storage::RaftLogStorage,
};
use parking_lot::Mutex;
use schulhof_wire::NodeName;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// openraft's election timeout in heartbeats: at least, at most. A follower first waits until its leader's lease has run out,
/// which is as long as the longest timeout, and then for a timeout: it asks for votes after 8 to 10 heartbeats. Less, and a
/// machine that is short of processor time elects again and again instead of working.
const ELECTION_HEARTBEATS: (u64, u64) = (3, 5);
/// The same at the group's home node, which asks after 7 to 8: after a restart of all the lead is at home at once, and does not
/// move there later with all boxes.
const ELECTION_HEARTBEATS_HOME: (u64, u64) = (3, 4);
/// Leases and longest timeouts after which a leader that no majority answers keeps silent, so that those who still hear it elect
/// another one; then it tries again for as long.
const QUORUM_LOST_TIMEOUTS: u64 = 2;
/// Entries of one append; its bytes are bounded by the log's portions.
const APPEND_ENTRIES_MAX: u64 = 500;
/// Entries that stay in the log after they are durable in the state: a follower that was away for less gets them, one
/// that was away for longer gets a snapshot.
const KEEP_SHARE: u64 = 2;
/// A node that stops waits this long for others to take over.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);
/// A read index is confirmed, or an entry applied, within this time, or a majority does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Data groups; the meta group comes to them.
    pub groups: u32,
    pub heartbeat_ms: u64,
    /// Entries after which a group's state is made durable and its log may be purged.
    pub purge_every: u64,
    pub state_cache_len: usize,
}

impl Settings {
    fn raft(&self, home: bool) -> Result<Arc<Config>, String> {
        let keep = self.purge_every * KEEP_SHARE;
        let (least, most) = if home { ELECTION_HEARTBEATS_HOME } else { ELECTION_HEARTBEATS };
        let config = Config {
            cluster_name: "schulhof".into(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.heartbeat_ms * least,
            election_timeout_max: self.heartbeat_ms * most,
            quorum_loss_probe_interval: Some(self.heartbeat_ms * most * QUORUM_LOST_TIMEOUTS),
            enable_pre_vote: Some(true),
            // The others let the home node ask first when all begin at once; see `tend`.
            enable_elect: home,
            max_payload_entries: APPEND_ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.purge_every),
            max_in_snapshot_log_to_keep: keep,
            replication_lag_threshold: keep + self.purge_every,
            purge_batch_size: (self.purge_every / 4).max(1),
            // A node that lost its log comes back empty; it keeps its vote back until it has caught up (see `rejoin`).
            allow_log_reversion: Some(true),
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(|e| e.to_string())
    }

    /// From a leader's last heartbeat until another node asks for votes: the lease and a timeout.
    pub(super) fn election_max(&self) -> Duration {
        Duration::from_millis(2 * self.heartbeat_ms * ELECTION_HEARTBEATS.1)
    }
}

/// One group on this node.
pub struct GroupHandle {
    pub raft: Raft,
    pub store: Arc<Store>,
    pub reads: Reads,
    pub(super) machine: Machine,
    pub(super) rejoin: Rejoin,
}

/// Why a group did not take a command, or cannot say how far it is.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("another node leads")]
    NotLeader(Option<NodeId>),
    /// What was proposed may still be applied.
    #[error("{0}")]
    Unavailable(String),
}

/// What an operator sees of a group.
#[derive(Debug, Clone, serde::Serialize)]
pub struct GroupStatus {
    pub group: Group,
    pub leader: Option<NodeName>,
    pub term: u64,
    pub applied: u64,
    /// Up to where the log was given up.
    pub purged: u64,
    pub members: Vec<NodeName>,
}

/// All groups of this node, over one log.
pub struct Groups {
    pub(super) handles: BTreeMap<Group, GroupHandle>,
    pub(super) peers: Arc<Peers>,
    pub(super) log: Log,
    space: FreeSpace,
    /// Nodes that have answered what nodes of the version before do not know.
    current: Mutex<BTreeSet<NodeId>>,
    pub(super) settings: Settings,
    /// The nodes on which groups begin that do not exist anywhere: those of the configuration. Empty: they exist.
    pub(super) founders: Vec<Member>,
}

impl Groups {
    /// Opens log and state in the folder and starts the groups.
    pub async fn open(
        dir: &Path,
        peers: Arc<Peers>,
        founders: Vec<Member>,
        settings: Settings,
    ) -> io::Result<Arc<Self>> {
        let raft_config = |home| settings.raft(home).map_err(|e| io::Error::other(format!("Raft's settings: {e}")));
        let (raft_config, raft_config_home) = (raft_config(false)?, raft_config(true)?);
        let numbers: Vec<Group> = (META.0..=settings.groups).map(Group).collect();
        let received = dir.join("received");
        if received.exists() {
            std::fs::remove_dir_all(&received)?;
        }
        for dir in [&received, &dir.join("state")] {
            std::fs::create_dir_all(dir)?;
        }
        let options = log::Options::for_groups(numbers.len());
        let (log_dir, log_groups) = (dir.join("log"), numbers.clone());
        let open = move || Log::open(&log_dir, log_groups, options);
        let log = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;

        let mut handles = BTreeMap::new();
        for &group in &numbers {
            let path = dir.join("state").join(format!("group-{group}.redb"));
            let cache_len = settings.state_cache_len / numbers.len();
            let open = move || Store::open(&path, group, cache_len);
            let store = Arc::new(tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??);
            let machine = Machine::new(store.clone(), received.clone());
            let mut group_log = log.group(group);
            let empty = group_log.is_empty();
            let rejoin = Rejoin::open(&dir.join("rejoin"), group, empty)?;
            let network = Network { peers: peers.clone(), group };
            let purged = group_log.get_log_state().await?.last_purged_log_id;
            let (applied, _) = store.applied()?;
            if purged > applied {
                return Err(io::Error::other(format!(
                    "the state of group {group} ends at {applied:?}, the log begins after {purged:?}: \
                     the state file is older than the log. Move the data folder away and let this node join as a fresh one"
                )));
            }
            // Of those who began. Later members are all the same in this; where the lead belongs then is looked after, see `tend`.
            let home = founders.get((group.0 as usize + founders.len().max(1) - 1) % founders.len().max(1));
            let is_home = home.is_some_and(|member| member.id == peers.own());
            let config = if is_home { &raft_config_home } else { &raft_config };
            let raft = Raft::new(peers.own(), config.clone(), network, group_log, machine.clone())
                .await
                .map_err(|e| io::Error::other(format!("group {group}: {e}")))?;
            let reads = Reads::default();
            handles.insert(group, GroupHandle { raft, store, reads, machine, rejoin });
        }
        Ok(Arc::new(Self {
            handles,
            peers,
            log,
            space: FreeSpace::of(dir),
            current: Mutex::default(),
            settings,
            founders,
        }))
    }

    pub fn get(&self, group: Group) -> Option<&GroupHandle> {
        self.handles.get(&group)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Group, &GroupHandle)> {
        self.handles.iter().map(|(group, handle)| (*group, handle))
    }

    /// Whether this node was added to others and has not heard from the meta group yet.
    pub fn is_new(&self) -> bool {
        self.founders.is_empty() && !self.view().borrow().has_begun()
    }

    /// How many data groups there are.
    pub fn data_groups(&self) -> u32 {
        self.settings.groups
    }

    /// Which of these nodes answer now; this one does.
    pub async fn answering(&self, nodes: impl Iterator<Item = NodeId>) -> BTreeSet<NodeId> {
        let own = self.peers.own();
        let ask =
            async |id: NodeId| (id == own || self.peers.call(id, META, &Request::Probe).await.is_ok()).then_some(id);
        join_all(nodes.map(ask)).await.into_iter().flatten().collect()
    }

    /// Room on this node's disk and on those of the others.
    pub fn space(&self) -> &FreeSpace {
        &self.space
    }

    /// Of the other nodes those that say that their disks are nearly full; and how many nodes there are with this one.
    pub async fn low_on_space(&self) -> (BTreeMap<NodeId, NodeName>, usize) {
        let others = self.peers.others();
        let ask = async |id: NodeId| {
            let answer = self.peers.call(id, META, &Request::Space).await;
            let Ok(Response::Space { low }) = answer else { return None };
            self.current.lock().insert(id);
            if low { Some((id, self.peers.name(id)?)) } else { None }
        };
        let nodes = others.len() + 1;
        (join_all(others.into_iter().map(ask)).await.into_iter().flatten().collect(), nodes)
    }

    /// Whether each other node has been seen to be of this version since this one began: only then may the log get entries that
    /// nodes of the version before cannot read. While nodes are updated one after the other those could follow no leader that
    /// proposes such.
    pub fn all_current(&self) -> bool {
        let current = self.current.lock();
        self.peers.others().iter().all(|id| current.contains(id))
    }

    /// The meta group's records as applied here, now and from now on.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.handles[&META].store.view()
    }

    /// Whether this node leads the group, as far as it knows.
    pub fn leads(&self, group: Group) -> bool {
        self.handles.get(&group).is_some_and(|handle| handle.raft.is_leader())
    }

    /// Proposes a command to a group that this node leads, and waits until it is applied here.
    pub async fn propose(&self, group: Group, command: Command) -> Result<Answer, ProposeError> {
        let handle = self.handle(group)?;
        if matches!(command, Command::Load { .. })
            && let Some(why) = self.space.refusal()
        {
            return Err(ProposeError::Unavailable(why));
        }
        match timeout(ANSWER_MAX, handle.raft.client_write(command)).await {
            Ok(Ok(written)) => Ok(written.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader(forward.leader_id))
            }
            Ok(Err(e)) => Err(ProposeError::Unavailable(e.to_string())),
            Err(_) => Err(ProposeError::Unavailable(format!("group {group} does not come to an agreement"))),
        }
    }

    /// Proposes a command to a group, wherever it is led.
    pub async fn propose_there(&self, group: Group, command: Command) -> Result<Answer, ProposeError> {
        let leader = match self.propose(group, command.clone()).await {
            Err(ProposeError::NotLeader(Some(leader))) => leader,
            other => return other,
        };
        // The other node itself gives up first.
        let patience = ANSWER_MAX + Duration::from_secs(1);
        match self.peers.call_within(patience, leader, group, &Request::Propose(command)).await {
            Ok(Response::Proposed(answer)) => Ok(answer),
            Ok(Response::NotLeader) => Err(ProposeError::NotLeader(None)),
            Ok(other) => Err(ProposeError::Unavailable(format!("unexpected answer {other:?}"))),
            Err(e) => Err(ProposeError::Unavailable(e.to_string())),
        }
    }

    /// This node's copy of a group's state.
    pub fn store(&self, group: Group) -> Result<&Arc<Store>, ProposeError> {
        Ok(&self.handle(group)?.store)
    }

    /// Resolves when this node leads the group and has applied all that was committed before (read index).
    pub async fn confirm(&self, group: Group) -> Result<(), ProposeError> {
        let handle = self.handle(group)?;
        match timeout(ANSWER_MAX, handle.raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader(forward.leader_id))
            }
            Ok(Err(e)) => Err(ProposeError::Unavailable(e.to_string())),
            Err(_) => Err(ProposeError::Unavailable(format!("no majority of group {group} answers"))),
        }
    }

    /// Resolves when this node has applied all that was committed before, whoever leads the group.
    pub async fn catch_up(&self, group: Group) -> Result<(), ProposeError> {
        let leader = match self.confirm(group).await {
            Err(ProposeError::NotLeader(Some(leader))) => leader,
            other => return other,
        };
        let unavailable = |e: &dyn std::fmt::Display| ProposeError::Unavailable(e.to_string());
        match self.peers.call(leader, group, &Request::ReadIndex).await {
            Ok(Response::ReadIndex(index)) => {
                let applied = self.handle(group)?.raft.wait(Some(ANSWER_MAX));
                let applied = applied.applied_index_at_least(Some(index), "a read index").await;
                applied.map(drop).map_err(|e| unavailable(&e))
            }
            Ok(other) => Err(unavailable(&format!("unexpected answer {other:?}"))),
            Err(e) => Err(unavailable(&e)),
        }
    }

    fn handle(&self, group: Group) -> Result<&GroupHandle, ProposeError> {
        let unknown = || ProposeError::Unavailable(format!("group {group} is not on this node"));
        self.handles.get(&group).ok_or_else(unknown)
    }

    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub fn status(&self) -> Vec<GroupStatus> {
        let status = |(&group, handle): (&Group, &GroupHandle)| {
            let metrics = handle.raft.metrics().borrow_watched().clone();
            let voters = metrics.membership_config.membership().voter_ids();
            GroupStatus {
                group,
                leader: metrics.current_leader.and_then(|id| self.peers.name(id)),
                term: metrics.current_term,
                applied: metrics.last_applied.map_or(0, |id| id.index),
                purged: metrics.purged.map_or(0, |id| id.index),
                members: voters.filter_map(|id| self.peers.name(id)).collect(),
            }
        };
        self.handles.iter().map(status).collect()
    }

    /// Resolves when a group of this node cannot go on: its disk failed, or something is broken.
    pub async fn failed(&self) -> String {
        let watch = |(&group, handle): (&Group, &GroupHandle)| {
            let mut metrics = handle.raft.metrics();
            Box::pin(async move {
                loop {
                    if let Err(e) = &metrics.borrow_watched().running_state {
                        return format!("group {group} has stopped: {e}");
                    }
                    if metrics.changed().await.is_err() {
                        return format!("group {group} has stopped");
                    }
                }
            })
        };
        select_all(self.handles.iter().map(watch)).await.0
    }

    /// Gives the groups that this node leads to the follower that is furthest; waits a little for it to take over.
    pub async fn hand_over(&self) {
        let hand_over = |handle: &'_ GroupHandle| {
            let raft = handle.raft.clone();
            async move {
                let own = self.peers.own();
                let next = {
                    let metrics = raft.metrics();
                    let metrics = metrics.borrow_watched();
                    let followers = metrics.replication.iter().flatten().filter(|(id, _)| **id != own);
                    followers.max_by_key(|(_, matched)| **matched).map(|(id, _)| *id)
                };
                let Some(next) = next else { return };
                if raft.trigger().transfer_leader(next).await.is_ok() {
                    let gone = raft.wait(Some(HAND_OVER_MAX));
                    let _ = gone.metrics(|m| m.current_leader != Some(own), "another node leads").await;
                }
            }
        };
        join_all(self.handles.values().map(hand_over)).await;
    }

    /// Stops the groups, makes the state durable, closes the log.
    pub async fn shutdown(self: Arc<Self>) {
        for (group, handle) in &self.handles {
            if let Err(e) = handle.raft.shutdown().await {
                tracing::warn!(group = group.0, "a group did not stop cleanly: {e}");
            }
        }
        let close = move || {
            for (group, handle) in &self.handles {
                if let Err(e) = handle.store.make_durable() {
                    tracing::error!(group = group.0, "the state cannot be made durable: {e}");
                }
            }
            self.log.close();
        };
        let _ = tokio::task::spawn_blocking(close).await;
    }
}
