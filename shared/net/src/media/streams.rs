//! ICE over TCP (RFC 6544, the passive end): connections of browsers whose network takes no UDP. The worker thread owns
//! them beside its UDP sockets; their packets go to the same engine.
//!
//! The engine knows peers by their address. A connection is a destination of its own, also beside UDP from the same
//! address: its [`SocketAddr`] is the peer's real one as IPv6, with the connection's number as flow information, which no
//! datagram's source has. What the engine sends there finds the connection by that number.
//!
//! What it must not do: wait for a slow peer (its packets are dropped), or let anybody hold much who has not shown by a
//! STUN request with the right integrity that he has joined.

use super::framing::{Incoming, Outgoing};
use rustix::event::{Timespec, epoll};
use schulhof_media::Engine;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Connections at once: more than there are people, as a browser tries several ways at a time. 5 kB each at rest.
pub(super) const STREAMS_MAX: usize = 2_048;
/// Of one address: a whole school behind one.
const PER_ADDRESS_MAX: usize = 1_024;
/// Of one address, before their first valid STUN request: a class that joins at once.
const UNPROVEN_PER_ADDRESS_MAX: usize = 64;
/// Bytes before the first valid STUN request, and time for it: some twenty requests, as a browser repeats them.
const UNPROVEN_LEN_MAX: usize = 4_096;
const UNPROVEN_MAX: Duration = Duration::from_secs(5);
/// Silence that ends a connection: a browser sends a check at least every 15 s (RFC 8445 §11), mostly every 2.5 s.
const IDLE_MAX: Duration = Duration::from_secs(40);
/// Between two looks for what is to be closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Reads of one connection before the others get their turn.
const READS_PER_TURN: usize = 8;
/// Ready connections looked at in one turn.
const EVENTS_PER_TURN: usize = 128;
/// Bytes that the kernel keeps unsent: beyond, packets wait here, where they can be dropped.
const UNSENT_LEN_MAX: u32 = 64 * 1024;

/// What became of the connections and their packets, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamStats {
    /// Now.
    pub open: u64,
    pub accepted: u64,
    /// That sent a valid STUN request.
    pub proven: u64,
    /// Too many at the node, or of one address.
    pub refused: u64,
    /// Closed, because they did not prove in time and with few bytes that they belong to somebody who has joined.
    pub unproven: u64,
    /// Closed, because they announced a frame that is too long.
    pub too_long: u64,
    /// Closed, because nothing came any more, or the session is gone.
    pub idle: u64,
    pub received_frames: u64,
    pub sent_frames: u64,
    /// Packets for a peer that is too slow.
    pub dropped_full: u64,
}

struct Stream {
    socket: TcpStream,
    /// As the engine knows it.
    source: SocketAddr,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Until a valid STUN request has come: bytes so far.
    unproven: Option<usize>,
    accepted_at: Instant,
    heard_at: Instant,
    /// The kernel is asked to tell when there is room again.
    waits_for_room: bool,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Gone,
    TooLong,
    Unproven,
    Idle,
}

pub(super) struct Streams {
    ready: OwnedFd,
    /// By number.
    open: HashMap<u32, Stream>,
    last_number: u32,
    /// Those that failed while something was sent.
    broken: Vec<u32>,
    swept_at: Instant,
    stats: StreamStats,
}

impl Streams {
    pub fn new(now: Instant) -> io::Result<Self> {
        Ok(Self {
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            open: HashMap::new(),
            last_number: 0,
            broken: Vec::new(),
            swept_at: now,
            stats: StreamStats::default(),
        })
    }

    /// Readable when one of the connections is ready.
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    pub fn stats(&self) -> StreamStats {
        StreamStats { open: self.open.len() as u64, ..self.stats }
    }

