//! TURN (RFC 8656) on a stream, for networks that let nothing through but TLS to one port: a relay whose only peer is the
//! media node itself. What a client sends to one of the node's own media addresses is handed to the engine, what the
//! engine answers goes back, and nothing is ever sent to anybody else: an allocation needs no socket.
//!
//! One connection has one allocation, which ends with it. Permissions hold as long as the allocation does: the only peer that
//! could misuse them is this node.
//!
//! What it must not do: read or write sockets, or reach any other address than the node's own, whatever a client names.
//!
//! - [`credentials`]: who may have an allocation; `message`: reading and answering; [`TurnServer`]: the rules

pub mod credentials;
mod message;
#[cfg(test)]
mod tests;

use credentials::{Credentials, hex};
use message::{Request, Verdict};
use rtc_stun::{
    attributes::{
        ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_LIFETIME, ATTR_REQUESTED_ADDRESS_FAMILY, ATTR_REQUESTED_TRANSPORT,
        ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS,
    },
    message::{
        CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND,
        METHOD_CREATE_PERMISSION, METHOD_REFRESH, METHOD_SEND,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Allocations of one person at a time: a browser makes one for each of its networks and address families.
pub const OF_CREDENTIAL_MAX: u8 = 4;
/// Longest message of the stream: a packet within Ethernet's MTU in a Send indication.
pub const MESSAGE_LEN_MAX: usize = 1_600;
/// Longest request: Chromium's have some 200 bytes.
const REQUEST_LEN_MAX: usize = 700;
/// Of one allocation: the node's own addresses, and some that a client binds twice.
const CHANNELS_MAX: usize = 16;
/// Granted whatever is asked for (RFC 8656 §7.2).
const LIFETIME: Duration = Duration::from_mins(10);
/// Channel numbers (RFC 8656 §12).
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;
/// Ports of relayed addresses. They are names: nobody listens there.
const PORT_FIRST: u16 = 49_152;
const PORTS: u32 = 16_384;
const UDP: u8 = 17;

/// What was done and refused, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TurnStats {
    /// Allocations now.
    pub allocations: u64,
    pub allocated: u64,
    /// Credentials that are forged or over.
    pub unauthorized: u64,
    /// Too many allocations of one person.
    pub over_quota: u64,
    /// Towards any other address than the node's own.
    pub foreign_peers: u64,
    /// What is no message, or none that the server knows.
    pub malformed: u64,
}

/// What a message of a client led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled {
    /// Answered, or ignored.
    Done,
    /// A packet for the engine: where in the message it is.
    Packet(std::ops::Range<usize>),
}

/// The rules, and what all connections share.
pub struct TurnServer {
    credentials: Credentials,
    /// The node's own media addresses.
    peers: Vec<SocketAddr>,
    /// Allocations of each person, by user name.
    users: BTreeMap<String, u8>,
    stats: TurnStats,
}

struct Allocation {
    user: String,
    key: Vec<u8>,
    relayed: SocketAddr,
    /// By number, the peer that each stands for.
    channels: Vec<(u16, SocketAddr)>,
    /// The peer that the client talks to: what comes from the engine is said to come from there.
    peer: Option<SocketAddr>,
    ends_at: Instant,
}

/// One client's end of a stream.
pub struct TurnConnection {
    /// As the node sees it.
    client: SocketAddr,
    number: u32,
    /// Valid as long as the connection: nobody else can send on it.
    nonce: String,
    allocation: Option<Allocation>,
}

impl TurnConnection {
    /// `number` is one that no other open connection has; `nonce` is random.
    pub fn new(client: SocketAddr, number: u32, nonce: [u8; 16]) -> Self {
        Self { client, number, nonce: hex(&nonce), allocation: None }
    }

    /// Where the engine finds the client, once there is an allocation.
    pub fn relayed(&self) -> Option<SocketAddr> {
        self.allocation.as_ref().map(|allocation| allocation.relayed)
    }

