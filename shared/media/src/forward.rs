//! The packet path: one packet of a publisher, sealed anew for everybody who follows its layer. Nothing here allocates
//! once the outboxes have grown to a batch.

use crate::{
    DropReason, Engine, Stats,
    packet::Content,
    receive::Received,
    rewrite::Incoming,
    sdp::Medium,
    source::{Origin, Peer, Subscriber},
    table::Table,
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
        let received = match session.receive(now, since_start, packet) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(reason) => return self.stats.drop(reason),
        };
        if let Some(room) = self.rooms.get_mut(session.room).and_then(Option::as_mut) {
            if let Some(level) = received.level {
                room.speakers.heard(now, peer, level);
            }
            room.slots_changed |= received.layer_changed;
        }
        let source_ref = session.source_ref(peer, received.kind);
        let Some(source) = session.source_mut(received.kind).filter(|source| source.published) else { return };
        let layer = &mut source.layers[received.layer];
        if layer.subscribers.is_empty() {
            return;
        }
        let origin = Origin { source: source_ref, layer: received.layer as u8, generation: layer.generation };
        let subscribers = std::mem::take(&mut layer.subscribers);
        let Received { kind, packet: incoming, marker, ref payload, .. } = received;
        let content = Content { marker, descriptor: incoming.descriptor, payload: &packet[payload.clone()] };
        let medium = if kind == SourceKind::Microphone { Medium::Audio } else { Medium::Video };
        let to = Listeners { subscribers: &subscribers, medium, now, now_us: since_start.as_micros() as u64 };
        to.forward(&mut self.sessions, &mut self.stats, &mut self.switched, &origin, &incoming, &content);
        self.return_subscribers(peer, &received, subscribers);
    }

    /// Puts the list back, and takes the slots that have switched off the layers that they left.
    fn return_subscribers(&mut self, peer: Peer, received: &Received, subscribers: Vec<Subscriber>) {
        let Some(source) = self.sessions.get_mut(peer).and_then(|session| session.source_mut(received.kind)) else {
            return;
        };
        source.layers[received.layer].subscribers = subscribers;
        for (subscriber, left) in self.switched.drain(..) {
            if usize::from(left) != received.layer
                && let Some(layer) = source.layers.get_mut(usize::from(left))
            {
                layer.unsubscribe(subscriber);
            }
        }
    }
}

struct Listeners<'a> {
    subscribers: &'a [Subscriber],
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
                let len = listener.outbox.push(|buffer| slot.write(&keys.local, &outgoing, content, number, buffer));
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
