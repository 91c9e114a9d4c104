//! The engine: all rooms of one UDP port. See the crate's loop contract.

use crate::{
    DropReason, LeaveReason, SessionId, Stats, TransmitSink,
    dtls::{Identity, Progress},
    forward::Switched,
    join::Purpose,
    rng::Rng,
    room::{Room, VIEW_TILES_MAX},
    rtcp::Feedback,
    rtp,
    session::Keys,
    source::{Peer, Subscriber},
    srtp::Context,
    state::Kept,
    stun::Request,
    table::Table,
    tick::{TICK, flush},
    transmit::Singles,
    trunk::Trunks,
};
use schulhof_wire::{
    id::{ConferenceId, NodeName, SchoolId},
    media::{ParticipantId, ToClient, ToNode},
    ticket::{Claims, NodeKind},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// While pictures wait for a narrow line, it is looked at this often.
const RELEASE: Duration = Duration::from_millis(2);
/// Messages that wait for the shell: several rosters for every session.
const CONTROLS_MAX: usize = 16_384;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node, as `Welcome` tells.
    pub node: NodeName,
    pub kind: NodeKind,
    /// Where the browsers' packets reach this engine: host candidates of the answer, at least one.
    pub candidates: Vec<SocketAddr>,
    /// The same for packets over TCP (RFC 6544), passive; none: there is no such way.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Secret. Names of sessions, ICE credentials and first sequence numbers come from it. 32 bytes of real randomness in
    /// production, a fixed value in tests.
    pub seed: [u8; 32],
    /// Connections in all rooms together; a join beyond is refused.
    pub sessions_max: usize,
    /// Connections in one room; a join beyond is refused.
    pub room_participants_max: usize,
    /// Milliseconds since 1970 when the engine starts: for raised hands and the attendance list, which outlive it at other
    /// nodes.
    pub started_at_ms: u64,
}

impl Config {
    pub const SESSIONS_MAX: usize = 2_000;
    pub const ROOM_PARTICIPANTS_MAX: usize = 300;

    /// With the usual limits, in 1970.
    pub fn new(node: NodeName, kind: NodeKind, candidates: Vec<SocketAddr>, seed: [u8; 32]) -> Self {
        Self {
            node,
            kind,
            candidates,
            tcp_candidates: Vec::new(),
            seed,
            sessions_max: Self::SESSIONS_MAX,
            room_participants_max: Self::ROOM_PARTICIPANTS_MAX,
            started_at_ms: 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("a media node needs at least one candidate address")]
    NoCandidate,
    #[error("no certificate for DTLS could be made: {0}")]
    Certificate(String),
}

/// Why an offer was not taken. The text is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("the ticket's claims are unusable: {0}")]
    Claims(&'static str),
    #[error("the offer is unusable: {0}")]
    Offer(String),
    #[error("the room is full")]
    RoomFull,
    #[error("the node is full")]
    NodeFull,
    #[error("the node takes nobody in any more, it will stop")]
    Draining,
    #[error("the conference was ended")]
    Ended,
    #[error("a moderator has removed this person from the conference")]
    Blocked,
}

#[derive(Debug, Clone)]
pub struct Joined {
    pub session: SessionId,
    pub participant: ParticipantId,
    /// SDP answer.
    pub answer: String,
}

/// See the crate's loop contract.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) rng: Rng,
    pub(crate) start: Instant,
    /// Sessions ever made.
    pub(crate) serials: u64,
    pub(crate) sessions: Table,
    /// Of them, those that stand by.
    pub(crate) standbys: usize,
    pub(crate) by_id: BTreeMap<SessionId, Peer>,
    pub(crate) by_ufrag: BTreeMap<String, Peer>,
    pub(crate) by_ticket: BTreeMap<(SchoolId, String), Peer>,
    /// Checked addresses only. Looked up for each packet, never walked.
    by_addr: HashMap<SocketAddr, Peer>,
    pub(crate) rooms: Vec<Option<Room>>,
    pub(crate) room_by_key: BTreeMap<(SchoolId, ConferenceId), usize>,
    pub(crate) kept: Kept,
    pub(crate) singles: Singles,
    pub(crate) trunks: Trunks,
    controls: VecDeque<(SessionId, ToClient)>,
    pub(crate) next_tick: Instant,
    next_release: Instant,
    pub(crate) weighed_at: Instant,
    /// Something: nobody is taken in any more; when the next room is asked to move.
    pub(crate) draining: Option<Instant>,
    pub(crate) stats: Stats,
    /// Reused between packets.
    pub(crate) switched: Switched,
    pub(crate) feedback: Vec<Feedback>,
    pub(crate) sequences: Vec<u16>,
}

