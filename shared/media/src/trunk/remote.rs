//! Somebody who is in the room at another node: a source of pictures and a voice like a connection of ours, without
//! transport and slots.

use super::{TrunkId, frame::Person};
use crate::{
    layers::{LAYERS_MAX, LayerState},
    sdp::{Direction, Extensions, Line, Medium},
    source::{KINDS, Source, SourceRef, place},
    state::registers::NAME_LEN_MAX,
};
use schulhof_wire::{
    id::ID_LEN_MAX,
    media::{Participant, SourceKind},
};

pub(crate) struct Remote {
    /// As of a session: never used again.
    pub serial: u64,
    pub trunk: TrunkId,
    /// By which the other node knows the person.
    pub number: u32,
    pub room: usize,
    pub participant: Participant,
    pub came: (u64, u64),
    pub sources: [Option<Source>; 3],
}

impl Remote {
    pub fn new(serial: u64, trunk: TrunkId, room: usize, person: Person) -> Self {
        let sources = KINDS.map(|kind| {
            let layers = match kind {
                SourceKind::Microphone => 1,
                SourceKind::Camera => person.camera.len(),
                SourceKind::Screen => person.screen.len(),
            };
            (layers > 0).then(|| {
                let mut source = Source::new(line(kind, layers));
                // The other side counts how often it was begun anew; it can be asked before a packet has come.
                source.layers.iter_mut().for_each(|layer| layer.ssrc = Some(0));
                source
            })
        });
        let mut remote = Self {
            serial,
            trunk,
            number: person.number,
            room,
            participant: person.participant.clone(),
            came: person.came,
            sources,
        };
        remote.learn(person);
        remote
    }

    /// Whether the person is the one that is known, with sources of the same shape.
    pub fn is(&self, person: &Person) -> bool {
        let layers = |kind| self.sources[place(kind)].as_ref().map_or(0, |source| source.layers.len());
        self.number == person.number
            && self.participant.id == person.participant.id
            && layers(SourceKind::Camera) == person.camera.len()
            && layers(SourceKind::Screen) == person.screen.len()
    }

    /// What has changed about a known person.
    pub fn learn(&mut self, person: Person) {
        let sends = &person.participant;
        let published = [sends.microphone, sends.camera, sends.screen];
        for (source, published) in self.sources.iter_mut().zip(published) {
            if let Some(source) = source {
                source.published = published;
            }
        }
        for (kind, offered) in [(SourceKind::Camera, &person.camera), (SourceKind::Screen, &person.screen)] {
            let layers = self.sources[place(kind)].iter_mut().flat_map(|source| &mut source.layers);
            for (layer, offered) in layers.zip(offered) {
                let state = LayerState { alive: offered.alive, known: offered.alive, height: offered.height };
                layer.offered = Some((state, offered.bps.into()));
            }
        }
        self.came = person.came;
        self.participant = person.participant;
    }

    pub fn source_ref(&self, peer: usize, kind: SourceKind) -> SourceRef {
        SourceRef { peer, serial: self.serial, kind }
    }
}

/// Whether what another node says of somebody stays within the bounds that hold for our own people.
pub(crate) fn is_sound(person: &Person) -> bool {
    let participant = &person.participant;
    (1..=ID_LEN_MAX).contains(&participant.id.0.len())
        && participant.name.len() <= NAME_LEN_MAX
        && person.camera.len() <= LAYERS_MAX
        && person.screen.len() <= LAYERS_MAX
}

/// As an offer would have it. Only medium and number of layers are ever looked at.
fn line(kind: SourceKind, layers: usize) -> Line {
    let medium = if kind == SourceKind::Microphone { Medium::Audio } else { Medium::Video };
    Line {
        mid: String::new(),
        medium: Some(medium),
        direction: Direction::Send,
        payload_type: 0,
        rtx_payload_type: None,
        red_payload_type: None,
        extensions: Extensions::default(),
        one_way: Vec::new(),
        rids: if layers > 1 { vec![String::new(); layers] } else { Vec::new() },
        ssrcs: Vec::new(),
        reduced_size_rtcp: false,
        nack: false,
        transport_feedback: false,
        kind: "",
    }
}
