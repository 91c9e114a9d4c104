//! Counters of an engine, for metrics and tests. All count from the engine's start.

/// Why a datagram, or a packet to a listener, was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// Neither STUN, DTLS, SRTP nor SRTCP by its first byte (RFC 7983), or cut off.
    Malformed,
    /// STUN that is not a binding request with a known user and the right integrity.
    Stun,
    /// DTLS, SRTP or SRTCP from an address that no integrity-checked binding request came from.
    UnvalidatedAddress,
    /// SRTP or SRTCP before the handshake was done.
    EarlyMedia,
    /// DTLS over the session's budget of datagrams, or refused by the handshake.
    Dtls,
    /// The authentication tag does not fit.
    Forged,
    /// The packet was there already, or is too old to tell.
    Replayed,
    /// A stream that belongs to no offered source, or one too many.
    UnknownStream,
    /// A payload that its specification does not allow.
    BadPayload,
    /// RTCP that does not parse.
    BadRtcp,
    /// A listener's queue of this batch is full.
    QueueFull,
    /// Control messages over the session's budget, beyond the queue to the shell, or beyond what a room's state holds.
    Control,
    /// What another node says breaks the rules, or is beyond the bounds.
    Trunk,
    /// An order of somebody who does not moderate, or about somebody whom it may not be about.
    NotAllowed,
}

impl DropReason {
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Stun,
        Self::UnvalidatedAddress,
        Self::EarlyMedia,
        Self::Dtls,
        Self::Forged,
        Self::Replayed,
        Self::UnknownStream,
        Self::BadPayload,
        Self::BadRtcp,
        Self::QueueFull,
        Self::Control,
        Self::Trunk,
        Self::NotAllowed,
    ];

    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Stun => "stun",
            Self::UnvalidatedAddress => "unvalidated_address",
            Self::EarlyMedia => "early_media",
            Self::Dtls => "dtls",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::UnknownStream => "unknown_stream",
            Self::BadPayload => "bad_payload",
            Self::BadRtcp => "bad_rtcp",
            Self::QueueFull => "queue_full",
            Self::Control => "control",
            Self::Trunk => "trunk",
            Self::NotAllowed => "not_allowed",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Now in all rooms.
    pub participants: usize,
    /// Connections that are kept ready for people who are at another node now.
    pub standbys: usize,
    /// Rooms with at least one participant now.
    pub rooms: usize,
    pub joins: u64,
    pub handshakes: u64,
    /// Datagrams handed in, and their bytes.
    pub received_packets: u64,
    pub received_bytes: u64,
    /// Media packets to listeners (without retransmissions), and their bytes on the wire.
    pub forwarded_packets: u64,
    pub forwarded_bytes: u64,
    /// Of them, those that waited for a narrow line.
    pub paced_packets: u64,
    /// Packets sent again because a listener asked.
    pub retransmitted_packets: u64,
    /// Packets that were asked for again, but were not kept any more.
    pub retransmissions_missed: u64,
    /// Packets that were asked from publishers again.
    pub nacks_sent: u64,
    /// Key frames that were asked from publishers, and by listeners.
    pub plis_sent: u64,
    pub plis_received: u64,
    /// Source or layer switches on video slots that reached their key frame.
    pub video_switches: u64,
    /// Datagrams from and to other nodes, and the bytes of the latter.
    pub trunk_packets_received: u64,
    pub trunk_packets_sent: u64,
    pub trunk_bytes_sent: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub fn dropped_by_reason(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.dropped(reason)))
    }

    pub(crate) fn forwarded(&mut self, len: usize) {
        self.forwarded_packets += 1;
        self.forwarded_bytes += len as u64;
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}
