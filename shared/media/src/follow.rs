//! Carries out which layer each slot shows: within what the listener's line carries ([`crate::allot`]), or, for a
//! listener that does not tell, as its losses suggest ([`crate::downlink`]).
//!
//! A slot is in the list of a layer exactly while it shows the layer (`current`) or waits for its key frame (`target`).

use crate::{
    Engine,
    allot::{self, Picture},
    layers::{self, LAYERS_MAX, LayerState},
    sdp::Medium,
    session::REDUNDANT,
    source::{Peer, SourceRef, Subscriber},
    tick::TICK,
};
use schulhof_wire::ticket::VIDEO_SLOTS;
use std::time::{Duration, Instant};

const SLOTS_MAX: usize = VIDEO_SLOTS as usize;
/// Of the estimate, the part that layers may take; the rest is for repetitions, reports and the rates' own swing.
const USABLE: (u64, u64) = (95, 100);
/// A voice with its headers, until its rate has been measured; one is always kept free.
const VOICE_BPS: u64 = 60_000;
/// A picture pauses when its smallest layer has not fitted for this long.
const SHORTAGE: Duration = Duration::from_secs(3);
/// After a step down for the line's sake there is no step up for this long.
const REST: Duration = Duration::from_secs(2);
/// Room for the layers that a probe is to find: what [`crate::allot`] asks for, and the part that is not usable.
const ROOM: (u64, u64) = (125, 100);

impl Engine {
    /// Looks after a listener's line, each tick: probes, and steps down at once when it has become narrow.
    pub(crate) fn watch_line(&mut self, now: Instant, peer: Peer) {
        let now_us = self.since_start_us(now);
        let fallen = self.sessions.queue(peer, |session| {
            session.weigh_redundancy(now_us);
            if session.estimate_bps(now_us).is_none() {
                return false;
            }
            if session.egress.tick(now_us) {
                session.pad(now_us, now_us + TICK.as_micros() as u64);
            }
            session.pacer.set(session.egress.pace_bps(now_us));
            session.egress.has_fallen()
        });
        if fallen == Some(true) {
            self.follow_layers(now, peer);
            self.tell_slots(peer);
        }
    }

    /// Chooses the layers of everything that a listener sees and hears.
    pub(crate) fn follow_layers(&mut self, now: Instant, member: Peer) {
        let now_us = self.since_start_us(now);
        let mut voices_bps = 0;
        let Some(session) = self.sessions.get(member) else { return };
        let voices: [Option<SourceRef>; SLOTS_MAX] =
            std::array::from_fn(|place| session.audio.get(place).and_then(|slot| slot.source));
        for (place, source) in voices.into_iter().enumerate() {
            let Some(known) = source.and_then(|source| self.layers_of(now, source, VOICE_BPS)) else { continue };
            voices_bps += known.rates[0];
            if known.states[0].known {
                self.follow(now, member, Medium::Audio, place, 0);
            }
        }
        let Some(session) = self.sessions.get_mut(member) else { return };
        session.voices_bps = voices_bps;
        if session.redundant {
            voices_bps = voices_bps * REDUNDANT.0 / REDUNDANT.1;
        }
        self.follow_pictures(now, now_us, member, voices_bps.max(VOICE_BPS));
    }

