//! What the node counts, for `/metrics`, `/status` and tests. The worker thread publishes a snapshot now and then; readers
//! never touch the engine.

use super::streams::StreamStats;
use crate::udp::SendStats;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use schulhof_media::{DropReason, Stats};
use schulhof_wire::{NodeName, ticket::NodeKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The node's counters at one time, all from its start.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub engine: Stats,
    pub sent: SendStats,
    pub streams: StreamStats,
    /// Joins by outcome: `ok`, or the problem's code.
    pub joins: BTreeMap<&'static str, u64>,
}

/// `/status` of a media node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `box-media` or `relay`.
    pub kind: String,
    pub name: NodeName,
    pub pid: u32,
    pub participants: u32,
    /// Connections that are kept ready for people at other nodes; not among the participants.
    #[serde(default)]
    pub standbys: u32,
    pub rooms: u32,
    /// Places reserved ahead; a box's media process knows of none, its box keeps the book.
    pub reserved: u32,
    pub participants_max: u32,
    pub forwarded_packets: u64,
}

#[derive(Debug)]
pub(super) struct Meter {
    published: Mutex<(Stats, SendStats, StreamStats)>,
    joins: Mutex<BTreeMap<&'static str, u64>>,
    instruments: Instruments,
}

impl Meter {
    pub fn new() -> Self {
        let instruments = Instruments::new();
        Self { published: Mutex::default(), joins: Mutex::default(), instruments }
    }

    pub fn publish(&self, engine: Stats, sent: SendStats, streams: StreamStats) {
        self.instruments.set(&engine, &sent, &streams);
        *self.published.lock() = (engine, sent, streams);
    }

    /// `outcome` is one of the problem codes, or `ok`: a handful.
    pub fn joined(&self, outcome: &'static str) {
        *self.joins.lock().entry(outcome).or_default() += 1;
        counter!("schulhof_media_joins_total", "outcome" => outcome).increment(1);
    }

    pub fn snapshot(&self) -> Snapshot {
        let (engine, sent, streams) = self.published.lock().clone();
        Snapshot { engine, sent, streams, joins: self.joins.lock().clone() }
    }

    pub fn status(&self, name: &NodeName, kind: NodeKind, participants_max: u32, reserved: u32) -> Status {
        let (engine, ..) = &*self.published.lock();
        Status {
            kind: match kind {
                NodeKind::Box => "box-media".into(),
                NodeKind::Relay => "relay".into(),
                // Its configuration refuses it; the name is for completeness.
                NodeKind::Gateway => "gateway".into(),
            },
            name: name.clone(),
            pid: std::process::id(),
            participants: engine.participants as u32,
            standbys: engine.standbys as u32,
            rooms: engine.rooms as u32,
            reserved,
            participants_max,
            forwarded_packets: engine.forwarded_packets,
        }
    }
}

struct Instruments {
    participants: Gauge,
    standbys: Gauge,
    rooms: Gauge,
    streams: Gauge,
    allocations: Gauge,
    /// In the order of the values in [`Self::set`].
    counters: Vec<Counter>,
    dropped: Vec<(DropReason, Counter)>,
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instruments").finish_non_exhaustive()
    }
}

impl Instruments {
    const COUNTERS: [&str; 34] = [
        "schulhof_media_handshakes_total",
        "schulhof_media_received_packets_total",
        "schulhof_media_received_bytes_total",
        "schulhof_media_forwarded_packets_total",
        "schulhof_media_forwarded_bytes_total",
        "schulhof_media_paced_packets_total",
        "schulhof_media_retransmitted_packets_total",
        "schulhof_media_retransmissions_missed_total",
        "schulhof_media_nacks_sent_total",
        "schulhof_media_plis_sent_total",
        "schulhof_media_plis_received_total",
        "schulhof_media_video_switches_total",
        "schulhof_media_trunk_received_packets_total",
        "schulhof_media_trunk_sent_packets_total",
        "schulhof_media_trunk_sent_bytes_total",
        "schulhof_media_sent_datagrams_total",
        "schulhof_media_sent_bytes_total",
        "schulhof_media_send_calls_total",
        "schulhof_media_send_dropped_full_total",
        "schulhof_media_send_dropped_unreachable_total",
        "schulhof_media_gso_refused_total",
        "schulhof_media_tcp_accepted_total",
        "schulhof_media_tcp_proven_total",
        "schulhof_media_tcp_refused_total",
        "schulhof_media_tcp_unproven_total",
        "schulhof_media_tcp_too_long_total",
        "schulhof_media_tcp_idle_total",
        "schulhof_media_tcp_sent_frames_total",
        "schulhof_media_tcp_dropped_full_total",
        "schulhof_media_turn_allocated_total",
        "schulhof_media_turn_unauthorized_total",
        "schulhof_media_turn_over_quota_total",
        "schulhof_media_turn_foreign_peers_total",
        "schulhof_media_turn_malformed_total",
    ];

    fn new() -> Self {
        Self {
            participants: gauge!("schulhof_media_participants"),
            standbys: gauge!("schulhof_media_standbys"),
            rooms: gauge!("schulhof_media_rooms"),
            streams: gauge!("schulhof_media_tcp_open"),
            allocations: gauge!("schulhof_media_turn_allocations"),
            counters: Self::COUNTERS.into_iter().map(|name| counter!(name)).collect(),
            dropped: DropReason::ALL
                .into_iter()
                .map(|reason| (reason, counter!("schulhof_media_dropped_packets_total", "reason" => reason.as_str())))
                .collect(),
        }
    }

    fn set(&self, engine: &Stats, sent: &SendStats, streams: &StreamStats) {
        self.participants.set(engine.participants as f64);
        self.standbys.set(engine.standbys as f64);
        self.rooms.set(engine.rooms as f64);
        self.streams.set(streams.open as f64);
        self.allocations.set(streams.turn.allocations as f64);
        let values: [u64; Self::COUNTERS.len()] = [
            engine.handshakes,
            engine.received_packets,
            engine.received_bytes,
            engine.forwarded_packets,
            engine.forwarded_bytes,
            engine.paced_packets,
            engine.retransmitted_packets,
            engine.retransmissions_missed,
            engine.nacks_sent,
            engine.plis_sent,
            engine.plis_received,
            engine.video_switches,
            engine.trunk_packets_received,
            engine.trunk_packets_sent,
            engine.trunk_bytes_sent,
            sent.datagrams,
            sent.bytes,
            sent.calls,
            sent.dropped_full,
            sent.dropped_unreachable,
            sent.gso_refused,
            streams.accepted,
            streams.proven,
            streams.refused,
            streams.unproven,
            streams.too_long,
            streams.idle,
            streams.sent_frames,
            streams.dropped_full,
            streams.turn.allocated,
            streams.turn.unauthorized,
            streams.turn.over_quota,
            streams.turn.foreign_peers,
            streams.turn.malformed,
        ];
        for (counter, value) in self.counters.iter().zip(values) {
            counter.absolute(value);
        }
        for (reason, counter) in &self.dropped {
            counter.absolute(engine.dropped(*reason));
        }
    }
}
