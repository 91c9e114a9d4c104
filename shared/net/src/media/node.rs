//! A whole media node: sockets, worker thread, HTTP door.

use super::{
    config::{Config, ConfigProblem},
    control::Channels,
    door::{self, Door},
    http,
    meter::{Meter, Snapshot, Status},
    trunk,
    turn_tls::{TurnTls, TurnTlsError},
    ways::Ways,
    worker::{Command, Commands, Gate, Worker},
};
use crate::{
    bind::{self, BindError},
    observe::{self, Admin, Readiness},
    udp::MediaSocket,
};
use schulhof_media::{
    Engine, EngineError,
    turn::{TurnServer, credentials::Credentials},
};
use schulhof_wire::{ConferenceId, NodeName, SchoolId, media::MoveReason, ticket::NodeKind};
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Tries to find a port that is free for TCP and UDP alike.
const PORT_TRIES: usize = 32;
/// Time to tell everybody where to go before the process ends: a control message and a close frame each.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Why a media node does not start. One line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    TurnTls(#[from] TurnTlsError),
    #[error("cannot start the media worker: {0}")]
    Worker(io::Error),
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
}

/// The node carries nothing any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the media worker has ended")]
pub struct Ended;

/// A running media node. Dropping it ends it without a word to its clients; see [`Handle::stop`].
pub struct Handle {
    addr: SocketAddr,
    turn_tls: Option<SocketAddr>,
    name: NodeName,
    kind: NodeKind,
    participants_max: u32,
    commands: Commands,
    channels: Arc<Channels>,
    meter: Arc<Meter>,
    stop: watch::Sender<bool>,
    http: JoinHandle<()>,
    turn: Option<JoinHandle<()>>,
    ended: watch::Receiver<Option<String>>,
}

/// Binds, starts the worker thread and serves in tasks. Needs a tokio runtime. Whoever holds a ticket comes in.
pub async fn serve(config: Config) -> Result<Handle, StartError> {
    serve_gated(config, Box::new(|_, _| true)).await
}

/// As [`serve`], and `gate` has a word on each join, after the ticket.
// Nothing is awaited today; a start that measures the machine will.
#[allow(clippy::unused_async)]
pub async fn serve_gated(config: Config, gate: Gate) -> Result<Handle, StartError> {
    config.check()?;
    let (tcp, udp, addr) = bind_both(config.listen)?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|e| StartError::Randomness(e.to_string()))?;
    let candidates: Vec<_> = config.advertise.iter().map(|ip| SocketAddr::new(*ip, addr.port())).collect();
    let mut setup = schulhof_media::Config::new(config.name.clone(), config.kind, candidates.clone(), seed);
    setup.tcp_candidates.clone_from(&candidates);
    setup.started_at_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    setup.sessions_max = config.participants_max as usize;
    let engine = Engine::new(setup, Instant::now())?;
    let turn_tls = config.turn_tls.as_ref().map(TurnTls::bind).transpose()?;
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|e| StartError::Randomness(e.to_string()))?;
    let credentials = Credentials::new(&secret);
    let turn = turn_tls.as_ref().map(|_| TurnServer::new(credentials.clone(), candidates));
    let turn_addr = turn_tls.as_ref().map(TurnTls::addr);
    let ways = config.turn_tls.as_ref().zip(turn_addr);
    let ways = ways.map(|(turn, addr)| Ways::new(credentials, &turn.host, turn.port.unwrap_or(addr.port())));
    let meter = Arc::new(Meter::new());
    let (worker, commands) = Worker::new(engine, gate, vec![udp], turn, meter.clone()).map_err(StartError::Worker)?;
    let ended = start(worker)?;
    let (stop, stopped) = watch::channel(false);
    let door = Door::new(config.name.clone(), config.kind, config.ticket_keys, commands.clone(), meter.clone(), ways);
    let channels = door.channels.clone();
    let turn = turn_tls.map(|turn| tokio::spawn(turn.serve(commands.clone(), stopped.clone())));
    let http = tokio::spawn(http::serve(tcp, door::router(door), commands.clone(), stopped));
    Ok(Handle {
        addr,
        turn_tls: turn_addr,
        name: config.name,
        kind: config.kind,
        participants_max: config.participants_max,
        commands,
        channels,
        meter,
        stop,
        http,
        turn,
        ended,
    })
}

