//! One core node, from its configuration to its end.

use crate::{
    admin::AdminDoor,
    backup,
    blob::{BlobDoor, Folders},
    config::Config,
    door::Door,
    enrol::{EnrolDoor, Guard},
    meta,
    objects::Objects,
    raft::{self, Groups, Member, Peers, Settings},
    snapshots::Snapshots,
    space::{self, FreeSpace},
    sweep::Sweeper,
    tail::{self, Keep},
};
use schulhof_net::{
    datadir::{self, DataDir},
    identity::{Identity, PeerIdentity, Role},
    observe::{self, Admin, Readiness},
    quic::{Accepted, Caller, Endpoint, Options, QuicError},
};
use schulhof_wire::{
    SchoolId,
    admin::ALPN_ADMIN,
    backup::ALPN_BACKUP,
    blob::ALPN_BLOB,
    enrol::ALPN_ENROL,
    node::{ALPN_RAFT, ALPN_SYNC},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle};

/// Version of the data folder: log and state.
const DATA_VERSION: u32 = 2;
/// Connections at once: the boxes of the largest deployment on one node, twice, since they change nodes in crowds.
const CONNECTIONS_MAX: usize = 10_000;
/// Handshakes of others than core nodes that are under way at once. When all boxes come together more would all be late, and
/// those who gave up would have cost as much as the others; turning one away costs a packet, and it comes again in a second.
const HANDSHAKES_MAX: usize = 128;
/// Peers are told of the end within this time.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// A leader without an answer from a majority for this many heartbeats leads nobody.
const QUORUM_SILENCE_HEARTBEATS: u64 = 6;

/// A running core node.
pub struct Node {
    name: String,
    endpoint: Endpoint,
    groups: Arc<Groups>,
    door: Arc<Door>,
    objects: Objects,
    snapshots: Arc<Snapshots>,
    sweeper: Arc<Sweeper>,
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
        let alpns = [ALPN_RAFT, ALPN_SYNC, ALPN_BLOB, ALPN_ADMIN, ALPN_BACKUP];
        let options = Options { listen: config.quic, identity: &identity, data: Some(&data), alpns: &alpns };
        Ok(Endpoint::bind_with_open_door(options, ALPN_ENROL)?)
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
        let (own, founders) = match own {
            Some(own) => (own, members.clone()),
            None => (raft::own_number(data.path(), &endpoint, members.clone(), config.groups).await?, Vec::new()),
        };
        let peers = Arc::new(Peers::new(endpoint.clone(), own, members.clone()));
        let settings = Settings {
            groups: config.groups,
            heartbeat_ms: config.heartbeat_ms,
            purge_every: config.purge_every,
            state_cache_len: config.state_cache_mib << 20,
        };
        let groups = Groups::open(data.path(), peers, founders, settings).await?;
        let silence_max = Duration::from_millis(config.heartbeat_ms * QUORUM_SILENCE_HEARTBEATS);
        let admin = Arc::new(AdminDoor::new(groups.clone(), config.identity.clone()));

        let objects = Objects::open(&config.objects, data.path())?;
        let folders = Folders::new(endpoint.clone(), groups.peers().clone());
        let objects = if config.objects.s3.is_some() { objects } else { objects.replicated(Arc::new(folders.clone())) };
        let snapshots = Arc::new(Snapshots::new(groups.clone(), objects.clone(), config.snapshot_every));
        let door = Arc::new(Door::new(groups.clone(), snapshots.clone(), silence_max));
        let keep_unnamed = Duration::from_hours(config.objects.keep_unnamed_hours);
        let unnamed = data.path().join("unnamed");
        let sweeper = Arc::new(Sweeper::new(groups.clone(), objects.clone(), folders, unnamed, keep_unnamed)?);
        let for_blobs = door.clone();
        let known = Box::new(move |school: &SchoolId| for_blobs.serves(school));
        let on_data_disk = config.objects.s3.is_none() && config.objects.folder.is_none();
        let for_room = groups.clone();
        let room = Box::new(move || !on_data_disk || for_room.space().has_room());
        let blobs = Arc::new(BlobDoor::new(objects.clone(), groups.peers().clone(), known, room));

        let backup = Arc::new(backup::Door::new(groups.clone()));
        let enrol = Arc::new(EnrolDoor::new(groups.clone(), config.identity.clone()));
        let guard = Guard::new(&groups);
        let doors = Doors { groups: groups.clone(), sync: door.clone(), blobs, admin, backup, enrol, guard };
        let keep = Keep { entries: config.keep_entries, days: config.keep_days };
        let (tending, tending_members, tending_door) = (groups.clone(), groups.clone(), door.clone());
        let sweeping = sweeper.clone();
        let mut tasks = vec![
            tokio::spawn(accept(endpoint.clone(), doors)),
            tokio::spawn(meta::begin(groups.clone(), config.clone())),
            tokio::spawn(meta::drive(groups.clone())),
            tokio::spawn(meta::watch(groups.clone())),
            tokio::spawn(know_peers(groups.clone(), members)),
            tokio::spawn(async move { tending_members.tend_members().await }),
            tokio::spawn(async move { tending.tend().await }),
            tokio::spawn(async move { tending_door.tend().await }),
            tokio::spawn(space::watch(groups.clone())),
            tokio::spawn(tail::drive(groups.clone(), keep)),
            tokio::spawn(snapshots.clone().drive()),
        ];
        if config.objects.s3.is_none() {
            tasks.push(tokio::spawn(async move { sweeping.run().await }));
        }
        let name = config.name.to_string();
        tracing::info!(name, quic = %endpoint.local_addr()?, groups = config.groups, "core node started");
        Ok(Self { name, endpoint, groups, door, objects, snapshots, sweeper, tasks, _data: data })
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

