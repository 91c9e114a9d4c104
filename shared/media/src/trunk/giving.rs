//! What goes to the other node.

use super::{
    Out, Trunk, TrunkId,
    datagram::{HEADER_LEN, Header, Part},
    frame::{Frame, Offered, Person, Picture},
    uplink::Demand,
};
use crate::{
    DropReason, Engine, Stats,
    receive::Received,
    source::{KINDS, Layer, Origin, Peer},
};
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::SourceKind,
};
use std::time::{Duration, Instant};

/// A trunk is looked after this often. What is wanted changes with a click; a key frame takes longer than this.
const TEND_INTERVAL: Duration = Duration::from_millis(20);
/// A voice with its headers.
const VOICE_BPS: u64 = 60_000;
/// A repetition is asked for again after a round trip between school and cloud, as it is without a measured one.
const REPEAT_AFTER: Duration = Duration::from_millis(80);

impl Engine {
    /// Says on all trunks what is new.
    pub(crate) fn tend_trunks(&mut self, now: Instant) {
        for id in self.trunks.ids() {
            let Some(trunk) = self.trunks.get_mut(id) else { continue };
            if trunk.tended_at.is_some_and(|at| now.saturating_duration_since(at) < TEND_INTERVAL) {
                continue;
            }
            trunk.tended_at = Some(now);
            self.tend_trunk(now, id);
        }
    }

    fn tend_trunk(&mut self, now: Instant, id: TrunkId) {
        self.settle_uplink(now, id);
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let (school, known) = (trunk.school.clone(), trunk.rooms.keys().cloned().collect::<Vec<_>>());
        let here = self.rooms.iter().flatten().filter(|room| room.key.0 == school);
        let here: Vec<ConferenceId> = here.map(|room| room.key.1.clone()).collect();
        for room in known.iter().chain(here.iter().filter(|room| !known.contains(room))) {
            self.tend_opening(id, room, here.contains(room));
        }
        for room in here {
            let key = (school.clone(), room);
            self.tell_state(now, id, &key);
            let shared = self.trunks.get_mut(id).and_then(|trunk| trunk.rooms.get(&key.1));
            if shared.is_some_and(super::Shared::is_joined) {
                self.tend_room(now, id, &key);
            }
        }
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        for picture in std::mem::take(&mut trunk.key_frames) {
            trunk.say(Frame::KeyFrame(picture));
        }
    }

    /// Nobody is in the room any more. At once: somebody may come back before the next look at the trunks.
    pub(crate) fn close_shared(&mut self, now: Instant, key: &(SchoolId, ConferenceId)) {
        for id in self.trunks.ids() {
            let Some(trunk) = self.trunks.get_mut(id).filter(|trunk| trunk.school == key.0) else { continue };
            if trunk.rooms.get(&key.1).is_some_and(|shared| shared.ours) {
                // The last of it, such as that the conference was ended.
                self.tell_state(now, id, key);
                self.tend_opening(id, &key.1, false);
            }
        }
    }

