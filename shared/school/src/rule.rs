//! Limits of texts, and who may what. Each rule gives the reason when it forbids.

use crate::{
    key,
    op::{
        ATTACHMENTS_MAX, Actor, Attachment, MEMBERS_LEN_MAX, MESSAGE_LEN_MAX, MIME_LEN_MAX, NAME_LEN_MAX,
        RECORD_LEN_MAX, Role,
    },
    record::{self, Account, Member, Room},
    reject::Reject,
    store::Kv,
    view::RoomKind,
};
use schulhof_wire::{AccountId, GroupId, RoomId, blob::BLOB_LEN_MAX};

/// Longest login in characters, as for identifiers.
pub const LOGIN_LEN_MAX: usize = 64;
/// Longest password hash: PHC form with usual parameters has about 100 bytes.
pub const PASSWORD_HASH_LEN_MAX: usize = 256;
/// Most members of a room: the largest schools have some thousand accounts.
pub const ROOM_MEMBERS_MAX: u32 = 10_000;
/// Most conferences that are open in a room at a time: they stand in every room list.
pub const OPEN_CONFERENCES_MAX: u32 = 8;
/// Most people that places are reserved for.
pub const EXPECTED_MAX: u32 = ROOM_MEMBERS_MAX;
/// Rooms that begin so are made by the school itself.
pub const DIRECT_PREFIX: &str = "direct:";

/// Who acts, as far as the rules care.
pub enum Acting {
    Operator,
    Person { account: AccountId, role: Role },
}

impl Acting {
    /// Accounts, groups and the school's name.
    pub fn manages(&self) -> Result<(), Reject> {
        match self {
            Acting::Operator | Acting::Person { role: Role::Admin, .. } => Ok(()),
            Acting::Person { .. } => Err(Reject::NotAllowed),
        }
    }

    /// Everything in rooms is done by people.
    pub fn person(&self) -> Result<(&AccountId, Role), Reject> {
        match self {
            Acting::Operator => Err(Reject::NotAllowed),
            Acting::Person { account, role } => Ok((account, *role)),
        }
    }

    /// Free rooms and conferences.
    pub fn staff(&self) -> Result<&AccountId, Reject> {
        let (account, role) = self.person()?;
        if is_staff(role) { Ok(account) } else { Err(Reject::NotAllowed) }
    }
}

pub fn is_staff(role: Role) -> bool {
    matches!(role, Role::Teacher | Role::Admin)
}

/// The actor, unless unknown or locked.
pub fn acting(store: &(impl Kv + ?Sized), actor: &Actor) -> Result<Acting, Reject> {
    match actor {
        Actor::Operator => Ok(Acting::Operator),
        Actor::Account(account) => match record::load::<Account>(store, &key::account(account)) {
            None => Err(Reject::UnknownActor),
            Some(known) if known.locked => Err(Reject::AccountLocked),
            Some(known) => Ok(Acting::Person { account: account.clone(), role: known.role }),
        },
    }
}

pub fn room(store: &(impl Kv + ?Sized), room: &RoomId) -> Result<Room, Reject> {
    record::load(store, &key::room(room)).ok_or(Reject::UnknownRoom)
}

pub fn member(store: &(impl Kv + ?Sized), room: &RoomId, account: &AccountId) -> Result<Member, Reject> {
    record::load(store, &key::member(room, account)).ok_or(Reject::NotAMember)
}

pub fn account(store: &(impl Kv + ?Sized), account: &AccountId) -> Result<Account, Reject> {
    record::load(store, &key::account(account)).ok_or(Reject::UnknownAccount)
}

/// Opening a direct room: staff with anybody; pupils with teachers and with whom they share a group.
pub fn may_open_direct(
    store: &(impl Kv + ?Sized),
    (from, from_role): (&AccountId, Role),
    (to, to_role): (&AccountId, Role),
) -> bool {
    is_staff(from_role) || to_role == Role::Teacher || share_a_group(store, from, to)
}