    /// States of schools among the objects.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// How much is free on this node's disk.
    pub fn space(&self) -> &FreeSpace {
        self.groups.space()
    }

    /// Looks for what nobody names, by itself and when it is told to.
    pub fn sweeper(&self) -> &Sweeper {
        &self.sweeper
    }

    /// Ready when every group has a leader and this node knows where the schools are.
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

/// Who comes in by which ALPN.
#[derive(Clone)]
struct Doors {
    groups: Arc<Groups>,
    sync: Arc<Door>,
    blobs: Arc<BlobDoor>,
    admin: Arc<AdminDoor>,
    backup: Arc<backup::Door>,
    enrol: Arc<EnrolDoor>,
    guard: Guard,
}

impl Doors {
    async fn serve(self, caller: Caller) {
        match caller {
            Caller::Known(accepted) => {
                let guard = self.guard.clone();
                guard.watch(&accepted.clone(), self.serve_known(accepted)).await;
            }
            Caller::Stranger(connection) => self.enrol.serve_stranger(connection).await,
        }
    }

    async fn serve_known(self, accepted: Accepted) {
        match accepted.alpn.as_slice() {
            ALPN_RAFT => raft::serve(accepted, self.groups).await,
            ALPN_BLOB => self.blobs.serve(accepted).await,
            ALPN_ADMIN => self.admin.serve(accepted).await,
            ALPN_BACKUP => self.backup.serve(accepted).await,
            ALPN_ENROL => self.enrol.serve(accepted).await,
            _ => self.sync.serve(accepted).await,
        }
    }
}

async fn accept(endpoint: Endpoint, doors: Doors) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(handshake) = endpoint.accept().await {
        // Core nodes dial from where they listen; they must not wait behind the boxes that wait for them.
        let of_core = doors.groups.peers().members().iter().any(|member| member.address == handshake.address());
        let turn = handshakes.clone().try_acquire_owned().ok();
        if turn.is_none() && !of_core {
            crate::door::count_refused("too-many-handshakes");
            handshake.refuse();
            continue;
        }
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            crate::door::count_refused("too-many-connections");
            handshake.refuse();
            continue;
        };
        let doors = doors.clone();
        tokio::spawn(async move {
            let finished = handshake.finish_any().await;
            drop(turn);
            match finished {
                Ok(caller) => {
                    metrics::counter!("schulhof_core_handshakes_total").increment(1);
                    doors.serve(caller).await;
                }
                Err(QuicError::Stranger) => crate::door::count_refused("no-certificate"),
                Err(e) => {
                    crate::door::count_refused("handshake");
                    tracing::debug!("{e}");
                }
            }
            drop(permit);
        });
    }
}

/// The nodes of this core are those that the meta group knows, once it is known here. Where one is, the configuration may
/// know better: addresses there can be changed while all nodes are stopped.
async fn know_peers(groups: Arc<Groups>, configured: Vec<Member>) {
    let mut view = groups.view();
    loop {
        let now = view.borrow_and_update().clone();
        if now.has_begun() {
            let here = now.nodes.values().filter(|node| node.state != meta::NodeState::Gone);
            let member = |node: &meta::Node| {
                let identity = PeerIdentity::new(Role::Core, node.name.as_str()).ok()?;
                let known = configured.iter().find(|member| member.id == node.id && member.identity == identity);
                Some(Member { id: node.id, address: known.map_or(node.address, |member| member.address), identity })
            };
            groups.peers().learn(here.filter_map(member).collect());
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn readiness(groups: &Groups) -> Readiness {
    let leaderless = groups.status().into_iter().filter(|group| group.leader.is_none());
    let mut reasons: Vec<String> = leaderless.map(|group| format!("group {} has no leader", group.group)).collect();
    if !groups.view().borrow().has_begun() {
        reasons.push("the meta group has not begun".to_owned());
    }
    Readiness { ready: reasons.is_empty(), reasons }
}

fn status(name: &str, groups: &Groups, door: &Door) -> serde_json::Value {
    serde_json::json!({
        "kind": "core",
        "name": name,
        "pid": std::process::id(),
        "groups": groups.status(),
        "boxes": door.boxes(),
        "disk_free_bytes": groups.space().free(),
        "refuses_operations": groups.space().refusal(),
    })
}

/// Runs a core node until it is told to stop, or cannot go on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.check()?;
    let stopping = observe::shutdown_signal();
    let admin = Admin::bind(config.admin)?;
    tokio::pin!(stopping);
    // A node that joins may wait long for being added.
    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = &mut stopping => return Ok(()),
    };
    let (for_ready, for_status) = (node.groups.clone(), (node.name.clone(), node.groups.clone(), node.door.clone()));
    let serving =
        admin.serve(move || readiness(&for_ready), move || status(&for_status.0, &for_status.1, &for_status.2));
    let result = tokio::select! {
        () = &mut stopping => Ok(()),
        reason = node.failed() => Err(anyhow::anyhow!(reason)),
    };
    drop(serving);
    node.shutdown().await;
    result
}