    /// Is there an allocation that has not been refreshed in time?
    pub fn is_over(&self, now: Instant) -> bool {
        self.allocation.as_ref().is_some_and(|allocation| now >= allocation.ends_at)
    }

    /// What stands before a packet of the engine on the stream, and how many zeros behind it: channel data (RFC 8656 §12.4), or
    /// a Data indication while no channel is bound. Nothing: the client has not said whom it talks to.
    pub fn wrap(&self, packet_len: usize, head: &mut Vec<u8>) -> Option<usize> {
        let allocation = self.allocation.as_ref()?;
        let peer = allocation.peer?;
        let padding = packet_len.next_multiple_of(4) - packet_len;
        match allocation.channels.iter().find(|(_, bound)| *bound == peer) {
            Some((number, _)) => {
                head.extend_from_slice(&number.to_be_bytes());
                head.extend_from_slice(&u16::try_from(packet_len).ok()?.to_be_bytes());
            }
            None => message::data_indication(peer, packet_len, head)?,
        }
        Some(padding)
    }
}

/// How long the first message in `bytes` is, with its padding. Nothing: not told yet. What begins like no message of
/// TURN, or is too long, has the length 0.
pub fn message_len(bytes: &[u8]) -> Option<usize> {
    let [first, _, high, low] = *bytes.first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let len = match first {
        0..=3 if len.is_multiple_of(4) => 20 + len,
        0x40..=0x4F => 4 + len.next_multiple_of(4),
        _ => 0,
    };
    Some(if len > MESSAGE_LEN_MAX { 0 } else { len })
}

impl TurnServer {
    /// `peers`: the node's own media addresses, which are all that can be reached.
    pub fn new(credentials: Credentials, peers: Vec<SocketAddr>) -> Self {
        Self { credentials, peers, users: BTreeMap::new(), stats: TurnStats::default() }
    }

    pub fn stats(&self) -> TurnStats {
        self.stats
    }

    /// The connection is closed.
    pub fn close(&mut self, connection: TurnConnection) {
        if let Some(allocation) = connection.allocation {
            self.free(&allocation.user);
        }
    }

    fn free(&mut self, user: &str) {
        self.stats.allocations -= 1;
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }

    /// One whole message. `wall_s`: seconds since 1970, for what expires. What is to be said is appended to `answer`.
    pub fn handle(
        &mut self,
        now: Instant,
        wall_s: u64,
        connection: &mut TurnConnection,
        bytes: &[u8],
        answer: &mut Vec<u8>,
    ) -> Handled {
        if bytes.first().is_some_and(|first| *first >= 0x40) {
            return self.channel_data(connection, bytes);
        }
        let Some(mut request) = Request::parse(bytes) else {
            self.stats.malformed += 1;
            return Handled::Done;
        };
        match (request.class(), request.method()) {
            (CLASS_INDICATION, METHOD_SEND) => return self.send(connection, &request, bytes),
            (CLASS_REQUEST, _) if bytes.len() <= REQUEST_LEN_MAX => {}
            _ => {
                self.stats.malformed += 1;
                return Handled::Done;
            }
        }
        if request.method() == METHOD_BINDING {
            request.answer(
                Verdict::Granted,
                &mut |reply| reply.address(ATTR_XORMAPPED_ADDRESS, connection.client),
                answer,
            );
            return Handled::Done;
        }
        if request.asks_too_much() {
            request.answer(Verdict::UnknownAttribute, &mut |_| {}, answer);
            return Handled::Done;
        }
        let realm = self.credentials.realm();
        let key = match self.authorize(wall_s, connection, &mut request) {
            Ok(key) => key,
            Err(verdict) => {
                let nonce = connection.nonce.clone();
                request.answer(verdict, &mut |reply| reply.challenge(realm, &nonce), answer);
                return Handled::Done;
            }
        };
        let verdict = match request.method() {
            METHOD_ALLOCATE => self.allocate(now, connection, &request, &key),
            METHOD_REFRESH => self.refresh(now, connection, &request),
            METHOD_CREATE_PERMISSION => self.permit(connection, &request),
            METHOD_CHANNEL_BIND => self.bind(connection, &request),
            _ => {
                self.stats.malformed += 1;
                Verdict::BadRequest
            }
        };
        let (relayed, client, ends_at) = match &connection.allocation {
            Some(allocation) => (Some(allocation.relayed), connection.client, allocation.ends_at),
            None => (None, connection.client, now),
        };
        let method = request.method();
        request.answer_signed(
            verdict,
            &key,
            &mut |reply| {
                if method == METHOD_ALLOCATE
                    && let Some(relayed) = relayed
                {
                    reply.address(ATTR_XOR_RELAYED_ADDRESS, relayed);
                    reply.address(ATTR_XORMAPPED_ADDRESS, client);
                }
                if matches!(method, METHOD_ALLOCATE | METHOD_REFRESH) {
                    let seconds = ends_at.saturating_duration_since(now).as_secs() as u32;
                    reply.attribute(ATTR_LIFETIME, &seconds.to_be_bytes());
                }
            },
            answer,
        );
        Handled::Done
    }

