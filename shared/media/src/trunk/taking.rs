//! What comes from the other node.

use super::{
    Remote, Shared, TrunkId,
    datagram::{Header, Part},
    frame::{Frame, PEOPLE_MAX, Person, Picture, VERSION, WANTED_MAX},
    remote::is_sound,
};
use crate::{DropReason, Engine, layers::LAYERS_MAX, receive::Packet, source::Peer};
use schulhof_wire::{id::ConferenceId, media::SourceKind};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Longest payload that is put together from two parts.
const PAYLOAD_LEN_MAX: usize = 4_096;
/// A layer that was not given for this long is taken up anew.
const SILENT: Duration = Duration::from_secs(1);
/// Packets that may be asked for in one frame.
const MISSING_MAX: usize = 256;

impl Engine {
    /// A frame of the other node. What breaks the rules closes the trunk.
    pub fn trunk_frame(&mut self, now: Instant, id: TrunkId, frame: Frame) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        if !trunk.frames.take(now) {
            return trunk.give_up("it says too much");
        }
        if trunk.node.is_none() && !matches!(frame, Frame::Hello { .. }) {
            return trunk.give_up("it has not said hello");
        }
        match frame {
            Frame::Hello { version, node } if version == VERSION => self.replace_trunk(id, &node),
            Frame::Hello { .. } => trunk.give_up("it speaks another version"),
            Frame::Open { room } => {
                if trunk.rooms.len() >= super::ROOMS_MAX && !trunk.rooms.contains_key(&room) {
                    return trunk.give_up("it has too many rooms");
                }
                // What was told before was told to somebody who has forgotten it.
                let shared = trunk.rooms.entry(room).or_default();
                *shared = Shared { ours: shared.ours, theirs: true, ..Shared::default() };
                self.next_tick = self.next_tick.min(now);
            }
            Frame::Close { room } => {
                if let Some(shared) = trunk.rooms.get_mut(&room) {
                    *shared = Shared { ours: shared.ours, ..Shared::default() };
                }
                self.forget_room(id, &room);
            }
            Frame::State { room, registers } => {
                if !trunk.rooms.get(&room).is_some_and(|shared| shared.theirs) {
                    return;
                }
                let school = trunk.school.clone();
                let merged = self.merge_room(now, &school, &room, registers);
                for _ in 0..merged.refused {
                    self.stats.drop(DropReason::Trunk);
                }
            }
            Frame::People { room, people } => self.take_people(id, &room, people),
            Frame::Want { room, pictures } => self.take_wanted(now, id, &room, pictures),
            Frame::KeyFrame(picture) => {
                if let Some(peer) = self.given(id, picture)
                    && let Some(layer) = self.layer_mut(peer, picture)
                {
                    layer.want_key_frame();
                    self.ask_key_frame(now, peer, picture.kind, usize::from(picture.layer));
                }
            }
            Frame::Missing { picture, mut sequences } => {
                sequences.truncate(MISSING_MAX);
                self.repeat(now, id, picture, &sequences);
            }
        }
    }

    /// A datagram of the other node.
    pub fn trunk_datagram(&mut self, now: Instant, id: TrunkId, datagram: &[u8]) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let Some((header, payload)) = Header::parse(datagram) else { return self.stats.drop(DropReason::Trunk) };
        self.stats.trunk_packets_received += 1;
        match header.part {
            Part::Whole => self.take_packet(now, id, &header, payload),
            Part::First => trunk.half = Some((header, payload.to_vec())),
            Part::Second => {
                let first = Header { part: Part::First, ..header };
                let Some((_, mut whole)) = trunk.half.take().filter(|(half, _)| *half == first) else { return };
                if whole.len() + payload.len() <= PAYLOAD_LEN_MAX {
                    whole.extend_from_slice(payload);
                    self.take_packet(now, id, &header, &whole);
                }
            }
        }
    }

    fn take_packet(&mut self, now: Instant, id: TrunkId, header: &Header, payload: &[u8]) {
        let peer = self.trunks.get_mut(id).and_then(|trunk| trunk.people.get(&header.number).copied());
        let Some(peer) = peer else { return };
        let now_us = self.since_start_us(now);
        let Some(remote) = self.sessions.remote_mut(peer) else { return };
        let (room, serial) = (remote.room, remote.serial);
        let Some(source) = remote.sources[crate::source::place(header.kind)].as_mut() else {
            return self.stats.drop(DropReason::Trunk);
        };
        let (clock_hz, published, layer) = (source.clock_hz(), source.published, usize::from(header.layer));
        let Some(state) = source.layers.get_mut(layer) else { return self.stats.drop(DropReason::Trunk) };
        let is_audio = header.kind == SourceKind::Microphone;
        let begun = if is_audio { 0 } else { u32::from(header.extra) };
        // Numbers go on while nobody here follows the layer: after a while they cannot be told apart from old ones.
        let silent = state.packet_at.is_none_or(|at| now.saturating_duration_since(at) >= SILENT);
        if silent || state.ssrc != Some(begun) {
            state.restart(begun, clock_hz);
        }
        let packet = Packet {
            kind: header.kind,
            layer,
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            repeated: false,
            published,
            level: is_audio.then_some(header.extra & 0x7F),
        };
        let received = match state.take(now, now_us, &packet, payload) {
            Ok(Some(received)) => received,
            Ok(None) | Err(DropReason::Replayed) => return,
            Err(reason) => return self.stats.drop(reason),
        };
        let source = crate::source::SourceRef { peer, serial, kind: header.kind };
        self.pass_on(now, room, source, &received, payload);
    }

    /// The whole list of the other side's people in a room.
    fn take_people(&mut self, id: TrunkId, room: &ConferenceId, mut people: Vec<Person>) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let key = (trunk.school.clone(), room.clone());
        if !trunk.rooms.get(room).is_some_and(Shared::is_joined) {
            return;
        }
        if people.len() > PEOPLE_MAX || !people.iter().all(is_sound) {
            return trunk.give_up("what it says of people is out of bounds");
        }
        let Some(place) = self.room_by_key.get(&key).copied() else { return };
        let mut gone: Vec<Peer> = Vec::new();
        for (number, peer) in &trunk.people {
            let Some(remote) = self.sessions.remote(*peer).filter(|remote| remote.room == place) else { continue };
            if !people.iter().any(|person| person.number == *number && remote.is(person)) {
                gone.push(*peer);
            }
        }
        for peer in gone {
            self.forget_person(peer);
        }
        people.sort_by_key(|person| person.number);
        people.dedup_by_key(|person| person.number);
        for person in people {
            self.take_person(id, place, person);
        }
    }

    fn take_person(&mut self, id: TrunkId, place: usize, person: Person) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let number = person.number;
        let known = trunk.people.get(&number).copied();
        let is_new = known.is_none();
        let peer = match known {
            Some(peer) => peer,
            None => {
                self.serials += 1;
                let peer = self.sessions.insert_remote(Remote::new(self.serials, id, place, person.clone()));
                trunk.people.insert(number, peer);
                if let Some(room) = self.rooms.get_mut(place).and_then(Option::as_mut) {
                    room.remotes.push(peer);
                }
                peer
            }
        };
        let Some(remote) = self.sessions.remote_mut(peer) else { return };
        if remote.room != place {
            return trunk.give_up("somebody is in two rooms under one number");
        }
        let microphone = person.participant.microphone;
        let news = is_new || remote.participant != person.participant || remote.came != person.came;
        remote.learn(person);
        let Some(room) = self.rooms.get_mut(place).and_then(Option::as_mut) else { return };
        if microphone {
            room.speakers.add(peer);
        } else {
            room.speakers.remove(peer);
        }
        room.roster_changed |= news;
        room.slots_changed = true;
    }

    fn forget_room(&mut self, id: TrunkId, room: &ConferenceId) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let key = (trunk.school.clone(), room.clone());
        let Some(place) = self.room_by_key.get(&key).copied() else { return };
        let people: Vec<Peer> = trunk.people.values().copied().collect();
        for peer in people {
            if self.sessions.remote(peer).is_some_and(|remote| remote.room == place) {
                self.forget_person(peer);
            }
        }
        let members = self.rooms.get(place).and_then(Option::as_ref).map(|room| room.members.clone());
        for member in members.unwrap_or_default() {
            self.withdraw(id, member);
        }
        if let Some(room) = self.rooms.get_mut(place).and_then(Option::as_mut) {
            room.roster_changed = true;
        }
    }

    /// Somebody of another node is gone. Slots that showed him find nobody and are freed with the next assignment.
    pub(crate) fn forget_person(&mut self, peer: Peer) {
        let Some(remote) = self.sessions.remove_remote(peer) else { return };
        if let Some(trunk) = self.trunks.get_mut(remote.trunk)
            && trunk.people.get(&remote.number) == Some(&peer)
        {
            trunk.people.remove(&remote.number);
        }
        if let Some(room) = self.rooms.get_mut(remote.room).and_then(Option::as_mut) {
            room.remove(peer);
        }
    }

    /// The pictures of our people that the other side wants, each at one layer.
    fn take_wanted(&mut self, now: Instant, id: TrunkId, room: &ConferenceId, mut pictures: Vec<Picture>) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        let Some(shared) = trunk.rooms.get_mut(room).filter(|shared| shared.is_joined()) else { return };
        pictures.truncate(WANTED_MAX);
        let mut known = BTreeSet::new();
        pictures.retain(|picture| {
            let sound = picture.kind != SourceKind::Microphone && usize::from(picture.layer) < LAYERS_MAX;
            sound && known.insert(*picture)
        });
        shared.wanted = pictures;
        let key = (trunk.school.clone(), room.clone());
        self.settle_uplink(now, id);
        if let Some(place) = self.room_by_key.get(&key).copied() {
            self.give_pictures(id, room, place);
        }
    }
}
