//! `schulhof up`: the whole system on one machine, each node a process of its own. Reads as a script: folders, identities,
//! configurations, processes, schools, and then watching until told to stop.
//!
//! - [`layout`]: what runs where
//! - [`ports`]: free ports
//! - `identities`, `configs`: the nodes' files; `boxes`: the boxes join the core
//! - [`process`]: keeping a process running
//! - `schools`: the demo schools in the core and on their boxes
//! - `report`: what is printed

mod boxes;
mod configs;
mod identities;
pub mod layout;
pub mod ports;
pub mod process;
mod report;
mod schools;

use crate::{
    cli::UpArgs,
    record::{self, Kind, MediaRecord, NodeRecord, Record},
};
use anyhow::{Context as _, bail};
use layout::{CA, CORES, GATEWAY, Layout, OPERATOR, OWN_PROGRAM, RELAY, SCHOOLS};
use process::{Event, Keeper, Spec};
use schulhof_net::{
    datadir,
    observe::{init_tracing, shutdown_signal},
};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Version of the folder's layout.
const DIR_VERSION: u32 = 1;
/// Everything must be ready by then; a slow disk and a cold start together take a tenth of it.
const READY_MAX: Duration = Duration::from_mins(1);

/// Runs the system until Ctrl-C or SIGTERM.
pub fn command(args: UpArgs) -> anyhow::Result<ExitCode> {
    init_tracing(args.json_logs);
    // One thread, the main one: the kernel kills the children when the thread that has started them dies.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(up(args))
}

