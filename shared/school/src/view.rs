//! What an account may see, read from a store (confirmed state, or confirmed state under the box's overlay).

use crate::{
    op::{GroupKind, Role},
    store::Kv,
};
use schulhof_wire::{AccountId, ConferenceId, DeviceId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Belongs to a class, course or staff group.
    Group,
    Free,
    Direct,
}

/// A person as others may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PersonView {
    pub account: AccountId,
    pub name: String,
    pub role: Role,
    /// Classes and courses.
    pub groups: Vec<GroupId>,
    /// Whether the asking account may write a direct message.
    pub may_write: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GroupView {
    pub group: GroupId,
    pub name: String,
    pub kind: GroupKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RoomView {
    pub room: RoomId,
    pub kind: RoomKind,
    /// For a direct room: the other person's name.
    pub name: String,
    pub members: u32,
    /// For a direct room: the other person.
    pub with: Option<AccountId>,
    pub unread: u32,
    /// Own read mark.
    pub read_upto: LogIndex,
    pub last: Option<MessageView>,
    pub may_write: bool,
    pub may_open_conference: bool,
    /// Running conferences of the room.
    pub conferences: Vec<ConferenceView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MessageView {
    pub room: RoomId,
    /// Identity: `(device, seq)`.
    pub device: DeviceId,
    pub seq: Seq,
    /// Null until secured in the cloud.
    pub index: Option<LogIndex>,
    pub author: AccountId,
    pub author_name: String,
    pub text: String,
    pub at: Hlc,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConferenceView {
    pub conference: ConferenceId,
    pub room: RoomId,
    pub room_name: String,
    pub title: String,
    pub opened_by: AccountId,
    pub opened_by_name: String,
    pub at: Hlc,
    pub open: bool,
    /// People that places are reserved for.
    pub expected: u32,
    /// Whether the asking account may close it (and moderates it).
    pub may_close: bool,
}

/// What a login needs. Never leaves the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub account: AccountId,
    pub login: String,
    pub name: String,
    pub role: Role,
    pub locked: bool,
    /// argon2id hash in PHC form.
    pub password: String,
}

// The implementation gives, all taking `&impl Kv` first:
//   school_name, credentials(login), account(id), people(viewer), groups(viewer), rooms(viewer), room(viewer, room),
//   messages(viewer, room, before: Option<LogIndex>, limit) -> Result<Page<MessageView>, Reject>,
//   message_at(viewer, room, position), conference(viewer, conference), members(room),
//   device(device) -> Seq (highest applied), audience(&Change) -> Vec<AccountId>,
//   direct_room_id(a, b), state_hash() -> [u8; 32] (BLAKE3 over all keys and values in order)
pub fn school_name(_store: &impl Kv) -> String {
    unreachable!("placeholder of the first hour")
}
