//! What two media nodes say to each other (PROTOCOL.md section 6.1): frames on one reliable stream, media in datagrams.
//!
//! Both sides say the same things. People are numbered by the node that they are connected to; a number is never used
//! again on one connection, so that a late datagram finds nobody rather than somebody else.

use crate::state::registers::Register;
use schulhof_wire::{
    id::{ConferenceId, NodeName},
    media::{Participant, SourceKind},
};
use serde::{Deserialize, Serialize};

/// Of [`Frame::Hello`].
pub const VERSION: u16 = 1;
/// Longest frame in bytes: the whole state of a large room.
pub const FRAME_LEN_MAX: usize = 2 << 20;
/// Most people of one node in one room that are believed.
pub const PEOPLE_MAX: usize = 500;
/// Most pictures that a node may want of one room.
pub const WANTED_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// First of all, from both sides.
    Hello {
        version: u16,
        node: NodeName,
    },
    /// This side has people in the room. Everything else about a room is said only while both have.
    Open {
        room: ConferenceId,
    },
    Close {
        room: ConferenceId,
    },
    /// What holds in the room: everything at first, then what has changed.
    State {
        room: ConferenceId,
        registers: Vec<Register>,
    },
    /// Everybody who is in the room at this side, sent whole on each change.
    People {
        room: ConferenceId,
        people: Vec<Person>,
    },
    /// The pictures of the other side's people that are shown at this one, each at one layer, sent whole on each change.
    Want {
        room: ConferenceId,
        pictures: Vec<Picture>,
    },
    /// A key frame of a wanted picture.
    KeyFrame(Picture),
    /// Packets of a wanted picture that did not come, by the low 16 bits of their numbers.
    Missing {
        picture: Picture,
        sequences: Vec<u16>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub number: u32,
    pub participant: Participant,
    /// Place in the order of coming: counted alike by both sides.
    pub came: (u64, u64),
    pub camera: Vec<Offered>,
    pub screen: Vec<Offered>,
}

/// A layer that can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Packets arrive at present.
    pub alive: bool,
    /// In pixels, 0 unknown.
    pub height: u16,
    /// What it takes towards a listener, in bit/s, roughly; 0 not measured yet.
    pub bps: u32,
}

/// One layer of a camera or screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Picture {
    pub number: u32,
    pub kind: SourceKind,
    pub layer: u8,
}