    /// A new connection; closed at once if there are too many.
    pub fn accept(&mut self, now: Instant, socket: TcpStream, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        let (mut of_address, mut unproven) = (0, 0);
        for stream in self.open.values().filter(|stream| stream.source.ip().to_canonical() == ip) {
            of_address += 1;
            unproven += usize::from(stream.unproven.is_some());
        }
        let full = self.open.len() >= STREAMS_MAX;
        if full || of_address >= PER_ADDRESS_MAX || unproven >= UNPROVEN_PER_ADDRESS_MAX {
            self.stats.refused += 1;
            return;
        }
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            if self.last_number != 0 && !self.open.contains_key(&self.last_number) {
                break;
            }
        }
        let number = self.last_number;
        let data = epoll::EventData::new_u64(number.into());
        if prepare(&socket).is_err() || epoll::add(&self.ready, &socket, data, epoll::EventFlags::IN).is_err() {
            self.stats.refused += 1;
            return;
        }
        let stream = Stream {
            socket,
            source: destination(ip, peer.port(), number),
            incoming: Incoming::new(),
            outgoing: Outgoing::default(),
            unproven: Some(0),
            accepted_at: now,
            heard_at: now,
            waits_for_room: false,
        };
        self.open.insert(number, stream);
        self.stats.accepted += 1;
    }

    /// Hands what has come to the engine, and sends what there is room for.
    pub fn receive(&mut self, now: Instant, engine: &mut Engine) {
        if self.open.is_empty() {
            return;
        }
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS_PER_TURN];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = epoll::wait(&self.ready, &mut events[..], Some(&at_once)).unwrap_or(0);
        for epoll::Event { flags, data } in events.into_iter().take(ready) {
            let number = data.u64() as u32;
            let Some(stream) = self.open.get_mut(&number) else { continue };
            let room = epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP;
            let written = if flags.intersects(room) { stream.write(&self.ready, number) } else { Ok(()) };
            let read = stream.read(now, engine, &mut self.stats);
            if let Err(end) = written.and(read) {
                self.close(number, end, engine);
            }
        }
    }

    /// Closes what failed, what nobody has a right to, and what is silent. Cheap; to be called often.
    pub fn tend(&mut self, now: Instant, engine: &mut Engine) {
        for number in std::mem::take(&mut self.broken) {
            self.close(number, End::Gone, engine);
        }
        if now.duration_since(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        let over = |stream: &Stream| match stream.unproven {
            Some(_) => (now.duration_since(stream.accepted_at) >= UNPROVEN_MAX).then_some(End::Unproven),
            None if now.duration_since(stream.heard_at) >= IDLE_MAX => Some(End::Idle),
            None => (!engine.is_checked(stream.source)).then_some(End::Idle),
        };
        let ends: Vec<(u32, End)> = self.open.iter().filter_map(|(number, one)| Some((*number, over(one)?))).collect();
        for (number, end) in ends {
            self.close(number, end, engine);
        }
    }

    /// The packets of a run, if the destination is a connection of ours: false otherwise.
    pub fn send_run(&mut self, dest: SocketAddr, run: &[u8], segment_len: usize) -> bool {
        let SocketAddr::V6(v6) = dest else { return false };
        let number = v6.flowinfo();
        if number == 0 {
            return false;
        }
        if let Some(stream) = self.open.get_mut(&number) {
            let (taken, dropped) = stream.outgoing.push(run, segment_len);
            self.stats.sent_frames += taken;
            self.stats.dropped_full += dropped;
            if !stream.waits_for_room && stream.write(&self.ready, number).is_err() {
                self.broken.push(number);
            }
        }
        true
    }

    fn close(&mut self, number: u32, end: End, engine: &mut Engine) {
        let Some(stream) = self.open.remove(&number) else { return };
        engine.forget(stream.source);
        match end {
            End::Gone => {}
            End::TooLong => self.stats.too_long += 1,
            End::Unproven => self.stats.unproven += 1,
            End::Idle => self.stats.idle += 1,
        }
    }
}

impl Stream {
    fn read(&mut self, now: Instant, engine: &mut Engine, stats: &mut StreamStats) -> Result<(), End> {
        for _ in 0..READS_PER_TURN {
            let len = match self.socket.read(self.incoming.room()) {
                Ok(0) => return Err(End::Gone),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(End::Gone),
            };
            self.heard_at = now;
            let source = self.source;
            let taken = self.incoming.take(len, |packet| {
                stats.received_frames += 1;
                engine.handle_datagram(now, source, packet);
            });
            taken.map_err(|_| End::TooLong)?;
            if let Some(before) = self.unproven {
                self.unproven = Some(before + len);
                if engine.is_checked(source) {
                    self.unproven = None;
                    stats.proven += 1;
                } else if before + len > UNPROVEN_LEN_MAX {
                    return Err(End::Unproven);
                }
            }
        }
        Ok(())
    }

