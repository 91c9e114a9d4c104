//! Conferences: opened in a room, for its members.

use crate::{
    apply::Change,
    key,
    record::{self, Conference, PRESENT},
    reject::Reject,
    rule::{self, Acting, EXPECTED_MAX, OPEN_CONFERENCES_MAX},
    store::{Kv, KvMut},
};
use schulhof_wire::{AccountId, ConferenceId, Hlc, RoomId};

pub struct New<'a> {
    pub conference: &'a ConferenceId,
    pub room: &'a RoomId,
    pub title: &'a str,
    pub expected: Option<u32>,
    pub at: Hlc,
}

pub fn open(store: &mut impl KvMut, acting: &Acting, new: &New<'_>, changes: &mut Vec<Change>) -> Result<(), Reject> {
    let account = acting.staff()?;
    rule::name(new.title)?;
    let mut room = rule::room(store, new.room)?;
    rule::member(store, new.room, account)?;
    if store.get(&key::conference(new.conference)).is_some() {
        return Err(Reject::IdTaken);
    }
    if room.open_conferences >= OPEN_CONFERENCES_MAX {
        return Err(Reject::TooManyConferences);
    }
    let expected = new.expected.unwrap_or(room.members);
    if !(1..=EXPECTED_MAX).contains(&expected) {
        return Err(Reject::BadExpected);
    }
    let conference = Conference {
        room: new.room.clone(),
        title: new.title.into(),
        opened_by: account.clone(),
        at: new.at,
        open: true,
        expected,
    };
    room.open_conferences += 1;
    record::save(store, &key::room(new.room), &room);
    record::save(store, &key::conference(new.conference), &conference);
    store.put(&key::open_conference(new.room, new.conference), PRESENT);
    changes.push(Change::Conference { conference: new.conference.clone() });
    changes.push(Change::Room { room: new.room.clone() });
    Ok(())
}

/// Who opened it, and staff in its room.
pub fn may_close(store: &(impl Kv + ?Sized), conference: &Conference, account: &AccountId, staff: bool) -> bool {
    conference.opened_by == *account || (staff && rule::member(store, &conference.room, account).is_ok())
}

/// Closing what is closed is accepted and changes nothing: two people may do it at the same time.
pub fn close(
    store: &mut impl KvMut,
    acting: &Acting,
    id: &ConferenceId,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let (account, role) = acting.person()?;
    let mut conference: Conference = record::load(store, &key::conference(id)).ok_or(Reject::UnknownConference)?;
    if !may_close(store, &conference, account, rule::is_staff(role)) {
        return Err(Reject::NotAllowed);
    }
    if !conference.open {
        return Ok(());
    }
    let mut room = rule::room(store, &conference.room)?;
    room.open_conferences = room.open_conferences.saturating_sub(1);
    record::save(store, &key::room(&conference.room), &room);
    conference.open = false;
    record::save(store, &key::conference(id), &conference);
    store.delete(&key::open_conference(&conference.room, id));
    changes.push(Change::Conference { conference: id.clone() });
    changes.push(Change::Room { room: conference.room });
    Ok(())
}