    fn tend_opening(&mut self, id: TrunkId, room: &ConferenceId, here: bool) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        if trunk.rooms.len() >= super::ROOMS_MAX && !trunk.rooms.contains_key(room) {
            return;
        }
        let shared = trunk.rooms.entry(room.clone()).or_default();
        if shared.ours == here {
            if !shared.ours && !shared.theirs {
                trunk.rooms.remove(room);
            }
            return;
        }
        *shared = super::Shared { ours: here, theirs: shared.theirs, ..super::Shared::default() };
        let room = room.clone();
        trunk.say(if here { Frame::Open { room } } else { Frame::Close { room } });
    }

    /// Told also while the other side has nobody in the room: whoever comes there finds the rules that hold.
    fn tell_state(&mut self, now: Instant, id: TrunkId, key: &(SchoolId, ConferenceId)) {
        let shared = self.trunks.get_mut(id).and_then(|trunk| trunk.rooms.get(&key.1));
        let Some(told) = shared.filter(|shared| shared.ours).map(|shared| shared.told_state) else { return };
        let changes = self.room_changes(now, &key.0, &key.1, told.unwrap_or(0));
        let Some((registers, version)) = changes.filter(|(_, version)| told != Some(*version)) else { return };
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        if let Some(shared) = trunk.rooms.get_mut(&key.1) {
            shared.told_state = Some(version);
        }
        trunk.say(Frame::State { room: key.1.clone(), registers });
    }

    fn tend_room(&mut self, now: Instant, id: TrunkId, key: &(SchoolId, ConferenceId)) {
        let Some(place) = self.room_by_key.get(key).copied() else { return };
        self.give_pictures(id, &key.1, place);
        let mut people = self.people_of(now, id, place);
        let wanted = self.wanted_of(id, place);
        self.give_voices(id, place);
        self.ask_again(now, id, &wanted);
        let missing = self.missing_of(now, id, place);

        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let Some(shared) = trunk.rooms.get_mut(&key.1) else { return };
        let mut frames = Vec::new();
        let room = || key.1.clone();
        if let Some(told) = &shared.told_people {
            steady(&mut people, told);
        }
        if shared.told_people.as_ref() != Some(&people) {
            shared.told_people = Some(people.clone());
            frames.push(Frame::People { room: room(), people });
        }
        if shared.told_wanted != wanted {
            shared.told_wanted.clone_from(&wanted);
            frames.push(Frame::Want { room: room(), pictures: wanted });
        }
        frames.extend(missing);
        for frame in frames {
            trunk.say(frame);
        }
    }

    /// What the other side wants of all rooms, most important first: screens, then rooms in turn.
    pub(super) fn settle_uplink(&mut self, now: Instant, id: TrunkId) {
        let now_us = self.since_start_us(now);
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        if !trunk.uplink.is_limited() {
            return;
        }
        let school = trunk.school.clone();
        let mut wanted: Vec<(usize, Picture, usize)> = Vec::new();
        let mut voices_bps = 0;
        let joined = trunk.rooms.iter().filter(|(_, shared)| shared.is_joined());
        for (room, shared) in joined {
            let Some(place) = self.room_by_key.get(&(school.clone(), room.clone())).copied() else { continue };
            let voices = self.rooms.get(place).and_then(Option::as_ref).map_or(0, |room| room.voices.active().len());
            voices_bps += voices as u64 * VOICE_BPS;
            wanted.extend(shared.wanted.iter().enumerate().map(|(rank, picture)| (rank, *picture, place)));
        }
        wanted.sort_by_key(|(rank, picture, _)| (picture.kind != SourceKind::Screen, *rank));
        let demands: Vec<Demand> = wanted
            .into_iter()
            .filter_map(|(_, picture, place)| {
                let members = &self.rooms.get(place)?.as_ref()?.members;
                let sessions = members.iter().filter_map(|peer| self.sessions.get(*peer));
                let source = sessions.into_iter().find(|session| session.serial as u32 == picture.number)?;
                let layers = &source.source(picture.kind)?.layers;
                let assumed_bps = |layer| crate::layers::assumed_bps(layer, layers.len());
                let bps = layers.iter().enumerate().map(|(place, layer)| layer.bps(now_us, assumed_bps(place)));
                Some(Demand { number: picture.number, kind: picture.kind, layer: picture.layer, bps: bps.collect() })
            })
            .collect();
        if let Some(trunk) = self.trunks.get_mut(id) {
            trunk.uplink.settle(now, voices_bps, &demands);
        }
    }

    /// Gives what is wanted and what the uplink allows.
    pub(super) fn give_pictures(&mut self, id: TrunkId, room: &ConferenceId, place: usize) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let allowed = |picture: &&Picture| trunk.uplink.allows(**picture);
        let wanted: Vec<Picture> =
            trunk.rooms.get(room).into_iter().flat_map(|shared| &shared.wanted).filter(allowed).copied().collect();
        let members = self.rooms.get(place).and_then(Option::as_ref).map(|room| room.members.clone());
        for member in members.unwrap_or_default() {
            let Some(session) = self.sessions.get_mut(member) else { continue };
            let number = session.serial as u32;
            for kind in [SourceKind::Camera, SourceKind::Screen] {
                let Some(source) = session.source_mut(kind) else { continue };
                let published = source.published;
                for (layer, state) in source.layers.iter_mut().enumerate() {
                    state.give(id, published && wanted.contains(&Picture { number, kind, layer: layer as u8 }));
                }
            }
        }
    }

    fn people_of(&mut self, now: Instant, id: TrunkId, place: usize) -> Vec<Person> {
        let now_us = self.since_start_us(now);
        let Some(trunk) = self.trunks.get_mut(id) else { return Vec::new() };
        let uplink = &trunk.uplink;
        let Some(room) = self.rooms.get(place).and_then(Option::as_ref) else { return Vec::new() };
        let people = room.members.iter().filter_map(|peer| {
            let session = self.sessions.get(*peer)?;
            let offered = |kind| -> Vec<Offered> {
                let layers = session.source(kind).into_iter().flat_map(|source| &source.layers);
                let ceiling = usize::from(uplink.ceiling(session.serial as u32, kind));
                let offered = |(place, layer): (usize, &Layer)| {
                    let bps = roughly(layer.bps(now_us, 0));
                    Offered { alive: place < ceiling && layer.is_alive(now), height: layer.height, bps }
                };
                layers.enumerate().map(offered).collect()
            };
            Some(Person {
                number: session.serial as u32,
                participant: session.participant.clone(),
                came: session.standing.came,
                camera: offered(SourceKind::Camera),
                screen: offered(SourceKind::Screen),
            })
        });
        people.collect()
    }

    /// The layers of the other side's pictures that somebody here looks at.
    fn wanted_of(&self, id: TrunkId, place: usize) -> Vec<Picture> {
        let mut wanted = Vec::new();
        let Some(room) = self.rooms.get(place).and_then(Option::as_ref) else { return wanted };
        for peer in &room.remotes {
            let Some(remote) = self.sessions.remote(*peer).filter(|remote| remote.trunk == id) else { continue };
            for (kind, source) in KINDS.into_iter().zip(&remote.sources).skip(1) {
                for (layer, state) in source.iter().flat_map(|source| &source.layers).enumerate() {
                    if !state.subscribers.is_empty() {
                        wanted.push(Picture { number: remote.number, kind, layer: layer as u8 });
                    }
                }
            }
        }
        wanted
    }

    /// The loudest of our people are heard on the other side.
    fn give_voices(&mut self, id: TrunkId, place: usize) {
        let Some(room) = self.rooms.get(place).and_then(Option::as_ref) else { return };
        let active = room.voices.active().to_vec();
        for member in room.members.clone() {
            let Some(session) = self.sessions.get_mut(member) else { continue };
            let Some(layer) = session.source_mut(SourceKind::Microphone).and_then(|source| source.layers.first_mut())
            else {
                continue;
            };
            layer.give(id, active.contains(&member));
        }
    }

    /// Key frames that somebody still waits for.
    fn ask_again(&mut self, now: Instant, id: TrunkId, wanted: &[Picture]) {
        for &Picture { number, kind, layer } in wanted {
            let peer = self.trunks.get_mut(id).and_then(|trunk| trunk.people.get(&number).copied());
            if let Some(peer) = peer {
                self.ask_remote_key_frame(now, peer, kind, usize::from(layer));
            }
        }
    }

    fn missing_of(&mut self, now: Instant, id: TrunkId, place: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        let remotes = self.rooms.get(place).and_then(Option::as_ref).map(|room| room.remotes.clone());
        for peer in remotes.unwrap_or_default() {
            let Some(remote) = self.sessions.remote_mut(peer).filter(|remote| remote.trunk == id) else { continue };
            let number = remote.number;
            for (kind, source) in KINDS.into_iter().zip(&mut remote.sources).skip(1) {
                for (layer, state) in source.iter_mut().flat_map(|source| &mut source.layers).enumerate() {
                    state.forget(now);
                    if state.subscribers.is_empty() || !state.upstream.is_missing_some() {
                        continue;
                    }
                    let mut sequences = Vec::new();
                    state.upstream.nacks(now, REPEAT_AFTER, &mut sequences);
                    if !sequences.is_empty() {
                        let picture = Picture { number, kind, layer: layer as u8 };
                        frames.push(Frame::Missing { picture, sequences });
                    }
                }
            }
        }
        frames
    }

    /// The connection whose picture the other side may ask about: it must have been given to it.
    pub(super) fn given(&mut self, id: TrunkId, picture: Picture) -> Option<Peer> {
        let school = self.trunks.get_mut(id)?.school.clone();
        let peer = self.sessions.places().find(|peer| {
            self.sessions.get(*peer).is_some_and(|s| s.school == school && s.serial as u32 == picture.number)
        })?;
        let layer = self.layer_mut(peer, picture)?;
        layer.trunks.contains(&id).then_some(peer)
    }

    pub(super) fn layer_mut(&mut self, peer: Peer, picture: Picture) -> Option<&mut Layer> {
        self.sessions.get_mut(peer)?.source_mut(picture.kind)?.layers.get_mut(usize::from(picture.layer))
    }

    /// Takes everything that one of our people gives to a trunk back.
    pub(super) fn withdraw(&mut self, id: TrunkId, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        for layer in session.sources.iter_mut().flatten().flat_map(|source| &mut source.layers) {
            layer.give(id, false);
        }
    }

    pub(super) fn repeat(&mut self, now: Instant, id: TrunkId, picture: Picture, sequences: &[u16]) {
        let Some(peer) = self.given(id, picture) else { return };
        let Some(session) = self.sessions.get(peer) else { return };
        let source = session.source(picture.kind).filter(|source| source.published);
        let layer = source.and_then(|source| source.layers.get(usize::from(picture.layer)));
        let (Some(layer), Some(trunk)) = (layer, self.trunks.get_mut(id)) else { return };
        for sequence in sequences {
            let kept = layer.upstream.index_of(*sequence).and_then(|index| layer.history.get(index));
            let Some(kept) = kept.filter(|_| trunk.repetitions.take(now)) else {
                self.stats.retransmissions_missed += 1;
                continue;
            };
            let header = Header {
                number: picture.number,
                kind: picture.kind,
                layer: picture.layer,
                marker: kept.marker,
                part: Part::Whole,
                extra: layer.generation as u8,
                sequence: *sequence,
                timestamp: kept.timestamp,
            };
            trunk.send(&header, kept.payload, &mut self.stats);
            self.stats.retransmitted_packets += 1;
        }
    }

    /// One of our people's packets, for the other side of each of these trunks.
    pub(crate) fn send_trunks(&mut self, trunks: &[TrunkId], origin: &Origin, received: &Received, payload: &[u8]) {
        let header = Header {
            number: origin.source.serial as u32,
            kind: received.kind,
            layer: received.layer as u8,
            marker: received.marker,
            part: Part::Whole,
            extra: received.level.unwrap_or(origin.generation as u8),
            sequence: received.packet.index as u16,
            timestamp: received.packet.timestamp,
        };
        for id in trunks {
            if let Some(trunk) = self.trunks.get_mut(*id) {
                trunk.send(&header, payload, &mut self.stats);
            }
        }
    }

    /// A key frame of somebody at another node.
    pub(crate) fn ask_remote_key_frame(&mut self, now: Instant, peer: Peer, kind: SourceKind, layer: usize) {
        let Some(remote) = self.sessions.remote_mut(peer) else { return };
        let (id, number) = (remote.trunk, remote.number);
        let state = remote.sources[crate::source::place(kind)].as_mut().and_then(|source| source.layers.get_mut(layer));
        let due = state.is_some_and(|state| state.key_frame_due(now).is_some());
        if let Some(trunk) = self.trunks.get_mut(id).filter(|_| due) {
            let picture = Picture { number, kind, layer: layer as u8 };
            if !trunk.key_frames.contains(&picture) && trunk.key_frames.len() < super::frame::WANTED_MAX {
                trunk.key_frames.push(picture);
            }
        }
    }
}

