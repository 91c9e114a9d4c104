//! The timetable: bells and weeks, plans with their lessons, and who a teacher's short name is.
//!
//! A plan comes in parts, as an import of people does. It is laid over those from before, and taken away again to undo it.

mod changes;

pub use changes::{change, of_days, say, show};

use crate::{
    apply::Change,
    key::{
        self,
        timetable::{self as keys, Of},
    },
    op::{Actor, IMPORT_PARTS_MAX, PART_CHANGES_MAX},
    record::{
        self,
        timetable::{Duties, Kept, Plan, Roster, Teacher, Watch},
    },
    reject::Reject,
    rule::{self, Acting},
    store::{Kv, KvMut},
    timetable::{self, Item, Lesson, Scope, Settings, class_key, duties::DUTIES_MAX},
};
use schulhof_wire::{AccountId, Day, DeviceId, Hlc};
use std::collections::{BTreeMap, BTreeSet};

/// Plans that are kept; one more forgets the oldest.
pub const PLANS_MAX: usize = 8;

pub fn set(
    store: &mut impl KvMut,
    acting: &Acting,
    settings: &Settings,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    settings.check()?;
    record::save(store, keys::SETTINGS, settings);
    changes.push(Change::Timetable);
    Ok(())
}

/// Keeps a part aside. There is one import at a time: the first part of another forgets it.
pub fn keep(
    store: &mut impl KvMut,
    acting: &Acting,
    (import, part): (&DeviceId, u32),
    items: &[Item],
) -> Result<(), Reject> {
    acting.manages()?;
    let follows = part.checked_sub(1).is_none_or(|before| store.get(&keys::part(import, before)).is_some());
    if part >= IMPORT_PARTS_MAX || items.len() > PART_CHANGES_MAX || !follows {
        return Err(Reject::BadImport);
    }
    if part == 0 {
        delete_all(store, &keys::parts());
    }
    let items = serde_json::to_string(items).expect("items are always valid JSON");
    record::save(store, &keys::part(import, part), &Kept { items });
    Ok(())
}

/// What is to be applied, and who says so.
pub struct Order<'a> {
    pub import: &'a DeviceId,
    pub parts: u32,
    pub scope: Scope,
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
    order.scope.check()?;
    let items = kept(store, order)?;
    match order.scope {
        Scope::Plan { from, until } => plan(store, order, (from, until), items)?,
        Scope::Changes { from } => changes::replace(store, order.at, from, items, changes)?,
        Scope::Duties => duties(store, items)?,
    }
    delete_all(store, &keys::parts());
    changes.push(Change::Timetable);
    Ok(())
}

/// Lays a plan over those from before.
fn plan(
    store: &mut impl KvMut,
    order: &Order<'_>,
    (from, until): (Day, Option<Day>),
    items: Vec<Item>,
) -> Result<(), Reject> {
    let plans = plans(store);
    if plans.iter().any(|plan| plan.name == *order.import) {
        return Err(Reject::IdTaken);
    }
    let lessons = timetable::lessons(items)?;
    let number = plans.last().map_or(1, |newest| newest.number + 1);
    let (name, by) = (order.import.clone(), order.by.clone());
    let plan = Plan { number, name, from, until, at: order.at, by, lessons: lessons.len() as u32 };
    write(store, &plan, &lessons);
    let surplus = (plans.len() + 1).saturating_sub(PLANS_MAX);
    for old in &plans[..surplus] {
        forget(store, old.number);
    }
    Ok(())
}

fn kept(store: &impl Kv, order: &Order<'_>) -> Result<Vec<Item>, Reject> {
    let mut items = Vec::new();
    for part in 0..order.parts {
        let Kept { items: kept } = record::load(store, &keys::part(order.import, part)).ok_or(Reject::BadImport)?;
        let kept: Vec<Item> = serde_json::from_str(&kept).map_err(|_| Reject::BadImport)?;
        items.extend(kept);
    }
    let more = store.get(&keys::part(order.import, order.parts)).is_some();
    if order.parts == 0 || more { Err(Reject::BadImport) } else { Ok(items) }
}

/// All plans, the oldest first.
pub fn plans(store: &(impl Kv + ?Sized)) -> Vec<Plan> {
    let (from, to) = keys::plans();
    let mut plans = Vec::new();
    store.scan(&from, &to, false, &mut |_, value| {
        plans.push(record::decode(value));
        true
    });
    plans
}