    fn follow_pictures(&mut self, now: Instant, now_us: u64, member: Peer, voices_bps: u64) {
        let Some(session) = self.sessions.get(member) else { return };
        let estimate_bps = session.estimate_bps(now_us);
        let steps_down = if estimate_bps.is_some() { 0 } else { session.downlink.steps_down() };
        let may_rise = session.fell_at.is_none_or(|at| now.saturating_duration_since(at) >= REST);

        let count = session.video.len().min(SLOTS_MAX);
        let mut order: [usize; SLOTS_MAX] = std::array::from_fn(|place| place);
        let order = &mut order[..count];
        order.sort_unstable_by_key(|place| session.video[*place].rank);
        let mut pictures = [Picture::default(); SLOTS_MAX];
        for (picture, place) in pictures.iter_mut().zip(order.iter()) {
            *picture = self.picture(now, member, *place, steps_down).unwrap_or_default();
        }
        let pictures = &pictures[..count];
        let mut chosen = [None; SLOTS_MAX];
        let chosen = &mut chosen[..count];
        let unlimited = estimate_bps.is_none();
        let budget_bps = estimate_bps.map_or(u64::MAX, |bps| (bps * USABLE.0 / USABLE.1).saturating_sub(voices_bps));
        allot::allot(budget_bps, may_rise || unlimited, pictures, chosen);
        // Before the first feedback nothing says that the line is narrow.
        if !session.egress.is_heard() {
            for (picture, chosen) in pictures.iter().zip(chosen.iter_mut()) {
                *chosen = chosen.or(picture.lowest().map(|lowest| lowest as u8));
            }
        }
        self.bear_shortage(now, member, pictures, chosen);
        self.note_allotment(now, member, estimate_bps, voices_bps, pictures, chosen);
        for ((picture, chosen), place) in pictures.iter().zip(chosen.iter()).zip(order.iter()) {
            match chosen {
                Some(layer) => self.follow(now, member, Medium::Video, *place, *layer),
                None if picture.layers.iter().any(Option::is_some) => self.pause(member, *place),
                // Another node has none to offer: its line is full.
                None if self.is_remote(member, *place) => self.pause(member, *place),
                None => {}
            }
        }
    }

    /// What runs at its smallest layer goes on through a short shortage: a line that only stumbled would otherwise deliver
    /// less because less is sent, look narrower still, and need a probe and a key frame to come back.
    fn bear_shortage(&mut self, now: Instant, member: Peer, pictures: &[Picture], chosen: &mut [Option<u8>]) {
        let Some(session) = self.sessions.get_mut(member) else { return };
        let mut short = false;
        let since = session.short_since.unwrap_or(now);
        let bears = now.saturating_duration_since(since) < SHORTAGE;
        for (picture, chosen) in pictures.iter().zip(chosen.iter_mut()) {
            if chosen.is_none() && picture.now.is_some() {
                short = true;
                if bears {
                    *chosen = picture.lowest().map(|lowest| lowest as u8);
                }
            }
        }
        session.short_since = short.then_some(since);
    }

    /// Remembers what the line lacks, for probes and for the next choice.
    fn note_allotment(
        &mut self,
        now: Instant,
        member: Peer,
        estimate_bps: Option<u64>,
        voices_bps: u64,
        pictures: &[Picture],
        chosen: &[Option<u8>],
    ) {
        let Some(session) = self.sessions.get_mut(member) else { return };
        let pairs = || pictures.iter().zip(chosen);
        let fell = pairs().any(|(picture, chosen)| {
            let wanted = picture.wanted().map(|layer| layer as u8);
            *chosen < picture.now.min(wanted)
        });
        if fell && estimate_bps.is_some() {
            session.fell_at = Some(now);
        }
        let limited = pairs().any(|(picture, chosen)| picture.wanted() != chosen.map(usize::from));
        let all_bps = (allot::wanted_bps(pictures) + voices_bps) * ROOM.0 / ROOM.1;
        session.egress.wanted_bps = if limited { all_bps } else { 0 };
        session.egress.allotted_bps = estimate_bps.unwrap_or(0);
        let granted_bps: u64 = pairs().filter_map(|(picture, chosen)| picture.layers[usize::from((*chosen)?)]).sum();
        let wanted_bps = allot::wanted_bps(pictures);
        session.egress.carried = if wanted_bps == 0 { 1.0 } else { granted_bps as f64 / wanted_bps as f64 };
    }

