//! One connection of one participant: its transport, what it sends, and the slots on which it receives.

use crate::{
    SessionId,
    budget::Rate,
    downlink::Downlink,
    dtls::Handshake,
    egress::Egress,
    pacer::Pacer,
    packet::{PADDED_LEN, seal_held},
    quality::Judge,
    replay::Replay,
    sdp::Medium,
    slot::Slot,
    source::{Peer, Source, SourceRef, place},
    srtp::{Context, RTCP_INDEX_MAX},
    standing::Standing,
    stun::Agent,
    transmit::Outbox,
    twcc::Arrivals,
};
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::{self, Participant, PersonQuality, SourceKind, Tile},
};
use std::time::{Duration, Instant};

/// Streams of one session: microphone, three layers of a camera and the screen, their retransmissions, and some that
/// were begun anew. Beyond, new ones are dropped.
pub(crate) const STREAMS_MAX: usize = 32;
/// Senders of RTCP: the streams and the receiver itself.
const RTCP_SENDERS_MAX: usize = STREAMS_MAX + 8;
/// The room of a connection that stands by: no room has this place.
pub(crate) const NOWHERE: usize = usize::MAX;
/// Messages on the control channel per second; a client sends a few when something is clicked.
const CONTROLS_PER_S: u32 = 50;
/// Retransmissions to one listener per second: a tenth of nine pictures.
const RETRANSMISSIONS_PER_S: u32 = 500;
/// Losses from which on voices go with their predecessors, and below which they do not any more: one lost packet in fifty is
/// heard, and in two hundred is not.
const REDUNDANT_LOSS: (f64, f64) = (0.02, 0.005);
/// What voices take that go with their predecessors: headers are there once.
pub(crate) const REDUNDANT: (u64, u64) = (8, 5);
/// Before a round trip is known.
const RTT_ASSUMED: Duration = Duration::from_millis(60);

/// Both directions, once the handshake is done.
pub(crate) struct Keys {
    pub local: Context,
    pub remote: Context,
}

/// What an incoming SSRC carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    Media,
    Retransmissions,
}

/// One incoming SSRC that has authenticated.
#[derive(Debug)]
pub(crate) struct Stream {
    pub ssrc: u32,
    pub kind: SourceKind,
    pub layer: usize,
    pub carries: Carries,
    pub replay: Replay,
}

pub(crate) struct Session {
    pub id: SessionId,
    /// Never used again, in contrast to the place in the table.
    pub serial: u64,
    pub school: SchoolId,
    pub ticket: String,
    /// [`NOWHERE`] while it stands by.
    pub room: usize,
    /// The conference that it stands by for.
    pub standby: Option<ConferenceId>,
    pub participant: Participant,
    pub standing: Standing,
    pub joined_at: Instant,
    /// Last authenticated packet.
    pub alive_at: Instant,

    pub agent: Agent,
    pub handshake: Handshake,
    pub keys: Option<Keys>,
    pub streams: Vec<Stream>,
    rtcp_replays: Vec<(u32, Replay)>,
    rtcp_index: u32,
    /// Of the engine's own RTCP.
    pub rtcp_ssrc: u32,
    pub outbox: Outbox,

    /// Microphone, camera, screen; none: not offered.
    pub sources: [Option<Source>; 3],
    pub transport_cc: Option<u8>,
    pub arrivals: Arrivals,
    pub report_at: Instant,
    /// A source lacks packets, or has just begun: it is looked after with the next tick, the others at their time.
    pub urgent: bool,
    pub chores_at: Instant,

