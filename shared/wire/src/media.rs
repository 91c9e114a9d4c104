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
    /// A connection that is kept ready at the ticket's other node: it enters the room with [`ToNode::Activate`] only.
    #[serde(default)]
    pub standby: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct JoinAnswer {
    /// Secret name of this connection, for the control channel.
    pub session: String,
    /// SDP answer.
    pub answer: String,
    pub node: NodeName,
    pub node_kind: NodeKind,
    /// Further ways to the node, for networks that let little through; to be set before candidates are gathered.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
}

/// TURN, in the words of the browsers' `RTCIceServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
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
    /// The connection that stood by is the one in use from now on: enters the room. On others it does nothing.
    Activate,
    /// The pictures that the page shows, most important first. What is not listed is not sent.
    /// Without any such message the node chooses: screen, moderator, active speakers, then the latest.
    View {
        tiles: Vec<Tile>,
    },
    Hand {
        raised: bool,
    },
    /// Takes back that a moderator has muted one. Does nothing while speaking is locked for this person.
    Unmute,
    /// Of a moderator; from others it is ignored and counted.
    Moderate {
        order: Order,
    },
    Ping {
        n: u32,
    },
}

/// What a moderator asks for. People are named by their accounts: an order holds for all their devices, at whichever
/// node they are, and also when they come back with another ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// With the waiting room on, participants who come are let in by a moderator. Who is in the room stays in it.
    Lobby {
        on: bool,
    },
    Admit {
        account: AccountId,
    },
    AdmitAll,
    /// Sends somebody away from the waiting room; he may ask again.
    Refuse {
        account: AccountId,
    },
    Mute {
        account: AccountId,
    },
    /// All participants who are in the room; moderators are not muted.
    MuteAll,
    /// While a source is locked, participants' ones are not forwarded, except of those who are allowed it.
    Lock {
        kind: SourceKind,
        on: bool,
    },
    Allow {
        account: AccountId,
        kind: SourceKind,
        on: bool,
    },
    /// Participants' cameras are forwarded to moderators only.
    CamerasToModerators {
        on: bool,
    },
    LowerHand {
        account: AccountId,
    },
    LowerHands,
    /// Whose picture everybody is to see first.
    Spotlight {
        account: Option<AccountId>,
    },
    /// Shares the moderator's role, or takes it back from who was given it. Whose ticket is a moderator's keeps the
    /// role, unless he gives it up himself, and may always take it again.
    Role {
        account: AccountId,
        role: MediaRole,
    },
    /// Gives the moderator's role to somebody else and gives it up oneself.
    HandOver {
        account: AccountId,
    },
    /// Sends somebody away who cannot come back, with whatever ticket. Not those whose ticket is a moderator's.
    Remove {
        account: AccountId,
    },
    /// Who was removed may come back.
    Unblock {
        account: AccountId,
    },
    /// Sends everybody away; nobody can join any more. Only of those whose ticket is a moderator's.
    End,
    /// Asks for [`ToClient::Attendance`].
    Attendance,
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
    /// One is in the waiting room: nothing is forwarded or told until a moderator lets one in; then the roster comes.
    Waiting,
    /// What holds for everybody in the room.
    Rules {
        rules: Rules,
    },
    /// To moderators: who waits to be let in, longest first, and who was removed.
    Lobby {
        waiting: Vec<Known>,
        blocked: Vec<Known>,
    },
    /// Everybody in the room, in order of first joining; sent whole on each change (rooms are bounded).
    Roster {
        participants: Vec<Participant>,
    },
    /// What each receiving slot carries from now on. `slot` counts the `recvonly` m-lines of the offer, per medium.
    Slots {
        audio: Vec<Slot>,
        video: Vec<Slot>,
    },
    /// How well connections carry the conference: one's own; to moderators, everybody's. Told when it changes.
    Quality {
        people: Vec<PersonQuality>,
    },
    /// Who is heard, loudest first, at most every 200 ms. Level: 0 silent .. 127 full (RFC 6464 reversed).
    Speakers {
        speakers: Vec<Speaker>,
    },
    /// To a moderator who asked: who was there from when to when, in order of coming.
    Attendance {
        stays: Vec<Stay>,
    },
    Pong {
        n: u32,
    },
    /// Go on at the ticket's other node, or where a new ticket leads: connect there first, then leave here. Said again to
    /// those who stay.
    Move {
        reason: MoveReason,
    },
    /// The node ends the connection: `draining`, `replaced`, `room-closed`, `removed`, `refused`, `full`,
    /// `idle`, `transport-failed`.
    Closing {
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MoveReason {
    /// The node will stop.
    Drain,
    /// The school's own box carries the conference again.
    Return,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Participant {
    pub id: ParticipantId,
    pub account: AccountId,
    pub name: String,
    /// At present: the ticket's, or what was handed over.
    pub role: MediaRole,
    /// Sent just now, and forwarded.
    pub microphone: bool,
    pub camera: bool,
    pub screen: bool,
    /// Place in the queue of raised hands, from 1.
    pub hand: Option<u16>,
    /// Muted by a moderator: not forwarded until he takes it back ([`ToNode::Unmute`]).
    pub muted: bool,
    /// What the room's locks leave to this person.
    pub may: May,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct May {
    pub microphone: bool,
    pub camera: bool,
    pub screen: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Rules {
    /// The waiting room is on.
    pub lobby: bool,
    /// Locked for participants.
    pub microphone_locked: bool,
    pub camera_locked: bool,
    pub screen_locked: bool,
    pub cameras_to_moderators: bool,
    pub spotlight: Option<AccountId>,
}

/// Somebody who is not in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Known {
    pub account: AccountId,
    pub name: String,
}

/// One stay of one person in the room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
pub struct Stay {
    pub account: AccountId,
    pub name: String,
    /// Of the ticket.
    pub role: MediaRole,
    /// Milliseconds since 1970.
    #[ts(type = "number")]
    pub from_ms: u64,
    /// Nothing: still there.
    #[ts(type = "number | null")]
    pub to_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Slot {
    pub slot: u8,
    /// Nobody: the slot is free.
    pub participant: Option<ParticipantId>,
    pub kind: SourceKind,
    /// The picture pauses: the client's line does not carry even its smallest layer now. It comes back by itself.
    pub paused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Speaker {
    pub participant: ParticipantId,
    pub level: u8,
}

/// From best to worst, as the node sees it: losses in both directions, the round trip, and how much of what the person
/// wants to see the line carries. `lost`: nothing has come from the person for 6 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Excellent,
    Good,
    Poor,
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PersonQuality {
    pub participant: ParticipantId,
    pub quality: Quality,
}
