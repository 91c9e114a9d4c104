//! Three core nodes as processes, each with its own folder, configured as for production.

use super::{Args, ports};
use crate::http;
use anyhow::{Context as _, bail, ensure};
use schulhof_core::config::{Config, Node, School};
use schulhof_net::{
    identity::{Ca, Role},
    lifeline,
};
use schulhof_wire::{NodeName, SchoolId};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const NODES: usize = 3;
const START_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);
const HEARTBEAT_MS: u64 = 300;
const PURGE_EVERY: u64 = 10_000;
// The defaults of a core.
const KEEP_ENTRIES: u64 = 50_000;
const KEEP_DAYS: u32 = 14;
const SNAPSHOT_EVERY: u64 = 10_000;
const STATE_CACHE_MIB: usize = 128;

/// The processes; they end with this value.
pub struct Core {
    children: Vec<Child>,
    pub nodes: Vec<(NodeName, SocketAddr)>,
    pub ca: Ca,
    pub folder: PathBuf,
    pub schools: Vec<SchoolId>,
}

impl Drop for Core {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Core {
    /// Starts them with so many schools, spread over the groups, and waits until each group has a leader.
    pub async fn start(folder: &Path, args: &Args, schools: usize) -> anyhow::Result<Self> {
        let program = match &args.bin {
            Some(bin) => bin.clone(),
            None => std::env::current_exe()?.with_file_name("schulhof"),
        };
        ensure!(program.is_file(), "{} is not there: build it, or name it with --bin", program.display());
        let ports: [SocketAddr; NODES * 2] = ports::free()?;
        let (quic, admin) = ports.split_at(NODES);
        let name = |n: usize| NodeName::new(format!("core-{}", n + 1));
        let ca = Ca::generate()?;
        let nodes: Vec<_> = (0..NODES).map(|n| Ok((name(n)?, quic[n]))).collect::<anyhow::Result<_>>()?;
        let schools: Vec<SchoolId> =
            (0..schools).map(|n| SchoolId::new(format!("school-{n}"))).collect::<Result<_, _>>()?;
        let mut core = Self { children: Vec::new(), nodes, ca, folder: folder.to_owned(), schools };
        for (n, admin) in admin.iter().enumerate() {
            let config = core.config(n, *admin, args.groups);
            core.ca.issue(Role::Core, config.name.as_str())?.save(&config.identity)?;
            let path = folder.join(format!("{}.toml", config.name));
            std::fs::write(&path, toml::to_string(&config)?)?;
            let log = File::create(path.with_extension("log"))?;
            let mut command = Command::new(&program);
            command.arg("core").arg("--config").arg(&path);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env("RUST_LOG", "warn");
            let child = lifeline::tie(&mut command).spawn().with_context(|| program.display().to_string())?;
            core.children.push(child);
        }
        core.until_ready(admin).await?;
        Ok(core)
    }

    fn config(&self, n: usize, admin: SocketAddr, groups: u32) -> Config {
        let node = |(id, (name, addr)): (u64, &(NodeName, SocketAddr))| Node { id, name: name.clone(), addr: *addr };
        let school = |(n, id): (u32, &SchoolId)| School { id: id.clone(), name: None, group: n % groups + 1 };
        let (name, quic) = self.nodes[n].clone();
        let home = self.folder.join(name.as_str());
        Config {
            name,
            identity: home.join("identity"),
            data: home.join("data"),
            quic,
            admin,
            groups,
            heartbeat_ms: HEARTBEAT_MS,
            join: false,
            purge_every: PURGE_EVERY,
            keep_entries: KEEP_ENTRIES,
            keep_days: KEEP_DAYS,
            snapshot_every: SNAPSHOT_EVERY,
            state_cache_mib: STATE_CACHE_MIB,
            objects: schulhof_core::objects::Config::default(),
            nodes: (1..).zip(&self.nodes).map(node).collect(),
            schools: (0..).zip(&self.schools).map(school).collect(),
        }
    }

    async fn until_ready(&mut self, admin: &[SocketAddr]) -> anyhow::Result<()> {
        let end = Instant::now() + START_MAX;
        let mut ready = 0;
        while ready < admin.len() {
            if let Some(ended) = self.children.iter_mut().find_map(|child| child.try_wait().transpose()) {
                bail!("a core node ended at once with {}: see the logs in {}", ended?, self.folder.display());
            }
            ensure!(Instant::now() < end, "the core was not ready within {START_MAX:?}");
            let addr = admin[ready];
            let asked = tokio::task::spawn_blocking(move || http::request(addr, "GET", "/readyz", "")).await?;
            if asked.is_ok_and(|(status, _)| status == 200) {
                ready += 1;
            } else {
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
        Ok(())
    }

    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}
