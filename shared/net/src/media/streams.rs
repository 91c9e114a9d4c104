//! Connections of browsers whose network takes no UDP: ICE over TCP (RFC 6544, the passive end), and TURN over TLS (RFC 8656)
//! where nothing but one port is open. The worker thread owns them beside its UDP sockets; their packets go to the same engine.
//!
//! The engine knows peers by their address. A connection is a destination of its own, also beside UDP from the same
//! address: its [`SocketAddr`] is the peer's real one as IPv6, with the connection's number as flow information, which no
//! datagram's source has. What the engine sends there finds the connection by that number. With TURN the address is the
//! allocation's.
//!
//! What it must not do: wait for a slow peer (its packets are dropped), or let anybody hold much who has not shown by a
//! STUN request with the right integrity that he has joined.

use super::{
    framing::{Incoming, Outgoing, TooLong, by_length},
    pipe::Pipe,
};
use rustix::event::{Timespec, epoll};
use rustls::ServerConnection;
use schulhof_media::{
    Engine,
    turn::{self, Handled, TurnConnection, TurnServer, TurnStats},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant, SystemTime},
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
    pub turn: TurnStats,
}

/// A new connection. Within TLS it speaks TURN.
pub(super) struct Arrived {
    pub socket: TcpStream,
    pub peer: SocketAddr,
    pub tls: Option<Box<ServerConnection>>,
}

struct Stream {
    pipe: Pipe,
    /// Whose it is, for the limits.
    ip: IpAddr,
    /// As the engine knows it.
    source: SocketAddr,
    turn: Option<TurnConnection>,
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
    /// Those that have more to read than there was time for.
    unfinished: Vec<u32>,
    turn: Option<TurnServer>,
    /// What TURN says, reused.
    answer: Vec<u8>,
    swept_at: Instant,
    stats: StreamStats,
}

impl Streams {
    pub fn new(now: Instant, turn: Option<TurnServer>) -> io::Result<Self> {
        Ok(Self {
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            open: HashMap::new(),
            last_number: 0,
            broken: Vec::new(),
            unfinished: Vec::new(),
            turn,
            answer: Vec::new(),
            swept_at: now,
            stats: StreamStats::default(),
        })
    }

    /// Readable when one of the connections is ready.
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    pub fn stats(&self) -> StreamStats {
        let turn = self.turn.as_ref().map(TurnServer::stats).unwrap_or_default();
        StreamStats { open: self.open.len() as u64, turn, ..self.stats }
    }

