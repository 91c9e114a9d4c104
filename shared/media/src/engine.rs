//! The engine: all rooms of one UDP port. See the crate's loop contract.

use crate::{LeaveReason, SessionId, Stats, TransmitSink};
use schulhof_wire::{
    id::NodeName,
    media::{ParticipantId, ToClient, ToNode},
    ticket::{Claims, NodeKind},
};
use std::{collections::VecDeque, net::SocketAddr, time::Instant};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node, as `Welcome` tells.
    pub node: NodeName,
    pub kind: NodeKind,
    /// Where the browsers' packets reach this engine: host candidates of the answer, at least one.
    pub candidates: Vec<SocketAddr>,
    /// Secret. Names of sessions, ICE credentials and first sequence numbers come from it. 32 bytes of real randomness in
    /// production, a fixed value in tests.
    pub seed: [u8; 32],
    /// Connections in all rooms together; a join beyond is refused.
    pub sessions_max: usize,
    /// Connections in one room; a join beyond is refused.
    pub room_participants_max: usize,
}

impl Config {
    pub const SESSIONS_MAX: usize = 2_000;
    pub const ROOM_PARTICIPANTS_MAX: usize = 300;

    /// With the usual limits.
    pub fn new(node: NodeName, kind: NodeKind, candidates: Vec<SocketAddr>, seed: [u8; 32]) -> Self {
        Self {
            node,
            kind,
            candidates,
            seed,
            sessions_max: Self::SESSIONS_MAX,
            room_participants_max: Self::ROOM_PARTICIPANTS_MAX,
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
}

#[derive(Debug, Clone)]
pub struct Joined {
    pub session: SessionId,
    pub participant: ParticipantId,
    /// SDP answer.
    pub answer: String,
}

pub struct Engine {
    config: Config,
    stats: Stats,
    controls: VecDeque<(SessionId, ToClient)>,
}

impl Engine {
    /// `now` is the start of the engine's own clock.
    pub fn new(config: Config, now: Instant) -> Result<Self, EngineError> {
        let _ = now;
        if config.candidates.is_empty() {
            return Err(EngineError::NoCandidate);
        }
        Ok(Self { config, stats: Stats::default(), controls: VecDeque::new() })
    }

    /// Takes somebody into the room of the ticket. The caller has verified the ticket.
    /// The same ticket (`claims.id`) again replaces the earlier connection.
    pub fn join(&mut self, now: Instant, claims: Claims, offer: &str) -> Result<Joined, JoinError> {
        let _ = (now, claims, offer, &self.config);
        Err(JoinError::NodeFull)
    }

    /// Is this a running connection? To be asked before a control channel is opened.
    pub fn contains(&self, session: SessionId) -> bool {
        let _ = session;
        false
    }

    /// A message from the client's control channel. Unknown sessions are ignored.
    pub fn control(&mut self, now: Instant, session: SessionId, message: ToNode) {
        let _ = (now, session, message);
    }

    /// Ends a connection. For every reason but [`LeaveReason::Left`] the client is told by `Closing` first.
    pub fn leave(&mut self, now: Instant, session: SessionId, reason: LeaveReason) {
        let _ = (now, session, reason);
    }

    /// Ends all connections, such as before the process stops.
    pub fn close_all(&mut self, now: Instant, reason: LeaveReason) {
        let _ = (now, reason);
    }

    /// One datagram from the socket. Decrypted in place: its bytes are worthless afterwards.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, packet: &mut [u8]) {
        let _ = (now, source, packet);
    }

    /// To be called when [`Self::poll_timeout`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] is wanted next. Nothing: only after the next input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next message for a client's control channel. After `Closing` the session is gone.
    pub fn poll_control(&mut self) -> Option<(SessionId, ToClient)> {
        self.controls.pop_front()
    }

    /// Gives everything that is to be sent to `sink`, in runs per destination.
    pub fn drain_transmits(&mut self, sink: &mut impl TransmitSink) {
        let _ = sink;
    }

    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }
}
