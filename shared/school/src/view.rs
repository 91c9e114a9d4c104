//! What an account may see, read from a store (confirmed state, or confirmed state under the box's overlay).
//!
//! Nothing here scans a room's history: lists read counters and the newest message, pages read what they show.

mod blobs;
pub mod exam;
mod imports;
mod people;
mod rooms;
pub mod timetable;

pub use blobs::{attachment, blobs_after, names_blob, recent_blobs};
pub use imports::{Enrolled, enrolled, has_first_password, identities, imports, may_manage, names_taken};
pub use people::{account, credentials, groups, people};
pub use rooms::{audience, conference, direct_room_id, members, message_at, messages, room, rooms};

use crate::{
    key,
    op::{Actor, Attachment, GroupKind, Role},
    record::{self, Device, Head, School},
    store::Kv,
};
use schulhof_wire::{AccountId, ConferenceId, DeviceId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<Attachment>>")]
    pub attachments: Vec<Attachment>,
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

/// What the box itself needs to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    pub account: AccountId,
    pub login: String,
    pub name: String,
    pub role: Role,
    pub locked: bool,
    /// The password is the first one: it must be changed before anything else is done.
    pub first_password: bool,
}

/// Empty until the school was named.
pub fn school_name(store: &(impl Kv + ?Sized)) -> String {
    record::load::<School>(store, key::SCHOOL).map_or_else(String::new, |school| school.name)
}

/// Index of the last entry applied to a confirmed state.
pub fn head(store: &(impl Kv + ?Sized)) -> LogIndex {
    record::load::<Head>(store, key::HEAD).map_or(LogIndex(0), |head| head.0)
}

/// Highest number of the device that was applied.
pub fn device(store: &(impl Kv + ?Sized), device: &DeviceId) -> Seq {
    Seq(record::load::<Device>(store, &key::device(device)).map_or(0, |device| device.seq))
}

/// Who owns a device: its first actor.
pub fn device_owner(store: &(impl Kv + ?Sized), device: &DeviceId) -> Option<Actor> {
    record::load::<Device>(store, &key::device(device)).map(|device| device.owner)
}

/// BLAKE3 over all keys and values in order, each behind its length: equal on all replicas that applied the same entries.
pub fn state_hash(store: &(impl Kv + ?Sized)) -> [u8; 32] {
    let mut hasher = StateHasher::default();
    store.scan(key::FIRST, key::END, false, &mut |key, value| {
        hasher.record(key, value);
        true
    });
    hasher.finish()
}

/// [`state_hash`] of records that come one by one, in order of their keys.
#[derive(Debug, Clone, Default)]
pub struct StateHasher(blake3::Hasher);

impl StateHasher {
    pub fn record(&mut self, key: &[u8], value: &[u8]) {
        for bytes in [key, value] {
            self.0.update(&(bytes.len() as u64).to_be_bytes());
            self.0.update(bytes);
        }
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