async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let stop = shutdown_signal();
    tokio::pin!(stop);

    let dir = std::path::absolute(&args.dir).with_context(|| args.dir.display().to_string())?;
    let _lock = datadir::open(&dir, "up", DIR_VERSION)?;
    if args.fresh {
        wipe(&dir)?;
    }
    let (ports, _claim) = ports::choose(args.base_port)?;
    let advertise = advertised(args.listen);
    let turn_tls = args.turn_tls.as_ref().map(std::path::absolute).transpose()?;
    let layout = Layout { dir, listen: args.listen, host: args.host.clone(), advertise, turn_tls, ports };
    prepare(&layout)?;

    let mut system = System::start(&args, layout)?;
    let ready = tokio::select! {
        ready = system.until_ready() => ready,
        () = &mut stop => {
            system.stop(&mut Box::pin(shutdown_signal())).await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let ended = match ready {
        Ok(()) => {
            system.announce(args.ready_file, started)?;
            tokio::select! {
                error = system.watch() => Err(error),
                () = &mut stop => Ok(()),
            }
        }
        Err(error) => Err(error),
    };
    system.stop(&mut Box::pin(shutdown_signal())).await;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Makes the identities that are missing, and writes the configurations. Starts nothing.
pub fn prepare(layout: &Layout) -> anyhow::Result<()> {
    let keys = identities::prepare(layout)?;
    configs::write(layout, &keys)
}

/// Removes what `up` has made, and nothing else.
fn wipe(dir: &std::path::Path) -> anyhow::Result<()> {
    let schools = SCHOOLS.iter().map(|s| s.id);
    for name in CORES.into_iter().chain(schools).chain([RELAY, GATEWAY, OPERATOR, CA]) {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// The addresses for ICE candidates. Listening on all: loopback, and the one that leads outwards.
fn advertised(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    // Connecting a UDP socket sends nothing: the kernel only looks at its routes (192.0.2.1 is for documentation).
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()))
        .map(|addr| addr.ip());
    std::iter::once(loopback).chain(outward.ok().filter(|ip| *ip != loopback)).collect()
}

/// All processes, and the record of them.
struct System {
    layout: Layout,
    record: Record,
    keepers: Vec<(Kind, Keeper)>,
    json_logs: bool,
    tell: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    ready: BTreeSet<String>,
}

impl System {
    /// Starts every process that has its identity; they find each other by themselves. Boxes without one come later.
    fn start(args: &UpArgs, layout: Layout) -> anyhow::Result<Self> {
        let (tell, events) = mpsc::unbounded_channel();
        let nodes = nodes(&layout);
        let record = Record { pid: std::process::id(), ready: false, nodes };
        let (keepers, json_logs) = (Vec::new(), args.json_logs);
        let boxes_too = boxes::have_joined(&layout);
        let mut system = Self { layout, record, keepers, json_logs, tell, events, ready: BTreeSet::new() };
        system.start_nodes(|kind| kind != Kind::Box || boxes_too);
        system.save()?;
        Ok(system)
    }

    fn start_nodes(&mut self, which: impl Fn(Kind) -> bool) {
        for node in self.record.nodes.iter().filter(|node| which(node.kind)) {
            let subcommand: &[&str] = match node.kind {
                Kind::Core => &["core"],
                Kind::Relay => &["relay"],
                Kind::Box => &["edge"],
                Kind::Gateway => &["edge", "--role", "gateway"],
            };
            let spec = Spec { program: OWN_PROGRAM.into(), subcommand, json_logs: self.json_logs, node: node.clone() };
            self.keepers.push((node.kind, Keeper::start(spec, self.tell.clone())));
        }
    }

    fn save(&self) -> anyhow::Result<()> {
        self.record.save(&self.layout.dir.join(record::FILE))
    }

    /// Takes note of an event; an error ends the system.
    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Started { name, pid } => {
                if let Some(node) = self.record.nodes.iter_mut().find(|n| n.name == name) {
                    node.pid = Some(pid);
                }
                self.save()
            }
            Event::Ready { name } => {
                if self.record.ready {
                    say!("{name} is ready again");
                }
                self.ready.insert(name);
                Ok(())
            }
            Event::Died { name, why, restart_in } => {
                say!("{name} {why}");
                say!("{name} is started again in {} ms", restart_in.as_millis());
                self.ready.remove(&name);
                if let Some(node) = self.record.nodes.iter_mut().find(|n| n.name == name) {
                    node.pid = None;
                    node.restarts += 1;
                }
                self.save()
            }
            Event::GaveUp { name, why } => bail!("{name} {why}"),
        }
    }

    /// Until all nodes are ready and the boxes hold the demo schools.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let mut seeding: Option<JoinHandle<anyhow::Result<()>>> = None;
        let mut joining: Option<JoinHandle<anyhow::Result<()>>> = None;
        let mut boxes_run = boxes::have_joined(&self.layout);
        let deadline = tokio::time::sleep(READY_MAX);
        tokio::pin!(deadline);
        loop {
            // Seeding needs the core alone, and has time while the boxes start.
            if seeding.is_none() && CORES.iter().all(|name| self.ready.contains(*name)) {
                seeding = Some(tokio::spawn(schools::seed(self.layout.clone())));
                if !boxes_run {
                    joining = Some(tokio::spawn(boxes::join(self.layout.clone())));
                }
            }
            tokio::select! {
                event = self.events.recv() => self.handle(event.context("all keepers ended")?)?,
                joined = async { joining.as_mut().expect("checked").await }, if joining.is_some() && !boxes_run => {
                    joined??;
                    boxes_run = true;
                    self.start_nodes(|kind| kind == Kind::Box);
                }
                seeded = async { seeding.as_mut().expect("checked").await }, if seeding.is_some() => {
                    seeded??;
                    break;
                }
                () = &mut deadline => bail!("not ready after {} s: {}", READY_MAX.as_secs(), self.reasons().await),
            }
        }
        while self.ready.len() < self.record.nodes.len() {
            tokio::select! {
                event = self.events.recv() => self.handle(event.context("all keepers ended")?)?,
                () = &mut deadline => bail!("not ready after {} s: {}", READY_MAX.as_secs(), self.reasons().await),
            }
        }
        Ok(())
    }

    /// Which nodes are not ready, and why.
    async fn reasons(&self) -> String {
        let mut all = Vec::new();
        for node in self.record.nodes.iter().filter(|n| !self.ready.contains(&n.name)) {
            let reasons = match process::readiness(&node.admin).await {
                Ok(readiness) => readiness.reasons.join(", "),
                Err(error) => error.to_string(),
            };
            all.push(format!("{} ({reasons})", node.name));
        }
        if all.is_empty() { "the boxes do not hold the demo schools yet".to_owned() } else { all.join("; ") }
    }

    fn announce(&mut self, ready_file: Option<PathBuf>, started: Instant) -> anyhow::Result<()> {
        self.record.ready = true;
        self.save()?;
        say!("{}", report::table(&self.layout, &self.record));
        if !self.layout.listen.is_loopback() {
            say!(
                "browsers on other machines give camera and microphone to https only, which this system does not speak"
            );
        }
        say!("ready in {:.1} s; Ctrl-C stops everything", started.elapsed().as_secs_f64());
        match ready_file {
            Some(path) => self.record.save(&path),
            None => Ok(()),
        }
    }

    /// Until something cannot be kept running.
    async fn watch(&mut self) -> anyhow::Error {
        loop {
            let event = self.events.recv().await;
            if let Err(error) = event.context("all keepers ended").and_then(|event| self.handle(event)) {
                return error;
            }
        }
    }

    /// Boxes first, which still hand their last operations to the core; the core last. A second signal kills at once.
    async fn stop(mut self, again: &mut (impl Future<Output = ()> + Unpin)) {
        for kind in [Kind::Box, Kind::Gateway, Kind::Relay, Kind::Core] {
            let keepers = || self.keepers.iter().filter(|(k, _)| *k == kind);
            keepers().for_each(|(_, keeper)| keeper.stop());
            for (_, keeper) in self.keepers.iter_mut().filter(|(k, _)| *k == kind) {
                tokio::select! {
                    () = keeper.ended() => {}
                    // Children are killed when their keepers are dropped with the runtime.
                    () = &mut *again => return,
                }
            }
        }
        // What is stopped is not recorded: `status` then says that nothing runs.
        let _ = fs::remove_file(self.layout.dir.join(record::FILE));
    }
}

