//! The packet path: one packet of a publisher, sealed anew for everybody who follows its layer. Nothing here allocates
//! once the outboxes have grown to a batch, but for the one copy of a packet that goes to another node.

use crate::{
    DropReason, Engine, Stats,
    history::History,
    packet::{Content, Predecessor},
    receive::Received,
    rewrite::Incoming,
    sdp::Medium,
    source::{Origin, Peer, SourceRef, Subscriber},
    table::Table,
    trunk::TrunkId,
};
use schulhof_wire::media::SourceKind;
use std::time::Instant;

/// Slots that have just reached the key frame they waited for, and the layer that they left.
pub(crate) type Switched = Vec<(Subscriber, u8)>;

impl Engine {
    /// SRTP from a checked address.
    pub(crate) fn receive_media(&mut self, now: Instant, peer: Peer, packet: &mut [u8]) {
        let since_start = now.saturating_duration_since(self.start);
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let (received, payload) = match session.receive(now, since_start, packet) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(reason) => return self.stats.drop(reason),
        };
        let (room, source) = (session.room, session.source_ref(peer, received.kind));
        self.pass_on(now, room, source, &received, &packet[payload]);
    }

    /// One packet of somebody here or at another node, to all who follow its layer.
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        room: usize,
        source: SourceRef,
        received: &Received,
        payload: &[u8],
    ) {
        if let Some(room) = self.rooms.get_mut(room).and_then(Option::as_mut) {
            if let Some(level) = received.level {
                room.speakers.heard(now, source.peer, level);
                room.voices.heard(now, source.peer, level);
            }
            room.slots_changed |= received.layer_changed;
        }
        let Some(state) = self.sessions.source_mut(source).filter(|source| source.published) else { return };
        let layer = &mut state.layers[received.layer];
        if !layer.is_wanted() {
            return;
        }
        let origin = Origin { source, layer: received.layer as u8, generation: layer.generation };
        let subscribers = std::mem::take(&mut layer.subscribers);
        let trunks = std::mem::take(&mut layer.trunks);
        // Out of the table for a moment, to read it while listeners are written to.
        let history = std::mem::take(&mut layer.history);
        let Received { kind, packet: incoming, marker, .. } = received;
        let content = Content { marker: *marker, descriptor: incoming.descriptor, payload };
        let medium = if *kind == SourceKind::Microphone { Medium::Audio } else { Medium::Video };
        let is_voice = medium == Medium::Audio;
        let predecessor = is_voice.then(|| history.before(incoming.index, incoming.timestamp)).flatten();
        let to = Listeners { subscribers: &subscribers, predecessor, medium, now, now_us: self.since_start_us(now) };
        to.forward(&mut self.sessions, &mut self.stats, &mut self.switched, &origin, incoming, &content);
        if !trunks.is_empty() {
            self.send_trunks(&trunks, &origin, received, payload);
        }
        self.return_lists(&origin, subscribers, trunks, history);
    }

    /// Puts the lists back, and takes the slots that have switched off the layers that they left.
    fn return_lists(&mut self, origin: &Origin, subscribers: Vec<Subscriber>, trunks: Vec<TrunkId>, history: History) {
        let Some(source) = self.sessions.source_mut(origin.source) else { return };
        let layer = &mut source.layers[usize::from(origin.layer)];
        (layer.subscribers, layer.trunks, layer.history) = (subscribers, trunks, history);
        for (subscriber, left) in self.switched.drain(..) {
            if left != origin.layer
                && let Some(layer) = source.layers.get_mut(usize::from(left))
            {
                layer.unsubscribe(subscriber);
            }
        }
    }
}

struct Listeners<'a> {
    subscribers: &'a [Subscriber],
    /// Of a voice, for those whose lines lose packets.
    predecessor: Option<Predecessor<'a>>,
    medium: Medium,
    now: Instant,
    /// Since the engine's start.
    now_us: u64,
}

impl Listeners<'_> {
    fn forward(
        &self,
        sessions: &mut Table,
        stats: &mut Stats,
        switched: &mut Switched,
        origin: &Origin,
        packet: &Incoming,
        content: &Content<'_>,
    ) {
        for subscriber in self.subscribers {
            sessions.queue(subscriber.peer, |listener| {
                let Some(keys) = &listener.keys else { return };
                let slots = if self.medium == Medium::Audio { &mut listener.audio } else { &mut listener.video };
                let Some(slot) = slots.get_mut(usize::from(subscriber.slot)) else { return };
                if content.payload.is_empty() && slot.skip(origin, packet.index) {
                    return;
                }
                let left = slot.current;
                let Some(outgoing) = slot.place(self.now, origin, packet) else { return };
                if outgoing.starts && self.medium == Medium::Video {
                    stats.video_switches += 1;
                    switched.extend(left.map(|left| (*subscriber, left)));
                }
                if listener.outbox.is_full() {
                    return stats.drop(DropReason::QueueFull);
                }
                if !listener.pacer.is_idle() {
                    if slot.may_wait() && !listener.pacer.lets_pass(self.now_us) {
                        if !listener.pacer.hold(|buffer| slot.encode(&outgoing, content, buffer)) {
                            return stats.drop(DropReason::QueueFull);
                        }
                        stats.paced_packets += 1;
                        return stats.forwarded(content.payload.len());
                    }
                    listener.pacer.spend(content.payload.len());
                }
                let number = listener.egress.sent.number();
                let predecessor = self.predecessor.as_ref().filter(|before| {
                    listener.redundant && !outgoing.starts && !content.payload.is_empty() && slot.takes(before)
                });
                let len = listener.outbox.push(|buffer| match predecessor {
                    Some(before) => slot.write_red(&keys.local, &outgoing, content, before, number, buffer),
                    None => slot.write(&keys.local, &outgoing, content, number, buffer),
                });
                if len > 0 {
                    if slot.transport_cc.is_some() {
                        listener.egress.note(self.now_us, len);
                    }
                    stats.forwarded(len);
                }
            });
        }
    }
}