    pub audio: Vec<Slot>,
    pub video: Vec<Slot>,
    /// As the client was last told.
    pub told: Option<(Vec<media::Slot>, Vec<media::Slot>)>,
    /// Nothing: the node chooses.
    pub view: Option<Vec<Tile>>,
    /// The line to the listener: by its losses, and by its transport-wide feedback.
    pub downlink: Downlink,
    pub egress: Egress,
    pub pacer: Pacer,
    /// Known to the table as one whose pictures wait.
    pub waits: bool,
    /// Layers must be chosen anew; not before this may they rise.
    pub fell_at: Option<Instant>,
    /// Since then not even the smallest layers of what is shown have fitted.
    pub short_since: Option<Instant>,
    pub rtt: Duration,
    /// Of the packets to a listener that gives no transport-wide feedback, 0 to 1.
    pub line_loss: f64,
    /// The line loses so much that each packet of a voice goes with the one before it.
    pub redundant: bool,
    /// What the voices take that are heard, each once.
    pub voices_bps: u64,
    pub judge: Judge,
    pub told_quality: Vec<PersonQuality>,
    pub controls: Rate,
    pub retransmissions: Rate,
}

/// What a new session is made of.
pub(crate) struct New {
    pub id: SessionId,
    pub serial: u64,
    pub school: SchoolId,
    pub ticket: String,
    pub room: usize,
    pub standby: Option<ConferenceId>,
    pub participant: Participant,
    pub agent: Agent,
    pub handshake: Handshake,
    pub rtcp_ssrc: u32,
    pub sources: [Option<Source>; 3],
    pub audio: Vec<Slot>,
    pub video: Vec<Slot>,
}

impl Session {
    pub fn new(now: Instant, new: New) -> Self {
        let transport_cc = new.sources.iter().flatten().find_map(|source| source.line.extensions.transport_cc);
        Self {
            id: new.id,
            serial: new.serial,
            school: new.school,
            ticket: new.ticket,
            room: new.room,
            standby: new.standby,
            standing: Standing::new(new.participant.role),
            participant: new.participant,
            joined_at: now,
            alive_at: now,
            agent: new.agent,
            handshake: new.handshake,
            keys: None,
            streams: Vec::new(),
            rtcp_replays: Vec::new(),
            rtcp_index: 0,
            rtcp_ssrc: new.rtcp_ssrc,
            outbox: Outbox::default(),
            sources: new.sources,
            transport_cc,
            arrivals: Arrivals::default(),
            report_at: now,
            urgent: false,
            chores_at: now,
            audio: new.audio,
            video: new.video,
            told: None,
            view: None,
            downlink: Downlink::new(),
            egress: Egress::new(),
            pacer: Pacer::default(),
            waits: false,
            fell_at: None,
            short_since: None,
            rtt: RTT_ASSUMED,
            line_loss: 0.0,
            redundant: false,
            voices_bps: 0,
            judge: Judge::new(),
            told_quality: Vec::new(),
            controls: Rate::new(CONTROLS_PER_S),
            retransmissions: Rate::new(RETRANSMISSIONS_PER_S),
        }
    }

    pub fn source(&self, kind: SourceKind) -> Option<&Source> {
        self.sources[place(kind)].as_ref()
    }

    pub fn source_mut(&mut self, kind: SourceKind) -> Option<&mut Source> {
        self.sources[place(kind)].as_mut()
    }

    pub fn source_ref(&self, peer: Peer, kind: SourceKind) -> SourceRef {
        SourceRef { peer, serial: self.serial, kind }
    }

    pub fn slots_mut(&mut self, medium: Medium) -> &mut Vec<Slot> {
        match medium {
            Medium::Audio => &mut self.audio,
            Medium::Video => &mut self.video,
        }
    }

    pub fn slot_of(&mut self, ssrc: u32) -> Option<(u8, &mut Slot)> {
        let slots = self.audio.iter_mut().enumerate().chain(self.video.iter_mut().enumerate());
        slots.map(|(place, slot)| (place as u8, slot)).find(|(_, slot)| slot.ssrc == ssrc)
    }