fn write(store: &mut impl KvMut, plan: &Plan, lessons: &BTreeSet<Lesson>) {
    record::save(store, &keys::plan(plan.number), plan);
    let mut rosters: BTreeMap<(Of, String), Roster> = BTreeMap::new();
    for lesson in lessons {
        let classes = lesson.classes.iter().map(|name| ((Of::Class, class_key(name)), name));
        let teachers = lesson.teachers.iter().map(|name| ((Of::Teacher, name.clone()), name));
        let rooms = lesson.rooms.iter().map(|name| ((Of::Room, name.clone()), name));
        // A lesson may name a class in two ways: it is held once.
        let under: BTreeMap<_, _> = classes.chain(teachers).chain(rooms).collect();
        for (of, name) in under {
            let roster = rosters.entry(of).or_insert_with(|| Roster { name: name.clone(), lessons: Vec::new() });
            roster.lessons.push(lesson.clone());
        }
    }
    for ((of, name), roster) in rosters {
        record::save(store, &keys::roster(plan.number, of, &name), &roster);
    }
}

/// Puts break duties in the place of all that were known.
fn duties(store: &mut impl KvMut, items: Vec<Item>) -> Result<(), Reject> {
    let mut duties = BTreeSet::new();
    for item in items {
        let Item::Duty(duty) = item else { return Err(Reject::BadTimetable) };
        duty.check()?;
        duties.insert(duty);
    }
    if duties.len() > DUTIES_MAX {
        return Err(Reject::BadTimetable);
    }
    record::save(store, keys::DUTIES, &Duties(duties.into_iter().collect()));
    Ok(())
}

/// By hand: what goes, and what comes.
pub struct Edit<'a, T> {
    pub remove: &'a [T],
    pub add: &'a [T],
}

/// Changes a plan. Taking away what is not there is no error: two people may do it at the same time.
pub fn edit(
    store: &mut impl KvMut,
    acting: &Acting,
    plan: &DeviceId,
    edit: &Edit<'_, Lesson>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    let mut known = plans(store).into_iter().find(|known| known.name == *plan).ok_or(Reject::UnknownPlan)?;
    let mut lessons = lessons_of(store, known.number);
    for lesson in edit.remove {
        lessons.remove(lesson);
    }
    lessons.extend(edit.add.iter().cloned());
    let lessons = timetable::lessons(lessons.into_iter().map(Item::Lesson).collect())?;
    known.lessons = lessons.len() as u32;
    forget(store, known.number);
    write(store, &known, &lessons);
    changes.push(Change::Timetable);
    Ok(())
}

/// All lessons of a plan.
pub fn lessons_of(store: &(impl Kv + ?Sized), number: u32) -> BTreeSet<Lesson> {
    let (from, to) = keys::rosters_of(number);
    let mut lessons = BTreeSet::new();
    store.scan(&from, &to, false, &mut |_, value| {
        let Roster { lessons: of, .. } = record::decode(value);
        lessons.extend(of);
        true
    });
    lessons
}

/// Files in a box's folder are applied in the name of who says so, or not at all.
pub fn watch(store: &mut impl KvMut, acting: &Acting, on: bool) -> Result<(), Reject> {
    acting.manages()?;
    let (account, _) = acting.person()?;
    if on {
        record::save(store, keys::WATCH, &Watch(account.clone()));
    } else {
        store.delete(keys::WATCH);
    }
    Ok(())
}

/// Takes a plan away: what was under it holds again.
pub fn remove(
    store: &mut impl KvMut,
    acting: &Acting,
    plan: &DeviceId,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    let known = plans(store).into_iter().find(|known| known.name == *plan).ok_or(Reject::UnknownPlan)?;
    forget(store, known.number);
    changes.push(Change::Timetable);
    Ok(())
}

fn forget(store: &mut impl KvMut, number: u32) {
    store.delete(&keys::plan(number));
    delete_all(store, &keys::rosters_of(number));
}

/// Says who a short name is, or that it is nobody any more. Teachers say it of themselves; each has one.
pub fn call(
    store: &mut impl KvMut,
    acting: &Acting,
    short: &str,
    account: Option<&AccountId>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let before: Option<Teacher> = record::load(store, &keys::teacher(short));
    if acting.manages().is_err() {
        let actor = acting.staff()?;
        if account.is_some_and(|account| account != actor) {
            return Err(Reject::NotAllowed);
        }
        if before.is_some_and(|Teacher(before)| before != *actor) {
            return Err(Reject::ShortTaken);
        }
    }
    timetable::short(short)?;
    if let Some(account) = account
        && !rule::is_staff(rule::account(store, account)?.role)
    {
        return Err(Reject::NotAllowed);
    }
    store.delete(&keys::teacher(short));
    if let Some(account) = account {
        for (other, of) in teachers(store) {
            if of == *account {
                store.delete(&keys::teacher(&other));
            }
        }
        record::save(store, &keys::teacher(short), &Teacher(account.clone()));
    }
    changes.push(Change::Timetable);
    Ok(())
}

/// Who the short names are.
pub fn teachers(store: &(impl Kv + ?Sized)) -> BTreeMap<String, AccountId> {
    let (from, to) = keys::teachers();
    let mut teachers = BTreeMap::new();
    store.scan(&from, &to, false, &mut |key, value| {
        let Teacher(account) = record::decode(value);
        teachers.insert(keys::teacher_short(key), account);
        true
    });
    teachers
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
