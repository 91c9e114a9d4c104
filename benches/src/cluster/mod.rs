//! A real system for measurements and torture: core nodes and boxes as processes of the built product, in a temporary
//! folder, with every line between them through a proxy that can be cut and made bad.
//!
//! What it must not do: know what is measured, or reach into the processes. It speaks to them through their doors, by
//! signals and by their lines.
//!
//! - [`process`]: one process: start, kill, pause, what it costs
//! - [`lines`]: the proxy, a matrix of lines from node to node
//! - [`config`]: identities and configuration files
//! - [`people`]: a school's first operations
//! - [`browser`]: somebody at a box, over HTTP

pub mod browser;
pub mod config;
pub mod lines;
pub mod people;
pub mod process;

use anyhow::{Context as _, ensure};
use config::{Files, Media, Ports};
use lines::{Lines, NodeIndex, Proxy, Source};
use process::Process;
use schulhof_net::{
    identity::{Ca, PeerIdentity, Role},
    quic::{Endpoint, Options},
};
use schulhof_ops::seed;
use schulhof_school::Operation;
use schulhof_wire::{NodeName, SchoolId};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Core nodes: one of three may fail.
pub const CORES: usize = 3;
/// All processes are ready by then, on a busy machine too.
const READY_MAX: Duration = Duration::from_mins(1);

/// A school and its place.
#[derive(Debug, Clone)]
pub struct School {
    pub id: SchoolId,
    /// The data group that holds its log.
    pub group: u32,
}

/// What is to be brought up.
#[derive(Debug, Clone)]
pub struct Plan {
    pub schools: Vec<School>,
    pub groups: u32,
    /// Entries after which core nodes compact their log.
    pub purge_every: u64,
    /// A box for each school; without, the schools are there and nobody serves them.
    pub boxes: bool,
    /// A gateway for all of them.
    pub gateway: bool,
    /// Lines through proxies.
    pub proxied: bool,
    /// Participants whom each box's own media node carries, in their order; beyond the end a box has none.
    pub media: Vec<u32>,
    /// What processes log (`RUST_LOG`).
    pub log: &'static str,
}

