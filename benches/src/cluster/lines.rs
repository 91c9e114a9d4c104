//! Lines between processes: a UDP proxy that drops, delays and narrows, per direction and pair of nodes.
//!
//! QUIC through a proxy: the dialling node sends to the proxy's front, which passes each packet on from a socket of its own
//! per dialling address; answers come back the same way. What a line does to packets from `a` to `b` holds for
//! connections that either of them has dialled, so that a one-way cut is one.

use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// Place of a node in [`Cluster::nodes`](super::Cluster::nodes).
pub type NodeIndex = usize;

/// Bytes that wait before a narrow line, as time: what comes later is dropped, as by a router.
const QUEUE_MAX: Duration = Duration::from_millis(500);
/// Largest UDP payload.
const PACKET_LEN_MAX: usize = 65_535;
/// Dialling addresses that a proxy remembers; above, those that have been silent are forgotten.
const FLOWS_MAX: usize = 256;
const FLOW_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Wanted size of the kernel's buffers.
const SOCKET_BUFFER_LEN: usize = 2 << 20;

/// What one direction of a line does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    pub cut: bool,
    /// Of 1000 packets this many get lost.
    pub loss_permille: u32,
    pub delay: Duration,
    pub bits_per_s: Option<u64>,
}

/// A school's worst line: 2 Mbit/s, 5 % loss and 300 ms there and back.
pub const BAD_LINE: Line =
    Line { cut: false, loss_permille: 50, delay: Duration::from_millis(150), bits_per_s: Some(2_000_000) };

struct State {
    line: Line,
    /// When the line has sent all that waits before it.
    free_at: Instant,
}

/// All lines, by direction.
pub struct Lines {
    states: Vec<Mutex<State>>,
    nodes: usize,
    rng: Mutex<StdRng>,
}

/// What becomes of a packet.
enum Fate {
    Dropped,
    Now,
    At(Instant),
}

impl Lines {
    pub fn new(nodes: usize) -> Arc<Self> {
        let state = || Mutex::new(State { line: Line::default(), free_at: Instant::now() });
        let states = (0..nodes * nodes).map(|_| state()).collect();
        Arc::new(Self { states, nodes, rng: Mutex::new(StdRng::seed_from_u64(0)) })
    }

    /// From now on packets from one node to another meet this line.
    pub fn set(&self, from: NodeIndex, to: NodeIndex, line: Line) {
        self.states[from * self.nodes + to].lock().line = line;
    }

    /// Both directions.
    pub fn set_both(&self, a: NodeIndex, b: NodeIndex, line: Line) {
        self.set(a, b, line);
        self.set(b, a, line);
    }

    pub fn heal(&self) {
        for state in &self.states {
            state.lock().line = Line::default();
        }
    }

    fn fate(&self, from: NodeIndex, to: NodeIndex, len: usize) -> Fate {
        let mut state = self.states[from * self.nodes + to].lock();
        let line = state.line;
        if line.cut || (line.loss_permille > 0 && self.rng.lock().random_range(0..1_000) < line.loss_permille) {
            return Fate::Dropped;
        }
        let now = Instant::now();
        let mut at = now + line.delay;
        if let Some(bits_per_s) = line.bits_per_s {
            let waits = state.free_at.saturating_duration_since(now);
            if waits > QUEUE_MAX {
                return Fate::Dropped;
            }
            let takes = Duration::from_nanos(len as u64 * 8 * 1_000_000_000 / bits_per_s);
            state.free_at = now + waits + takes;
            at = state.free_at + line.delay;
        }
        if at > now { Fate::At(at) } else { Fate::Now }
    }
}

/// Who dials through a proxy.
#[derive(Debug, Clone)]
pub enum Source {
    Fixed(NodeIndex),
    ByAddress(BTreeMap<SocketAddr, NodeIndex>),
}

impl Source {
    fn of(&self, address: SocketAddr) -> Option<NodeIndex> {
        match self {
            Self::Fixed(node) => Some(*node),
            Self::ByAddress(known) => known.get(&address).copied(),
        }
    }
}

struct Flow {
    source: NodeIndex,
    upstream: Arc<UdpSocket>,
    used: Instant,
    answers: JoinHandle<()>,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// The way to one node.
pub struct Proxy {
    /// Where those dial that go through it.
    pub front: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub fn start(lines: &Arc<Lines>, to: NodeIndex, target: SocketAddr, source: Source) -> anyhow::Result<Self> {
        let front = Arc::new(socket(None)?);
        let address = front.local_addr()?;
        let task = tokio::spawn(forward(lines.clone(), front, to, target, source));
        Ok(Self { front: address, task })
    }
}

fn socket(connect: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_LEN)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    if let Some(target) = connect {
        socket.connect(&target.into())?;
    }
    UdpSocket::from_std(socket.into())
}

