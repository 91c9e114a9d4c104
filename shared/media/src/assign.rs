//! Carries out who is shown and heard: maps sources onto slots and tells the clients.
//!
//! Which layer of the source a slot shows is [`crate::follow`]'s.

use crate::{
    Engine,
    room::{self, Candidate},
    sdp::Medium,
    source::{Peer, SourceRef, Subscriber},
};
use schulhof_wire::{
    media::{self, SourceKind, ToClient},
    ticket::MediaRole,
};
use std::time::Instant;

impl Engine {
    /// Makes the slots of all members anew.
    pub(crate) fn assign_room(&mut self, now: Instant, room: usize) {
        let Some(state) = self.rooms.get_mut(room).and_then(Option::as_mut) else { return };
        state.slots_changed = false;
        state.slots_at = now;
        let members = state.members.clone();
        let everybody = self.everybody(room);
        let Some(state) = self.rooms.get(room).and_then(Option::as_ref) else { return };
        let mut active = state.speakers.active().to_vec();
        // Who is just moving from one node to the other is heard once.
        active.retain(|peer| everybody.contains(peer));
        let spotlight = state.state.rules().spotlight;
        let cameras_to_moderators = state.state.cameras_to_moderators();
        let mut candidates = Vec::new();
        for (joined, peer) in everybody.into_iter().enumerate() {
            for kind in [SourceKind::Camera, SourceKind::Screen] {
                let source = self.sessions.source_ref(peer, kind);
                let published =
                    source.filter(|source| self.sessions.source_mut(*source).is_some_and(|source| source.published));
                if let (Some(source), Some((_, person, _))) = (published, self.sessions.person(peer)) {
                    candidates.push(Candidate {
                        source,
                        participant: person.id.clone(),
                        moderator: person.role == MediaRole::Moderator,
                        spotlit: spotlight.as_ref() == Some(&person.account),
                        joined,
                    });
                }
            }
        }
        if let Some(state) = self.rooms.get(room).and_then(Option::as_ref) {
            room::rank(&mut candidates, &state.recent);
        }
        // What participants may see of it.
        let open: Option<Vec<Candidate>> = cameras_to_moderators.then(|| {
            let shown = |candidate: &&Candidate| candidate.moderator || candidate.source.kind != SourceKind::Camera;
            candidates.iter().filter(shown).cloned().collect()
        });
        for member in members {
            let moderates =
                self.sessions.get(member).is_some_and(|session| session.participant.role == MediaRole::Moderator);
            let seen = open.as_ref().filter(|_| !moderates).unwrap_or(&candidates);
            self.assign_member(now, member, seen, &active);
        }
    }

    fn assign_member(&mut self, now: Instant, member: Peer, candidates: &[Candidate], active: &[Peer]) {
        let Some(session) = self.sessions.get(member) else { return };
        // Before the handshake nothing could be sent, and key frames would be asked for in vain.
        if session.keys.is_none() {
            return;
        }
        let video = room::wanted(member, session.view.as_deref(), candidates, session.video.len());
        let voices: Vec<(SourceRef, u16)> = active
            .iter()
            .filter(|peer| **peer != member)
            .filter_map(|peer| Some((self.sessions.source_ref(*peer, SourceKind::Microphone)?, 0)))
            .take(session.audio.len())
            .collect();
        for (medium, wanted) in [(Medium::Audio, voices), (Medium::Video, video)] {
            let Some(session) = self.sessions.get_mut(member) else { return };
            let current: Vec<Option<SourceRef>> = session.slots_mut(medium).iter().map(|slot| slot.source).collect();
            for (slot, placed) in room::place(&wanted, &current).into_iter().enumerate() {
                let rank = placed.and_then(|(source, _)| room::rank_of(source, &wanted));
                self.map_slot(member, medium, slot, placed, rank);
            }
        }
        self.follow_layers(now, member);
        self.tell_slots(member);
    }

    /// Maps another source (or none) onto a slot.
    fn map_slot(
        &mut self,
        member: Peer,
        medium: Medium,
        place: usize,
        placed: Option<(SourceRef, u16)>,
        rank: Option<usize>,
    ) {
        let Some(session) = self.sessions.get_mut(member) else { return };
        let Some(slot) = session.slots_mut(medium).get_mut(place) else { return };
        slot.height = placed.map_or(0, |(_, height)| height);
        slot.rank = rank.unwrap_or(0) as u8;
        let source = placed.map(|(source, _)| source);
        if slot.source == source {
            return;
        }
        let left = slot.source.map(|source| (source, [slot.current, slot.target]));
        slot.map(source);
        if let Some((source, layers)) = left {
            let subscriber = Subscriber { peer: member, slot: place as u8 };
            for layer in layers.into_iter().flatten() {
                self.unsubscribe(source, layer, subscriber);
            }
        }
    }

    /// Tells the client what its slots carry, if that is news.
    pub(crate) fn tell_slots(&mut self, member: Peer) {
        let Some(session) = self.sessions.get(member) else { return };
        let describe = |slots: &[crate::slot::Slot], free: SourceKind| -> Vec<media::Slot> {
            let slots = slots.iter().enumerate();
            slots
                .map(|(place, slot)| {
                    let publisher = slot.source.and_then(|source| {
                        self.sessions.person(source.peer).filter(|(serial, ..)| *serial == source.serial)
                    });
                    media::Slot {
                        slot: place as u8,
                        participant: publisher.map(|(_, person, _)| person.id.clone()),
                        kind: slot.source.map_or(free, |source| source.kind),
                        paused: slot.paused,
                    }
                })
                .collect()
        };
        let audio = describe(&session.audio, SourceKind::Microphone);
        let video = describe(&session.video, SourceKind::Camera);
        let id = session.id;
        if session.told.as_ref().is_some_and(|(a, v)| *a == audio && *v == video) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(member) {
            session.told = Some((audio.clone(), video.clone()));
        }
        self.tell(id, ToClient::Slots { audio, video });
    }
}
