//! Rooms, messages, conferences, and whom a change is told.

use super::{AccountView, ConferenceView, MessageView, RoomView, account};
use crate::{
    apply::{Change, Position},
    effect::conference::may_close,
    key,
    record::{self, Attachments, Conference, Message, Room},
    reject::Reject,
    rule::{self, DIRECT_PREFIX},
    store::Kv,
};
use schulhof_wire::{
    AccountId, ConferenceId, LogIndex, RoomId,
    api::{PAGE_LEN_MAX, Page},
};
use std::{cmp::Reverse, collections::BTreeMap};

/// Most waiting messages of a room that its first page shows (the newest ones): a page is one answer in memory. The others
/// appear as the core confirms them.
const PENDING_SHOWN_MAX: usize = 2_000;
/// In larger rooms a read mark is told to its own account only: marks of all to all would be a square.
const READ_TOLD_MEMBERS_MAX: u32 = 50;
/// Bytes of the hash in a direct room's name: enough that nobody finds two pairs with the same.
const DIRECT_HASH_LEN: usize = 20;

/// The room of two people, the same from both ends.
pub fn direct_room_id(a: &AccountId, b: &AccountId) -> RoomId {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(first.as_str().as_bytes()).update(&[0]).update(second.as_str().as_bytes());
    let hash = hasher.finalize().to_hex();
    RoomId::new(format!("{DIRECT_PREFIX}{}", &hash[..2 * DIRECT_HASH_LEN])).expect("hex digits fit an identifier")
}