async fn forward(lines: Arc<Lines>, front: Arc<UdpSocket>, to: NodeIndex, target: SocketAddr, source: Source) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut packet = vec![0; PACKET_LEN_MAX];
    loop {
        // A process that has gone shows as an error of the next call; it may come back.
        let Ok((len, from)) = front.recv_from(&mut packet).await else { continue };
        let Some(node) = source.of(from) else { continue };
        if flows.len() >= FLOWS_MAX {
            flows.retain(|_, flow| flow.used.elapsed() < FLOW_SILENCE_MAX);
        }
        if let std::collections::hash_map::Entry::Vacant(vacant) = flows.entry(from) {
            let Ok(upstream) = socket(Some(target)).map(Arc::new) else { continue };
            let answers = tokio::spawn(answer(lines.clone(), front.clone(), upstream.clone(), (to, node), from));
            vacant.insert(Flow { source: node, upstream, used: Instant::now(), answers });
        }
        let Some(flow) = flows.get_mut(&from) else { continue };
        flow.used = Instant::now();
        match lines.fate(flow.source, to, len) {
            Fate::Dropped => {}
            Fate::Now => drop(flow.upstream.send(&packet[..len]).await),
            Fate::At(at) => {
                let (upstream, packet) = (flow.upstream.clone(), packet[..len].to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep_until(at.into()).await;
                    let _ = upstream.send(&packet).await;
                });
            }
        }
    }
}

async fn answer(
    lines: Arc<Lines>,
    front: Arc<UdpSocket>,
    upstream: Arc<UdpSocket>,
    (from, to): (NodeIndex, NodeIndex),
    address: SocketAddr,
) {
    let mut packet = vec![0; PACKET_LEN_MAX];
    loop {
        let Ok(len) = upstream.recv(&mut packet).await else { continue };
        match lines.fate(from, to, len) {
            Fate::Dropped => {}
            Fate::Now => drop(front.send_to(&packet[..len], address).await),
            Fate::At(at) => {
                let (front, packet) = (front.clone(), packet[..len].to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep_until(at.into()).await;
                    let _ = front.send_to(&packet, address).await;
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
        let mut packet = [0; 100];
        let (len, from) = tokio::time::timeout(PATIENCE, socket.recv_from(&mut packet)).await.ok()?.ok()?;
        Some((packet[..len].to_vec(), from))
    }

    async fn ends() -> (Arc<Lines>, Proxy, UdpSocket, UdpSocket) {
        let lines = Lines::new(2);
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let source = Source::ByAddress(BTreeMap::from([(client.local_addr().unwrap(), 0)]));
        let proxy = Proxy::start(&lines, 1, server.local_addr().unwrap(), source).unwrap();
        (lines, proxy, server, client)
    }

    #[tokio::test]
    async fn packets_go_there_and_back_and_a_one_way_cut_stops_one_way() {
        let (lines, proxy, server, client) = ends().await;
        client.send_to(b"there", proxy.front).await.unwrap();
        let (packet, from) = receive(&server).await.unwrap();
        assert_eq!(packet, b"there");
        lines.set(0, 1, Line { cut: true, ..Line::default() });
        client.send_to(b"lost", proxy.front).await.unwrap();
        server.send_to(b"back", from).await.unwrap();
        assert_eq!(receive(&client).await.unwrap(), (b"back".to_vec(), proxy.front));
        lines.heal();
        client.send_to(b"again", proxy.front).await.unwrap();
        assert_eq!(receive(&server).await.unwrap().0, b"again", "what was cut off does not come later");
    }

    #[tokio::test]
    async fn a_slow_line_delays_and_a_narrow_one_drops_what_it_cannot_hold() {
        let (lines, proxy, server, client) = ends().await;
        let delay = Duration::from_millis(80);
        lines.set(0, 1, Line { delay, ..Line::default() });
        let started = Instant::now();
        client.send_to(b"slow", proxy.front).await.unwrap();
        receive(&server).await.unwrap();
        assert!(started.elapsed() >= delay);
        // 100 bytes take 100 ms: some five fit into the queue.
        lines.set(0, 1, Line { bits_per_s: Some(8_000), ..Line::default() });
        let fates: Vec<_> = (0..50).map(|_| matches!(lines.fate(0, 1, 100), Fate::At(_))).collect();
        assert!((5..=7).contains(&fates.iter().filter(|taken| **taken).count()), "{fates:?}");
    }
}
