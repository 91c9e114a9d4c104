//! Layout of the store. One byte of kind, then identifiers; two identifiers are parted by a zero byte, which no identifier
//! holds, so that keys sort by the first, then by the second, and no key is another's beginning.
//!
//! | key | value | read for |
//! |---|---|---|
//! | `h` | [`Head`](crate::record::Head) | index of the last entry applied |
//! | `s` | [`School`](crate::record::School) | the school's name |
//! | `a` account | [`Account`](crate::record::Account) | role, lock, name |
//! | `p` account | [`Password`](crate::record::Password) | login only, so kept out of the account's own record |
//! | `P` account | empty | the password is the first one, and must be changed |
//! | `q` source 0 record | [`Login`](crate::record::Login) | who a record of the administration's lists is |
//! | `i` import 0 part | [`Part`](crate::record::Part) | parts of an import that was not applied yet |
//! | `I` number | [`Import`](crate::record::Import) | imports that can be seen, by a number that counts them |
//! | `u` number 0 part | [`Undo`](crate::record::Undo) | what undoes the import |
//! | `l` login | [`Login`](crate::record::Login) | account of a login |
//! | `d` device | [`Device`](crate::record::Device) | owner and last number |
//! | `f` device 0 actor | [`Device`](crate::record::Device) | last number of somebody else's try on the device |
//! | `g` group | [`Group`](crate::record::Group) | |
//! | `G` account 0 group | empty | groups of an account |
//! | `r` room | [`Room`](crate::record::Room) | kind, name, counts |
//! | `R` account 0 room | empty | rooms of an account |
//! | `m` room 0 account | [`Member`](crate::record::Member) | membership, read mark |
//! | `t` room 0 position | [`Message`](crate::record::Message) | history in order |
//! | `x` room 0 position | [`Attachments`](crate::record::Attachments) | what a message brings along; none: no key |
//! | `b` hash 0 room | empty | rooms with a message that names a blob |
//! | `c` conference | [`Conference`](crate::record::Conference) | |
//! | `o` room 0 conference | empty | open conferences of a room |
//! | `E` ... | | the exam plan: see [`exam`] |
//! | `T` ... | | the timetable: see [`timetable`] |

pub mod exam;
pub mod timetable;

use crate::{apply::Position, op::Actor};
use schulhof_wire::{AccountId, BlobHash, ConferenceId, DeviceId, GroupId, LogIndex, RoomId};

pub const HEAD: &[u8] = b"h";
pub const SCHOOL: &[u8] = b"s";
/// Before and after all keys.
pub const FIRST: &[u8] = b"";
pub const END: &[u8] = &[0xff];

/// Tags of positions: waiting ones sort after confirmed ones.
const CONFIRMED: u8 = 0;
const PENDING: u8 = 1;
/// Tag and number.
const POSITION_LEN: usize = 9;

fn one(kind: u8, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(kind);
    key.extend_from_slice(id.as_bytes());
    key
}

fn two(kind: u8, first: &str, second: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + first.len() + second.len());
    key.push(kind);
    key.extend_from_slice(first.as_bytes());
    key.push(0);
    key.extend_from_slice(second);
    key
}

pub fn account(account: &AccountId) -> Vec<u8> {
    one(b'a', account.as_str())
}

pub fn password(account: &AccountId) -> Vec<u8> {
    one(b'p', account.as_str())
}

pub fn first_password(account: &AccountId) -> Vec<u8> {
    one(b'P', account.as_str())
}

pub fn identity(source: &DeviceId, record: &str) -> Vec<u8> {
    two(b'q', source.as_str(), record.as_bytes())
}

/// Who stands in a source's lists.
pub fn identities(source: &DeviceId) -> Range {
    under(b'q', source.as_str())
}

/// The record in the key of an identity.
pub fn identity_record(key: &[u8]) -> String {
    let end = key.iter().position(|b| *b == 0).unwrap_or(key.len());
    String::from_utf8_lossy(key.get(end + 1..).unwrap_or_default()).into_owned()
}

pub fn import_part(import: &DeviceId, part: u32) -> Vec<u8> {
    two(b'i', import.as_str(), &part.to_be_bytes())
}