/// A box's media process: serves until the process is asked to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = observe::shutdown_signal();
    let admin = Admin::bind(config.admin)?;
    let (name, url, trunks) = (config.name.clone(), config.url.clone(), config.trunks.clone());
    let node = Arc::new(serve(config).await?);
    let (ready, status) = (node.clone(), node.clone());
    let admin = admin.serve(move || ready.readiness(), move || serde_json::json!(status.status(0)));
    let _trunks = trunks.map(|trunks| tokio::spawn(trunk::keep(node.trunks(), trunks)));
    tracing::info!(%name, url, addr = %node.addr(), "the media node is ready");
    let result = tokio::select! {
        () = shutdown => Ok(()),
        reason = node.failed() => Err(anyhow::anyhow!("the media worker ended: {reason}")),
    };
    node.stop().await;
    drop(admin);
    result
}

impl Handle {
    /// Where it listens: TCP and UDP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where TURN over TLS listens, if it does.
    pub fn turn_tls(&self) -> Option<SocketAddr> {
        self.turn_tls
    }

    /// For connections to other media nodes.
    pub fn trunks(&self) -> trunk::Trunks {
        trunk::Trunks::new(self.commands.clone())
    }

    /// The counters as last published, at most a tenth of a second old while there are connections.
    pub fn snapshot(&self) -> Snapshot {
        self.meter.snapshot()
    }

    /// For `/status`; `reserved` is the number of places that the caller's book holds.
    pub fn status(&self, reserved: u32) -> Status {
        self.meter.status(&self.name, self.kind, self.participants_max, reserved)
    }

    /// For `/readyz`.
    pub fn readiness(&self) -> Readiness {
        match &*self.ended.borrow() {
            None => Readiness::ready(),
            Some(reason) => Readiness::not_ready(reason.clone()),
        }
    }

    /// Waits until the worker thread ends, and says why.
    pub async fn failed(&self) -> String {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await.map(|reason| reason.clone());
        reason.ok().flatten().unwrap_or_else(|| "its thread is gone".into())
    }

    /// Takes nobody in any more, and asks everybody to go on at another node; [`Self::snapshot`] tells who is left. An error:
    /// the worker has ended.
    pub async fn drain(&self) -> Result<(), Ended> {
        self.commands.send(Command::Drain).await.map_err(|_| Ended)
    }

    /// Asks those in a room to go on at another node.
    pub async fn ask_to_move(&self, school: SchoolId, conference: ConferenceId, reason: MoveReason) {
        // A worker that has ended has nobody to ask.
        let _ = self.commands.send(Command::AskToMove { school, conference, reason }).await;
    }

    /// Tells every client that the node is `draining`, so that it goes to its standby, and ends.
    pub async fn stop(&self) {
        let goodbye = async {
            if self.commands.send(Command::Stop).await.is_ok() {
                self.failed().await;
            }
            // The last words are in the mailboxes; each channel sends them and closes.
            self.channels.closed().await;
        };
        let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
        let _ = self.stop.send(true);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.commands.try_send(Command::Stop);
        let _ = self.stop.send(true);
        self.http.abort();
        if let Some(turn) = &self.turn {
            turn.abort();
        }
    }
}

/// Runs the worker in a thread of its own; the receiver learns when and why it ends, a panic included.
fn start(worker: Worker) -> Result<watch::Receiver<Option<String>>, StartError> {
    let (end, ended) = watch::channel(None);
    let body = move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
        let _ = end.send(Some(match result {
            Ok(Ok(())) => "stopped".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a broken invariant, see the log".into(),
        }));
    };
    std::thread::Builder::new().name("media-0".into()).spawn(body).map_err(StartError::Worker)?;
    Ok(ended)
}

/// TCP and UDP on the same number.
fn bind_both(addr: SocketAddr) -> Result<(TcpListener, MediaSocket, SocketAddr), StartError> {
    let mut tries = PORT_TRIES;
    loop {
        tries -= 1;
        let tcp = bind::tcp(addr, "the media door")?;
        let both = tcp.local_addr().map_err(|e| BindError::new(addr, "tcp", "the media door", e))?;
        match MediaSocket::bind(both) {
            Ok(udp) => return Ok((tcp, udp, both)),
            Err(error) if addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(BindError::new(both, "udp", "media", error).into()),
        }
    }
}
