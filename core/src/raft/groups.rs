//! The groups of this node: opening them, their beginning, their leaders, what they may forget.

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
    BasicNode, Config, ReadPolicy, SnapshotPolicy,
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
/// How often the groups are looked after.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Rounds in which a group's home node must have been up to date before the lead goes back to it.
const HOME_STEADY_ROUNDS: u32 = 5;
/// Entries that the home node may be behind then.
const HOME_LAG_MAX: u64 = 100;
/// Segments above which groups with little traffic give up old entries, so that segments can go.
const SEGMENTS_WANTED: usize = 16;
/// A node that stops waits this long for others to take over.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);
/// Another node begins a group in the place of its home node after this many of the longest election timeouts.
const BEGIN_PATIENCE: u32 = 5;
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
    fn election_max(&self) -> Duration {
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
    handles: BTreeMap<Group, GroupHandle>,
    peers: Arc<Peers>,
    log: Log,
    space: FreeSpace,
    /// Nodes that have answered what nodes of the version before do not know.
    current: Mutex<BTreeSet<NodeId>>,
    settings: Settings,
    /// The nodes on which groups begin that do not exist anywhere: those of the configuration. Empty: they exist.
    founders: Vec<Member>,
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
        tokio::join!(begin, care);
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