/// Parts of whichever import is kept aside.
pub fn import_parts() -> Range {
    all(b'i')
}

pub fn import(number: u32) -> Vec<u8> {
    two(b'I', "", &number.to_be_bytes())
}

pub fn imports() -> Range {
    all(b'I')
}

pub fn undo(number: u32, part: u32) -> Vec<u8> {
    [undos(number).0.as_slice(), &part.to_be_bytes()].concat()
}

pub fn undos(number: u32) -> Range {
    let from = two(b'u', "", &number.to_be_bytes());
    let to = if number == u32::MAX { vec![b'u' + 1] } else { two(b'u', "", &(number + 1).to_be_bytes()) };
    (from, to)
}

pub fn login(login: &str) -> Vec<u8> {
    one(b'l', login)
}

pub fn device(device: &DeviceId) -> Vec<u8> {
    one(b'd', device.as_str())
}

pub fn device_of_another(device: &DeviceId, actor: &Actor) -> Vec<u8> {
    let actor = match actor {
        Actor::Account(account) => account.as_str(),
        // No identifier is empty.
        Actor::Operator => "",
    };
    two(b'f', device.as_str(), actor.as_bytes())
}

pub fn group(group: &GroupId) -> Vec<u8> {
    one(b'g', group.as_str())
}

pub fn group_of(account: &AccountId, group: &GroupId) -> Vec<u8> {
    two(b'G', account.as_str(), group.as_str().as_bytes())
}

pub fn room(room: &RoomId) -> Vec<u8> {
    one(b'r', room.as_str())
}

pub fn room_of(account: &AccountId, room: &RoomId) -> Vec<u8> {
    two(b'R', account.as_str(), room.as_str().as_bytes())
}

pub fn member(room: &RoomId, account: &AccountId) -> Vec<u8> {
    two(b'm', room.as_str(), account.as_str().as_bytes())
}

pub fn message(room: &RoomId, position: Position) -> Vec<u8> {
    at_position(b't', room, position)
}

pub fn attachments(room: &RoomId, position: Position) -> Vec<u8> {
    at_position(b'x', room, position)
}

pub fn blob_in(hash: &BlobHash, room: &RoomId) -> Vec<u8> {
    two(b'b', &hash.to_string(), room.as_str().as_bytes())
}

fn at_position(kind: u8, room: &RoomId, position: Position) -> Vec<u8> {
    let (tag, number) = match position {
        Position::Confirmed(index) => (CONFIRMED, index.0),
        Position::Pending(number) => (PENDING, number),
    };
    let mut bytes = [tag; POSITION_LEN];
    bytes[1..].copy_from_slice(&number.to_be_bytes());
    two(kind, room.as_str(), &bytes)
}

pub fn conference(conference: &ConferenceId) -> Vec<u8> {
    one(b'c', conference.as_str())
}

pub fn open_conference(room: &RoomId, conference: &ConferenceId) -> Vec<u8> {
    two(b'o', room.as_str(), conference.as_str().as_bytes())
}

/// `from..to` of all keys of a kind, or of all that begin with the same first identifier.
pub type Range = (Vec<u8>, Vec<u8>);

fn all(kind: u8) -> Range {
    (vec![kind], vec![kind + 1])
}

fn under(kind: u8, first: &str) -> Range {
    let from = two(kind, first, &[]);
    let mut to = from.clone();
    // The parting zero byte.
    to[1 + first.len()] = 1;
    (from, to)
}

pub fn accounts() -> Range {
    all(b'a')
}

pub fn groups() -> Range {
    all(b'g')
}

pub fn rooms() -> Range {
    all(b'r')
}

pub fn groups_of(account: &AccountId) -> Range {
    under(b'G', account.as_str())
}

pub fn rooms_of(account: &AccountId) -> Range {
    under(b'R', account.as_str())
}

pub fn members(room: &RoomId) -> Range {
    under(b'm', room.as_str())
}

pub fn messages(room: &RoomId) -> Range {
    under(b't', room.as_str())
}

/// Confirmed messages before an index.
pub fn messages_before(room: &RoomId, before: LogIndex) -> Range {
    (messages(room).0, message(room, Position::Confirmed(before)))
}