    /// Something has come that was not read yet, of which the kernel will not tell again.
    pub fn is_behind(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// A new connection; closed at once if there are too many.
    pub fn accept(&mut self, now: Instant, arrived: Arrived, engine: &mut Engine) {
        let Arrived { socket, peer, tls } = arrived;
        let ip = peer.ip().to_canonical();
        let (mut of_address, mut unproven) = (0, 0);
        for stream in self.open.values().filter(|stream| stream.ip == ip) {
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
        let mut nonce = [0; 16];
        let added = prepare(&socket).is_ok() && epoll::add(&self.ready, &socket, data, epoll::EventFlags::IN).is_ok();
        if !added || aws_lc_rs::rand::fill(&mut nonce).is_err() {
            self.stats.refused += 1;
            return;
        }
        let turn = tls.is_some().then(|| TurnConnection::new(SocketAddr::new(ip, peer.port()), number, nonce));
        let incoming = Incoming::new(if turn.is_some() { by_message } else { by_length });
        let pipe = match tls {
            Some(tls) => Pipe::Tls(socket, tls),
            None => Pipe::Plain(socket),
        };
        let stream = Stream {
            pipe,
            ip,
            source: destination(ip, peer.port(), number),
            turn,
            incoming,
            outgoing: Outgoing::default(),
            unproven: Some(0),
            accepted_at: now,
            heard_at: now,
            waits_for_room: false,
        };
        self.open.insert(number, stream);
        self.stats.accepted += 1;
        // What came with the end of the handshake.
        self.serve(now, number, epoll::EventFlags::IN, engine);
    }

    /// Hands what has come to the engine, and sends what there is room for.
    pub fn receive(&mut self, now: Instant, engine: &mut Engine) {
        if self.open.is_empty() {
            return;
        }
        for number in std::mem::take(&mut self.unfinished) {
            self.serve(now, number, epoll::EventFlags::IN, engine);
        }
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS_PER_TURN];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = epoll::wait(&self.ready, &mut events[..], Some(&at_once)).unwrap_or(0);
        for epoll::Event { flags, data } in events.into_iter().take(ready) {
            self.serve(now, data.u64() as u32, flags, engine);
        }
    }

    fn serve(&mut self, now: Instant, number: u32, flags: epoll::EventFlags, engine: &mut Engine) {
        let Some(stream) = self.open.get_mut(&number) else { return };
        let room = epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP;
        let written = if flags.intersects(room) { stream.write(&self.ready, number) } else { Ok(()) };
        let mut reading = Reading { now, number, engine, stats: &mut self.stats, turn: &mut self.turn };
        let read = stream.read(&mut reading, &mut self.answer);
        if let Ok(true) = read {
            self.unfinished.push(number);
        }
        let answered = if stream.outgoing.is_empty() { Ok(()) } else { stream.write(&self.ready, number) };
        if let Err(end) = written.and(read.map(drop)).and(answered) {
            self.close(number, end, engine);
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
            _ if stream.turn.as_ref().is_some_and(|turn| turn.is_over(now)) => Some(End::Idle),
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
            let (taken, dropped) = stream.push(run, segment_len, &mut self.answer);
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
        if let (Some(turn), Some(connection)) = (&mut self.turn, stream.turn) {
            turn.close(connection);
        }
        match end {
            End::Gone => {}
            End::TooLong => self.stats.too_long += 1,
            End::Unproven => self.stats.unproven += 1,
            End::Idle => self.stats.idle += 1,
        }
    }
}

/// What reading needs besides the connection.
struct Reading<'a> {
    now: Instant,
    number: u32,
    engine: &'a mut Engine,
    stats: &'a mut StreamStats,
    turn: &'a mut Option<TurnServer>,
}

impl Stream {
    /// True: there may be more. What TURN answers goes into the queue.
    fn read(&mut self, reading: &mut Reading<'_>, answer: &mut Vec<u8>) -> Result<bool, End> {
        for _ in 0..READS_PER_TURN {
            let len = match self.pipe.read(self.incoming.room()) {
                Ok(0) => return Err(End::Gone),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(End::Gone),
            };
            self.heard_at = reading.now;
            self.take(len, reading, answer).map_err(|_| End::TooLong)?;
            if let Some(before) = self.unproven {
                self.unproven = Some(before + len);
                if reading.engine.is_checked(self.source) {
                    self.unproven = None;
                    reading.stats.proven += 1;
                } else if before + len > UNPROVEN_LEN_MAX {
                    return Err(End::Unproven);
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, len: usize, reading: &mut Reading<'_>, answer: &mut Vec<u8>) -> Result<(), TooLong> {
        let Reading { now, number, engine, stats, turn } = reading;
        let now = *now;
        let (Some(turn), Some(connection)) = (turn.as_mut(), self.turn.as_mut()) else {
            let source = self.source;
            return self.incoming.take(len, |packet| {
                stats.received_frames += 1;
                engine.handle_datagram(now, source, packet);
            });
        };
        let wall_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        answer.clear();
        let source = &mut self.source;
        let taken = self.incoming.take(len, |message| {
            let handled = turn.handle(now, wall_s, connection, message, answer);
            if let Some(relayed) = connection.relayed() {
                *source = destination(relayed.ip(), relayed.port(), *number);
            }
            if let Handled::Packet(place) = handled {
                stats.received_frames += 1;
                engine.handle_datagram(now, *source, &mut message[place]);
            }
        });
        self.outgoing.push_framed(answer, &[], 0);
        taken
    }

    /// Packets of the engine: how many have found room, and how many not. `head` is overwritten.
    fn push(&mut self, run: &[u8], segment_len: usize, head: &mut Vec<u8>) -> (u64, u64) {
        let Some(connection) = &self.turn else { return self.outgoing.push(run, segment_len) };
        let (mut taken, mut dropped) = (0, 0);
        for packet in run.chunks(segment_len.max(1)) {
            head.clear();
            let padding = connection.wrap(packet.len(), head);
            if padding.is_some_and(|padding| self.outgoing.push_framed(head, packet, padding)) {
                taken += 1;
            } else {
                dropped += 1;
            }
        }
        (taken, dropped)
    }

    /// As much as the kernel takes.
    fn write(&mut self, ready: &OwnedFd, number: u32) -> Result<(), End> {
        while !self.outgoing.is_empty() || self.pipe.holds_some() {
            match self.pipe.write(self.outgoing.bytes()) {
                Ok(0) if !self.outgoing.is_empty() => return Err(End::Gone),
                Ok(len) => self.outgoing.written(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Gone),
            }
        }
        let waits = !self.outgoing.is_empty() || self.pipe.holds_some();
        if waits != self.waits_for_room {
            self.waits_for_room = waits;
            let room = if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(number.into());
            epoll::modify(ready, self.pipe.socket(), data, epoll::EventFlags::IN | room).map_err(|_| End::Gone)?;
        }
        Ok(())
    }
}

/// As messages of TURN tell their lengths.
fn by_message(bytes: &[u8]) -> Result<Option<(usize, usize)>, TooLong> {
    match turn::message_len(bytes) {
        Some(0) => Err(TooLong),
        len => Ok(len.map(|len| (len, 0))),
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
mod tests;
