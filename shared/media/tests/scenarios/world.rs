//! A room in virtual time: real clients (ICE, DTLS, SRTP by the webrtc project's crates) against the engine, without
//! sockets. Everything happens in one thread, in the order of the seed.

use crate::client::Client;
use crate::sending::Media;
use schulhof_media::{Config, DropReason, Engine, Joined, SessionId, TransmitSink};
use schulhof_testkit::Rng;
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

pub struct World {
    pub engine: Engine,
    pub now: Instant,
    pub clients: Vec<Client>,
    pub told: BTreeMap<SessionId, Vec<ToClient>>,
    pub losses: Losses,
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
        world.run_ms(200);
        for client in &world.clients {
            assert!(client.is_connected(), "{} is not connected", client.name);
        }
        world
    }

    /// Joins and begins to connect. The result is the client's place.
    pub fn join(&mut self, name: &str) -> usize {
        self.join_as(name, MediaRole::Participant)
    }

    pub fn join_as(&mut self, name: &str, role: MediaRole) -> usize {
        let address = SocketAddr::from(([127, 0, 0, 1], 40_000 + self.clients.len() as u16));
        let client = Client::new(self.now, name, address);
        self.join_with(client, role)
    }

    pub fn join_with(&mut self, mut client: Client, role: MediaRole) -> usize {
        let Joined { session, participant, answer } =
            self.engine.join(self.now, claims(&client.name, role), &client.offer()).unwrap();
        assert_eq!(participant, client.id());
        client.answered(self.now, session, &answer);
        self.clients.push(client);
        self.clients.len() - 1
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
            for client in &mut self.clients {
                while let Some((source, mut packet)) = client.outgoing.pop_front() {
                    quiet = false;
                    if self.rng.chance(self.losses.up, 100) {
                        continue;
                    }
                    self.engine.handle_datagram(self.now, source, &mut packet);
                }
            }
            self.engine.drain_transmits(&mut self.sink);
            while let Some((dest, packet)) = self.sink.packets.pop_front() {
                quiet = false;
                if self.rng.chance(self.losses.down, 100) {
                    continue;
                }
                if let Some(client) = self.clients.iter_mut().find(|client| client.addresses.contains(&dest)) {
                    client.receive(self.now, &packet);
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

    /// Lets time pass, step by step.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.settle();
        while self.now < end {
            self.now += Duration::from_millis(5);
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
