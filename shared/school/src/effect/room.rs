//! Groups with their rooms, free rooms, direct rooms, and who is in them.

use crate::{
    apply::Change,
    key,
    op::GroupKind,
    record::{self, Group, Member, PRESENT, Room},
    reject::Reject,
    rule::{self, Acting, ROOM_MEMBERS_MAX},
    store::{Kv, KvMut},
    view::{RoomKind, direct_room_id},
};
use schulhof_wire::{AccountId, GroupId, RoomId};
use std::collections::BTreeSet;

/// A group's room is named like the group.
pub fn room_of_group(group: &GroupId) -> RoomId {
    RoomId::new(group.as_str()).expect("both are identifiers")
}

fn new_room(kind: RoomKind, name: &str) -> Room {
    Room { kind, name: name.into(), pair: None, members: 0, messages: 0, open_conferences: 0 }
}

pub fn create_group(
    store: &mut impl KvMut,
    acting: &Acting,
    group: &GroupId,
    name: &str,
    kind: GroupKind,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    rule::name(name)?;
    let room = room_of_group(group);
    rule::free_room_id(store, &room)?;
    record::save(store, &key::group(group), &Group { name: name.into(), kind });
    record::save(store, &key::room(&room), &new_room(RoomKind::Group, name));
    changes.push(Change::Room { room });
    Ok(())
}

pub fn change_group_members(
    store: &mut impl KvMut,
    acting: &Acting,
    group: &GroupId,
    add: &[AccountId],
    remove: &[AccountId],
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    rule::members_len(&[add, remove])?;
    if store.get(&key::group(group)).is_none() {
        return Err(Reject::UnknownGroup);
    }
    let id = room_of_group(group);
    let room = rule::room(store, &id)?;
    let plan = plan(store, &id, &room, add, remove)?;
    for account in &plan.leave {
        store.delete(&key::group_of(account, group));
    }
    for account in &plan.join {
        store.put(&key::group_of(account, group), PRESENT);
    }
    move_members(store, &id, room, plan, changes);
    Ok(())
}

/// Ends a group in which nobody is and nothing was written. Another one stays as it is.
pub fn disband(store: &mut impl KvMut, group: &GroupId, changes: &mut Vec<Change>) {
    let id = room_of_group(group);
    let Some(room) = record::load::<Room>(store, &key::room(&id)) else { return };
    if room.members == 0 && room.messages == 0 && room.open_conferences == 0 {
        store.delete(&key::group(group));
        store.delete(&key::room(&id));
        changes.push(Change::Room { room: id });
    }
}

pub fn create(
    store: &mut impl KvMut,
    acting: &Acting,
    id: &RoomId,
    name: &str,
    members: &[AccountId],
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let creator = acting.staff()?;
    rule::name(name)?;
    rule::members_len(&[members])?;
    rule::free_room_id(store, id)?;
    let room = new_room(RoomKind::Free, name);
    let members: Vec<AccountId> = members.iter().chain([creator]).cloned().collect();
    let plan = plan(store, id, &room, &members, &[])?;
    move_members(store, id, room, plan, changes);
    Ok(())
}

/// By staff in the room; and everybody may leave.
pub fn change_members(
    store: &mut impl KvMut,
    acting: &Acting,
    id: &RoomId,
    add: &[AccountId],
    remove: &[AccountId],
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let (actor, _) = acting.person()?;
    rule::members_len(&[add, remove])?;
    let room = rule::room(store, id)?;
    rule::member(store, id, actor)?;
    if room.kind != RoomKind::Free {
        return Err(Reject::MembersFixed);
    }
    let leaves = add.is_empty() && remove.iter().all(|account| account == actor);
    if !leaves {
        acting.staff()?;
    }
    let plan = plan(store, id, &room, add, remove)?;
    move_members(store, id, room, plan, changes);
    Ok(())
}

pub fn open_direct(
    store: &mut impl KvMut,
    acting: &Acting,
    with: &AccountId,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let (actor, role) = acting.person()?;
    if actor == with {
        return Err(Reject::DirectWithSelf);
    }
    let other = rule::account(store, with)?;
    let id = direct_room_id(actor, with);
    if store.get(&key::room(&id)).is_some() {
        return Ok(());
    }
    if !rule::may_open_direct(store, (actor, role), (with, other.role)) {
        return Err(Reject::MayNotWrite);
    }
    let mut room = new_room(RoomKind::Direct, "");
    room.pair = Some((actor.clone(), with.clone()));
    let plan = Plan { join: [actor, with].into_iter().cloned().collect(), leave: BTreeSet::new() };
    move_members(store, &id, room, plan, changes);
    Ok(())
}

/// Who really comes and goes.
struct Plan {
    join: BTreeSet<AccountId>,
    leave: BTreeSet<AccountId>,
}

/// Naming a member again, or somebody who is not in the room as leaving, is no error: two people may do the same at the
/// same time. Who is named in both lists stays.
fn plan(store: &impl Kv, id: &RoomId, room: &Room, add: &[AccountId], remove: &[AccountId]) -> Result<Plan, Reject> {
    let mut plan = Plan { join: BTreeSet::new(), leave: BTreeSet::new() };
    for account in add {
        rule::account(store, account)?;
        if store.get(&key::member(id, account)).is_none() {
            plan.join.insert(account.clone());
        }
    }
    let added: BTreeSet<&AccountId> = add.iter().collect();
    for account in remove {
        if !added.contains(account) && store.get(&key::member(id, account)).is_some() {
            plan.leave.insert(account.clone());
        }
    }
    let members = room.members as usize + plan.join.len() - plan.leave.len();
    if members > ROOM_MEMBERS_MAX as usize {
        return Err(Reject::TooManyMembers);
    }
    Ok(plan)
}

/// What was written before joining counts as read.
fn move_members(store: &mut impl KvMut, id: &RoomId, mut room: Room, plan: Plan, changes: &mut Vec<Change>) {
    room.members = room.members + plan.join.len() as u32 - plan.leave.len() as u32;
    record::save(store, &key::room(id), &room);
    for account in plan.leave {
        store.delete(&key::member(id, &account));
        store.delete(&key::room_of(&account, id));
        changes.push(Change::RoomGone { room: id.clone(), account });
    }
    for account in plan.join {
        let member = Member { read_messages: room.messages, ..Member::default() };
        record::save(store, &key::member(id, &account), &member);
        store.put(&key::room_of(&account, id), PRESENT);
    }
    changes.push(Change::Room { room: id.clone() });
}
