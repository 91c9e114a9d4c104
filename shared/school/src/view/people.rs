//! Accounts and groups.

use super::{AccountView, Credentials, GroupView, PersonView};
use crate::{
    key,
    op::Role,
    record::{self, Account, Group, Login, Password},
    rule,
    store::Kv,
};
use schulhof_wire::{AccountId, GroupId};
use std::collections::BTreeSet;

/// What a login needs; logins are written in lower case.
pub fn credentials(store: &(impl Kv + ?Sized), login: &str) -> Option<Credentials> {
    rule::login(login).ok()?;
    let Login(id) = record::load(store, &key::login(login))?;
    let account = account(store, &id)?;
    let Password(password) = record::load(store, &key::password(&id))?;
    Some(Credentials {
        account: account.account,
        login: account.login,
        name: account.name,
        role: account.role,
        locked: account.locked,
        password,
    })
}

pub fn account(store: &(impl Kv + ?Sized), id: &AccountId) -> Option<AccountView> {
    let Account { login, name, role, locked } = record::load(store, &key::account(id))?;
    let first_password = super::has_first_password(store, id);
    Some(AccountView { account: id.clone(), login, name, role, locked, first_password })
}

/// The directory: staff see everybody; pupils see staff, themselves and whom they share a group with. Locked accounts are
/// seen by admins only. Sorted by name. An unknown or locked viewer sees nobody.
pub fn people(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Vec<PersonView> {
    let Some(viewing) = account(store, viewer).filter(|viewing| !viewing.locked) else { return Vec::new() };
    let mut accounts: Vec<(AccountId, Account)> = Vec::new();
    let (from, to) = key::accounts();
    store.scan(&from, &to, false, &mut |key, value| {
        accounts.push((key::last_id(key), record::decode(value)));
        true
    });
    let own_groups: BTreeSet<GroupId> = groups_of(store, viewer).into_iter().collect();
    let mut people = Vec::new();
    for (id, account) in accounts {
        if account.locked && viewing.role != Role::Admin {
            continue;
        }
        let groups = groups_of(store, &id);
        let shared = groups.iter().any(|group| own_groups.contains(group));
        let visible = rule::is_staff(viewing.role) || rule::is_staff(account.role) || shared || id == *viewer;
        if !visible {
            continue;
        }
        let may_write = id != *viewer
            && !account.locked
            && rule::may_open_direct(store, (viewer, viewing.role), (&id, account.role));
        people.push(PersonView { account: id, name: account.name, role: account.role, groups, may_write });
    }
    people.sort_by(|a, b| (&a.name, &a.account).cmp(&(&b.name, &b.account)));
    people
}

pub(super) fn groups_of(store: &(impl Kv + ?Sized), account: &AccountId) -> Vec<GroupId> {
    record::ids(store, &key::groups_of(account))
}

/// All groups for staff, the own ones for pupils; sorted by name.
pub fn groups(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Vec<GroupView> {
    let Some(viewing) = account(store, viewer).filter(|viewing| !viewing.locked) else { return Vec::new() };
    let ids = if rule::is_staff(viewing.role) { record::ids(store, &key::groups()) } else { groups_of(store, viewer) };
    let mut groups: Vec<GroupView> = ids
        .into_iter()
        .filter_map(|group| {
            let Group { name, kind } = record::load(store, &key::group(&group))?;
            Some(GroupView { group, name, kind })
        })
        .collect();
    groups.sort_by(|a, b| (&a.name, &a.group).cmp(&(&b.name, &b.group)));
    groups
}
