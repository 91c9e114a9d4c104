//! Browser <-> media node. Box and relay speak the same.
//!
//! 1. `POST {node}/media/join` with [`JoinRequest`]: one offer, one answer, one handshake. Later changes of who is shown
//!    re-map sources onto the fixed slots and need no renegotiation.
//! 2. `GET {node}/media/control/{session}` as WebSocket: [`ToNode`] up, [`ToClient`] down. Closing it leaves the room.
//!
//! The offer (RFC 8829) has, in this order, all in one BUNDLE: `sendonly` audio (microphone), `sendonly` video with rids
//! `q`, `h`, `f` (camera, RFC 8853), `sendonly` video (screen), then `audio_slots` times `recvonly` audio and
//! `video_slots` times `recvonly` video.

use crate::{
    id::{AccountId, NodeName},
    ticket::{MediaRole, NodeKind},
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Longest SDP in bytes, checked before parsing.
pub const SDP_LEN_MAX: usize = 64 * 1024;
/// Longest message on the control channel in bytes.
pub const CONTROL_LEN_MAX: usize = 16 * 1024;
/// A control channel without a message for this long is closed; clients send [`ToNode::Ping`] every 2 s.
pub const CONTROL_IDLE_MS: u32 = 10_000;

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    pub ticket: String,
    /// SDP offer.
    pub offer: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct JoinAnswer {
    /// Secret name of this connection, for the control channel.
    pub session: String,
    /// SDP answer.
    pub answer: String,
    pub node: NodeName,
    pub node_kind: NodeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    Microphone,
    Camera,
    Screen,
}

/// A picture that the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    pub participant: ParticipantId,
    pub kind: SourceKind,
    /// Height on the screen in device pixels: the layer follows it.
    pub height: u16,
}

/// One connection of one person in a room; a person with two devices is there twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(type = "string")]
pub struct ParticipantId(pub String);

/// Client -> node.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToNode {
    /// What this client sends just now; others are told.
    Publish {
        microphone: bool,
        camera: bool,
        screen: bool,
    },
    /// The pictures that the page shows, most important first. What is not listed is not sent.
    /// Without any such message the node chooses: screen, moderator, active speakers, then the latest.
    View {
        tiles: Vec<Tile>,
    },
    Hand {
        raised: bool,
    },
    Ping {
        n: u32,
    },
}

/// Node -> client.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient {
    Welcome {
        you: ParticipantId,
        node: NodeName,
        node_kind: NodeKind,
    },
    /// Everybody in the room, in order of joining; sent whole on each change (rooms are bounded).
    Roster {
        participants: Vec<Participant>,
    },
    /// What each receiving slot carries from now on. `slot` counts the `recvonly` m-lines of the offer, per medium.
    Slots {
        audio: Vec<Slot>,
        video: Vec<Slot>,
    },
    /// Who is heard, loudest first, at most every 200 ms. Level: 0 silent .. 127 full (RFC 6464 reversed).
    Speakers {
        speakers: Vec<Speaker>,
    },
    Pong {
        n: u32,
    },
    /// The node ends the connection: `draining`, `replaced`, `room-closed`, `idle`, `transport-failed`.
    Closing {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Participant {
    pub id: ParticipantId,
    pub account: AccountId,
    pub name: String,
    pub role: MediaRole,
    pub microphone: bool,
    pub camera: bool,
    pub screen: bool,
    pub hand: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Slot {
    pub slot: u8,
    /// Nobody: the slot is free.
    pub participant: Option<ParticipantId>,
    pub kind: SourceKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Speaker {
    pub participant: ParticipantId,
    pub level: u8,
}
