//! What happens by the clock: every few milliseconds all sessions and rooms are looked at once. A walk over a thousand
//! sessions costs far less than a timer for each of their deadlines.

use crate::{Engine, LeaveReason, dtls::Handshake, source::Peer};
use schulhof_wire::{
    media::{Participant, Speaker, ToClient},
    ticket::MediaRole,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Fine enough for NACKs (5 ms of reordering) and speakers, coarse enough to cost nothing.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// From joining to the end of the handshake. Browsers need 40 ms; a slow line with losses a few seconds.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);
/// Browsers check their connection every 2.5 s (RFC 7675 asks for 5 s); after this the peer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Speakers are weighed this often.
const WEIGH_INTERVAL: Duration = Duration::from_millis(20);
/// At most this often the room is told who speaks.
const SPEAKERS_INTERVAL: Duration = Duration::from_millis(200);
/// Connections are judged this often.
const QUALITY_INTERVAL: Duration = Duration::from_secs(1);
/// Rosters go out at most this often, and in large rooms no more than one per this and member: n members times n
/// entries grow quadratically.
const ROSTER_INTERVAL: Duration = Duration::from_millis(50);
const ROSTER_INTERVAL_PER_MEMBER: Duration = Duration::from_millis(2);
/// Slots are looked at again at least this often, for layers that have fallen silent.
const SLOTS_INTERVAL: Duration = Duration::from_millis(250);
/// And in large rooms less often: all members times all pictures are looked at.
const SLOTS_INTERVAL_PER_MEMBER: Duration = Duration::from_millis(2);
/// Changes are carried out at once, but in large rooms at most once per this and member.
const CHANGES_INTERVAL_PER_MEMBER: Duration = Duration::from_micros(200);

impl Engine {
    pub(crate) fn tick(&mut self, now: Instant) {
        for peer in self.sessions.places() {
            if let Some(reason) = self.session_ended(now, peer) {
                self.end(now, peer, reason);
                continue;
            }
            if self.sessions.get(peer).is_some_and(|session| session.keys.is_some()) {
                self.send_feedback(now, peer);
                self.watch_line(now, peer);
            }
        }
        let weigh = now.saturating_duration_since(self.weighed_at) >= WEIGH_INTERVAL;
        if weigh {
            self.weighed_at = now;
        }
        for room in 0..self.rooms.len() {
            self.tick_room(now, room, weigh);
        }
        self.tend_trunks(now);
        self.tend_drain(now);
    }

    /// All who are in a room, here and at other nodes, in order of first coming. A person who is just moving from one node to
    /// the other is there once.
    pub(crate) fn everybody(&self, room: usize) -> Vec<Peer> {
        let Some(state) = self.rooms.get(room).and_then(Option::as_ref) else { return Vec::new() };
        if state.remotes.is_empty() {
            return state.members.clone();
        }
        let person = |peer: &Peer| self.sessions.person(*peer);
        let here: BTreeSet<_> =
            state.members.iter().filter_map(person).map(|(_, person, _)| person.id.clone()).collect();
        let not_here = |peer: &&Peer| person(peer).is_some_and(|(_, person, _)| !here.contains(&person.id));
        let mut everybody: Vec<Peer> = state.members.clone();
        everybody.extend(state.remotes.iter().filter(not_here));
        if everybody.len() > state.members.len() {
            // By names where times are equal: the same on both sides.
            everybody.sort_by_key(|peer| person(peer).map(|(_, person, came)| (came, person.id.clone())));
        }
        everybody
    }

    /// Drives the handshake's repetitions. Something: the session is over.
    fn session_ended(&mut self, now: Instant, peer: Peer) -> Option<LeaveReason> {
        let session = self.sessions.get_mut(peer)?;
        // Once it is done, nothing of it is repeated by the clock: its last flight is the node's.
        if !session.handshake.is_done() && session.handshake.poll_timeout().is_some_and(|at| at <= now) {
            let answered = session.handshake.handle_timeout(now);
            if let Some(dest) = session.agent.selected() {
                flush(&mut session.handshake, |packet| {
                    self.singles.push(dest, packet);
                });
            }
            if !answered {
                return Some(LeaveReason::TransportFailed);
            }
        }
        let limit =
            if session.keys.is_some() { session.alive_at + SILENCE_MAX } else { session.joined_at + HANDSHAKE_MAX };
        (now >= limit).then_some(LeaveReason::TransportFailed)
    }

    fn tick_room(&mut self, now: Instant, room: usize, weigh: bool) {
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        if weigh {
            state.slots_changed |= state.speakers.evaluate(now);
            state.voices.evaluate(now);
            if now.saturating_duration_since(state.speakers_at) >= SPEAKERS_INTERVAL {
                state.speakers_at = now;
                self.tell_speakers(room);
            }
        }
        if self.rooms[room]
            .as_ref()
            .is_some_and(|state| now.saturating_duration_since(state.quality_at) >= QUALITY_INTERVAL)
        {
            self.tell_quality(now, room);
        }
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        let members = state.members.len() as u32;
        let since = now.saturating_duration_since(state.slots_at);
        let again = SLOTS_INTERVAL.max(SLOTS_INTERVAL_PER_MEMBER * members);
        if since >= again || (state.slots_changed && since >= CHANGES_INTERVAL_PER_MEMBER * members) {
            self.assign_room(now, room);
        }
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        let interval = ROSTER_INTERVAL.max(ROSTER_INTERVAL_PER_MEMBER * members);
        let waited = state.roster_at.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if state.roster_changed && waited {
            state.roster_changed = false;
            state.roster_at = Some(now);
            self.tell_roster(room);
        }
    }

    fn tell_roster(&mut self, room: usize) {
        let Some(state) = self.rooms.get(room).and_then(Option::as_ref) else { return };
        let members = state.members.clone();
        let hands = state.state.hands();
        let places: BTreeMap<_, _> = hands.iter().zip(1..).collect();
        let participants: Vec<_> = self
            .everybody(room)
            .into_iter()
            .filter_map(|peer| self.sessions.person(peer))
            .map(|(_, person, _)| Participant { hand: places.get(&person.account).copied(), ..person.clone() })
            .collect();
        let rules = state.state.rules();
        let lobby = (state.state.callers(), state.state.blocked());
        for peer in members {
            let Some(session) = self.sessions.get_mut(peer) else { continue };
            let id = session.id;
            let moderates = session.participant.role == MediaRole::Moderator;
            let standing = &mut session.standing;
            let news = (standing.told_rules.as_ref() != Some(&rules)).then(|| rules.clone());
            let callers = (moderates && standing.told_lobby.as_ref() != Some(&lobby)).then(|| lobby.clone());
            if news.is_some() {
                standing.told_rules.clone_from(&news);
            }
            if callers.is_some() {
                standing.told_lobby.clone_from(&callers);
            }
            if let Some(rules) = news {
                self.tell(id, ToClient::Rules { rules });
            }
            if let Some((waiting, blocked)) = callers {
                self.tell(id, ToClient::Lobby { waiting, blocked });
            }
            self.tell(id, ToClient::Roster { participants: participants.clone() });
        }
    }

    fn tell_speakers(&mut self, room: usize) {
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        let speaking = state.speakers.speaking();
        if let Some((loudest, _)) = speaking.first() {
            state.slots_changed |= state.spoke(*loudest);
        }
        let speakers: Vec<Speaker> = speaking
            .into_iter()
            .filter_map(|(peer, level)| {
                let participant = self.sessions.person(peer)?.1.id.clone();
                Some(Speaker { participant, level })
            })
            .collect();
        if speakers == state.told_speakers {
            return;
        }
        state.told_speakers.clone_from(&speakers);
        for peer in state.members.clone() {
            if let Some(id) = self.sessions.get(peer).map(|session| session.id) {
                self.tell(id, ToClient::Speakers { speakers: speakers.clone() });
            }
        }
    }
}

/// Takes out what the handshake wants to send.
pub(crate) fn flush(handshake: &mut Handshake, mut send: impl FnMut(&[u8])) {
    while let Some(packet) = handshake.poll_transmit() {
        send(&packet);
    }
}