    /// The key of who asks (RFC 8489 §9.2.4).
    fn authorize(
        &mut self,
        wall_s: u64,
        connection: &TurnConnection,
        request: &mut Request,
    ) -> Result<Vec<u8>, Verdict> {
        if !request.is_signed() {
            return Err(Verdict::Unauthorized);
        }
        let user = request.text(ATTR_USERNAME).ok_or(Verdict::BadRequest)?;
        if request.nonce().as_deref() != Some(&connection.nonce) {
            return Err(Verdict::StaleNonce);
        }
        // One connection is one person's.
        if let Some(allocation) = &connection.allocation {
            if allocation.user != user {
                return Err(Verdict::WrongCredentials);
            }
            if request.has_signed(&allocation.key) {
                return Ok(allocation.key.clone());
            }
        } else if let Some(key) = self.credentials.key_of(&user, wall_s)
            && request.has_signed(&key)
        {
            return Ok(key);
        }
        self.stats.unauthorized += 1;
        Err(Verdict::Unauthorized)
    }

    fn allocate(&mut self, now: Instant, connection: &mut TurnConnection, request: &Request, key: &[u8]) -> Verdict {
        if connection.allocation.is_some() {
            return Verdict::Mismatch;
        }
        match request.value(ATTR_REQUESTED_TRANSPORT).as_deref() {
            Some([UDP, ..]) => {}
            Some(_) => return Verdict::UnsupportedTransport,
            None => return Verdict::BadRequest,
        }
        let v6 = match request.value(ATTR_REQUESTED_ADDRESS_FAMILY).as_deref() {
            None | Some([1, ..]) => false,
            Some([2, ..]) => true,
            Some(_) => return Verdict::UnsupportedFamily,
        };
        let Some(peer) = self.peers.iter().find(|peer| peer.is_ipv6() == v6) else {
            return Verdict::UnsupportedFamily;
        };
        let relayed = SocketAddr::new(peer.ip(), PORT_FIRST + (connection.number % PORTS) as u16);
        let Some(user) = request.text(ATTR_USERNAME) else { return Verdict::BadRequest };
        let count = self.users.entry(user.clone()).or_insert(0);
        if *count >= OF_CREDENTIAL_MAX {
            self.stats.over_quota += 1;
            return Verdict::QuotaReached;
        }
        *count += 1;
        self.stats.allocations += 1;
        self.stats.allocated += 1;
        connection.allocation = Some(Allocation {
            user,
            key: key.to_vec(),
            relayed,
            channels: Vec::new(),
            peer: None,
            ends_at: now + LIFETIME,
        });
        Verdict::Granted
    }

