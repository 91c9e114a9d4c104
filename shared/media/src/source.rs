//! What a participant sends: microphone, camera, screen, each with its layers and with the listeners of each layer.

use crate::{
    history::History,
    layers::{ALIVE, LayerState},
    sdp::{Line, Medium},
    trunk::TrunkId,
    upstream::Upstream,
    window::Window,
};
use schulhof_wire::media::SourceKind;
use std::time::{Duration, Instant};

/// A publisher is asked for a key frame of one layer at most this often; requests in between are merged into the next.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// What a packet gets on its way to a listener: RTP header with extension, SRTP tag, UDP and IP.
const LISTENER_OVERHEAD: usize = 20 + 16 + 28;
/// Before a layer has come for this long, its rate is assumed.
const MEASURED_US: u64 = 1_000_000;

/// Who has just turned to another layer or source asks for what was lost of the former for this long.
const REPEATED_FOR: Duration = Duration::from_secs(1);

pub(crate) const AUDIO_CLOCK_HZ: u32 = 48_000;
pub(crate) const VIDEO_CLOCK_HZ: u32 = 90_000;

/// A place in the engine's table of sessions. Reused after a leave: see [`SourceRef::serial`].
pub(crate) type Peer = usize;

/// A source of one particular connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceRef {
    pub peer: Peer,
    /// Of the session: a successor on the same place has another one.
    pub serial: u64,
    pub kind: SourceKind,
}

/// Where a forwarded packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub source: SourceRef,
    pub layer: u8,
    /// The browser has begun the layer anew, with another SSRC or with other numbers.
    pub generation: u32,
}

/// A listener's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub peer: Peer,
    pub slot: u8,
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub ssrc: Option<u32>,
    pub generation: u32,
    pub upstream: Upstream,
    pub history: History,
    /// Slots that show this layer or wait for its key frame.
    pub subscribers: Vec<Subscriber>,
    /// Other nodes that want it.
    pub trunks: Vec<TrunkId>,
    /// What the other node says of it, and of its rate in bit/s, if it is one of another node's: packets come only of what is
    /// wanted.
    pub offered: Option<(LayerState, u64)>,
    pub packet_at: Option<Instant>,
    /// In pixels, 0 unknown.
    pub height: u16,
    /// What its packets take towards a listener, in the latest two seconds.
    rate: Window<8, 250_000>,
    key_frame_wanted: bool,
    key_frame_asked_at: Option<Instant>,
    /// Nobody watches since then, but somebody may still ask for what was lost.
    left_at: Option<Instant>,
}

impl Layer {
    fn new(clock_hz: u32) -> Self {
        Self {
            ssrc: None,
            generation: 0,
            upstream: Upstream::new(clock_hz),
            history: History::default(),
            subscribers: Vec::new(),
            trunks: Vec::new(),
            offered: None,
            packet_at: None,
            height: 0,
            rate: Window::new(),
            key_frame_wanted: false,
            key_frame_asked_at: None,
            left_at: None,
        }
    }

    /// A stream appeared for this layer, for the first time or in place of another one.
    pub fn restart(&mut self, ssrc: u32, clock_hz: u32) {
        self.ssrc = Some(ssrc);
        self.upstream = Upstream::new(clock_hz);
        self.history.clear();
        self.key_frame_asked_at = None;
        self.renumber();
    }

    /// The stream's numbers have lost their connection with the earlier ones: listeners take it up anew, at a key frame.
    pub fn renumber(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.key_frame_wanted |= self.is_wanted();
    }

    /// A packet of this payload came.
    #[inline]
    pub fn count(&mut self, now_us: u64, payload_len: usize) {
        self.rate.add(now_us, payload_len + LISTENER_OVERHEAD);
    }

    /// In bit/s. What has been measured for less than a second is not believed to be less than `assumed_bps`: an encoder
    /// begins with little.
    pub fn bps(&self, now_us: u64, assumed_bps: u64) -> u64 {
        if let Some((_, bps)) = self.offered {
            return if bps == 0 { assumed_bps } else { bps };
        }
        let measured = self.rate.bps(now_us).unwrap_or(0);
        if self.rate.age_us(now_us) < MEASURED_US { measured.max(assumed_bps) } else { measured }
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        self.packet_at.is_some_and(|at| now.saturating_duration_since(at) < ALIVE)
    }

    /// Somebody follows it, here or at another node.
    pub fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty() || !self.trunks.is_empty()
    }

    /// Gives it to another node, or no more.
    pub fn give(&mut self, trunk: TrunkId, wanted: bool) {
        match self.trunks.iter().position(|known| *known == trunk) {
            None if wanted => self.trunks.push(trunk),
            Some(place) if !wanted => {
                self.trunks.remove(place);
                self.unwanted();
            }
            _ => {}
        }
    }

    pub fn state(&self, now: Instant) -> LayerState {
        if let Some((offered, _)) = self.offered {
            return offered;
        }
        LayerState { alive: self.is_alive(now), known: self.ssrc.is_some(), height: self.height }
    }

    pub fn subscribe(&mut self, subscriber: Subscriber) {
        if !self.subscribers.contains(&subscriber) {
            self.subscribers.push(subscriber);
        }
    }

    pub fn unsubscribe(&mut self, subscriber: Subscriber) {
        self.subscribers.retain(|known| *known != subscriber);
        self.unwanted();
    }

    fn unwanted(&mut self) {
        if !self.is_wanted() {
            self.key_frame_wanted = false;
        }
    }

    /// Gives the history's memory back, once nobody has watched for a while.
    pub fn forget(&mut self, now: Instant) {
        if self.is_wanted() || self.history.is_empty() {
            self.left_at = None;
        } else if now.saturating_duration_since(*self.left_at.get_or_insert(now)) >= REPEATED_FOR {
            self.history.clear();
        }
    }

    pub fn want_key_frame(&mut self) {
        self.key_frame_wanted = true;
    }

    pub fn key_frame_came(&mut self) {
        self.key_frame_wanted = false;
    }

    /// The SSRC to ask for a key frame now, if one is wanted and not asked for too lately. Counts as asked.
    pub fn key_frame_due(&mut self, now: Instant) -> Option<u32> {
        let due = self.key_frame_wanted
            && self.key_frame_asked_at.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL);
        let ssrc = self.ssrc.filter(|_| due)?;
        self.key_frame_asked_at = Some(now);
        Some(ssrc)
    }
}

#[derive(Debug)]
pub(crate) struct Source {
    /// As offered.
    pub line: Line,
    /// The client says that it sends. What arrives otherwise is not forwarded.
    pub published: bool,
    pub layers: Vec<Layer>,
}

impl Source {
    pub fn new(line: Line) -> Self {
        let clock_hz = clock_hz(line.medium);
        let layers = (0..line.rids.len().max(1)).map(|_| Layer::new(clock_hz)).collect();
        Self { line, published: false, layers }
    }

    pub fn clock_hz(&self) -> u32 {
        clock_hz(self.line.medium)
    }
}

fn clock_hz(medium: Option<Medium>) -> u32 {
    if medium == Some(Medium::Audio) { AUDIO_CLOCK_HZ } else { VIDEO_CLOCK_HZ }
}

/// Microphone, camera, screen: their place in a session's sources.
pub(crate) fn place(kind: SourceKind) -> usize {
    match kind {
        SourceKind::Microphone => 0,
        SourceKind::Camera => 1,
        SourceKind::Screen => 2,
    }
}

pub(crate) const KINDS: [SourceKind; 3] = [SourceKind::Microphone, SourceKind::Camera, SourceKind::Screen];
