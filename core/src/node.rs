//! One core node, from its configuration to its end.

use crate::{
    blob::{BlobDoor, Folders},
    config::Config,
    door::Door,
    objects::Objects,
    raft::{self, Groups, Member, Peers, Settings},
};
use anyhow::Context as _;
use schulhof_net::{
    datadir::{self, DataDir},
    identity::{Identity, PeerIdentity, Role},
    observe::{self, Admin, Readiness},
    quic::{Endpoint, Options},
};
use schulhof_wire::{
    SchoolId,
    blob::ALPN_BLOB,
    node::{ALPN_RAFT, ALPN_SYNC},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle};

/// Version of the data folder: log and state.
const DATA_VERSION: u32 = 1;
/// Connections at once: the boxes of the largest deployment on one node, twice, since they change nodes in crowds.
const CONNECTIONS_MAX: usize = 10_000;
/// Peers are told of the end within this time.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// A leader without an answer from a majority for this many heartbeats leads nobody.
const QUORUM_SILENCE_HEARTBEATS: u64 = 10;

/// A running core node.
pub struct Node {
    name: String,
    endpoint: Endpoint,
    groups: Arc<Groups>,
    door: Arc<Door>,
    objects: Objects,
    tasks: Vec<JoinHandle<()>>,
    _data: DataDir,
}

impl Node {
    /// Binds the address of the configuration and starts.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let endpoint = Self::bind(&config)?;
        Self::start_on(config, endpoint).await
    }

    /// Only binds: with port 0, all nodes' addresses are known before the first one starts.
    pub fn bind(config: &Config) -> anyhow::Result<Endpoint> {
        let identity = Identity::load_as(&config.identity, Role::Core)?;
        anyhow::ensure!(
            identity.own().name == config.name,
            "name is {}, but the certificate is of {}",
            config.name,
            identity.own()
        );
        // The keys are beside the folder's version file, so the folder must be ours first.
        drop(datadir::open(&config.data, "core", DATA_VERSION)?);
        let data = config.data.join("quic");
        let alpns = [ALPN_RAFT, ALPN_SYNC, ALPN_BLOB];
        Ok(Endpoint::bind(Options { listen: config.quic, identity: &identity, data: Some(&data), alpns: &alpns })?)
    }

    /// Starts on a bound endpoint.
    pub async fn start_on(config: Config, endpoint: Endpoint) -> anyhow::Result<Self> {
        config.check()?;
        let data = datadir::open(&config.data, "core", DATA_VERSION)?;
        let mut members = Vec::new();
        let mut own = None;
        for node in &config.nodes {
            let identity = PeerIdentity::new(Role::Core, node.name.as_str())?;
            own = own.or((node.name == config.name).then_some(node.id));
            members.push(Member { id: node.id, identity, address: node.addr });
        }
        let own = own.context("this node is not among the core nodes")?;
        let peers = Arc::new(Peers::new(endpoint.clone(), own, members));
        let settings = Settings {
            groups: config.groups,
            heartbeat_ms: config.heartbeat_ms,
            purge_every: config.purge_every,
            state_cache_len: config.state_cache_mib << 20,
        };
        let groups = Groups::open(data.path(), peers, settings).await?;
        let silence_max = Duration::from_millis(config.heartbeat_ms * QUORUM_SILENCE_HEARTBEATS);
        let (placement, for_door) = (config.placement(), groups.clone());
        let door = tokio::task::spawn_blocking(move || Door::open(for_door, placement, silence_max)).await??;
        let door = Arc::new(door);

        let objects = Objects::open(&config.objects, data.path())?;
        let objects = if config.objects.s3.is_some() {
            objects
        } else {
            objects.replicated(Arc::new(Folders::new(endpoint.clone(), groups.peers().clone())))
        };
        let for_blobs = door.clone();
        let known = Box::new(move |school: &SchoolId| for_blobs.serves(school));
        let blobs = Arc::new(BlobDoor::new(objects.clone(), groups.peers().clone(), known));

        let tending = groups.clone();
        let tasks = vec![
            tokio::spawn(accept(endpoint.clone(), groups.clone(), door.clone(), blobs)),
            tokio::spawn(async move { tending.tend().await }),
        ];
        let name = config.name.to_string();
        tracing::info!(name, quic = %endpoint.local_addr()?, groups = config.groups, "core node started");
        Ok(Self { name, endpoint, groups, door, objects, tasks, _data: data })
    }

    pub fn quic(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Blobs and snapshots, as this node and the others have them.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Ready when every group has a leader.
    pub fn readiness(&self) -> Readiness {
        readiness(&self.groups)
    }

    pub fn status(&self) -> serde_json::Value {
        status(&self.name, &self.groups, &self.door)
    }

    /// Resolves when this node cannot go on.
    pub async fn failed(&self) -> String {
        self.groups.failed().await
    }

    /// Hands over what it leads, tells its peers, and closes its files.
    pub async fn shutdown(self) {
        self.groups.hand_over().await;
        for task in &self.tasks {
            task.abort();
        }
        self.endpoint.close("the node is stopping");
        let _ = tokio::time::timeout(FAREWELL_MAX, self.endpoint.wait_idle()).await;
        drop(self.door);
        self.groups.shutdown().await;
    }
}

async fn accept(endpoint: Endpoint, groups: Arc<Groups>, door: Arc<Door>, blobs: Arc<BlobDoor>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(handshake) = endpoint.accept().await {
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            crate::door::count_refused("too-many-connections");
            handshake.refuse();
            continue;
        };
        let (groups, door, blobs) = (groups.clone(), door.clone(), blobs.clone());
        tokio::spawn(async move {
            match handshake.finish().await {
                Ok(accepted) if accepted.alpn == ALPN_RAFT => raft::serve(accepted, groups).await,
                Ok(accepted) if accepted.alpn == ALPN_BLOB => blobs.serve(accepted).await,
                Ok(accepted) => door.serve(accepted).await,
                Err(e) => {
                    crate::door::count_refused("handshake");
                    tracing::debug!("{e}");
                }
            }
            drop(permit);
        });
    }
}

fn readiness(groups: &Groups) -> Readiness {
    let leaderless = groups.status().into_iter().filter(|group| group.leader.is_none());
    let reasons: Vec<String> = leaderless.map(|group| format!("group {} has no leader", group.group)).collect();
    Readiness { ready: reasons.is_empty(), reasons }
}

fn status(name: &str, groups: &Groups, door: &Door) -> serde_json::Value {
    serde_json::json!({
        "kind": "core",
        "name": name,
        "pid": std::process::id(),
        "groups": groups.status(),
        "boxes": door.boxes(),
    })
}

/// Runs a core node until it is told to stop, or cannot go on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.check()?;
    let stopping = observe::shutdown_signal();
    let admin = Admin::bind(config.admin)?;
    let node = Node::start(config).await?;
    let (for_ready, for_status) = (node.groups.clone(), (node.name.clone(), node.groups.clone(), node.door.clone()));
    let serving =
        admin.serve(move || readiness(&for_ready), move || status(&for_status.0, &for_status.1, &for_status.2));
    let result = tokio::select! {
        () = stopping => Ok(()),
        reason = node.failed() => Err(anyhow::anyhow!(reason)),
    };
    drop(serving);
    node.shutdown().await;
    result
}