/// Posting in a room whose member one is. In a direct room pupils may always answer staff; two pupils only while they share
/// a group.
pub fn may_post(store: &(impl Kv + ?Sized), room: &Room, (account, role): (&AccountId, Role)) -> bool {
    if room.kind != RoomKind::Direct || is_staff(role) {
        return true;
    }
    room.other(account).is_some_and(|other| {
        record::load::<Account>(store, &key::account(other)).is_some_and(|known| is_staff(known.role))
            || share_a_group(store, account, other)
    })
}

pub fn share_a_group(store: &(impl Kv + ?Sized), a: &AccountId, b: &AccountId) -> bool {
    let groups: Vec<GroupId> = record::ids(store, &key::groups_of(a));
    groups.iter().any(|group| store.get(&key::group_of(b, group)).is_some())
}

/// Names of people, groups, rooms, conferences, schools.
pub fn name(name: &str) -> Result<(), Reject> {
    // A character has one to four bytes: the cheap test first.
    if name.len() > NAME_LEN_MAX * 4 || name.chars().count() > NAME_LEN_MAX {
        Err(Reject::NameTooLong)
    } else if name.trim().is_empty() {
        Err(Reject::NameEmpty)
    } else if name.chars().any(char::is_control) {
        Err(Reject::NameBadCharacter)
    } else {
        Ok(())
    }
}

pub fn text(text: &str) -> Result<(), Reject> {
    if text.len() > MESSAGE_LEN_MAX {
        Err(Reject::TextTooLong)
    } else if text.trim().is_empty() {
        Err(Reject::TextEmpty)
    } else if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        Err(Reject::TextBadCharacter)
    } else {
        Ok(())
    }
}

/// What a message brings along. That the bytes exist is not asked here: all replicas must come to the same verdict.
pub fn attachments(attachments: &[Attachment]) -> Result<(), Reject> {
    if attachments.len() > ATTACHMENTS_MAX {
        return Err(Reject::TooManyAttachments);
    }
    for Attachment { name: file, mime, size, .. } in attachments {
        name(file).map_err(|_| Reject::AttachmentName)?;
        if file.contains(['/', '\\']) || matches!(file.as_str(), "." | "..") {
            return Err(Reject::AttachmentName);
        }
        media_type(mime)?;
        if !(1..=BLOB_LEN_MAX).contains(size) {
            return Err(Reject::AttachmentSize);
        }
    }
    Ok(())
}

/// `type "/" subtype`, both restricted names (RFC 6838, section 4.2).
fn media_type(mime: &str) -> Result<(), Reject> {
    let restricted = |name: &str| {
        name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
    };
    let fits = mime.len() <= MIME_LEN_MAX
        && mime.split_once('/').is_some_and(|(kind, subtype)| restricted(kind) && restricted(subtype));
    if fits { Ok(()) } else { Err(Reject::AttachmentType) }
}

pub fn login(login: &str) -> Result<(), Reject> {
    let fits = (1..=LOGIN_LEN_MAX).contains(&login.len())
        && login.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
        && login.as_bytes()[0].is_ascii_alphanumeric();
    if fits { Ok(()) } else { Err(Reject::BadLogin) }
}

/// What a list of the school's administration calls a person.
pub fn record(record: &str) -> Result<(), Reject> {
    let fits = (1..=RECORD_LEN_MAX).contains(&record.len()) && !record.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Reject::BadRecord) }
}

pub fn password_hash(hash: &str) -> Result<(), Reject> {
    let fits = hash.starts_with("$argon2id$")
        && hash.len() <= PASSWORD_HASH_LEN_MAX
        && hash.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(Reject::BadPasswordHash) }
}

pub fn members_len(lists: &[&[AccountId]]) -> Result<(), Reject> {
    if lists.iter().map(|list| list.len()).sum::<usize>() > MEMBERS_LEN_MAX {
        Err(Reject::TooManyMembers)
    } else {
        Ok(())
    }
}

/// A name for a new room or group.
pub fn free_room_id(store: &(impl Kv + ?Sized), room: &RoomId) -> Result<(), Reject> {
    if room.as_str().starts_with(DIRECT_PREFIX) {
        Err(Reject::IdReserved)
    } else if store.get(&key::room(room)).is_some() {
        Err(Reject::IdTaken)
    } else {
        Ok(())
    }
}
