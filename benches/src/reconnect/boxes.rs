//! The simulated boxes: certificates, sockets and handshakes of their own, the box's own end of sync (backoff, redirects) and its
//! own order of asking, without browsers and disks.

use crate::cluster::{Cluster, core_identity};
use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use schulhof_edge::{
    dial::restarted,
    nodes::{Ended, Node, Nodes},
};
use schulhof_net::{
    identity::{Identity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_school::MemoryKv;
use schulhof_sync::BoxSync;
use schulhof_wire::node::{ALPN_SYNC, ToBox, ToCore};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Everybody is welcome within this time, or something is wrong.
pub const WELCOME_MAX: Duration = Duration::from_mins(2);
/// While the line is cut a try ends after this long: an answer that does not come.
const CUT_TRY: Duration = Duration::from_millis(700);
const POLL_EVERY: Duration = Duration::from_millis(10);

/// When a box was last welcomed and last lost; `None`: not yet.
#[derive(Clone, Copy, Default)]
pub struct Standing {
    pub welcome: Option<Instant>,
    lost: Option<Instant>,
}

impl Standing {
    fn is_welcome(self) -> bool {
        self.welcome.is_some() && self.welcome > self.lost
    }
}

/// What a box keeps over a cut.
struct Kept {
    identity: Identity,
    confirmed: MemoryKv,
    sync: BoxSync,
    nodes: Nodes,
    /// Whom it asked last.
    asked: Option<Node>,
    online: bool,
}

/// What all boxes share.
struct World {
    started: Instant,
    cut: AtomicBool,
    standings: Mutex<Vec<Standing>>,
    kept: Vec<tokio::sync::Mutex<Kept>>,
}

impl World {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// All boxes, on threads of their own.
pub struct Boxes {
    world: Arc<World>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Boxes {
    /// One for each school of the cluster. They begin at different nodes.
    pub fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let address = cluster.cores()?;
        let nodes: Vec<Node> = address
            .iter()
            .enumerate()
            .map(|(n, core)| Node {
                name: core.name.clone(),
                addr: core.addr,
                expected: Expected::Node(core_identity(n)),
            })
            .collect();
        let kept = |school: &crate::cluster::School| {
            let confirmed = MemoryKv::default();
            let sync = BoxSync::new(school.id.clone(), [], &confirmed);
            let identity = cluster.ca.issue(Role::Box, school.id.as_str())?;
            let nodes = Nodes::new(nodes.clone(), rand::random_range(0..nodes.len()));
            Ok(tokio::sync::Mutex::new(Kept { identity, confirmed, sync, nodes, asked: None, online: false }))
        };
        let kept = cluster.plan.schools.iter().map(kept).collect::<anyhow::Result<Vec<_>>>()?;
        let world = Arc::new(World {
            started: Instant::now(),
            cut: AtomicBool::new(false),
            standings: Mutex::new(vec![Standing::default(); kept.len()]),
            kept,
        });
        let mut boxes = Self { world, runtime: None };
        boxes.run()?;
        Ok(boxes)
    }

    /// Nothing reaches anybody any more, and nothing is said.
    pub fn cut(&mut self) -> anyhow::Result<()> {
        self.world.cut.store(true, Ordering::Relaxed);
        // Sockets and connections vanish with their threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.run()
    }

    pub fn mend(&self) {
        self.world.cut.store(false, Ordering::Relaxed);
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for n in 0..self.world.kept.len() {
            runtime.spawn(live(n, self.world.clone()));
        }
        self.runtime = Some(runtime);
        Ok(())
    }

    pub fn standings(&self) -> Vec<Standing> {
        self.world.standings.lock().clone()
    }

    /// Until each was welcomed after `since` and is still.
    pub async fn until_all_welcome(&self, since: Option<Instant>) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let standings = self.standings();
            let welcome = standings.iter().filter(|s| s.is_welcome() && s.welcome > since).count();
            if welcome == standings.len() {
                return Ok(());
            }
            ensure!(begun.elapsed() < WELCOME_MAX, "{welcome} of {} boxes are welcome", standings.len());
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

impl Drop for Boxes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connects, again and again, as `edge::link` does.
async fn live(n: usize, world: Arc<World>) -> anyhow::Result<()> {
    let mut kept = world.kept[n].lock().await;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::bind(Options { listen, identity: &kept.identity, data: None, alpns: &[] })?;
    if std::mem::take(&mut kept.online) {
        // Of the connection that vanished, the address is all that counts.
        let node = kept.asked.clone().context("a box that is welcome has asked somebody")?;
        lost(n, &node, Ended::TimedOut, true, &mut kept, &world);
    }
    loop {
        if let Some(at_ms) = kept.sync.connect_at() {
            let at = world.started + Duration::from_millis(at_ms);
            tokio::time::sleep_until(at.into()).await;
        }
        let (node, patience) = kept.nodes.choose();
        kept.asked = Some(node.clone());
        let end = if world.cut.load(Ordering::Relaxed) {
            tokio::time::sleep(CUT_TRY).await;
            Ended::Otherwise
        } else {
            converse(n, &endpoint, (&node, patience), &mut kept, &world).await
        };
        let was_online = std::mem::take(&mut kept.online);
        lost(n, &node, end, was_online, &mut kept, &world);
    }
}

fn lost(n: usize, node: &Node, end: Ended, was_online: bool, kept: &mut Kept, world: &World) {
    kept.nodes.ended(node, end, was_online);
    kept.sync.disconnected(world.now_ms(), rand::random());
    if was_online {
        world.standings.lock()[n].lost = Some(Instant::now());
    }
}

async fn converse(
    n: usize,
    endpoint: &Endpoint,
    (node, patience): (&Node, Duration),
    kept: &mut Kept,
    world: &World,
) -> Ended {
    let dial = endpoint.connect(node.addr, &node.expected, ALPN_SYNC);
    let Ok(Ok(connection)) = tokio::time::timeout(patience, dial).await else { return Ended::Otherwise };
    let end = exchange(n, &connection, kept, world).await;
    let seen = match end {
        Ok(ended) => ended,
        Err(_) if restarted(&connection) => Ended::Restarted,
        Err(_) if matches!(connection.close_reason(), Some(quinn::ConnectionError::TimedOut)) => Ended::TimedOut,
        Err(_) => Ended::Otherwise,
    };
    connection.close(0u32.into(), b"");
    seen
}

/// Ends well with a redirect.
async fn exchange(n: usize, connection: &quinn::Connection, kept: &mut Kept, world: &World) -> anyhow::Result<Ended> {
    let (send, receive) = connection.open_bi().await?;
    let (mut writer, mut reader) = (FrameWriter::<ToCore>::new(send), FrameReader::<ToBox>::new(receive));
    writer.write(&kept.sync.connected(world.now_ms())).await?;
    loop {
        while let Some(frame) = kept.sync.poll_transmit(world.now_ms()) {
            writer.write(&frame).await?;
        }
        ensure!(!kept.sync.is_silent(world.now_ms()), "the core says nothing any more");
        let timeout_ms = kept.sync.poll_timeout().unwrap_or(u64::MAX).saturating_sub(world.now_ms());
        tokio::select! {
            frame = reader.read() => {
                let frame = frame?.context("the stream has ended")?;
                let received = kept.sync.receive(world.now_ms(), &mut kept.confirmed, frame)?;
                if let Some(redirect) = received.redirect {
                    return Ok(Ended::Redirected(redirect));
                }
                if kept.sync.online() && !kept.online {
                    kept.online = true;
                    world.standings.lock()[n].welcome = Some(Instant::now());
                }
            }
            () = tokio::time::sleep(Duration::from_millis(timeout_ms.clamp(1, 60_000))) => {}
        }
    }
}
