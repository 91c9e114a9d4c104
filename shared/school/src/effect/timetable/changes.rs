//! Substitutions and texts of days, and the info screen.

use super::{Edit, delete_all, teachers};
use crate::{
    apply::Change,
    effect::room::room_of_group,
    key::{self, timetable as keys},
    record::{
        self, Group,
        timetable::{DayChanges, DayText, Screen},
    },
    reject::Reject,
    rule::Acting,
    store::{Kv, KvMut},
    timetable::{
        Item,
        changes::{DAY_CHANGES_MAX, PAST_DAYS, Substitution, by_day, text as check_text},
        class_key,
    },
};
use schulhof_wire::{AccountId, BlobHash, Day, GroupId, Hlc};
use std::collections::{BTreeMap, BTreeSet};

/// Puts substitutions in the place of all that were known from a day on, and tells those whom a difference concerns.
pub fn replace(
    store: &mut impl KvMut,
    at: Hlc,
    from: Day,
    items: Vec<Item>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let substitutions = items.into_iter().map(|item| match item {
        Item::Change(change) => Ok(change),
        Item::Lesson(_) | Item::Duty(_) => Err(Reject::BadTimetable),
    });
    let after = by_day(substitutions.collect::<Result<_, _>>()?, from)?;
    let before = of_days(store, from);
    tell(store, Day::from_unix_ms(at.ms()), &before, &after, changes);
    delete_all(store, &keys::days_from(from));
    delete_all(store, &keys::days_before(from.plus(-PAST_DAYS)));
    delete_all(store, &keys::texts_before(from.plus(-PAST_DAYS)));
    for (day, of_day) in after {
        record::save(store, &keys::day(day), &DayChanges(of_day.into_iter().collect()));
    }
    Ok(())
}

/// Changes substitutions by hand.
pub fn change(
    store: &mut impl KvMut,
    acting: &Acting,
    at: Hlc,
    edit: &Edit<'_, Substitution>,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    let days: BTreeSet<Day> = edit.remove.iter().chain(edit.add).map(|change| change.day).collect();
    let mut before = Days::new();
    for day in days {
        let DayChanges(of_day) = record::load(store, &keys::day(day)).unwrap_or(DayChanges(Vec::new()));
        before.insert(day, of_day.into_iter().collect());
    }
    let mut after = before.clone();
    for change in edit.remove {
        after.entry(change.day).or_default().remove(change);
    }
    for change in edit.add {
        change.check()?;
        after.entry(change.day).or_default().insert(change.clone());
    }
    if after.values().any(|of_day| of_day.len() > DAY_CHANGES_MAX) {
        return Err(Reject::BadTimetable);
    }
    tell(store, Day::from_unix_ms(at.ms()), &before, &after, changes);
    for (day, of_day) in after {
        if of_day.is_empty() {
            store.delete(&keys::day(day));
        } else {
            record::save(store, &keys::day(day), &DayChanges(of_day.into_iter().collect()));
        }
    }
    changes.push(Change::Timetable);
    Ok(())
}

type Days = BTreeMap<Day, BTreeSet<Substitution>>;

/// All substitutions from a day on.
pub fn of_days(store: &(impl Kv + ?Sized), from: Day) -> Days {
    let (from, to) = keys::days_from(from);
    let mut days = BTreeMap::new();
    store.scan(&from, &to, false, &mut |key, value| {
        let DayChanges(changes) = record::decode(value);
        days.insert(keys::day_of(key), changes.into_iter().collect());
        true
    });
    days
}

/// Who is concerned by what differs, apart from days that are over.
fn tell(store: &impl Kv, today: Day, before: &Days, after: &Days, changes: &mut Vec<Change>) {
    let none = BTreeSet::new();
    let mut classes: BTreeMap<String, BTreeSet<Day>> = BTreeMap::new();
    let mut shorts: BTreeMap<&str, BTreeSet<Day>> = BTreeMap::new();
    let days: BTreeSet<&Day> = before.keys().chain(after.keys()).filter(|day| **day >= today).collect();
    for day in days {
        let (then, now) = (before.get(day).unwrap_or(&none), after.get(day).unwrap_or(&none));
        for change in then.symmetric_difference(now) {
            for class in &change.classes {
                classes.entry(class_key(class)).or_default().insert(*day);
            }
            for short in [&change.absent, &change.teacher] {
                shorts.entry(short).or_default().insert(*day);
            }
        }
    }
    let mut concerned: BTreeMap<AccountId, BTreeSet<Day>> = BTreeMap::new();
    for (short, account) in teachers(store) {
        if let Some(days) = shorts.get(short.as_str()) {
            concerned.entry(account).or_default().extend(days);
        }
    }
    for (group, keys) in groups(store) {
        let days: BTreeSet<Day> = keys.iter().filter_map(|key| classes.get(key)).flatten().copied().collect();
        if days.is_empty() {
            continue;
        }
        for member in record::ids::<AccountId>(store, &key::members(&room_of_group(&group))) {
            // Teachers of a class hear of their own lessons.
            let is_pupil = |known: record::Account| !crate::rule::is_staff(known.role);
            if record::load(store, &key::account(&member)).is_some_and(is_pupil) {
                concerned.entry(member).or_default().extend(&days);
            }
        }
    }
    let told = concerned.into_iter();
    changes.extend(told.map(|(account, days)| Change::Substituted { account, days: days.into_iter().collect() }));
}

/// All groups, with what classes they are.
fn groups(store: &impl Kv) -> Vec<(GroupId, [String; 2])> {
    let (from, to) = key::groups();
    let mut groups = Vec::new();
    store.scan(&from, &to, false, &mut |key, value| {
        let id: GroupId = key::last_id(key);
        let Group { name, .. } = record::decode(value);
        let keys = [class_key(&name), class_key(id.as_str())];
        groups.push((id, keys));
        true
    });
    groups
}

/// A text about a day.
pub fn say(
    store: &mut impl KvMut,
    acting: &Acting,
    day: Day,
    text: &str,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    check_text(text)?;
    if text.trim().is_empty() {
        store.delete(&keys::text(day));
    } else {
        record::save(store, &keys::text(day), &DayText(text.trim().to_owned()));
    }
    changes.push(Change::Timetable);
    Ok(())
}

/// Where the info screen is.
pub fn show(store: &mut impl KvMut, acting: &Acting, hash: Option<&BlobHash>) -> Result<(), Reject> {
    acting.manages()?;
    match hash {
        Some(hash) => record::save(store, keys::SCREEN, &Screen(*hash)),
        None => store.delete(keys::SCREEN),
    }
    Ok(())
}