impl Engine {
    /// `now` is the start of the engine's own clock.
    pub fn new(config: Config, now: Instant) -> Result<Self, EngineError> {
        if config.candidates.is_empty() {
            return Err(EngineError::NoCandidate);
        }
        let identity = Identity::generate().map_err(EngineError::Certificate)?;
        let rng = Rng::new(&config.seed);
        Ok(Self {
            config,
            identity,
            rng,
            start: now,
            serials: 0,
            sessions: Table::default(),
            standbys: 0,
            by_id: BTreeMap::new(),
            by_ufrag: BTreeMap::new(),
            by_ticket: BTreeMap::new(),
            by_addr: HashMap::new(),
            rooms: Vec::new(),
            room_by_key: BTreeMap::new(),
            kept: Kept::default(),
            singles: Singles::default(),
            trunks: Trunks::default(),
            controls: VecDeque::new(),
            next_tick: now,
            next_release: now,
            weighed_at: now,
            draining: None,
            stats: Stats::default(),
            switched: Switched::new(),
            feedback: Vec::new(),
            sequences: Vec::new(),
        })
    }

    /// Takes somebody into the room of the ticket. The caller has verified the ticket.
    /// The same ticket (`claims.id`) again replaces the earlier connection.
    pub fn join(&mut self, now: Instant, claims: Claims, offer: &str) -> Result<Joined, JoinError> {
        self.try_join(now, claims, offer, Purpose::Enter)
    }

    /// A connection that is kept ready for somebody who is at another node, and in no room until [`ToNode::Activate`]. Counts
    /// as a connection, not as a participant.
    pub fn stand_by(&mut self, now: Instant, claims: Claims, offer: &str) -> Result<Joined, JoinError> {
        self.try_join(now, claims, offer, Purpose::StandBy)
    }

    /// Is this a running connection? To be asked before a control channel is opened.
    pub fn contains(&self, session: SessionId) -> bool {
        self.by_id.contains_key(&session)
    }

    /// A message from the client's control channel. Unknown sessions are ignored.
    pub fn control(&mut self, now: Instant, session: SessionId, message: ToNode) {
        let Some(peer) = self.by_id.get(&session).copied() else { return };
        let Some(state) = self.sessions.get_mut(peer) else { return };
        if !state.controls.take(now) {
            return self.stats.drop(DropReason::Control);
        }
        match message {
            ToNode::Publish { microphone, camera, screen } => {
                state.standing.says = [microphone, camera, screen];
                self.allow_sources(peer);
            }
            ToNode::View { mut tiles } => {
                tiles.truncate(VIEW_TILES_MAX);
                state.view = Some(tiles);
                if let Some(room) = self.rooms.get_mut(state.room).and_then(Option::as_mut) {
                    room.slots_changed = true;
                }
            }
            ToNode::Activate => self.activate(now, peer),
            ToNode::Hand { raised } => self.raise_hand(now, peer, raised),
            ToNode::Unmute => self.unmute(peer),
            ToNode::Moderate { order } => self.order(now, peer, order),
            ToNode::Ping { n } => self.tell(session, ToClient::Pong { n }),
        }
    }

