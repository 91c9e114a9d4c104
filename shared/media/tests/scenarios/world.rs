//! A room in virtual time: real clients (ICE, DTLS, SRTP by the webrtc project's crates) against the engine, without
//! sockets. Everything happens in one thread, in the order of the seed.

use crate::client::Client;
use crate::sending::Media;
use schulhof_media::{Config, DropReason, Engine, Joined, SessionId, TransmitSink};
use schulhof_testkit::{Conditions, Link, Rng};
use schulhof_wire::{
    id::{AccountId, ConferenceId, NodeName, SchoolId},
    media::{Participant, ParticipantId, Slot, SourceKind, Speaker, Tile, ToClient, ToNode},
    ticket::{AUDIO_SLOTS, Claims, MediaNode, MediaRole, NodeKind, VERSION, VIDEO_SLOTS},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

pub const NODE: &str = "127.0.0.1:8480";

/// IPv4 and UDP headers, which a way carries too.
const WIRE_OVERHEAD: usize = 28;

/// Some beginning of virtual time; only differences matter.
#[allow(clippy::disallowed_methods)]
pub fn instant() -> Instant {
    Instant::now()
}

pub fn claims(name: &str, role: MediaRole) -> Claims {
    Claims {
        v: VERSION,
        id: format!("ticket-{name}"),
        school: SchoolId::new("nord").unwrap(),
        room: ConferenceId::new("math").unwrap(),
        account: AccountId::new(name).unwrap(),
        name: name.to_uppercase(),
        role,
        audio_slots: AUDIO_SLOTS,
        video_slots: VIDEO_SLOTS,
        primary: MediaNode {
            name: NodeName::new("nord").unwrap(),
            kind: NodeKind::Box,
            url: "http://localhost".into(),
        },
        standby: None,
        expires_at_ms: 1,
    }
}

pub fn engine(now: Instant, name: &str) -> Engine {
    let config = Config::new(NodeName::new(name).unwrap(), NodeKind::Box, vec![NODE.parse().unwrap()], [7; 32]);
    Engine::new(config, now).unwrap()
}

/// Datagrams of the engine, and the runs that they came in.
#[derive(Default)]
pub struct Sink {
    pub packets: VecDeque<(SocketAddr, Vec<u8>)>,
    pub runs: Vec<(SocketAddr, usize)>,
}

impl TransmitSink for Sink {
    fn run(&mut self, dest: SocketAddr, packets: &[u8], segment_len: usize) {
        self.runs.push((dest, packets.len().div_ceil(segment_len)));
        self.packets.extend(packets.chunks(segment_len).map(|packet| (dest, packet.to_vec())));
    }
}

/// Losses in one direction, in 1/100.
#[derive(Clone, Copy, Default)]
pub struct Losses {
    pub up: u64,
    pub down: u64,
}

/// A client's own way to the node, both directions.
pub struct Way {
    pub down: Link<Vec<u8>>,
    pub up: Link<(SocketAddr, Vec<u8>)>,
}

pub struct World {
    pub engine: Engine,
    pub now: Instant,
    pub clients: Vec<Client>,
    pub told: BTreeMap<SessionId, Vec<ToClient>>,
    pub losses: Losses,
    /// Of the clients that have a way of their own; the others' is perfect but for `losses`.
    pub ways: BTreeMap<usize, Way>,
    start: Instant,
    pub rng: Rng,
    pub sink: Sink,
}

impl World {
    pub fn new() -> Self {
        let now = instant();
        Self {
            engine: engine(now, "nord"),
            now,
            clients: Vec::new(),
            told: BTreeMap::new(),
            losses: Losses::default(),
            ways: BTreeMap::new(),
            start: now,
            rng: Rng::new(1),
            sink: Sink::default(),
        }
    }

    /// A room of connected clients that publish nothing yet.
    pub fn with(names: &[&str]) -> Self {
        let mut world = Self::new();
        for name in names {
            world.join(name);
        }
        world.connect();
        world
    }

    /// The same with clients that know no transport-wide feedback.
    pub fn without_feedback(names: &[&str]) -> Self {
        let mut world = Self::new();
        for name in names {
            let mut client = world.client(name);
            client.feedback = None;
            world.join_with(client, MediaRole::Participant);
        }
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.run_ms(200);
        for client in &self.clients {
            assert!(client.is_connected(), "{} is not connected", client.name);
        }
    }

    /// Joins and begins to connect. The result is the client's place.
    pub fn join(&mut self, name: &str) -> usize {
        self.join_as(name, MediaRole::Participant)
    }

    pub fn join_as(&mut self, name: &str, role: MediaRole) -> usize {
        let client = self.client(name);
        self.join_with(client, role)
    }

    fn client(&self, name: &str) -> Client {
        Client::new(self.now, name, SocketAddr::from(([127, 0, 0, 1], 40_000 + self.clients.len() as u16)))
    }

    pub fn join_with(&mut self, mut client: Client, role: MediaRole) -> usize {
        let Joined { session, participant, answer } =
            self.engine.join(self.now, claims(&client.name, role), &client.offer()).unwrap();
        assert_eq!(participant, client.id());
        client.answered(self.now, session, &answer);
        self.clients.push(client);
        self.clients.len() - 1
    }

    /// From now on the client is behind a way of its own, the same for both directions but for the rate, which is that
    /// of the way down.
    pub fn set_way(&mut self, client: usize, conditions: &Conditions) {
        let up = Conditions { rate_kbit_s: 0, ..conditions.clone() };
        let way = self.ways.entry(client).or_insert_with(|| Way {
            down: Link::new(Conditions::default(), self.rng.fork()),
            up: Link::new(Conditions::default(), self.rng.fork()),
        });
        way.down.conditions = conditions.clone();
        way.up.conditions = up;
    }

    pub fn control(&mut self, client: usize, message: ToNode) {
        self.engine.control(self.now, self.clients[client].session(), message);
    }

    pub fn publish(&mut self, client: usize, microphone: bool, camera: bool, screen: bool) {
        self.control(client, ToNode::Publish { microphone, camera, screen });
    }

    pub fn view(&mut self, client: usize, tiles: &[(usize, SourceKind, u16)]) {
        let tiles = tiles
            .iter()
            .map(|(of, kind, height)| Tile { participant: self.clients[*of].id(), kind: *kind, height: *height })
            .collect();
        self.control(client, ToNode::View { tiles });
    }

    /// Sends what clients and engine have to say, until both are silent. No time passes.
    pub fn settle(&mut self) {
        loop {
            let mut quiet = true;
            let now_ms = (self.now - self.start).as_millis() as u64;
            for (place, client) in self.clients.iter_mut().enumerate() {
                let mut way = self.ways.get_mut(&place);
                while let Some((source, mut packet)) = client.outgoing.pop_front() {
                    if let Some(way) = &mut way {
                        let bytes = packet.len() + WIRE_OVERHEAD;
                        way.up.send_bytes(now_ms, (source, packet), bytes);
                        continue;
                    }
                    quiet = false;
                    if self.rng.chance(self.losses.up, 100) {
                        continue;
                    }
                    self.engine.handle_datagram(self.now, source, &mut packet);
                }
            }
            for (place, way) in &mut self.ways {
                while let Some((source, mut packet)) = way.up.receive(now_ms) {
                    quiet = false;
                    self.engine.handle_datagram(self.now, source, &mut packet);
                }
                while let Some(packet) = way.down.receive(now_ms) {
                    quiet = false;
                    self.clients[*place].receive(self.now, &packet);
                }
            }
            self.engine.drain_transmits(&mut self.sink);
            while let Some((dest, packet)) = self.sink.packets.pop_front() {
                quiet = false;
                if self.rng.chance(self.losses.down, 100) {
                    continue;
                }
                let Some(place) = self.clients.iter().position(|client| client.addresses.contains(&dest)) else {
                    continue;
                };
                self.clients[place].overhear(self.now, &packet);
                match self.ways.get_mut(&place) {
                    Some(way) => {
                        let bytes = packet.len() + WIRE_OVERHEAD;
                        way.down.send_bytes(now_ms, packet, bytes);
                    }
                    None => self.clients[place].receive(self.now, &packet),
                }
            }
            while let Some((session, message)) = self.engine.poll_control() {
                self.told.entry(session).or_default().push(message);
            }
            if quiet {
                return;
            }
        }
    }

    /// Of virtual time.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Lets time pass, step by step.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.settle();
        // A way with a rate is told apart by the millisecond.
        let step = Duration::from_millis(if self.ways.is_empty() { 5 } else { 1 });
        while self.now < end {
            self.now += step;
            for client in &mut self.clients {
                client.tick(self.now);
            }
            if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.engine.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Everybody sends what `media` lists for `ms` milliseconds: a picture each 40 ms, a voice packet each 20 ms.
    pub fn stream_ms(&mut self, ms: u64, media: &[(usize, Media)]) {
        for round in 0..ms / 20 {
            for (client, media) in media {
                self.clients[*client].send(*media, round % 2 == 0);
            }
            self.run_ms(20);
        }
    }

    pub fn told(&self, client: usize) -> &[ToClient] {
        self.told.get(&self.clients[client].session()).map_or(&[], Vec::as_slice)
    }

    pub fn roster(&self, client: usize) -> Vec<Participant> {
        let mut rosters = self.told(client).iter().rev();
        rosters
            .find_map(|message| if let ToClient::Roster { participants } = message { Some(participants) } else { None })
            .cloned()
            .unwrap_or_default()
    }

    pub fn slots(&self, client: usize) -> (Vec<Slot>, Vec<Slot>) {
        let mut slots = self.told(client).iter().rev();
        slots
            .find_map(|message| {
                if let ToClient::Slots { audio, video } = message { Some((audio.clone(), video.clone())) } else { None }
            })
            .unwrap_or_default()
    }

    pub fn speakers(&self, client: usize) -> Vec<Speaker> {
        let mut speakers = self.told(client).iter().rev();
        speakers
            .find_map(
                |message| if let ToClient::Speakers { speakers } = message { Some(speakers.clone()) } else { None },
            )
            .unwrap_or_default()
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.engine.stats().dropped(reason)
    }

    /// Why a client was sent away, if it was.
    pub fn closed(&self, client: usize) -> Option<String> {
        self.told(client)
            .iter()
            .find_map(|message| if let ToClient::Closing { reason } = message { Some(reason.clone()) } else { None })
    }

    /// The video slot on which `client` sees `of`.
    pub fn video_slot_of(&self, client: usize, of: usize) -> Option<usize> {
        let id = self.clients[of].id();
        self.slots(client).1.iter().position(|slot| slot.participant.as_ref() == Some(&id))
    }

    pub fn heard_by(&self, client: usize) -> Vec<ParticipantId> {
        let mut heard: Vec<_> = self.slots(client).0.into_iter().filter_map(|slot| slot.participant).collect();
        heard.sort();
        heard
    }
}
