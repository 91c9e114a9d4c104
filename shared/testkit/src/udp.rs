//! A UDP proxy in real time: what goes through it meets a [`Link`] in each direction, with the draws of a seed. For
//! programs that cannot be run in virtual time, such as browsers.
#![allow(clippy::disallowed_methods, reason = "the one part of this crate with sockets and a clock")]

use crate::{Conditions, Link, Rng};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Senders that are told apart; packets of others are dropped.
const FLOWS_MAX: usize = 64;
/// Packets under way in each direction; what comes beyond is lost.
const FLYING_MAX: usize = 10_000;
/// Largest UDP payload.
const PACKET_LEN_MAX: usize = 65_535;
/// IPv4 and UDP headers, which a line carries too.
const OVERHEAD: usize = 28;
/// How long the threads need at most to notice that the proxy is over.
const LISTEN: Duration = Duration::from_millis(200);

/// What happens to packets from the senders to the target and back.
#[derive(Debug, Clone, Default)]
pub struct Way {
    pub up: Conditions,
    pub down: Conditions,
    /// Nothing passes.
    pub cut: bool,
}

/// What one direction has carried since the start, with the headers of UDP and IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    pub bytes: u64,
    /// Packets that found the narrow place's queue full.
    pub overflowed: u64,
}

struct State {
    start: Instant,
    cut: bool,
    up: Link<(Arc<UdpSocket>, Vec<u8>)>,
    down: Link<(SocketAddr, Vec<u8>)>,
    /// By the sender's address, the socket towards the target.
    flows: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    over: bool,
}

impl State {
    fn now_ms(&self) -> u64 {
        let now = Instant::now();
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<State>, Condvar)>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> bool {
        self.lock().over
    }

    /// Receives until the proxy is over.
    fn listen(&self, socket: &UdpSocket, mut take: impl FnMut(&mut State, SocketAddr, &[u8])) {
        let mut packet = vec![0; PACKET_LEN_MAX];
        while !self.over() {
            // Errors are time-outs, or that nobody listens at the target just now.
            let Ok((len, from)) = socket.recv_from(&mut packet) else { continue };
            let mut state = self.lock();
            if !state.cut {
                take(&mut state, from, &packet[..len]);
                self.0.1.notify_one();
            }
        }
    }

    /// Sends what has arrived.
    fn deliver(&self, front: &UdpSocket) {
        let mut state = self.lock();
        while !state.over {
            let now_ms = state.now_ms();
            while let Some((socket, packet)) = state.up.receive(now_ms) {
                let _ = socket.send(&packet);
            }
            while let Some((to, packet)) = state.down.receive(now_ms) {
                let _ = front.send_to(&packet, to);
            }
            let next_ms = [state.up.next_ms(), state.down.next_ms()].into_iter().flatten().min();
            let wait = next_ms.map_or(LISTEN, |next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms).max(1)));
            state = self.0.1.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Ends when it is dropped.
pub struct UdpProxy {
    front: SocketAddr,
    shared: Shared,
}

impl UdpProxy {
    /// Listens at `front` and passes on to `target`.
    pub fn start(front: SocketAddr, target: SocketAddr, way: &Way, seed: u64) -> io::Result<Self> {
        let mut rng = Rng::new(seed);
        let start = Instant::now();
        let state = State {
            start,
            cut: way.cut,
            up: Link::new(way.up.clone(), rng.fork()),
            down: Link::new(way.down.clone(), rng.fork()),
            flows: BTreeMap::new(),
            over: false,
        };
        let shared = Shared(Arc::new((Mutex::new(state), Condvar::new())));
        let front = Arc::new(UdpSocket::bind(front)?);
        front.set_read_timeout(Some(LISTEN))?;
        let address = front.local_addr()?;
        thread::spawn({
            let (shared, front) = (shared.clone(), front.clone());
            move || shared.deliver(&front)
        });
        thread::spawn({
            let shared = shared.clone();
            move || {
                let flows = shared.clone();
                shared.listen(&front, |state, from, packet| pass_up(&flows, state, from, target, packet));
            }
        });
        Ok(Self { front: address, shared })
    }

    /// Where to send to.
    pub fn front(&self) -> SocketAddr {
        self.front
    }

    /// Towards the target, and back.
    pub fn carried(&self) -> [Carried; 2] {
        let state = self.shared.lock();
        let of = |bytes, overflowed| Carried { bytes, overflowed };
        [of(state.up.bytes, state.up.overflowed), of(state.down.bytes, state.down.overflowed)]
    }

    /// From now on. What is under way still arrives.
    pub fn set(&self, way: &Way) {
        let mut state = self.shared.lock();
        state.cut = way.cut;
        state.up.conditions = way.up.clone();
        state.down.conditions = way.down.clone();
    }
}

impl Drop for UdpProxy {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.0.1.notify_all();
    }
}

fn pass_up(shared: &Shared, state: &mut State, from: SocketAddr, target: SocketAddr, packet: &[u8]) {
    if state.up.len() >= FLYING_MAX {
        return;
    }
    let socket = match state.flows.get(&from) {
        Some(socket) => socket.clone(),
        None if state.flows.len() >= FLOWS_MAX => return,
        None => match open_flow(shared, from, target) {
            Ok(socket) => {
                state.flows.insert(from, socket.clone());
                socket
            }
            Err(_) => return,
        },
    };
    let now_ms = state.now_ms();
    state.up.send_bytes(now_ms, (socket, packet.to_vec()), packet.len() + OVERHEAD);
}

fn open_flow(shared: &Shared, from: SocketAddr, target: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = Arc::new(UdpSocket::bind(any)?);
    socket.connect(target)?;
    socket.set_read_timeout(Some(LISTEN))?;
    let (shared, answers) = (shared.clone(), socket.clone());
    thread::spawn(move || {
        shared.listen(&answers, |state, _, packet| {
            if state.down.len() < FLYING_MAX {
                let now_ms = state.now_ms();
                state.down.send_bytes(now_ms, (from, packet.to_vec()), packet.len() + OVERHEAD);
            }
        });
    });
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn packets_go_there_and_back_with_the_delay_of_the_way_and_not_through_a_cut() {
        let (client, target) = (socket(), socket());
        let slow = Conditions { delay_min_ms: 30, delay_max_ms: 30, ..Conditions::default() };
        let way = Way { up: slow.clone(), down: slow, cut: false };
        let proxy = UdpProxy::start("127.0.0.1:0".parse().unwrap(), target.local_addr().unwrap(), &way, 1).unwrap();
        let mut packet = [0; 100];
        let began = Instant::now();
        client.send_to(b"there", proxy.front()).unwrap();
        let (len, through) = target.recv_from(&mut packet).unwrap();
        assert_eq!(&packet[..len], b"there");
        target.send_to(b"back", through).unwrap();
        let (len, from) = client.recv_from(&mut packet).unwrap();
        assert_eq!((&packet[..len], from), (&b"back"[..], proxy.front()));
        assert!(began.elapsed() >= Duration::from_millis(60));
        assert_eq!(proxy.carried().map(|way| (way.bytes, way.overflowed)), [(5 + 28, 0), (4 + 28, 0)]);

        proxy.set(&Way { cut: true, ..Way::default() });
        client.send_to(b"lost", proxy.front()).unwrap();
        target.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(target.recv_from(&mut packet).is_err());
        proxy.set(&Way::default());
        client.send_to(b"again", proxy.front()).unwrap();
        target.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (len, _) = target.recv_from(&mut packet).unwrap();
        assert_eq!(&packet[..len], b"again");
    }
}
