//! Imports: many changes of accounts and groups at once, all of them or none, and the newest taken back again.
//!
//! An import comes in parts, since an operation is short; they are kept aside until the last one. It is applied over the store
//! as an overlay, so that a rule that forbids the last change leaves no trace of the first. What each change found before goes
//! into a journal beside it, which undoes it.

use super::{account, room};
use crate::{
    apply::Change,
    key,
    op::{Actor, GroupKind, IMPORT_PARTS_MAX, PART_CHANGES_MAX, PeopleChange},
    record::{self, Account, Import, Inverse, Login, Member, PRESENT, Part, Undo},
    reject::Reject,
    rule::{self, Acting},
    store::{Changes, Kv, KvMut, Overlay},
};
use schulhof_wire::{AccountId, DeviceId, GroupId, Hlc, RoomId};

/// Steps of a journal in one record.
const UNDO_PART_LEN: usize = 500;
/// Imports that are remembered; the oldest is forgotten.
const IMPORTS_KEPT: u32 = 20;

/// Keeps a part aside. There is one import at a time: the first part of another forgets it.
pub fn keep(
    store: &mut impl KvMut,
    acting: &Acting,
    (import, part): (&DeviceId, u32),
    changes: &[PeopleChange],
) -> Result<(), Reject> {
    acting.manages()?;
    if part >= IMPORT_PARTS_MAX || changes.len() > PART_CHANGES_MAX {
        return Err(Reject::BadImport);
    }
    let follows = part.checked_sub(1).is_none_or(|before| store.get(&key::import_part(import, before)).is_some());
    if !follows {
        return Err(Reject::BadImport);
    }
    if part == 0 {
        forget_parts(store);
    }
    let changes = serde_json::to_string(changes).expect("changes are always valid JSON");
    record::save(store, &key::import_part(import, part), &Part { changes });
    Ok(())
}

/// What is to be applied, and who says so.
pub struct Order<'a> {
    pub import: &'a DeviceId,
    pub parts: u32,
    pub by: &'a Actor,
    pub at: Hlc,
}

/// Applies the parts that are kept aside.
pub fn apply(
    store: &mut impl KvMut,
    acting: &Acting,
    order: &Order<'_>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    let mut scratch = Changes::default();
    let mut over = Overlay { base: &*store, changes: &mut scratch };
    let mut done = Done::default();
    for part in 0..order.parts {
        let kept: Part = record::load(&over, &key::import_part(order.import, part)).ok_or(Reject::BadImport)?;
        let kept: Vec<PeopleChange> = serde_json::from_str(&kept.changes).map_err(|_| Reject::BadImport)?;
        for change in &kept {
            done.change(&mut over, acting, change)?;
        }
    }
    if order.parts == 0 || over.get(&key::import_part(order.import, order.parts)).is_some() {
        return Err(Reject::BadImport);
    }
    forget_parts(&mut over);
    done.note(&mut over, order);
    lay(store, &scratch);
    changes.append(&mut done.changes);
    Ok(())
}

/// Takes the newest import back.
pub fn undo(
    store: &mut impl KvMut,
    acting: &Acting,
    import: &DeviceId,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    let newest = newest(store).filter(|newest| newest.name == *import).ok_or(Reject::NotNewest)?;
    let mut steps = Vec::new();
    for part in 0..newest.undo_parts {
        let Undo(part) = record::load(store, &key::undo(newest.number, part)).ok_or(Reject::BadImport)?;
        steps.extend(part);
    }
    for step in steps.iter().rev() {
        take_back(store, acting, step, changes);
    }
    forget(store, newest.number);
    Ok(())
}

/// The newest import that was applied and not undone.
fn newest(store: &(impl Kv + ?Sized)) -> Option<Import> {
    let (from, to) = key::imports();
    let mut newest = None;
    store.scan(&from, &to, true, &mut |_, value| {
        newest = Some(record::decode(value));
        false
    });
    newest
}

fn forget_parts(store: &mut impl KvMut) {
    delete_all(store, &key::import_parts());
}

fn forget(store: &mut impl KvMut, number: u32) {
    delete_all(store, &key::undos(number));
    store.delete(&key::import(number));
}

fn delete_all(store: &mut impl KvMut, (from, to): &key::Range) {
    let mut keys = Vec::new();
    store.scan(from, to, false, &mut |key, _| {
        keys.push(key.to_vec());
        true
    });
    for key in keys {
        store.delete(&key);
    }
}

/// Lays changes that were made aside onto the store.
fn lay(store: &mut impl KvMut, changes: &Changes) {
    for (key, value) in changes.iter() {
        match value {
            Some(value) => store.put(key, value),
            None => store.delete(key),
        }
    }
}

/// What an import has done so far.
#[derive(Default)]
struct Done {
    changes: Vec<Change>,
    undo: Vec<Inverse>,
    created: u32,
    changed: u32,
    locked: u32,
}

impl Done {
    fn change(&mut self, store: &mut impl KvMut, acting: &Acting, change: &PeopleChange) -> Result<(), Reject> {
        match change {
            PeopleChange::Account { account: id, source, record: named, login, name, role, password } => {
                rule::record(named)?;
                let identity = key::identity(source, named);
                if store.get(&identity).is_some() {
                    return Err(Reject::RecordTaken);
                }
                let new = account::New { account: id, login, name, role: *role, password };
                account::create(store, acting, &new, &mut self.changes)?;
                store.put(&key::first_password(id), PRESENT);
                record::save(store, &identity, &Login(id.clone()));
                let (source, record) = (source.clone(), named.clone());
                self.undo.push(Inverse::Remove { account: id.clone(), source, record });
                self.created += 1;
            }
            PeopleChange::Name { account, name } => {
                rule::name(name)?;
                self.set(store, account, |known| name.clone_into(&mut known.name))?;
            }
            PeopleChange::Role { account, role } => {
                not_oneself(acting, account)?;
                self.set(store, account, |known| known.role = *role)?;
            }
            PeopleChange::Lock { account, locked } => {
                not_oneself(acting, account)?;
                self.set(store, account, |known| known.locked = *locked)?;
                self.locked += u32::from(*locked);
            }
            PeopleChange::Group { group, name, kind } => self.group(store, acting, group, name, *kind)?,
            PeopleChange::Members { group, add, remove } => self.members(store, acting, group, add, remove)?,
        }
        Ok(())
    }

