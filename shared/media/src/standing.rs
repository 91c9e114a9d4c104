//! Brings a room's connections in line with its state. What a page shows or hides plays no part: what may not be sent is
//! taken off the packet path here.

use crate::{
    DropReason, Engine, LeaveReason,
    session::Session,
    source::Peer,
    state::{
        RoomState, StayId,
        registers::{Full, Key, Merged, Register},
    },
};
use schulhof_wire::{
    id::{ConferenceId, NodeName, SchoolId},
    media::{Known, Rules, ToClient},
    ticket::MediaRole,
};
use std::time::Instant;

/// What a connection is in its room, beside what everybody is told of it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub ticket_role: MediaRole,
    /// What the client says that it sends: microphone, camera, screen. What of it may be sent is its sources' `published`.
    pub says: [bool; 3],
    /// In the waiting room. Everybody begins there, most for no time at all.
    pub waits: bool,
    told_waiting: bool,
    pub stay: Option<StayId>,
    /// The person's place in the order of first coming.
    pub came: (u64, u64),
    pub told_rules: Option<Rules>,
    pub told_lobby: Option<(Vec<Known>, Vec<Known>)>,
}

impl Standing {
    pub fn new(ticket_role: MediaRole) -> Self {
        Self {
            ticket_role,
            says: [false; 3],
            waits: true,
            told_waiting: false,
            stay: None,
            came: (u64::MAX, u64::MAX),
            told_rules: None,
            told_lobby: None,
        }
    }
}

impl Engine {
    /// What this node knows of a room that another one may not, and the mark for the next call; 0 asks for everything. The
    /// marks of a room begin anew when nobody was in it for hours. Nothing: it is not known here.
    pub fn room_changes(
        &self,
        now: Instant,
        school: &SchoolId,
        room: &ConferenceId,
        since: u64,
    ) -> Option<(Vec<Register>, u64)> {
        let key = (school.clone(), room.clone());
        let open = self.room_by_key.get(&key).and_then(|place| self.rooms.get(*place)?.as_ref());
        let state = open.map(|room| &room.state).or_else(|| self.kept.get(now, &key))?;
        Some((state.changes_since(since), state.version()))
    }

    /// Takes over what another node knows of a room. If it is unknown here, it is kept for those who come.
    pub fn merge_room(
        &mut self,
        now: Instant,
        school: &SchoolId,
        room: &ConferenceId,
        remote: Vec<Register>,
    ) -> Merged {
        let key = (school.clone(), room.clone());
        let Some(place) = self.room_by_key.get(&key).copied() else {
            if let Some(state) = self.kept.get_mut(now, &key) {
                return state.merge(remote);
            }
            let mut state = RoomState::new(self.config.node.clone());
            let merged = state.merge(remote);
            self.kept.put_remote(now, key, state);
            return merged;
        };
        let Some(open) = self.rooms.get_mut(place).and_then(Option::as_mut) else { return Merged::default() };
        let merged = open.state.merge(remote);
        if merged.taken > 0 {
            self.settle_room(now, place);
        }
        merged
    }

    /// The way to another node of a school's rooms is cut, or the node is dead: its people are away, and their hands do not
    /// count, until it says otherwise.
    pub fn lose_node(&mut self, now: Instant, school: &SchoolId, node: &NodeName) {
        let now_ms = self.wall_ms(now);
        if *node == self.config.node {
            return;
        }
        for room in self.rooms.iter_mut().flatten().filter(|room| room.key.0 == *school) {
            room.roster_changed |= room.state.write_off(node, now_ms);
        }
    }

    /// Of the engine's clock, in milliseconds since 1970.
    pub(crate) fn wall_ms(&self, now: Instant) -> u64 {
        self.config.started_at_ms.saturating_add(now.saturating_duration_since(self.start).as_millis() as u64)
    }

    /// After the room's state has changed.
    pub(crate) fn settle_room(&mut self, now: Instant, room: usize) {
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        state.roster_changed = true;
        state.slots_changed = true;
        let ended = state.state.is_ended();
        for peer in [state.members.clone(), state.waiting.clone()].concat() {
            if ended {
                self.end(now, peer, LeaveReason::RoomClosed);
            } else {
                self.settle(now, peer);
            }
        }
    }

