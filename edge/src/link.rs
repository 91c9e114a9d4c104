//! The way to the core: one QUIC stream to whichever node leads the school's group, driving `sync::BoxSync` in the store.
//!
//! When to connect, what to send and when to give up is decided there; here stand sockets, names and waiting. A box
//! without its core goes on serving its school.

use crate::{
    clock::Monotonic,
    config::Core,
    dial::Dialler,
    nodes::{Ended, Node, Nodes},
    stop::Stop,
    store::{FrameError, Store, Taken},
};
use schulhof_net::quic::{FrameReader, FrameWriter};
use schulhof_sync::{Redirect, SyncError};
use schulhof_wire::node::{ToBox, ToCore};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Frames on their way into the stream; more stay in the outbox.
const FRAMES_MAX: usize = 8;
/// Frames that are read while the store works on others: what waits is then laid over all of them at once.
const FRAMES_AHEAD_MAX: usize = 8;
/// While the disk is unusable there is nothing to say to the core; look again after this.
const UNUSABLE_PAUSE: Duration = Duration::from_secs(1);
/// After what cannot be mended by connecting again (another version, a differing state), doubled up to the longest.
const MISFIT_PAUSE: Duration = Duration::from_secs(1);
const MISFIT_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Keeps the box connected to the core.
pub struct Link {
    store: Arc<Store>,
    dial: Dialler,
    /// Code of the core's last refusal; none since its last welcome.
    refused: watch::Sender<Option<String>>,
    nodes: Vec<Node>,
    clock: Monotonic,
}

/// Why a connection ended.
enum End {
    Redirect(Redirect),
    /// The core's frames do not fit this box's state or version.
    Misfit(SyncError),
    Lost(anyhow::Error),
    /// Nothing came any more.
    TimedOut(anyhow::Error),
    /// The node was killed and is there again.
    Restarted(anyhow::Error),
}

impl End {
    fn as_seen(&self) -> Ended {
        match self {
            Self::Redirect(redirect) => Ended::Redirected(redirect.clone()),
            Self::Restarted(_) => Ended::Restarted,
            Self::TimedOut(_) => Ended::TimedOut,
            Self::Lost(_) | Self::Misfit(_) => Ended::Otherwise,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Lost(error.into())
    }
}

impl Link {
    pub fn new(store: Arc<Store>, dial: impl Into<Dialler>, cores: &[Core], clock: Monotonic) -> anyhow::Result<Self> {
        let nodes = cores.iter().map(|core| Node::new(&core.name, core.addr)).collect::<Result<_, _>>()?;
        Ok(Self { store, dial: dial.into(), refused: watch::Sender::new(None), nodes, clock })
    }

    /// Code of the core's last refusal.
    pub fn refused(&self) -> watch::Receiver<Option<String>> {
        self.refused.subscribe()
    }

    /// Connects, again and again, until the order to stop.
    pub async fn run(self, mut stop: Stop) {
        tokio::select! {
            () = self.keep_connected() => {}
            () = stop.ordered() => {}
        }
        self.store.link_disconnected();
    }

    async fn keep_connected(&self) {
        let mut nodes = Nodes::new(self.nodes.clone(), rand::random_range(0..self.nodes.len()));
        let mut misfit_pause = MISFIT_PAUSE;
        // Said aloud once: at a first start it may be a wrong address or certificate, later it is the line, again and again.
        let mut told = false;
        loop {
            let state = self.store.link_state();
            if !state.usable {
                self.store.recover();
                tokio::time::sleep(UNUSABLE_PAUSE).await;
                continue;
            }
            if let Some(at_ms) = state.connect_at {
                tokio::time::sleep_until(self.clock.instant(at_ms)).await;
            }
            let (node, patience) = nodes.choose();
            let end = self.converse(&node, patience, state.generation).await;
            let was_online = self.store.is_online();
            self.store.link_disconnected();
            if was_online {
                misfit_pause = MISFIT_PAUSE;
                told = false;
            }
            nodes.ended(&node, end.as_seen(), was_online);
            match end {
                End::Redirect(_) => {}
                End::Restarted(error) => {
                    tracing::warn!(node = %node.name, "the core node was started again: {error:#}");
                }
                End::Lost(error) | End::TimedOut(error) if was_online => {
                    tracing::warn!(node = %node.name, "the core is lost: {error:#}");
                }
                End::Lost(error) | End::TimedOut(error) if !told => {
                    tracing::warn!(node = %node.name, "no way to the core: {error:#}");
                    told = true;
                }
                End::Lost(error) | End::TimedOut(error) => {
                    tracing::debug!(node = %node.name, "no way to the core: {error:#}");
                }
                End::Misfit(error) => {
                    if let SyncError::Refused { code, .. } = &error {
                        self.refused.send_replace(Some(code.clone()));
                    }
                    tracing::error!(node = %node.name, %error, "the core and this box do not fit");
                    metrics::counter!("schulhof_edge_core_misfits_total").increment(1);
                    tokio::time::sleep(misfit_pause).await;
                    misfit_pause = (misfit_pause * 2).min(MISFIT_PAUSE_MAX);
                }
            }
        }
    }