    fn refresh(&mut self, now: Instant, connection: &mut TurnConnection, request: &Request) -> Verdict {
        let Some(allocation) = &mut connection.allocation else { return Verdict::Mismatch };
        if request.value(ATTR_LIFETIME).is_some_and(|value| value == [0; 4]) {
            let user = allocation.user.clone();
            connection.allocation = None;
            self.free(&user);
        } else {
            allocation.ends_at = now + LIFETIME;
        }
        Verdict::Granted
    }

    /// A permission is for an address, whatever the port (RFC 8656 §9). It is granted for the node's own, where
    /// it changes nothing.
    fn permit(&mut self, connection: &TurnConnection, request: &Request) -> Verdict {
        if connection.allocation.is_none() {
            return Verdict::Mismatch;
        }
        let mut asked = request.addresses(ATTR_XOR_PEER_ADDRESS).peekable();
        if asked.peek().is_none() {
            return Verdict::BadRequest;
        }
        for peer in asked {
            if !peer.is_some_and(|peer| self.peers.iter().any(|own| own.ip() == peer.ip())) {
                self.stats.foreign_peers += 1;
                return Verdict::Forbidden;
            }
        }
        Verdict::Granted
    }

    fn bind(&mut self, connection: &mut TurnConnection, request: &Request) -> Verdict {
        let Some(allocation) = &mut connection.allocation else { return Verdict::Mismatch };
        let number = request.value(ATTR_CHANNEL_NUMBER);
        let number = number.and_then(|value| Some(u16::from_be_bytes(*value.first_chunk()?)));
        let peer = request.addresses(ATTR_XOR_PEER_ADDRESS).next().flatten();
        let (Some(number), Some(peer)) = (number.filter(|number| CHANNELS.contains(number)), peer) else {
            return Verdict::BadRequest;
        };
        if !self.peers.contains(&peer) {
            self.stats.foreign_peers += 1;
            return Verdict::Forbidden;
        }
        let bound = allocation.channels.iter().find(|(known, other)| *known == number || *other == peer);
        match bound {
            Some(same) if *same == (number, peer) => {}
            Some(_) => return Verdict::BadRequest,
            None if allocation.channels.len() == CHANNELS_MAX => return Verdict::InsufficientCapacity,
            None => allocation.channels.push((number, peer)),
        }
        Verdict::Granted
    }

    fn send(&mut self, connection: &mut TurnConnection, request: &Request, bytes: &[u8]) -> Handled {
        let Some(allocation) = &mut connection.allocation else {
            self.stats.malformed += 1;
            return Handled::Done;
        };
        let peer = request.addresses(ATTR_XOR_PEER_ADDRESS).next().flatten();
        let Some(own) = peer.filter(|peer| self.peers.contains(peer)) else {
            self.stats.foreign_peers += 1;
            return Handled::Done;
        };
        let Some(place) = message::place_of(bytes, ATTR_DATA) else {
            self.stats.malformed += 1;
            return Handled::Done;
        };
        allocation.peer = Some(own);
        Handled::Packet(place)
    }

    fn channel_data(&mut self, connection: &mut TurnConnection, bytes: &[u8]) -> Handled {
        let head = bytes.first_chunk::<4>();
        let place = head.and_then(|[a, b, high, low]| {
            let allocation = connection.allocation.as_mut()?;
            let number = u16::from_be_bytes([*a, *b]);
            let (_, peer) = allocation.channels.iter().find(|(known, _)| *known == number)?;
            let end = 4 + usize::from(u16::from_be_bytes([*high, *low]));
            allocation.peer = Some(*peer);
            (end <= bytes.len()).then_some(4..end)
        });
        match place {
            Some(place) => Handled::Packet(place),
            None => {
                self.stats.malformed += 1;
                Handled::Done
            }
        }
    }
}
