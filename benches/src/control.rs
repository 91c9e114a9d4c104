//! The control channels of all clients of a run, in a thread of their own or the caller's: they ping, say what is published, and remember
//! what the node tells.

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use schulhof_wire::media::{ParticipantId, ToClient, ToNode};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message;

const PING_EVERY: Duration = Duration::from_secs(2);

/// What the node told one client.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub welcome: bool,
    /// People in the room.
    pub roster: usize,
    /// Those whose camera is on.
    pub cameras: Vec<ParticipantId>,
    /// Video slots in use.
    pub slots: usize,
    /// Why the node closed, or the channel broke.
    pub closed: Option<String>,
}

pub struct Controls {
    handle: Handle,
    _own: Option<Runtime>,
    node: SocketAddr,
}

/// One channel; dropping it leaves the room.
pub struct Control {
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Control {
    pub fn told(&self) -> Told {
        self.told.lock().expect("no holder panics").clone()
    }
}

impl Controls {
    pub fn new(node: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), _own: Some(runtime), node })
    }

    /// In the caller's runtime, whose own thread may not end another one.
    pub fn within(handle: Handle, node: SocketAddr) -> Self {
        Self { handle, _own: None, node }
    }

    /// Opens the channel of a session and says what is first to be said.
    pub fn open(&self, session: &str, first: Vec<ToNode>) -> Control {
        let told = Arc::new(Mutex::new(Told::default()));
        let url = format!("ws://{}/media/control/{session}", self.node);
        let task = self.handle.spawn({
            let told = told.clone();
            async move {
                let end = talk(&url, first, &told).await;
                let mut told = told.lock().expect("no holder panics");
                if told.closed.is_none() {
                    told.closed = Some(end.map_or_else(|e| format!("{e:#}"), |()| "closed".into()));
                }
            }
        });
        Control { told, task }
    }
}

async fn talk(url: &str, first: Vec<ToNode>, told: &Mutex<Told>) -> anyhow::Result<()> {
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.context("control channel")?;
    for first in first {
        socket.send(Message::text(serde_json::to_string(&first)?)).await?;
    }
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut n = 0;
    loop {
        tokio::select! {
            _ = ping.tick() => {
                n += 1;
                socket.send(Message::text(serde_json::to_string(&ToNode::Ping { n })?)).await?;
            }
            message = socket.next() => {
                let Some(message) = message else { return Ok(()) };
                let Message::Text(text) = message? else { continue };
                remember(&text, told)?;
            }
        }
    }
}

fn remember(text: &str, told: &Mutex<Told>) -> anyhow::Result<()> {
    let message = serde_json::from_str(text).with_context(|| format!("the node said {text}"))?;
    let mut told = told.lock().expect("no holder panics");
    match message {
        ToClient::Welcome { .. } => told.welcome = true,
        ToClient::Roster { participants } => {
            told.roster = participants.len();
            told.cameras = participants.into_iter().filter(|person| person.camera).map(|person| person.id).collect();
        }
        ToClient::Slots { video, .. } => told.slots = video.iter().filter(|slot| slot.participant.is_some()).count(),
        ToClient::Closing { reason } => told.closed = Some(reason),
        ToClient::Waiting
        | ToClient::Rules { .. }
        | ToClient::Lobby { .. }
        | ToClient::Speakers { .. }
        | ToClient::Quality { .. }
        | ToClient::Attendance { .. }
        | ToClient::Move { .. }
        | ToClient::Pong { .. } => {}
    }
    Ok(())
}