/// Rates that have changed by less than a quarter stay as they were told.
fn steady(people: &mut [Person], told: &[Person]) {
    for person in people {
        let Some(before) = told.iter().find(|before| before.number == person.number) else { continue };
        let layers = person.camera.iter_mut().zip(&before.camera).chain(person.screen.iter_mut().zip(&before.screen));
        for (layer, before) in layers {
            if layer.bps.abs_diff(before.bps) <= before.bps / 4 {
                layer.bps = before.bps;
            }
        }
    }
}

/// Rounded up to three binary digits: what swings by less is no news.
fn roughly(bps: u64) -> u32 {
    let bps = u32::try_from(bps).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 1);
    let digits = (32 - bps.leading_zeros()).saturating_sub(3);
    bps.div_ceil(1 << digits) << digits
}

impl Trunk {
    fn send(&mut self, header: &Header, payload: &[u8], stats: &mut Stats) {
        let room = self.datagram_len - HEADER_LEN;
        if self.closed || self.out.len() + 2 > super::OUT_MAX / 2 || payload.len() > 2 * room {
            return stats.drop(DropReason::QueueFull);
        }
        let mut push = |part, payload: &[u8]| {
            let datagram = [&Header { part, ..*header }.encode()[..], payload].concat();
            stats.trunk_packets_sent += 1;
            stats.trunk_bytes_sent += datagram.len() as u64;
            self.out.push_back(Out::Datagram(datagram));
        };
        match payload.split_at_checked(room) {
            None | Some((_, [])) => push(Part::Whole, payload),
            Some((first, second)) => {
                push(Part::First, first);
                push(Part::Second, second);
            }
        }
    }
}
