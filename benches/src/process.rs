//! A media process under measurement: started with a configuration made for the run, watched from `/proc`, ended with it.

use crate::{http, ticket::Issuer};
use anyhow::{Context as _, bail, ensure};
use schulhof_core::relay;
use schulhof_net::{
    lifeline,
    media::{Config, config::Trunks},
};
use schulhof_wire::{
    NodeName,
    ticket::{MediaNode, NodeKind},
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_MAX: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(20);
const NAME: &str = "bench-node";
pub const RELAY_NAME: &str = "bench-relay";

/// What is started as the media process.
#[derive(Debug)]
pub struct Program {
    bin: PathBuf,
    subcommand: &'static str,
}

impl Program {
    /// `bin`, or the product beside this program, or, when it is not built, this program with the same media node inside.
    pub fn find(bin: Option<&Path>) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let product = bin.map_or_else(|| own.with_file_name("schulhof"), Path::to_owned);
        if product.is_file() {
            return Ok(Self { bin: product, subcommand: "media" });
        }
        ensure!(bin.is_none(), "{} is not there", product.display());
        Ok(Self { bin: own, subcommand: "node" })
    }

    /// The product as a relay; this program has none inside.
    fn as_relay(&self) -> anyhow::Result<Self> {
        ensure!(self.subcommand == "media", "the product is not built: cargo build --release --package schulhof");
        Ok(Self { bin: self.bin.clone(), subcommand: "relay" })
    }
}

pub struct MediaProcess {
    child: Child,
    pub addr: SocketAddr,
    admin: SocketAddr,
    pub issuer: Issuer,
    _folder: tempfile::TempDir,
}

impl Drop for MediaProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MediaProcess {
    /// A box's media process, alone.
    pub fn start(program: &Program) -> anyhow::Result<Self> {
        Self::launch(program, NodeKind::Box, |config, _| Ok(toml::to_string(&config)?))
    }

    /// The same with trunks to relays.
    pub fn with_trunks(program: &Program, trunks: Trunks) -> anyhow::Result<Self> {
        let config = |config: Config, _: &Path| Ok(toml::to_string(&Config { trunks: Some(trunks), ..config })?);
        Self::launch(program, NodeKind::Box, config)
    }

    /// A relay that boxes reach at `quic`.
    pub fn relay(program: &Program, identity: PathBuf, quic: SocketAddr) -> anyhow::Result<Self> {
        let (packets_per_s, bits_per_s) = (None, None);
        Self::launch(&program.as_relay()?, NodeKind::Relay, |media, folder| {
            let data = folder.join("data");
            Ok(toml::to_string(&relay::Config { identity, data, quic, packets_per_s, bits_per_s, media })?)
        })
    }

    /// Starts `PROGRAM --config FILE` and waits until it is ready. `text`: of the file.
    fn launch(
        program: &Program,
        kind: NodeKind,
        text: impl FnOnce(Config, &Path) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let (listen, admin) = (free_port()?, free_port()?);
        let url = format!("http://{listen}");
        let name: NodeName = if kind == NodeKind::Relay { RELAY_NAME } else { NAME }.parse()?;
        let issuer = Issuer::new([7; 32], MediaNode { name: name.clone(), kind, url: url.clone() });
        let config = Config {
            trunks: None,
            turn_tls: None,
            name,
            kind,
            listen,
            advertise: vec![listen.ip()],
            url,
            ticket_keys: issuer.keys(),
            participants_max: Config::PARTICIPANTS_MAX,
            admin,
        };
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("media.toml");
        std::fs::write(&path, text(config, folder.path())?)?;
        let mut command = Command::new(&program.bin);
        command.arg(program.subcommand).arg("--config").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        // What goes wrong is shown between the rows; that it started is not.
        command.env("RUST_LOG", "warn");
        let child =
            lifeline::tie(&mut command).spawn().with_context(|| format!("cannot start {}", program.bin.display()))?;
        let mut process = Self { child, addr: listen, admin, issuer, _folder: folder };
        process.wait_until_ready()?;
        Ok(process)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + START_MAX;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("the media process ended at once: {status}");
            }
            if http::request(self.admin, "GET", "/readyz", "").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(POLL_EVERY);
        }
        bail!("the media process was not ready within {START_MAX:?}")
    }

    /// Time that its threads spent on processors, in nanoseconds.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        cpu_ns(self.child.id())
    }

    /// One of its counters.
    pub fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let (_, metrics) = http::request(self.admin, "GET", "/metrics", "")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.parse()?)
    }

    /// Resident memory in kB.
    pub fn rss_kb(&self) -> anyhow::Result<u64> {
        rss_kb(self.child.id())
    }
}

/// Resident memory in kB.
pub fn rss_kb(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Of all threads of a process, to the nanosecond (`schedstat`); those that have ended don't count any more.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two calls.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            sum += on_cpu_ns(&text)?;
        }
    }
    Ok(sum)
}

/// Of the calling thread.
pub fn own_thread_cpu_ns() -> anyhow::Result<u64> {
    on_cpu_ns(&std::fs::read_to_string("/proc/thread-self/schedstat").context("the kernel has no schedstat")?)
}

fn on_cpu_ns(schedstat: &str) -> anyhow::Result<u64> {
    Ok(schedstat.split(' ').next().context("an empty schedstat")?.parse()?)
}

/// Free for TCP and UDP just now.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    for _ in 0..32 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = tcp.local_addr()?;
        if UdpSocket::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no port is free for TCP and UDP")
}