    /// As much as the kernel takes.
    fn write(&mut self, ready: &OwnedFd, number: u32) -> Result<(), End> {
        while !self.outgoing.is_empty() {
            match self.socket.write(self.outgoing.bytes()) {
                Ok(0) => return Err(End::Gone),
                Ok(len) => self.outgoing.written(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Gone),
            }
        }
        let waits = !self.outgoing.is_empty();
        if waits != self.waits_for_room {
            self.waits_for_room = waits;
            let room = if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(number.into());
            epoll::modify(ready, &self.socket, data, epoll::EventFlags::IN | room).map_err(|_| End::Gone)?;
        }
        Ok(())
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    // A packet must not wait for the next one.
    socket.set_nodelay(true)?;
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_LEN_MAX)
}

fn destination(ip: IpAddr, port: u16, number: u32) -> SocketAddr {
    let ip = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    SocketAddrV6::new(ip, port, number, 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_media::Config;
    use schulhof_wire::ticket::NodeKind;
    use std::net::{Ipv4Addr, TcpListener};

    const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn engine(now: Instant) -> Engine {
        Engine::new(Config::new("nord".parse().unwrap(), NodeKind::Box, vec![HERE], [0; 32]), now).unwrap()
    }

    /// A connection that was accepted, its peer's end, and where the engine would send.
    fn connected(now: Instant, streams: &mut Streams) -> (TcpStream, SocketAddr) {
        let listener = TcpListener::bind(HERE).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, source) = listener.accept().unwrap();
        streams.accept(now, socket, source);
        let dest = destination(source.ip(), source.port(), streams.last_number);
        assert_eq!((dest.ip().to_canonical(), dest.port()), (source.ip(), source.port()));
        (peer, dest)
    }

    #[test]
    fn a_peer_that_does_not_read_loses_packets_and_nobody_waits_for_it() {
        let now = Instant::now();
        let mut streams = Streams::new(now).unwrap();
        let (_slow, to_slow) = connected(now, &mut streams);
        let (mut quick, to_quick) = connected(now, &mut streams);
        quick.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // 60 MB: more than any kernel keeps.
        for n in 0..5_000u32 {
            assert!(streams.send_run(to_slow, &[7; 12_000], 1_200));
            if n % 100 == 0 {
                assert!(streams.send_run(to_quick, &n.to_be_bytes(), 4));
                let mut frame = [0; 6];
                quick.read_exact(&mut frame).unwrap();
                assert_eq!(frame[2..], n.to_be_bytes());
            }
        }
        let stats = streams.stats();
        assert!(stats.dropped_full > 10_000, "{stats:?}");
        assert_eq!(stats.sent_frames + stats.dropped_full, 50_000 + 50);
    }

    #[test]
    fn what_belongs_to_no_connection_is_left_to_the_other_ways() {
        let now = Instant::now();
        let mut streams = Streams::new(now).unwrap();
        let (mut peer, dest) = connected(now, &mut streams);
        assert!(!streams.send_run(SocketAddr::new(dest.ip().to_canonical(), dest.port()), b"ping", 4));
        assert!(!streams.send_run(SocketAddr::new(dest.ip(), dest.port()), b"ping", 4));
        // A connection that is gone takes its packets with it: they are no datagrams for the same address.
        peer.shutdown(std::net::Shutdown::Both).unwrap();
        let mut engine = engine(now);
        while streams.stats().open > 0 {
            streams.receive(now, &mut engine);
            streams.tend(now, &mut engine);
        }
        assert!(streams.send_run(dest, b"ping", 4));
        let _ = peer.read(&mut [0; 1]);
    }

    #[test]
    fn a_silent_connection_ends_when_it_has_proven_nothing() {
        let now = Instant::now();
        let mut streams = Streams::new(now).unwrap();
        let mut engine = engine(now);
        let (_peer, _) = connected(now, &mut streams);
        streams.tend(now + UNPROVEN_MAX / 2, &mut engine);
        assert_eq!(streams.stats().open, 1);
        streams.tend(now + UNPROVEN_MAX, &mut engine);
        let stats = streams.stats();
        assert_eq!((stats.open, stats.unproven), (0, 1));
    }
}