    /// Gives one connection the place and the rights that the room's state gives its person.
    pub(crate) fn settle(&mut self, now: Instant, peer: Peer) {
        let now_ms = self.wall_ms(now);
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) else { return };
        let ticket_role = session.standing.ticket_role;
        let account = &session.participant.account;
        if room.state.is_blocked(account, ticket_role) {
            return self.end(now, peer, LeaveReason::Removed);
        }
        if session.standing.waits {
            if room.state.must_wait(account, ticket_role) {
                // Moderators see who waits.
                room.roster_changed = true;
                let id = session.id;
                let first = !std::mem::replace(&mut session.standing.told_waiting, true);
                let calls = if first {
                    room.state.call(account, &session.participant.name, now_ms).is_ok()
                } else {
                    room.state.is_calling(account)
                };
                if !calls {
                    self.end(now, peer, LeaveReason::Refused);
                } else if first {
                    self.tell(id, ToClient::Waiting);
                }
                return;
            }
            self.let_in(now_ms, peer);
        } else if let Some(stay) = session.standing.stay {
            room.state.still_here(stay);
        }
        self.allow_sources(peer);
    }

    /// From the waiting room into the room.
    fn let_in(&mut self, now_ms: u64, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) else { return };
        let (account, name) = (&session.participant.account, &session.participant.name);
        session.standing.waits = false;
        session.standing.stay = room.state.enter(account, name, session.standing.ticket_role, now_ms);
        session.standing.came = room.state.first_came(account).unwrap_or(session.standing.came);
        room.waiting.retain(|waiting| *waiting != peer);
        room.state.stop_calling(account);
        let order = |session: &Session| (session.standing.came, session.serial);
        let own = order(session);
        let before = |member: &Peer| self.sessions.get(*member).is_some_and(|member| order(member) < own);
        let place = room.members.partition_point(before);
        room.members.insert(place, peer);
        room.roster_changed = true;
        room.slots_changed = true;
    }

    /// Forwards of what the client says that it sends what it may send.
    pub(crate) fn allow_sources(&mut self, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) else { return };
        if session.standing.waits {
            return;
        }
        let person = &mut session.participant;
        person.role = room.state.role(&person.account, session.standing.ticket_role);
        person.muted = room.state.is_muted(&person.account);
        person.may = room.state.may(&person.account, person.role);
        let may = [person.may.microphone && !person.muted, person.may.camera, person.may.screen];
        let mut published = [false; 3];
        for (place, source) in session.sources.iter_mut().enumerate() {
            if let Some(source) = source {
                source.published = may[place] && session.standing.says[place];
                published[place] = source.published;
            }
        }
        let [microphone, camera, screen] = published;
        let person = &mut session.participant;
        (person.microphone, person.camera, person.screen) = (microphone, camera, screen);
        for voices in [&mut room.speakers, &mut room.voices] {
            if microphone {
                voices.add(peer);
            } else {
                voices.remove(peer);
            }
        }
        room.roster_changed = true;
        room.slots_changed = true;
    }

    pub(crate) fn raise_hand(&mut self, now: Instant, peer: Peer, raised: bool) {
        let now_ms = self.wall_ms(now);
        let Some(session) = self.sessions.get_mut(peer).filter(|session| !session.standing.waits) else { return };
        let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) else { return };
        match room.state.set_hand(&session.participant.account, now_ms, raised) {
            Ok(changed) => room.roster_changed |= changed,
            Err(Full) => self.stats.drop(DropReason::Control),
        }
    }

    pub(crate) fn unmute(&mut self, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer).filter(|session| !session.standing.waits) else { return };
        let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) else { return };
        if !session.participant.may.microphone {
            return self.stats.drop(DropReason::NotAllowed);
        }
        // What is to be off was on, and so has its place.
        let _ = room.state.set(Key::Muted(session.participant.account.clone()), false);
        let place = session.room;
        // The same person's other devices are muted no more, either.
        let own = session.participant.account.clone();
        let members = self.rooms.get(place).and_then(Option::as_ref).map(|room| room.members.clone());
        for member in members.unwrap_or_default() {
            if self.sessions.get(member).is_some_and(|session| session.participant.account == own) {
                self.allow_sources(member);
            }
        }
    }
}
