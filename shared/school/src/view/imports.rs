//! Imports, and what planning one needs to know: everybody with their groups, and who the records of a list are.

use super::{AccountView, account, people::groups_of};
use crate::{
    key,
    op::Actor,
    record::{self, Import, Login},
    reject::Reject,
    rule,
    store::Kv,
};
use schulhof_wire::{AccountId, DeviceId, GroupId, RoomId, import::ImportView};
use std::collections::{BTreeMap, BTreeSet};

/// A person as the school's administration sees one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub account: AccountView,
    pub groups: Vec<GroupId>,
}

/// Everybody, locked ones too.
pub fn enrolled(store: &(impl Kv + ?Sized)) -> BTreeMap<AccountId, Enrolled> {
    let ids: Vec<AccountId> = record::ids(store, &key::accounts());
    let enrolled = ids.into_iter().filter_map(|id| {
        let account = account(store, &id)?;
        Some((id.clone(), Enrolled { account, groups: groups_of(store, &id) }))
    });
    enrolled.collect()
}

/// Who the records of a source's lists are.
pub fn identities(store: &(impl Kv + ?Sized), source: &DeviceId) -> BTreeMap<String, AccountId> {
    let (from, to) = key::identities(source);
    let mut found = BTreeMap::new();
    store.scan(&from, &to, false, &mut |key, value| {
        let Login(account) = record::decode(value);
        found.insert(key::identity_record(key), account);
        true
    });
    found
}

/// Names that no new group can have: those of rooms, which are named like their groups.
pub fn names_taken(store: &(impl Kv + ?Sized)) -> BTreeSet<String> {
    let rooms: Vec<RoomId> = record::ids(store, &key::rooms());
    let rooms = rooms.into_iter().map(|room| room.as_str().to_owned());
    rooms.filter(|room| !room.starts_with(rule::DIRECT_PREFIX)).collect()
}

/// Whether the account's password is the first one, which must be changed before anything else.
pub fn has_first_password(store: &(impl Kv + ?Sized), account: &AccountId) -> bool {
    store.get(&key::first_password(account)).is_some()
}

/// Whether the account may manage accounts and groups.
pub fn may_manage(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Result<(), Reject> {
    rule::acting(store, &Actor::Account(viewer.clone()))?.manages()
}

/// What was imported, the newest first; for those who manage accounts.
pub fn imports(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Result<Vec<ImportView>, Reject> {
    may_manage(store, viewer)?;
    let (from, to) = key::imports();
    let mut found: Vec<Import> = Vec::new();
    store.scan(&from, &to, true, &mut |_, value| {
        found.push(record::decode(value));
        true
    });
    let newest = found.first().map(|newest| newest.number);
    let views = found.into_iter().map(|Import { number, name, at, by, created, changed, locked, .. }| ImportView {
        import: name,
        at,
        by_name: match by {
            Actor::Account(by) => account(store, &by).map_or_else(|| by.to_string(), |known| known.name),
            Actor::Operator => String::new(),
        },
        created,
        changed,
        locked,
        may_undo: Some(number) == newest,
    });
    Ok(views.collect())
}
