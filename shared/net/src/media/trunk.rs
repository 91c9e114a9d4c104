//! Connections to other media nodes, for rooms that are at both: the sockets and the waiting around the engine's trunks.
//!
//! A box dials, a relay is dialled; what is said is the same both ways. Frames go over the one stream that the dialler opens,
//! media in datagrams. What it must not do: let a peer speak of another school than its certificate's.

use super::{
    config,
    worker::{Command as ToWorker, Commands},
};
use crate::{
    identity::{Identity, PeerIdentity, Role},
    quic::{Accepted, Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
pub use schulhof_media::trunk::Frame;
use schulhof_media::{
    Engine, TooManyTrunks, TrunkId,
    trunk::{Out, frame::FRAME_LEN_MAX},
};
use schulhof_wire::{SchoolId, node::ALPN_TRUNK};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Frames and datagrams on their way out. Beyond, datagrams are dropped, and a frame more ends the trunk.
const FRAMES_MAX: usize = 8_192;
const DATAGRAMS_MAX: usize = 4_096;
/// Datagrams that are handed to the worker at a time.
const BATCH_MAX: usize = 64;
/// Between two tries to reach a relay: doubled up to the longest. With people in a room every second counts.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The dialler opens its stream at once.
const STREAM_MAX: Duration = Duration::from_secs(5);

/// What the worker is told.
pub(super) enum Command {
    Open { school: SchoolId, reply: oneshot::Sender<Result<Opened, TooManyTrunks>> },
    Frame { id: TrunkId, frame: Box<Frame> },
    Datagrams { id: TrunkId, datagrams: Vec<Bytes> },
    DatagramLen { id: TrunkId, len: usize },
    Uplink { id: TrunkId, bps: Option<u64> },
    Close { id: TrunkId },
}

/// A trunk and what the engine wants to say on it.
pub(super) struct Opened {
    id: TrunkId,
    frames: mpsc::Receiver<Frame>,
    datagrams: mpsc::Receiver<Bytes>,
}

struct Outlet {
    frames: mpsc::Sender<Frame>,
    datagrams: mpsc::Sender<Bytes>,
}

/// The worker's ends.
#[derive(Default)]
pub(super) struct Outlets(HashMap<TrunkId, Outlet>);

impl Outlets {
    pub fn handle(&mut self, now: Instant, engine: &mut Engine, command: Command) {
        match command {
            Command::Open { school, reply } => {
                let opened = engine.open_trunk(now, school).map(|id| {
                    let (frames, for_frames) = mpsc::channel(FRAMES_MAX);
                    let (datagrams, for_datagrams) = mpsc::channel(DATAGRAMS_MAX);
                    self.0.insert(id, Outlet { frames, datagrams });
                    Opened { id, frames: for_frames, datagrams: for_datagrams }
                });
                if let Err(Ok(opened)) = reply.send(opened) {
                    self.close(now, engine, opened.id);
                }
            }
            Command::Frame { id, frame } => engine.trunk_frame(now, id, *frame),
            Command::Datagrams { id, datagrams } => {
                for datagram in datagrams {
                    engine.trunk_datagram(now, id, &datagram);
                }
            }
            Command::DatagramLen { id, len } => engine.set_datagram_len(id, len),
            Command::Uplink { id, bps } => engine.set_uplink(id, bps),
            Command::Close { id } => self.close(now, engine, id),
        }
    }

    fn close(&mut self, now: Instant, engine: &mut Engine, id: TrunkId) {
        self.0.remove(&id);
        engine.close_trunk(now, id);
    }

    pub fn deliver(&mut self, now: Instant, engine: &mut Engine) {
        while let Some((id, out)) = engine.poll_trunk() {
            let Some(outlet) = self.0.get(&id) else { continue };
            let why = match out {
                Out::Frame(frame) => outlet.frames.try_send(frame).is_err().then_some("it does not keep up"),
                // Too late is as good as lost.
                Out::Datagram(datagram) => {
                    let _ = outlet.datagrams.try_send(datagram.into());
                    None
                }
                Out::Close(why) => Some(why),
            };
            if let Some(why) = why {
                tracing::warn!(why, "a trunk is given up");
                self.close(now, engine, id);
            }
        }
    }
}

/// Takes connections for a media node.
#[derive(Clone)]
pub struct Trunks {
    commands: Commands,
}

/// Why a trunk ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the media worker has more to do than it can, or has ended")]
    Busy,
    #[error(transparent)]
    TooMany(#[from] TooManyTrunks),
    #[error("the other node did not begin")]
    Silent,
    #[error("the media worker gave it up")]
    GivenUp,
    #[error("the stream has ended")]
    Finished,
    #[error(transparent)]
    Frame(#[from] crate::quic::FrameError),
    #[error("the connection is lost: {0}")]
    Lost(#[from] quinn::ConnectionError),
}

impl From<super::worker::Busy> for End {
    fn from(_: super::worker::Busy) -> Self {
        Self::Busy
    }
}

impl Trunks {
    pub(super) fn new(commands: Commands) -> Self {
        Self { commands }
    }

    /// Serves a box that has dialled, until the connection ends.
    pub async fn serve(&self, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        let school = (peer.role == Role::Box).then(|| peer.school()).flatten();
        let Some(school) = school else {
            tracing::warn!(%peer, "refused at the trunk door: not a box");
            connection.close(1u32.into(), b"the trunk door is for boxes");
            return;
        };
        let end = match tokio::time::timeout(STREAM_MAX, connection.accept_bi()).await {
            Ok(Ok((send, receive))) => self.run(&connection, (school, None), send, receive).await,
            Ok(Err(error)) => error.into(),
            Err(_) => End::Silent,
        };
        tracing::info!(%peer, "a trunk has ended: {end}");
        connection.close(0u32.into(), b"");
    }

    async fn run(
        &self,
        connection: &quinn::Connection,
        (school, uplink_bps): (SchoolId, Option<u64>),
        send: quinn::SendStream,
        receive: quinn::RecvStream,
    ) -> End {
        let (reply, opened) = oneshot::channel();
        if let Err(busy) = self.tell(Command::Open { school, reply }).await {
            return busy;
        }
        let Opened { id, frames, datagrams } = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return error.into(),
            Err(_) => return End::Busy,
        };
        if let Err(end) = self.tell(Command::Uplink { id, bps: uplink_bps }).await {
            return end;
        }
        let end = tokio::select! {
            end = write_frames(FrameWriter::new(send), frames) => end,
            end = self.write_datagrams(connection, id, datagrams) => end,
            end = self.read_frames(FrameReader::with_limit(receive, FRAME_LEN_MAX), id) => end,
            end = self.read_datagrams(connection, id) => end,
        };
        let _ = self.tell(Command::Close { id }).await;
        end
    }

    async fn tell(&self, command: Command) -> Result<(), End> {
        Ok(self.commands.send(ToWorker::Trunk(command)).await?)
    }

    async fn read_frames(&self, mut reader: FrameReader<Frame>, id: TrunkId) -> End {
        loop {
            let frame = match reader.read().await {
                Ok(Some(frame)) => Box::new(frame),
                Ok(None) => return End::Finished,
                Err(error) => return error.into(),
            };
            if let Err(end) = self.tell(Command::Frame { id, frame }).await {
                return end;
            }
        }
    }

    async fn read_datagrams(&self, connection: &quinn::Connection, id: TrunkId) -> End {
        loop {
            let mut datagrams = match connection.read_datagram().await {
                Ok(datagram) => vec![datagram],
                Err(error) => return error.into(),
            };
            while datagrams.len() < BATCH_MAX
                && let Some(Ok(datagram)) = connection.read_datagram().now_or_never()
            {
                datagrams.push(datagram);
            }
            // A worker that is a second behind would only be held up by more.
            let _ = self.commands.try_send(ToWorker::Trunk(Command::Datagrams { id, datagrams }));
        }
    }

    async fn write_datagrams(
        &self,
        connection: &quinn::Connection,
        id: TrunkId,
        mut datagrams: mpsc::Receiver<Bytes>,
    ) -> End {
        let mut told = 0;
        while let Some(datagram) = datagrams.recv().await {
            match connection.send_datagram(datagram) {
                // One that became too long with the path: lost, the next ones are cut.
                Ok(()) | Err(quinn::SendDatagramError::TooLarge) => {}
                Err(quinn::SendDatagramError::ConnectionLost(error)) => return error.into(),
                Err(quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled) => {
                    return End::Silent;
                }
            }
            let len = connection.max_datagram_size().unwrap_or(told);
            if len != told {
                told = len;
                if let Err(end) = self.tell(Command::DatagramLen { id, len }).await {
                    return end;
                }
            }
        }
        End::GivenUp
    }
}

async fn write_frames(mut writer: FrameWriter<Frame>, mut frames: mpsc::Receiver<Frame>) -> End {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = writer.write(&frame).await {
            return error.into();
        }
    }
    End::GivenUp
}

/// Keeps a box's media node connected to its relays. Runs for ever.
pub(super) async fn keep(trunks: Trunks, config: config::Trunks) {
    let mut relays = tokio::task::JoinSet::new();
    // One line, however many relays it leads to.
    let each = config.relays.len().max(1) as u64;
    let uplink_bps = config.uplink_kbit_s.map(|kbit_s| u64::from(kbit_s) * 1_000 / each);
    for relay in config.relays {
        let about = (config.school.clone(), uplink_bps);
        relays.spawn(keep_one(trunks.clone(), config.identity.clone(), about, relay));
    }
    while relays.join_next().await.is_some() {}
}

async fn keep_one(trunks: Trunks, identity: PathBuf, about: (SchoolId, Option<u64>), relay: config::Relay) {
    let mut pause = PAUSE_MIN;
    let mut told = false;
    loop {
        match connect(&identity, &relay).await {
            Ok((endpoint, connection)) => {
                tracing::info!(relay = %relay.name, "the trunk stands");
                (pause, told) = (PAUSE_MIN, false);
                let end = match connection.open_bi().await {
                    Ok((send, receive)) => trunks.run(&connection, about.clone(), send, receive).await,
                    Err(error) => error.into(),
                };
                tracing::warn!(relay = %relay.name, "the trunk has ended: {end}");
                connection.close(0u32.into(), b"");
                endpoint.wait_idle().now_or_never();
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(relay = %relay.name, "no trunk: {error:#}");
            }
            Err(error) => tracing::debug!(relay = %relay.name, "no trunk: {error:#}"),
        }
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn connect(identity: &Path, relay: &config::Relay) -> anyhow::Result<(Endpoint, quinn::Connection)> {
    let identity = Identity::load_as(identity, Role::Box)?;
    let listen = match relay.addr {
        SocketAddr::V4(addr) if addr.ip().is_loopback() => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let endpoint = Endpoint::bind_for_media(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    let expected = Expected::Node(PeerIdentity::new(Role::Relay, relay.name.as_str())?);
    let connection = endpoint.connect(relay.addr, &expected, ALPN_TRUNK).await?;
    Ok((endpoint, connection))
}
