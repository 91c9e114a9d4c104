//! The box's media process: started, watched, started again, and stopped with the box.
//!
//! Media runs in a process of its own, so that its load and its crashes stay away from the school's data. It gets all it
//! needs in its configuration file, the school's public ticket key above all, and asks nobody afterwards.

use crate::{config, placement::Placement, stop::Stop};
use anyhow::Context as _;
use parking_lot::Mutex;
use schulhof_net::{lifeline, media};
use schulhof_placement::{PublicKey, TicketKeys};
use schulhof_wire::{NodeName, SchoolId, ticket::NodeKind};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::Instant,
};

/// Waits before starting again: the first is short, a browser has no other node perhaps; doubled while it keeps dying.
const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(10);
/// A process that ran so long has proven itself: the next wait is the shortest again.
const PROVEN_AFTER: Duration = Duration::from_secs(30);
/// How often a starting process is knocked at.
const KNOCK_EVERY: Duration = Duration::from_millis(50);
/// Time to say goodbye to its browsers.
const STOP_MAX: Duration = Duration::from_secs(3);

/// What the status says of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaState {
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// It accepts connections.
    pub listening: bool,
    pub restarts: u64,
}

/// Runs the media process.
pub struct Supervisor {
    config: config::Media,
    file: PathBuf,
    program: Vec<String>,
    placement: Arc<Placement>,
    state: Arc<Mutex<MediaState>>,
}

impl Supervisor {
    /// Writes the process's configuration into `folder`.
    pub fn new(
        config: &config::Media,
        name: &NodeName,
        school: &SchoolId,
        key: PublicKey,
        trunks: Option<media::config::Trunks>,
        folder: &Path,
        placement: Arc<Placement>,
    ) -> anyhow::Result<Self> {
        let mut ticket_keys = TicketKeys::default();
        ticket_keys.insert(school.clone(), key);
        let told = media::Config {
            name: name.clone(),
            kind: NodeKind::Box,
            listen: config.listen,
            advertise: config.advertise.clone(),
            url: config.url.clone(),
            ticket_keys,
            participants_max: config.budget.participants,
            admin: config.admin,
            turn_tls: config.turn_tls.clone(),
            trunks,
        };
        let file = folder.join("media.toml");
        let text = toml::to_string(&told).context("the media process's configuration")?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let program = match &config.command {
            Some(command) => command.clone(),
            None => vec![std::env::current_exe().context("where is this program?")?.to_string_lossy().into_owned()],
        };
        Ok(Self { config: config.clone(), file, program, placement, state: Arc::default() })
    }

    pub fn state(&self) -> Arc<Mutex<MediaState>> {
        self.state.clone()
    }

    /// Keeps the process running until the order to stop, then stops it.
    pub async fn run(self, mut stop: Stop) {
        let mut pause = RESTART_MIN;
        loop {
            let started = Instant::now();
            match self.start() {
                Ok(mut child) => {
                    let ended = tokio::select! {
                        status = child.wait() => status.map_or_else(|error| error.to_string(), |status| status.to_string()),
                        never = self.watch_listening() => match never {},
                        () = stop.ordered() => return self.stop(child).await,
                    };
                    tracing::warn!(ended, "the media process ended");
                }
                Err(error) => tracing::error!("the media process cannot be started: {error:#}"),
            }
            let restarts = {
                let mut state = self.state.lock();
                *state = MediaState { restarts: state.restarts + 1, ..MediaState::default() };
                state.restarts
            };
            metrics::counter!("schulhof_edge_media_restarts_total").absolute(restarts);
            self.placement.own_node_lost().await;
            if started.elapsed() > PROVEN_AFTER {
                pause = RESTART_MIN;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.ordered() => return,
            }
            pause = (pause * 2).min(RESTART_MAX);
        }
    }

    /// Called on a worker thread of the runtime, which lives as long as the process: the lifeline hangs on it.
    fn start(&self) -> anyhow::Result<Child> {
        let (program, arguments) = self.program.split_first().context("an empty command")?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).args(["media", "--config"]).arg(&self.file).stdin(Stdio::null());
        lifeline::tie(&mut command);
        let child =
            Command::from(command).kill_on_drop(true).spawn().with_context(|| format!("cannot run {program}"))?;
        let mut state = self.state.lock();
        *state = MediaState { pid: child.id(), listening: false, restarts: state.restarts };
        drop(state);
        Ok(child)
    }

    /// Knocks until the process listens, then lets conferences be placed on it; never ends.
    async fn watch_listening(&self) -> std::convert::Infallible {
        while TcpStream::connect(self.config.listen).await.is_err() {
            tokio::time::sleep(KNOCK_EVERY).await;
        }
        self.state.lock().listening = true;
        self.placement.own_node_ready();
        std::future::pending().await
    }

    async fn stop(&self, mut child: Child) {
        if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
            // Gone already: as wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
            tracing::warn!("the media process does not stop and is killed");
            let _ = child.kill().await;
        }
    }
}
