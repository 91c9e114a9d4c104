//! Tickets: a reservation on a media node, as the browser carries it.
//!
//! Text form: `base64url(claims as JSON) "." base64url(Ed25519 signature over the first part)`, no padding (RFC 4648 §5,
//! RFC 8032). Signing and checking are in `shared/placement`. A ticket outlives the core and the box's web process:
//! whoever holds it needs nobody else.

use crate::id::{AccountId, ConferenceId, NodeName, SchoolId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub const VERSION: u16 = 1;
/// Longest ticket in bytes, checked before decoding.
pub const TICKET_LEN_MAX: usize = 4096;
/// Receiving slots per listener: three loudest voices, nine pictures.
pub const AUDIO_SLOTS: u8 = 3;
pub const VIDEO_SLOTS: u8 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// In the school.
    Box,
    /// In the cloud.
    Relay,
    /// In the cloud, for pages and operations of all schools; carries no media.
    Gateway,
}

/// Where a media node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MediaNode {
    pub name: NodeName,
    pub kind: NodeKind,
    /// Base address of its HTTP door, such as `http://localhost:8480`, without a slash at the end.
    pub url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MediaRole {
    /// May see first, be seen first, and moderate.
    Moderator,
    Participant,
}

/// What a ticket promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// [`VERSION`].
    pub v: u16,
    /// Unique per reservation: random.
    pub id: String,
    /// Whose key signed.
    pub school: SchoolId,
    /// The room on the media node.
    pub room: ConferenceId,
    pub account: AccountId,
    /// Shown to the others.
    pub name: String,
    pub role: MediaRole,
    pub audio_slots: u8,
    pub video_slots: u8,
    pub primary: MediaNode,
    /// Used at once when the primary goes silent.
    pub standby: Option<MediaNode>,
    /// Milliseconds since 1970. Checked when joining; a running connection goes on.
    #[ts(type = "number")]
    pub expires_at_ms: u64,
}

impl Claims {
    /// The node of that name, if the ticket lets one in there.
    pub fn node(&self, name: &NodeName) -> Option<&MediaNode> {
        std::iter::once(&self.primary).chain(self.standby.as_ref()).find(|n| n.name == *name)
    }
}
