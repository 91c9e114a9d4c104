//! Stored values: a byte of version, then postcard. A change of a record's fields raises its version and keeps reading the
//! older ones.

pub mod exam;
pub mod timetable;

use crate::{
    op::{Actor, GroupKind, Role},
    store::{Kv, KvMut},
    view::RoomKind,
};
use schulhof_wire::{AccountId, ConferenceId, DeviceId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Value of keys that say everything by being there.
pub const PRESENT: &[u8] = &[1];

/// A stored value of the newest version.
pub trait Record: Serialize + DeserializeOwned {
    const VERSION: u8 = 1;

    /// Reads a value of an older version.
    fn from_older(version: u8, _bytes: &[u8]) -> Self {
        panic!("a value of version {version} in the store: written by a newer program")
    }
}

/// # Panics
/// If the value is damaged: the store's checksums should have told before.
pub fn decode<R: Record>(bytes: &[u8]) -> R {
    match bytes.split_first() {
        Some((version, rest)) if *version == R::VERSION => postcard::from_bytes(rest).expect("a stored value is whole"),
        Some((version, rest)) => R::from_older(*version, rest),
        None => panic!("an empty value in the store"),
    }
}

pub fn load<R: Record>(store: &(impl Kv + ?Sized), key: &[u8]) -> Option<R> {
    store.get(key).map(|bytes| decode(&bytes))
}

pub fn save<R: Record>(store: &mut impl KvMut, key: &[u8], record: &R) {
    let bytes = postcard::to_extend(record, vec![R::VERSION]).expect("a record can be written");
    store.put(key, &bytes);
}

/// Index of the last entry applied.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Head(pub LogIndex);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct School {
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub login: String,
    pub name: String,
    pub role: Role,
    pub locked: bool,
}

/// argon2id hash in PHC form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Password(pub String);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login(pub AccountId);

/// A part of an import, kept aside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// In JSON, as in the log: their form there is the one that every version can read.
    pub changes: String,
}

/// An import that was applied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Import {
    pub number: u32,
    /// As the operations call it.
    pub name: DeviceId,
    pub at: Hlc,
    pub by: Actor,
    pub created: u32,
    pub changed: u32,
    pub locked: u32,
    /// Parts of what undoes it; none any more: it cannot be undone.
    pub undo_parts: u32,
}

/// What takes an import's effects back, in the order in which they came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Undo(pub Vec<Inverse>);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Inverse {
    Remove { account: AccountId, source: DeviceId, record: String },
    Restore { account: AccountId, name: String, role: Role, locked: bool },
    Disband { group: GroupId },
    Leave { group: GroupId, accounts: Vec<AccountId> },
    Rejoin { group: GroupId, account: AccountId, member: Member },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Last number that was applied.
    pub seq: u64,
    pub owner: Actor,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub kind: GroupKind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Room {
    pub kind: RoomKind,
    /// Empty for direct rooms.
    pub name: String,
    /// Both ends of a direct room.
    pub pair: Option<(AccountId, AccountId)>,
    pub members: u32,
    /// Messages so far: the newest one's ordinal.
    pub messages: u64,
    pub open_conferences: u32,
}

impl Room {
    /// The other end of a direct room.
    pub fn other(&self, account: &AccountId) -> Option<&AccountId> {
        self.pair.as_ref().map(|(a, b)| if a == account { b } else { a })
    }
}

/// A member of a room, with the read mark. Unread is a matter of counting, not of scanning:
/// `room.messages - read_messages - own_after`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Member {
    pub read_upto: LogIndex,
    /// Ordinal of the last message that counts as read (those before joining do).
    pub read_messages: u64,
    /// Own messages after that.
    pub own_after: u64,
}

impl Member {
    pub fn unread(&self, room: &Room) -> u32 {
        let others = room.messages.saturating_sub(self.read_messages).saturating_sub(self.own_after);
        u32::try_from(others).unwrap_or(u32::MAX)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Counts the room's messages, from 1.
    pub ordinal: u64,
    pub device: DeviceId,
    pub seq: Seq,
    pub author: AccountId,
    pub at: Hlc,
    pub text: String,
}

/// Beside a message, not in it: messages without any keep the bytes that they always had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachments(pub Vec<crate::op::Attachment>);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Conference {
    pub room: RoomId,
    pub title: String,
    pub opened_by: AccountId,
    pub at: Hlc,
    pub open: bool,
    pub expected: u32,
}

impl Record for Head {}
impl Record for School {}
impl Record for Account {}
impl Record for Password {}
impl Record for Login {}
impl Record for Part {}
impl Record for Import {}
impl Record for Undo {}
impl Record for Device {}
impl Record for Group {}
impl Record for Room {}
impl Record for Member {}
impl Record for Message {}
impl Record for Attachments {}
impl Record for Conference {}

/// Identifiers that end the keys of a range, in order.
pub fn ids<T: std::str::FromStr>(store: &(impl Kv + ?Sized), (from, to): &crate::key::Range) -> Vec<T> {
    let mut found = Vec::new();
    store.scan(from, to, false, &mut |key, _| {
        found.push(crate::key::last_id(key));
        true
    });
    found
}

/// The newest message of a range with its position.
pub fn newest_message(
    store: &(impl Kv + ?Sized),
    (from, to): &crate::key::Range,
) -> Option<(crate::Position, Message)> {
    let mut found = None;
    store.scan(from, to, true, &mut |key, value| {
        found = Some((crate::key::position(key), decode(value)));
        false
    });
    found
}

/// Open conferences of a room.
pub fn open_conferences(store: &(impl Kv + ?Sized), room: &RoomId) -> Vec<ConferenceId> {
    ids(store, &crate::key::open_conferences(room))
}