/// The running system. Its processes end with it.
pub struct Cluster {
    pub plan: Plan,
    pub ca: Arc<Ca>,
    pub lines: Arc<Lines>,
    /// Core nodes, then boxes in the order of the plan's schools, then the gateway.
    pub nodes: Vec<Process>,
    pub operator: Endpoint,
    files: Files,
    media: Vec<Media>,
    _proxies: Vec<Proxy>,
    _folder: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Brings everything up, schools included. With `keep`, files stay in that folder.
    pub async fn start(plan: Plan, program: &Path, keep: Option<PathBuf>) -> anyhow::Result<Self> {
        let (dir, folder) = match keep {
            Some(dir) => {
                std::fs::create_dir_all(&dir)?;
                (std::path::absolute(dir)?, None)
            }
            None => {
                let folder = tempfile::tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let ports = Ports::choose()?;
        let ca = Arc::new(Ca::generate()?);
        let boxes = if plan.boxes { plan.schools.len() } else { 0 };
        ensure!(boxes <= config::BOXES_MAX, "there are ports for {} boxes", config::BOXES_MAX);
        let count = CORES + boxes + usize::from(plan.gateway);
        let lines = Lines::new(count);
        let mut proxies = Vec::new();
        let real: Vec<SocketAddr> = (0..CORES).map(|n| ports.core_quic(n)).collect();
        // As core nodes see each other: who sends is known by the address that it listens on.
        let known: BTreeMap<SocketAddr, NodeIndex> = real.iter().copied().zip(0..).collect();
        let mut between_cores = real.clone();
        let mut from_boxes = vec![real.clone(); count - CORES];
        if plan.proxied {
            for (core, target) in real.iter().enumerate() {
                let proxy = Proxy::start(&lines, core, *target, Source::ByAddress(known.clone()))?;
                between_cores[core] = proxy.front;
                proxies.push(proxy);
            }
            for (n, addresses) in from_boxes.iter_mut().enumerate() {
                for (core, target) in real.iter().enumerate() {
                    let proxy = Proxy::start(&lines, core, *target, Source::Fixed(CORES + n))?;
                    addresses[core] = proxy.front;
                    proxies.push(proxy);
                }
            }
        }
        let files = Files { dir, ports };
        let media: Vec<Media> = plan.media.iter().map(|people| Media::new(*people)).collect::<Result<_, _>>()?;
        for core in 0..CORES {
            files.write_core(&ca, &plan, core, &between_cores)?;
        }
        for (n, addresses) in from_boxes.iter().enumerate() {
            match plan.schools.get(n).filter(|_| n < boxes) {
                Some(school) => files.write_box(&ca, &school.id, n, addresses, media.get(n))?,
                None => files.write_gateway(&ca, &plan, addresses)?,
            }
        }
        let identity = ca.issue(Role::Operator, "bench")?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let operator = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;

        let mut nodes = Vec::new();
        for core in 0..CORES {
            let name = config::core_name(core);
            nodes.push(Process::new(program, "core", &files.node(&name), name, files.ports.core_admin(core), plan.log));
        }
        for n in 0..boxes {
            let name = plan.schools[n].id.to_string();
            nodes.push(Process::new(program, "edge", &files.node(&name), name, files.ports.box_admin(n), plan.log));
        }
        if plan.gateway {
            let (name, admin) = (config::GATEWAY.to_owned(), files.ports.gateway_admin());
            let arguments = &["edge", "--role", "gateway"];
            nodes.push(Process::with_options(program, arguments, &files.node(&name), name, admin, plan.log));
        }
        let cluster = Self { plan, ca, lines, nodes, operator, files, media, _proxies: proxies, _folder: folder };
        for node in &cluster.nodes {
            node.start()?;
        }
        for node in &cluster.nodes {
            node.until_ready(READY_MAX).await?;
        }
        Ok(cluster)
    }

    /// The core nodes as their operator reaches them: past the proxies.
    pub fn cores(&self) -> anyhow::Result<Vec<seed::Core>> {
        (0..CORES)
            .map(|n| Ok(seed::Core { name: NodeName::new(config::core_name(n))?, addr: self.files.ports.core_quic(n) }))
            .collect()
    }

    /// Gives a school its first operations.
    pub async fn seed(&self, school: &SchoolId, operations: Vec<Operation>) -> anyhow::Result<()> {
        let count = operations.len() as u64;
        let head = seed::seed_school(&self.operator, &self.cores()?, school, || operations).await?;
        ensure!(head.0 >= count, "{school} has {} entries instead of {count}", head.0);
        Ok(())
    }

    /// Where browsers reach a box.
    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.files.ports.box_http(index))
    }

    /// Where they reach its media node.
    pub fn media(&self, index: usize) -> anyhow::Result<SocketAddr> {
        Ok(self.media.get(index).context("this box has no media node")?.listen)
    }

    /// Where its media node tells how it is.
    pub fn media_admin(&self, index: usize) -> anyhow::Result<SocketAddr> {
        Ok(self.media.get(index).context("this box has no media node")?.admin)
    }

    /// Where its browsers reach the gateway.
    pub fn gateway_url(&self, index: usize) -> String {
        format!("http://{}", self.files.ports.gateway_http(index))
    }

    pub fn core(&self, index: usize) -> &Process {
        &self.nodes[index]
    }

    pub fn school_box(&self, index: usize) -> &Process {
        &self.nodes[CORES + index]
    }

    pub fn data(&self, node: NodeIndex) -> PathBuf {
        self.files.node(&self.nodes[node].name).join("data")
    }

    /// Ends all in good order, boxes first.
    pub async fn stop(&self) -> anyhow::Result<()> {
        for node in self.nodes.iter().rev() {
            node.terminate().await.with_context(|| node.name.clone())?;
        }
        Ok(())
    }
}

/// A core node's identity, as its certificate has it.
pub fn core_identity(index: usize) -> PeerIdentity {
    PeerIdentity::new(Role::Core, &config::core_name(index)).expect("a short name")
}

/// The product, beside this program or where it is said to be.
pub fn product(bin: Option<&Path>) -> anyhow::Result<PathBuf> {
    let product = match bin {
        Some(bin) => bin.to_owned(),
        None => std::env::current_exe()?.with_file_name("schulhof"),
    };
    ensure!(product.is_file(), "{} is not there: build the package schulhof first", product.display());
    Ok(std::path::absolute(product)?)
}