    /// Ends a connection. For every reason but [`LeaveReason::Left`] the client is told by `Closing` first.
    pub fn leave(&mut self, now: Instant, session: SessionId, reason: LeaveReason) {
        if let Some(peer) = self.by_id.get(&session).copied() {
            self.end(now, peer, reason);
        }
    }

    /// Ends all connections, such as before the process stops.
    pub fn close_all(&mut self, now: Instant, reason: LeaveReason) {
        for peer in self.sessions.places() {
            self.end(now, peer, reason);
        }
    }

    /// Has the address shown that it belongs to somebody who has joined?
    pub fn is_checked(&self, source: SocketAddr) -> bool {
        self.by_addr.contains_key(&source)
    }

    /// Nothing can be sent to the address any more: its TCP connection is closed.
    pub fn forget(&mut self, source: SocketAddr) {
        if let Some(peer) = self.by_addr.remove(&source)
            && let Some(session) = self.sessions.get_mut(peer)
        {
            session.agent.forget(source);
        }
    }

    /// One datagram from the socket. Decrypted in place: its bytes are worthless afterwards.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, packet: &mut [u8]) {
        self.stats.received_packets += 1;
        self.stats.received_bytes += packet.len() as u64;
        // By the first byte (RFC 7983).
        match packet.first() {
            Some(0..=3) => self.receive_stun(now, source, packet),
            Some(20..=63) => match self.by_addr.get(&source) {
                Some(peer) => self.receive_dtls(now, *peer, source, packet),
                None => self.stats.drop(DropReason::UnvalidatedAddress),
            },
            Some(128..=191) => match self.by_addr.get(&source) {
                Some(peer) if rtp::is_rtcp(packet) => self.receive_rtcp(now, *peer, packet),
                Some(peer) => self.receive_media(now, *peer, packet),
                None => self.stats.drop(DropReason::UnvalidatedAddress),
            },
            _ => self.stats.drop(DropReason::Malformed),
        }
    }

    /// To be called when [`Self::poll_timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sessions.any_waits() {
            let now_us = self.since_start_us(now);
            self.sessions.release(now_us);
            self.next_release = now + RELEASE;
        }
        if now >= self.next_tick && self.is_busy() {
            self.next_tick = now + TICK;
            self.tick(now);
        }
    }

    /// When [`Self::handle_timeout`] is wanted next. Nothing: only after the next input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = if self.sessions.any_waits() { self.next_tick.min(self.next_release) } else { self.next_tick };
        self.is_busy().then_some(next)
    }

    fn is_busy(&self) -> bool {
        self.sessions.len() > 0 || self.trunks.is_busy()
    }

    /// The next message for a client's control channel. After `Closing` the session is gone.
    pub fn poll_control(&mut self) -> Option<(SessionId, ToClient)> {
        self.controls.pop_front()
    }

    /// Gives everything that is to be sent to `sink`, in runs per destination.
    pub fn drain_transmits(&mut self, sink: &mut impl TransmitSink) {
        self.singles.drain(sink);
        self.sessions.drain(sink);
    }

    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.participants = self.sessions.len() - self.standbys;
        stats.standbys = self.standbys;
        stats.rooms = self.room_by_key.len();
        stats
    }

    fn receive_stun(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) {
        let accepted = Request::parse(packet).and_then(|request| {
            let peer = *self.by_ufrag.get(&request.ufrag)?;
            let session = self.sessions.get_mut(peer)?;
            let (accepted, response) = session.agent.accept(self.identity.provider.crypto(), request, source)?;
            session.alive_at = now;
            Some((peer, accepted, response))
        });
        let Some((peer, accepted, response)) = accepted else { return self.stats.drop(DropReason::Stun) };
        if let Some(removed) = accepted.removed {
            self.by_addr.remove(&removed);
        }
        if accepted.added
            && let Some(before) = self.by_addr.insert(source, peer)
            && before != peer
            && let Some(session) = self.sessions.get_mut(before)
        {
            session.agent.forget(source);
        }
        self.send_single(source, &response);
    }

    fn receive_dtls(&mut self, now: Instant, peer: Peer, source: SocketAddr, packet: &[u8]) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let progress = session.handshake.read(&self.identity, now, packet);
        let mut full = false;
        flush(&mut session.handshake, |packet| full |= !self.singles.push(source, packet));
        if full {
            self.stats.drop(DropReason::QueueFull);
        }
        match progress {
            Progress::Pending => {}
            Progress::Done { remote, local } => {
                let crypto = self.identity.provider.crypto();
                let (Ok(remote), Ok(local)) = (Context::new(crypto, &remote), Context::new(crypto, &local)) else {
                    return self.end(now, peer, LeaveReason::TransportFailed);
                };
                session.keys = Some(Keys { local, remote });
                session.alive_at = now;
                self.stats.handshakes += 1;
                if let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) {
                    room.slots_changed = true;
                }
            }
            Progress::Closed => self.end(now, peer, LeaveReason::TransportFailed),
            Progress::Refused => {
                self.stats.drop(DropReason::Dtls);
                self.end(now, peer, LeaveReason::TransportFailed);
            }
            Progress::Dropped => self.stats.drop(DropReason::Dtls),
        }
    }

    fn send_single(&mut self, dest: SocketAddr, packet: &[u8]) {
        if !self.singles.push(dest, packet) {
            self.stats.drop(DropReason::QueueFull);
        }
    }

    /// Queues a message for a client.
    pub(crate) fn tell(&mut self, session: SessionId, message: ToClient) {
        if self.controls.len() < CONTROLS_MAX {
            self.controls.push_back((session, message));
        } else {
            self.stats.drop(DropReason::Control);
        }
    }

    /// Takes a session out of everything that knows it.
    pub(crate) fn end(&mut self, now: Instant, peer: Peer, reason: LeaveReason) {
        let Some(mut session) = self.sessions.remove(peer) else { return };
        let now_ms = self.wall_ms(now);
        self.standbys -= usize::from(session.standby.is_some());
        session.handshake.close(now);
        if let Some(dest) = session.agent.selected() {
            flush(&mut session.handshake, |packet| {
                self.singles.push(dest, packet);
            });
        }
        for slots in [&session.audio, &session.video] {
            for (place, slot) in slots.iter().enumerate() {
                let Some(source) = slot.source else { continue };
                for layer in [slot.current, slot.target].into_iter().flatten() {
                    self.unsubscribe(source, layer, Subscriber { peer, slot: place as u8 });
                }
            }
        }
        for address in session.agent.addresses() {
            self.by_addr.remove(address);
        }
        self.by_id.remove(&session.id);
        self.by_ufrag.remove(&session.agent.ufrag);
        self.by_ticket.remove(&(session.school.clone(), session.ticket.clone()));
        if let Some(place) = self.rooms.get_mut(session.room)
            && let Some(room) = place
        {
            room.remove(peer);
            if let Some(stay) = session.standing.stay {
                room.state.leave(stay, now_ms);
            }
            let account = &session.participant.account;
            let same =
                |peer: &Peer| self.sessions.get(*peer).is_some_and(|other| other.participant.account == *account);
            if session.standing.waits && !room.waiting.iter().any(same) {
                room.state.stop_calling(account);
            }
            if room.members.is_empty()
                && room.waiting.is_empty()
                && let Some(room) = place.take()
            {
                self.room_by_key.remove(&room.key);
                self.kept.put(now, room.key.clone(), room.state);
                for remote in room.remotes {
                    self.forget_person(remote);
                }
                self.close_shared(now, &room.key);
            }
        }
        if reason != LeaveReason::Left {
            self.tell(session.id, ToClient::Closing { reason: reason.as_str().to_owned() });
        }
    }
}