    /// One connection, from its hello to its end.
    async fn converse(&self, node: &Node, patience: Duration, generation: u64) -> End {
        let line = match timeout(patience, self.dial.connect(node.addr, &node.expected)).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return error.into(),
            Err(_) => return anyhow::anyhow!("no answer").into(),
        };
        let (send, receive) = match line.open_bi().await {
            Ok(streams) => streams,
            Err(error) => return error.into(),
        };
        let (frames, waiting) = mpsc::channel(FRAMES_MAX);
        let writing = write_frames(FrameWriter::new(send), waiting);
        let end = tokio::select! {
            end = self.exchange(FrameReader::new(receive), frames, generation) => end,
            error = writing => error,
        };
        match end {
            End::Lost(error) if line.restarted() => End::Restarted(error),
            End::Lost(error) if line.timed_out() => End::TimedOut(error),
            end => end,
        }
    }

    async fn exchange(&self, mut reader: FrameReader<ToBox>, frames: mpsc::Sender<ToCore>, generation: u64) -> End {
        if frames.send(self.store.link_connected()).await.is_err() {
            return anyhow::anyhow!("the stream is closed").into();
        }
        let mut taken: VecDeque<Taken> = VecDeque::new();
        // The stream is over; what came on it is still looked at, a redirect above all.
        let mut over: Option<End> = None;
        loop {
            if taken.is_empty()
                && let Some(end) = over.take()
            {
                return end;
            }
            let mut blocked = true;
            while let Ok(place) = frames.try_reserve() {
                match self.store.link_transmit() {
                    Some(frame) => place.send(frame),
                    None => {
                        blocked = false;
                        break;
                    }
                }
            }
            let state = self.store.link_state();
            if state.generation != generation || !state.usable {
                return anyhow::anyhow!("the box's store was opened again").into();
            }
            if state.silent {
                return anyhow::anyhow!("the core says nothing any more").into();
            }
            let timeout = async {
                match state.timeout {
                    Some(at_ms) => tokio::time::sleep_until(self.clock.instant(at_ms)).await,
                    None => std::future::pending().await,
                }
            };
            let ahead = over.is_none() && taken.len() < FRAMES_AHEAD_MAX;
            let answer = async {
                match taken.front_mut() {
                    Some(first) => first.answer(&self.store).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = answer => {
                    taken.pop_front();
                    match answer {
                        Ok(received) => {
                            if let Some(redirect) = received.redirect {
                                return End::Redirect(redirect);
                            }
                        }
                        Err(FrameError::Sync(error)) => return End::Misfit(error),
                        Err(FrameError::Write(error)) => return error.into(),
                    }
                }
                frame = reader.read(), if ahead => {
                    let frame = match frame {
                        Ok(Some(frame)) => frame,
                        Ok(None) => {
                            over = Some(anyhow::anyhow!("the core ended the stream").into());
                            continue;
                        }
                        Err(error) => {
                            over = Some(error.into());
                            continue;
                        }
                    };
                    match self.store.link_take(frame).await {
                        Ok(frame) => taken.push_back(frame),
                        Err(error) => return anyhow::Error::from(error).into(),
                    }
                }
                () = self.store.link_woken(), if !blocked => {}
                () = timeout => {}
                _ = frames.reserve(), if blocked => {}
            }
        }
    }
}

/// Writes until the stream fails; reading goes on meanwhile, so that two full windows cannot wait for each other.
async fn write_frames(mut writer: FrameWriter<ToCore>, mut waiting: mpsc::Receiver<ToCore>) -> End {
    while let Some(frame) = waiting.recv().await {
        if let Err(error) = writer.write(&frame).await {
            return error.into();
        }
    }
    std::future::pending().await
}