fn viewing(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Result<AccountView, Reject> {
    let account = account(store, viewer).ok_or(Reject::UnknownActor)?;
    if account.locked { Err(Reject::AccountLocked) } else { Ok(account) }
}

/// All rooms of an account, those with the newest messages first. None for an unknown or locked one.
pub fn rooms(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Vec<RoomView> {
    let Ok(viewing) = viewing(store, viewer) else { return Vec::new() };
    let ids: Vec<RoomId> = record::ids(store, &key::rooms_of(viewer));
    let mut rooms: Vec<(Option<Position>, RoomView)> =
        ids.iter().filter_map(|id| room_view(store, &viewing, id).ok()).collect();
    rooms.sort_by(|(a_at, a), (b_at, b)| (Reverse(*a_at), &a.name, &a.room).cmp(&(Reverse(*b_at), &b.name, &b.room)));
    rooms.into_iter().map(|(_, room)| room).collect()
}

pub fn room(store: &(impl Kv + ?Sized), viewer: &AccountId, room: &RoomId) -> Result<RoomView, Reject> {
    room_view(store, &viewing(store, viewer)?, room).map(|(_, view)| view)
}

fn room_view(
    store: &(impl Kv + ?Sized),
    viewing: &AccountView,
    id: &RoomId,
) -> Result<(Option<Position>, RoomView), Reject> {
    let room = rule::room(store, id)?;
    let member = rule::member(store, id, &viewing.account)?;
    let last = record::newest_message(store, &key::messages(id));
    let name = room_name(store, &room, &viewing.account);
    let conferences = if room.open_conferences == 0 {
        Vec::new()
    } else {
        record::open_conferences(store, id)
            .iter()
            .filter_map(|conference| conference_view(store, viewing, &name, conference).ok())
            .collect()
    };
    let view = RoomView {
        room: id.clone(),
        kind: room.kind,
        members: room.members,
        with: room.other(&viewing.account).cloned(),
        unread: member.unread(&room),
        read_upto: member.read_upto,
        last: last.as_ref().map(|(position, message)| {
            message_view(store, id, *position, message.clone(), author_name(store, &message.author))
        }),
        may_write: rule::may_post(store, &room, (&viewing.account, viewing.role)),
        may_open_conference: rule::is_staff(viewing.role),
        name,
        conferences,
    };
    Ok((last.map(|(position, _)| position), view))
}

fn room_name(store: &(impl Kv + ?Sized), room: &Room, viewer: &AccountId) -> String {
    match room.other(viewer) {
        Some(other) => author_name(store, other),
        None => room.name.clone(),
    }
}

fn author_name(store: &(impl Kv + ?Sized), author: &AccountId) -> String {
    account(store, author).map_or_else(String::new, |account| account.name)
}

fn message_view(
    store: &(impl Kv + ?Sized),
    room: &RoomId,
    position: Position,
    message: Message,
    author_name: String,
) -> MessageView {
    let Attachments(attachments) =
        record::load(store, &key::attachments(room, position)).unwrap_or(Attachments(Vec::new()));
    MessageView {
        attachments,
        room: room.clone(),
        device: message.device,
        seq: message.seq,
        index: position.index(),
        author: message.author,
        author_name,
        text: message.text,
        at: message.at,
    }
}

/// A page of a room's history, oldest first: what is before an index, or the newest. The newest page holds the waiting
/// messages too; `limit` (at most [`PAGE_LEN_MAX`]) then counts them in, but leaves at least one place for a confirmed one,
/// so that the page always says where to go on.
pub fn messages(
    store: &(impl Kv + ?Sized),
    viewer: &AccountId,
    room: &RoomId,
    before: Option<LogIndex>,
    limit: u32,
) -> Result<Page<MessageView>, Reject> {
    viewing(store, viewer)?;
    rule::room(store, room)?;
    rule::member(store, room, viewer)?;
    let pending = match before {
        None => newest(store, &key::messages_pending(room), PENDING_SHOWN_MAX),
        Some(_) => Vec::new(),
    };
    let places = (limit.clamp(1, PAGE_LEN_MAX) as usize).saturating_sub(pending.len()).max(1);
    // One more than fits tells whether there is something older.
    let range = key::messages_before(room, before.unwrap_or(LogIndex(u64::MAX)));
    let mut confirmed = newest(store, &range, places + 1);
    let more = confirmed.len() > places;
    confirmed.truncate(places);
    let older = confirmed.last().filter(|_| more).and_then(|(position, _)| position.index());

    let mut names = BTreeMap::new();
    let items = confirmed
        .into_iter()
        .rev()
        .chain(pending.into_iter().rev())
        .map(|(position, message)| {
            let name =
                names.entry(message.author.clone()).or_insert_with(|| author_name(store, &message.author)).clone();
            message_view(store, room, position, message, name)
        })
        .collect();
    Ok(Page { items, older })
}

/// Newest first.
fn newest(store: &(impl Kv + ?Sized), (from, to): &key::Range, len: usize) -> Vec<(Position, Message)> {
    let mut found = Vec::new();
    store.scan(from, to, true, &mut |key, value| {
        found.push((key::position(key), record::decode(value)));
        found.len() < len
    });
    found
}

/// One message, if the viewer may see it.
pub fn message_at(
    store: &(impl Kv + ?Sized),
    viewer: &AccountId,
    room: &RoomId,
    position: Position,
) -> Option<MessageView> {
    viewing(store, viewer).ok()?;
    rule::member(store, room, viewer).ok()?;
    let message: Message = record::load(store, &key::message(room, position))?;
    let name = author_name(store, &message.author);
    Some(message_view(store, room, position, message, name))
}

/// A conference, open or closed, for the members of its room.
pub fn conference(store: &(impl Kv + ?Sized), viewer: &AccountId, id: &ConferenceId) -> Result<ConferenceView, Reject> {
    let viewing = viewing(store, viewer)?;
    let conference: Conference = record::load(store, &key::conference(id)).ok_or(Reject::UnknownConference)?;
    let room = rule::room(store, &conference.room)?;
    conference_view(store, &viewing, &room_name(store, &room, viewer), id)
}

fn conference_view(
    store: &(impl Kv + ?Sized),
    viewing: &AccountView,
    room_name: &str,
    id: &ConferenceId,
) -> Result<ConferenceView, Reject> {
    let conference: Conference = record::load(store, &key::conference(id)).ok_or(Reject::UnknownConference)?;
    rule::member(store, &conference.room, &viewing.account)?;
    Ok(ConferenceView {
        conference: id.clone(),
        may_close: may_close(store, &conference, &viewing.account, rule::is_staff(viewing.role)),
        room_name: room_name.into(),
        opened_by_name: author_name(store, &conference.opened_by),
        room: conference.room,
        title: conference.title,
        opened_by: conference.opened_by,
        at: conference.at,
        open: conference.open,
        expected: conference.expected,
    })
}

/// Members of a room in order of their identifiers.
pub fn members(store: &(impl Kv + ?Sized), room: &RoomId) -> Vec<AccountId> {
    record::ids(store, &key::members(room))
}

/// Whom a change is told. What each of them may see of it is still asked of the views.
pub fn audience(store: &(impl Kv + ?Sized), change: &Change) -> Vec<AccountId> {
    match change {
        Change::Message { room, .. } | Change::Room { room } => members(store, room),
        Change::RoomGone { account, .. } | Change::Account { account } | Change::Substituted { account, .. } => {
            vec![account.clone()]
        }
        Change::Timetable | Change::Exams => record::ids(store, &key::accounts()),
        Change::Read { room, account, .. } => match record::load::<Room>(store, &key::room(room)) {
            Some(known) if known.members <= READ_TOLD_MEMBERS_MAX => members(store, room),
            _ => vec![account.clone()],
        },
        Change::Conference { conference } => record::load::<Conference>(store, &key::conference(conference))
            .map_or_else(Vec::new, |conference| members(store, &conference.room)),
    }
}