    /// What may be shown on a slot. Nothing: it is free, or nothing has come yet.
    fn picture(&self, now: Instant, member: Peer, place: usize, steps_down: usize) -> Option<Picture> {
        let slot = self.sessions.get(member)?.video.get(place)?;
        let known = self.layers_of(now, slot.source?, 0)?;
        let top = layers::choose(&known.states[..known.count], slot.height, steps_down)?;
        let states = &known.states[..=top];
        let any_alive = known.states[..known.count].iter().any(|state| state.alive);
        let mut picture = Picture { now: slot.target.or(slot.current), paused: slot.paused, ..Picture::default() };
        for (layer, state) in states.iter().enumerate() {
            let usable = if any_alive { state.alive } else { state.known };
            picture.layers[layer] = usable.then_some(known.rates[layer]);
        }
        Some(picture)
    }

    fn layers_of(&self, now: Instant, source: SourceRef, voice_bps: u64) -> Option<Known> {
        let now_us = self.since_start_us(now);
        let state = self.sessions.source(source)?;
        let count = state.layers.len().min(LAYERS_MAX);
        let mut known = Known { states: [LayerState::default(); LAYERS_MAX], rates: [0; LAYERS_MAX], count };
        for (place, layer) in state.layers.iter().take(count).enumerate() {
            known.states[place] = layer.state(now);
            let assumed_bps = if voice_bps > 0 { voice_bps } else { layers::assumed_bps(place, count) };
            known.rates[place] = layer.bps(now_us, assumed_bps);
        }
        // Of a camera that is just being turned on, the first thing to come is a key frame of its smallest layer: whoever waits
        // for that already shows it, and need not ask for another one.
        let silent = known.states.iter().all(|state| !state.alive && !state.known);
        known.states[0].known |= silent && state.layers.iter().all(|layer| layer.offered.is_none());
        Some(known)
    }

    /// Shows a layer from its next key frame on.
    fn follow(&mut self, now: Instant, member: Peer, medium: Medium, place: usize, chosen: u8) {
        let Some(session) = self.sessions.get_mut(member) else { return };
        let Some(slot) = session.slots_mut(medium).get_mut(place) else { return };
        let (current, target) = (slot.current, slot.target);
        let Some(source) = slot.source else { return };
        if target == Some(chosen) {
            return;
        }
        slot.paused = false;
        slot.target = Some(chosen);
        let subscriber = Subscriber { peer: member, slot: place as u8 };
        let switches = current != Some(chosen);
        let publisher = self.sessions.source_mut(source);
        let Some(layer) = publisher.and_then(|state| state.layers.get_mut(usize::from(chosen))) else { return };
        layer.subscribe(subscriber);
        if switches && medium == Medium::Video {
            layer.want_key_frame();
        }
        if let Some(given_up) = target.filter(|target| current != Some(*target)) {
            self.unsubscribe(source, given_up, subscriber);
        }
        if switches && medium == Medium::Video {
            self.ask_key_frame(now, source.peer, source.kind, usize::from(chosen));
        }
    }

    fn is_remote(&self, member: Peer, place: usize) -> bool {
        let slot = self.sessions.get(member).and_then(|session| session.video.get(place));
        slot.and_then(|slot| slot.source).is_some_and(|source| self.sessions.remote(source.peer).is_some())
    }

    /// Shows nothing until the line carries more. The source keeps its slot.
    fn pause(&mut self, member: Peer, place: usize) {
        let Some(slot) = self.sessions.get_mut(member).and_then(|session| session.video.get_mut(place)) else { return };
        let (Some(source), false) = (slot.source, slot.paused) else { return };
        let layers = [slot.current.take(), slot.target.take()];
        slot.paused = true;
        let subscriber = Subscriber { peer: member, slot: place as u8 };
        for layer in layers.into_iter().flatten() {
            self.unsubscribe(source, layer, subscriber);
        }
    }

    pub(crate) fn unsubscribe(&mut self, source: SourceRef, layer: u8, subscriber: Subscriber) {
        if let Some(state) = self.sessions.source_mut(source)
            && let Some(layer) = state.layers.get_mut(usize::from(layer))
        {
            layer.unsubscribe(subscriber);
        }
    }
}

/// The layers of a source, and their rates in bit/s.
struct Known {
    states: [LayerState; LAYERS_MAX],
    rates: [u64; LAYERS_MAX],
    count: usize,
}