    /// Queues RTCP, if the handshake is done. `build` appends the plain packet.
    pub fn send_rtcp(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        let Some(keys) = &self.keys else { return };
        if self.rtcp_index == RTCP_INDEX_MAX {
            return;
        }
        let index = self.rtcp_index;
        let len = self.outbox.push(|buffer| {
            let start = buffer.len();
            build(buffer);
            if buffer.len() == start { None } else { keys.local.seal_rtcp(index, buffer, start) }
        });
        self.rtcp_index += u32::from(len > 0);
    }

    /// What the listener's line carries. Nothing: it gives no transport-wide feedback.
    pub fn estimate_bps(&self, now_us: u64) -> Option<u64> {
        let told = self.video.iter().any(|slot| slot.transport_cc.is_some());
        if told { self.egress.estimate_bps(now_us) } else { None }
    }

    /// Of the packets to the listener, 0 to 1.
    pub fn loss_down(&self, now_us: u64) -> f64 {
        if self.estimate_bps(now_us).is_some() { self.egress.loss() } else { self.line_loss }
    }

    /// Shall voices go with their predecessors? A repetition comes a round trip later, which is too late on a long line. Pictures
    /// give way for it. It begins where it fits, and ends where not even the voices alone do: estimates of a bad line swing.
    pub fn weigh_redundancy(&mut self, now_us: u64) {
        let (begin_loss, end_loss) = REDUNDANT_LOSS;
        let (loss_min, bps_min) = if self.redundant {
            (end_loss, self.voices_bps)
        } else {
            (begin_loss, self.voices_bps * REDUNDANT.0 / REDUNDANT.1)
        };
        let has_room = self.estimate_bps(now_us).is_none_or(|bps| bps >= bps_min);
        self.redundant = has_room && self.loss_down(now_us) >= loss_min;
    }

    /// Pads a running probe up to `until_us`.
    pub fn pad(&mut self, now_us: u64, until_us: u64) {
        let Some(keys) = &self.keys else { return };
        let Some(slot) = self.video.iter_mut().find(|slot| slot.can_probe()) else { return };
        let packets = self.egress.padding(now_us, until_us).div_ceil(PADDED_LEN as u64);
        for _ in 0..packets {
            if self.outbox.is_full() {
                return;
            }
            let number = self.egress.sent.number();
            let len = self.outbox.push(|buffer| slot.write_padding(&keys.local, number, buffer));
            if len == 0 {
                return;
            }
            self.egress.note(now_us, len);
        }
    }

    /// Lets leave what has waited long enough.
    pub fn release(&mut self, now_us: u64) {
        let Some(keys) = &self.keys else { return };
        let (outbox, egress) = (&mut self.outbox, &mut self.egress);
        self.pacer.release(now_us, |held, packet| {
            let number = egress.sent.number();
            let len = outbox.push(|buffer| seal_held(&keys.local, held, number, packet, buffer));
            if len > 0 {
                egress.note(now_us, len);
            }
        });
    }

    /// Has this SRTCP packet not come before? To be asked before opening.
    pub fn is_fresh_rtcp(&self, ssrc: u32, index: u32) -> bool {
        let known = self.rtcp_replays.iter().find(|(sender, _)| *sender == ssrc);
        known.is_none_or(|(_, replay)| replay.is_fresh(u64::from(index)))
    }

    /// After authentication. False: one sender too many, or a replay.
    pub fn accept_rtcp(&mut self, ssrc: u32, index: u32) -> bool {
        let place = match self.rtcp_replays.iter().position(|(sender, _)| *sender == ssrc) {
            Some(place) => place,
            None if self.rtcp_replays.len() == RTCP_SENDERS_MAX => return false,
            None => {
                self.rtcp_replays.push((ssrc, Replay::new()));
                self.rtcp_replays.len() - 1
            }
        };
        let replay = &mut self.rtcp_replays[place].1;
        let fresh = replay.is_fresh(u64::from(index));
        if fresh {
            replay.accept(u64::from(index));
        }
        fresh
    }
}