/// Confirmed messages up to and with an index.
pub fn messages_upto(room: &RoomId, upto: LogIndex) -> Range {
    let (from, mut to) = messages_before(room, upto);
    // The next key in order.
    to.push(0);
    (from, to)
}

/// Messages that wait for their place.
pub fn messages_pending(room: &RoomId) -> Range {
    (message(room, Position::Pending(0)), messages(room).1)
}

pub fn open_conferences(room: &RoomId) -> Range {
    under(b'o', room.as_str())
}

/// Attachments of a room's messages.
pub fn attachments_of(room: &RoomId) -> Range {
    under(b'x', room.as_str())
}

/// Blobs from one on.
pub fn blobs_from(hash: &BlobHash) -> Range {
    (two(b'b', &hash.to_string(), &[]), all(b'b').1)
}

/// The hash in a blob's key.
pub fn blob(key: &[u8]) -> BlobHash {
    let hash = key.get(1..1 + 64).and_then(|text| std::str::from_utf8(text).ok());
    hash.and_then(|text| text.parse().ok()).expect("a blob's key begins with its hash")
}

/// The first identifier of a key with two.
pub fn first_id<T: std::str::FromStr>(key: &[u8]) -> T {
    let end = key.iter().position(|b| *b == 0).unwrap_or(key.len());
    std::str::from_utf8(&key[1..end]).ok().and_then(|text| text.parse().ok()).expect("keys hold identifiers only")
}

/// The last identifier of a key.
pub fn last_id<T: std::str::FromStr>(key: &[u8]) -> T {
    let start = key.iter().position(|b| *b == 0).map_or(1, |zero| zero + 1);
    std::str::from_utf8(&key[start..]).ok().and_then(|text| text.parse().ok()).expect("keys hold identifiers only")
}

/// The position in a message's key.
pub fn position(key: &[u8]) -> Position {
    let (_, tail) = key.split_at(key.len() - POSITION_LEN);
    let number = u64::from_be_bytes(tail[1..].try_into().expect("a position has nine bytes"));
    if tail[0] == CONFIRMED { Position::Confirmed(LogIndex(number)) } else { Position::Pending(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id<T: std::str::FromStr>(text: &str) -> T {
        text.parse().ok().expect("an identifier")
    }

    #[test]
    fn keys_sort_by_room_then_by_index_then_waiting_ones() {
        let room: RoomId = id("a");
        let keys = [
            message(&room, Position::Confirmed(LogIndex(1))),
            message(&room, Position::Confirmed(LogIndex(256))),
            message(&room, Position::Confirmed(LogIndex(u64::MAX))),
            message(&room, Position::Pending(0)),
            message(&room, Position::Pending(300)),
            message(&id("a-"), Position::Confirmed(LogIndex(1))),
        ];
        assert!(keys.is_sorted());
        let (from, to) = messages(&room);
        assert!(keys[..5].iter().all(|key| *key >= from && *key < to));
        assert!(keys[5] >= to);
        assert_eq!(position(&keys[1]), Position::Confirmed(LogIndex(256)));
        assert_eq!(position(&keys[4]), Position::Pending(300));
    }

    #[test]
    fn a_range_of_an_identifier_holds_no_longer_identifiers() {
        let (from, to) = rooms_of(&id("anna"));
        assert!((&from..&to).contains(&&room_of(&id("anna"), &id("z"))));
        for other in ["ann", "anna-b", "annA", "annaa"] {
            assert!(!(&from..&to).contains(&&room_of(&id(other), &id("z"))), "{other}");
        }
        assert_eq!(last_id::<RoomId>(&room_of(&id("anna"), &id("z"))), id("z"));
        assert_eq!(last_id::<AccountId>(&account(&id("anna"))), id("anna"));
    }

    #[test]
    fn a_mark_range_ends_with_its_index() {
        let room: RoomId = id("a");
        let (from, to) = messages_upto(&room, LogIndex(7));
        assert!((&from..&to).contains(&&message(&room, Position::Confirmed(LogIndex(7)))));
        assert!(!(&from..&to).contains(&&message(&room, Position::Confirmed(LogIndex(8)))));
    }
}