fn nodes(layout: &Layout) -> Vec<NodeRecord> {
    let admin = |port: u16| format!("http://{}", Layout::inside(port));
    let node = |name: &str, kind, admin_port, url, media| NodeRecord {
        name: name.to_owned(),
        kind,
        pid: None,
        restarts: 0,
        admin: admin(admin_port),
        url,
        gateway: None,
        media,
        config: layout.config(name),
        data: layout.data(name),
        identity: layout.identity(name),
        log: layout.log(name),
    };
    let ports = &layout.ports;
    let cores = layout
        .cores()
        .zip(ports.core_admin)
        .map(|((name, addr), port)| node(name, Kind::Core, port, format!("quic://{addr}"), None));
    let relay = node(RELAY, Kind::Relay, ports.relay_admin, layout.public_url(ports.relay_media), None);
    let boxes = SCHOOLS.iter().enumerate().map(|(i, school)| {
        let media = MediaRecord { url: layout.public_url(ports.box_media[i]), admin: admin(ports.box_media_admin[i]) };
        let own = node(school.id, Kind::Box, ports.box_admin[i], layout.public_url(ports.box_http[i]), Some(media));
        NodeRecord { gateway: Some(layout.public_url(ports.gateway_http[i])), ..own }
    });
    let gateway = node(GATEWAY, Kind::Gateway, ports.gateway_admin, layout.public_url(ports.gateway_http[0]), None);
    cores.chain([relay, gateway]).chain(boxes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wipe_leaves_what_up_has_not_made() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("core-1/data")).unwrap();
        fs::create_dir_all(dir.path().join("mine")).unwrap();
        wipe(dir.path()).unwrap();
        assert!(!dir.path().join("core-1").exists());
        assert!(dir.path().join("mine").exists());
    }

    #[test]
    fn a_given_address_is_the_only_one_advertised() {
        assert_eq!(advertised("192.0.2.7".parse().unwrap()), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(advertised("0.0.0.0".parse().unwrap())[0], IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