    fn set(&mut self, store: &mut impl KvMut, id: &AccountId, set: impl FnOnce(&mut Account)) -> Result<(), Reject> {
        let before = rule::account(store, id)?;
        let mut after = before.clone();
        set(&mut after);
        record::save(store, &key::account(id), &after);
        let Account { name, role, locked, .. } = before;
        self.undo.push(Inverse::Restore { account: id.clone(), name, role, locked });
        self.changed += 1;
        self.changes.push(Change::Account { account: id.clone() });
        Ok(())
    }

    fn group(
        &mut self,
        store: &mut impl KvMut,
        acting: &Acting,
        group: &GroupId,
        name: &str,
        kind: GroupKind,
    ) -> Result<(), Reject> {
        room::create_group(store, acting, group, name, kind, &mut self.changes)?;
        self.undo.push(Inverse::Disband { group: group.clone() });
        Ok(())
    }

    fn members(
        &mut self,
        store: &mut impl KvMut,
        acting: &Acting,
        group: &GroupId,
        add: &[AccountId],
        remove: &[AccountId],
    ) -> Result<(), Reject> {
        let id = room::room_of_group(group);
        let there = |store: &_, account: &AccountId| record::load::<Member>(store, &key::member(&id, account));
        let come: Vec<AccountId> = add.iter().filter(|account| there(&*store, account).is_none()).cloned().collect();
        for account in remove {
            if !add.contains(account)
                && let Some(member) = there(&*store, account)
            {
                self.undo.push(Inverse::Rejoin { group: group.clone(), account: account.clone(), member });
            }
        }
        room::change_group_members(store, acting, group, add, remove, &mut self.changes)?;
        if !come.is_empty() {
            self.undo.push(Inverse::Leave { group: group.clone(), accounts: come });
        }
        Ok(())
    }

    /// Remembers the import, and how to undo it; forgets an old one.
    fn note(&self, store: &mut impl KvMut, order: &Order<'_>) {
        let number = newest(store).map_or(1, |newest| newest.number + 1);
        let mut undo_parts = 0;
        for part in self.undo.chunks(UNDO_PART_LEN) {
            record::save(store, &key::undo(number, undo_parts), &Undo(part.to_vec()));
            undo_parts += 1;
        }
        let import = Import {
            number,
            name: order.import.clone(),
            at: order.at,
            by: order.by.clone(),
            created: self.created,
            changed: self.changed,
            locked: self.locked,
            undo_parts,
        };
        record::save(store, &key::import(number), &import);
        if let Some(old) = number.checked_sub(IMPORTS_KEPT) {
            forget(store, old);
        }
    }
}

/// A school's only admin could not take it back.
fn not_oneself(acting: &Acting, account: &AccountId) -> Result<(), Reject> {
    let own = matches!(acting, Acting::Person { account: actor, .. } if actor == account);
    if own { Err(Reject::OwnAccount) } else { Ok(()) }
}

/// One step back, as far as what people did since allows it.
fn take_back(store: &mut impl KvMut, acting: &Acting, step: &Inverse, changes: &mut Vec<Change>) {
    match step {
        Inverse::Remove { account, source, record: named } => {
            let Some(mut known) = record::load::<Account>(store, &key::account(account)) else { return };
            if is_unused(store, account) {
                for key in [key::account(account), key::password(account), key::login(&known.login)] {
                    store.delete(&key);
                }
                store.delete(&key::first_password(account));
                store.delete(&key::identity(source, named));
            } else if not_oneself(acting, account).is_ok() {
                known.locked = true;
                record::save(store, &key::account(account), &known);
            }
            changes.push(Change::Account { account: account.clone() });
        }
        Inverse::Restore { account, name, role, locked } => {
            let Some(mut known) = record::load::<Account>(store, &key::account(account)) else { return };
            // Who undoes stays what they are.
            let role = if not_oneself(acting, account).is_ok() { *role } else { known.role };
            known = Account { name: name.clone(), role, locked: *locked, ..known };
            record::save(store, &key::account(account), &known);
            changes.push(Change::Account { account: account.clone() });
        }
        Inverse::Disband { group } => room::disband(store, group, changes),
        Inverse::Leave { group, accounts } => {
            // The members' list was within its limits when they came.
            let _ = room::change_group_members(store, acting, group, &[], accounts, changes);
        }
        Inverse::Rejoin { group, account, member } => {
            let id = room::room_of_group(group);
            if room::change_group_members(store, acting, group, std::slice::from_ref(account), &[], changes).is_ok() {
                record::save(store, &key::member(&id, account), member);
            }
        }
    }
}

/// Has never signed in (the first password would have been changed), and nobody has a room with it.
fn is_unused(store: &(impl Kv + ?Sized), account: &AccountId) -> bool {
    let first = store.get(&key::first_password(account)).is_some();
    let rooms: Vec<RoomId> = record::ids(store, &key::rooms_of(account));
    first && rooms.is_empty()
}
