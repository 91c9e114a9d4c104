//! Weeks of the timetable, as somebody may see them.
//!
//! Everybody sees the own week; staff see those of all classes, teachers and rooms. What pupils must not see is left out here and
//! not in a page. A week reads the lessons of the one whom it is of, never the whole plan.

mod changes;
mod screen;

pub use changes::ChangeView;
pub use screen::{ScreenDay, ScreenRow, ScreenView, screen};

use super::AccountView;
use crate::{
    effect::timetable::{lessons_of as all_lessons, of_days, plans, teachers},
    key::timetable::{self as keys, Of},
    op::{Actor, GroupKind, Role},
    record::{
        self,
        timetable::{DayChanges, DayText, Duties, Plan, Roster, Screen, Watch},
    },
    reject::Reject,
    rule,
    store::Kv,
    timetable::{Lesson, Period, Settings, Weeks, changes::Substitution, class_key, duties::Duty},
};
use schulhof_wire::{AccountId, Day, DeviceId, Hlc};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};
use ts_rs::TS;

/// Whose week it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    Own,
    Class(String),
    /// By the short name.
    Teacher(String),
    Room(String),
}

/// A week from Monday on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct WeekView {
    pub monday: Day,
    /// `a` or `b`; none: the school has no such weeks.
    pub week: Option<Weeks>,
    /// Of whom it is, in short names: the own classes, or the own short name. Empty: the own one is not known.
    pub names: Vec<String>,
    /// Monday to Friday, and further days that have lessons.
    pub days: Vec<DayView>,
    pub periods: Vec<Period>,
    /// Whether a plan holds on any of these days.
    pub planned: bool,
    /// The one of the week's last day; for who may change it.
    pub plan: Option<DeviceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DayView {
    pub day: Day,
    /// In a teacher's week.
    pub duties: Vec<DutyView>,
    /// For everybody; empty: none.
    pub text: String,
    pub lessons: Vec<LessonView>,
}

/// A break duty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DutyView {
    /// The period before which the break is.
    pub before: u8,
    pub area: String,
}

/// A lesson on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LessonView {
    pub period: u8,
    pub subject: String,
    pub classes: Vec<String>,
    /// Names, or short names of whom the school does not know. Empty where they are hidden.
    pub teachers: Vec<String>,
    pub rooms: Vec<String>,
    pub weeks: Weeks,
    /// Whether the plan has it; if not, it is there by its changes alone.
    pub planned: bool,
    /// What is other than planned on this day.
    pub changes: Vec<ChangeView>,
    /// As the plan has it; for who may change it.
    pub source: Option<Lesson>,
}

/// What there is to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TimetableView {
    /// For staff; empty for pupils, who see their own.
    pub classes: Vec<String>,
    pub teachers: Vec<TeacherView>,
    pub rooms: Vec<String>,
    /// The own short name.
    pub short: Option<String>,
    pub settings: Settings,
    pub may_manage: bool,
    /// Whether an info screen can be found under some secret; for who manages them.
    pub has_screen: bool,
    /// Who has switched on the folder of the box; for who manages them.
    pub watched_by: Option<String>,
    /// For who manages them, the newest first.
    pub plans: Vec<PlanView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TeacherView {
    pub short: String,
    /// Whose short name it is, if somebody said so.
    pub account: Option<AccountId>,
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PlanView {
    pub plan: DeviceId,
    pub from: Day,
    pub until: Option<Day>,
    pub at: Hlc,
    pub by_name: String,
    pub lessons: u32,
}

fn viewing(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Result<AccountView, Reject> {
    let account = super::account(store, viewer).ok_or(Reject::UnknownActor)?;
    if account.locked { Err(Reject::AccountLocked) } else { Ok(account) }
}

fn settings(store: &(impl Kv + ?Sized)) -> Settings {
    record::load(store, keys::SETTINGS).unwrap_or_default()
}

/// The plan of a day: the newest that holds then.
fn plan_of(plans: &[Plan], day: Day) -> Option<&Plan> {
    plans.iter().rev().find(|plan| plan.covers(day))
}

/// A week, of which any day is given.
pub fn week(store: &(impl Kv + ?Sized), viewer: &AccountId, whose: &Whose, day: Day) -> Result<WeekView, Reject> {
    let viewing = viewing(store, viewer)?;
    let staff = rule::is_staff(viewing.role);
    let calls = teachers(store);
    let rosters = rosters_of(store, &viewing, whose, &calls)?;
    let plans = plans(store);
    let settings = settings(store);
    let hidden = settings.teachers_hidden && !staff;
    let monday = day.monday();
    let week = settings.week(monday);
    let people = Names { store, calls: &calls, hidden, known: RefCell::default() };
    let mut read: BTreeMap<u32, BTreeSet<Lesson>> = BTreeMap::new();
    let duties = duties(store);
    let may_manage = viewing.role == Role::Admin;
    let mut days = Vec::new();
    let mut planned = false;
    for day in (0..7).map(|n| monday.plus(n)) {
        let mut held: Vec<&Lesson> = Vec::new();
        if let Some(plan) = plan_of(&plans, day) {
            planned = true;
            let all = read.entry(plan.number).or_insert_with(|| lessons_of(store, plan.number, &rosters));
            held = all.iter().filter(|lesson| lesson.is_held(day, week)).collect();
        }
        let substitutions = substitutions(store, day);
        let lessons = changes::lay(&people, &held, &substitutions, &rosters, (staff, may_manage));
        planned |= !lessons.is_empty();
        let text = text_of(store, day);
        if day.weekday() <= 5 || !lessons.is_empty() || !text.is_empty() {
            days.push(DayView { day, duties: duties_of(&duties, &rosters, day), text, lessons });
        }
    }
    let names = rosters.into_iter().map(|(_, _, name)| name).filter(|name| !name.is_empty()).collect();
    let plan = plan_of(&plans, monday.plus(6)).filter(|_| may_manage).map(|plan| plan.name.clone());
    Ok(WeekView { monday, week, names, days, periods: settings.periods, planned, plan })
}

fn substitutions(store: &(impl Kv + ?Sized), day: Day) -> Vec<Substitution> {
    record::load(store, &keys::day(day)).map_or_else(Vec::new, |DayChanges(changes)| changes)
}

/// All break duties.
pub fn duties(store: &(impl Kv + ?Sized)) -> BTreeSet<Duty> {
    record::load(store, keys::DUTIES).map_or_else(BTreeSet::new, |Duties(duties)| duties.into_iter().collect())
}

fn duties_of(duties: &BTreeSet<Duty>, rosters: &Rosters, day: Day) -> Vec<DutyView> {
    let mine = |duty: &&Duty| {
        let teacher = |(of, key, _): &(Of, String, String)| *of == Of::Teacher && *key == duty.teacher;
        duty.day == day.weekday() && rosters.iter().any(teacher)
    };
    duties.iter().filter(mine).map(|duty| DutyView { before: duty.before, area: duty.area.clone() }).collect()
}

/// In whose name a box applies what is in its folder.
pub fn watcher(store: &(impl Kv + ?Sized)) -> Option<AccountId> {
    record::load(store, keys::WATCH).map(|Watch(account)| account)
}

/// When the next plan after a day begins.
pub fn next_plan(store: &(impl Kv + ?Sized), day: Day) -> Option<Day> {
    plans(store).iter().map(|plan| plan.from).filter(|from| *from > day).min()
}

fn text_of(store: &(impl Kv + ?Sized), day: Day) -> String {
    record::load(store, &keys::text(day)).map_or_else(String::new, |DayText(text)| text)
}

/// What short names are called towards a viewer.
struct Names<'a, S: ?Sized> {
    store: &'a S,
    calls: &'a BTreeMap<String, AccountId>,
    /// Not at all.
    hidden: bool,
    known: RefCell<BTreeMap<String, String>>,
}

impl<S: Kv + ?Sized> Names<'_, S> {
    fn of(&self, short: &str) -> Option<String> {
        if self.hidden || short.is_empty() {
            return None;
        }
        let name = || {
            let account = self.calls.get(short).and_then(|account| super::account(self.store, account));
            account.map_or_else(|| short.to_owned(), |account| account.name)
        };
        Some(self.known.borrow_mut().entry(short.to_owned()).or_insert_with(name).clone())
    }

    fn all(&self, shorts: &[String]) -> Vec<String> {
        shorts.iter().filter_map(|short| self.of(short)).collect()
    }
}

/// Kind, key and name of whose lessons are asked for, if the viewer may see them.
type Rosters = Vec<(Of, String, String)>;

fn rosters_of(
    store: &(impl Kv + ?Sized),
    viewing: &AccountView,
    whose: &Whose,
    calls: &BTreeMap<String, AccountId>,
) -> Result<Rosters, Reject> {
    let staff = rule::is_staff(viewing.role);
    let class = |name: &String| (Of::Class, class_key(name), name.clone());
    let for_staff = |of, name: &String| {
        if staff { Ok(vec![(of, name.clone(), name.clone())]) } else { Err(Reject::NotAllowed) }
    };
    match whose {
        Whose::Own if staff => {
            let short = calls.iter().find(|(_, account)| **account == viewing.account);
            Ok(short.map(|(short, _)| (Of::Teacher, short.clone(), short.clone())).into_iter().collect())
        }
        Whose::Own => {
            let groups = super::groups(store, &viewing.account).into_iter();
            let groups = groups.filter(|group| group.kind != GroupKind::Staff);
            // The group's own name is what the pupil knows; its id is what the program may call it.
            let mut own: Rosters = Vec::new();
            for group in groups {
                let (by_name, by_id) = (class_key(&group.name), class_key(group.group.as_str()));
                if by_id != by_name {
                    own.push((Of::Class, by_id, String::new()));
                }
                let name = if group.kind == GroupKind::Class { group.name } else { String::new() };
                own.push((Of::Class, by_name, name));
            }
            Ok(own)
        }
        Whose::Class(name) => {
            let (of, key, name) = class(name);
            let own = || {
                let groups = super::groups(store, &viewing.account);
                groups.iter().any(|group| class_key(&group.name) == key || class_key(group.group.as_str()) == key)
            };
            if staff || own() { Ok(vec![(of, key, name)]) } else { Err(Reject::NotAllowed) }
        }
        Whose::Teacher(short) => for_staff(Of::Teacher, short),
        Whose::Room(name) => for_staff(Of::Room, name),
    }
}

fn lessons_of(store: &(impl Kv + ?Sized), plan: u32, rosters: &Rosters) -> BTreeSet<Lesson> {
    let found = rosters.iter().filter_map(|(of, key, _)| record::load::<Roster>(store, &keys::roster(plan, *of, key)));
    found.flat_map(|roster| roster.lessons).collect()
}

/// What can be looked at in the week of a day.
pub fn timetable(store: &(impl Kv + ?Sized), viewer: &AccountId, day: Day) -> Result<TimetableView, Reject> {
    let viewing = viewing(store, viewer)?;
    let staff = rule::is_staff(viewing.role);
    let may_manage = rule::acting(store, &Actor::Account(viewer.clone()))?.manages().is_ok();
    let calls = teachers(store);
    let plans = plans(store);
    let mut names: BTreeMap<Of, BTreeMap<String, String>> = BTreeMap::new();
    if staff {
        let monday = day.monday();
        let numbers: BTreeSet<u32> =
            [monday, monday.plus(6)].iter().filter_map(|day| plan_of(&plans, *day)).map(|plan| plan.number).collect();
        for of in Of::ALL {
            let known = names.entry(of).or_default();
            for number in &numbers {
                names_in(store, *number, of, known);
            }
        }
    }
    // Classes that have no lessons yet can be given some.
    let own = super::groups(store, viewer).into_iter().filter(|group| may_manage && group.kind == GroupKind::Class);
    for group in own {
        let classes = names.entry(Of::Class).or_default();
        classes.entry(class_key(&group.name)).or_insert(group.name);
    }
    let mut take = |of| names.remove(&of).unwrap_or_default();
    let shorts: BTreeSet<String> =
        take(Of::Teacher).into_keys().chain(if staff { calls.keys().cloned().collect() } else { Vec::new() }).collect();
    let teachers = shorts.into_iter().map(|short| {
        let account = calls.get(&short).cloned();
        let name = account.as_ref().and_then(|account| super::account(store, account)).map(|known| known.name);
        TeacherView { short, account, name }
    });
    let short = calls.iter().find(|(_, account)| *account == viewer).map(|(short, _)| short.clone());
    Ok(TimetableView {
        classes: take(Of::Class).into_values().collect(),
        teachers: teachers.collect(),
        rooms: take(Of::Room).into_values().collect(),
        short,
        settings: settings(store),
        may_manage,
        has_screen: may_manage && record::load::<Screen>(store, keys::SCREEN).is_some(),
        watched_by: watcher(store).filter(|_| may_manage).and_then(|by| super::account(store, &by)).map(|by| by.name),
        plans: if may_manage { plans.iter().rev().map(|plan| plan_view(store, plan)).collect() } else { Vec::new() },
    })
}

/// Names of all of a kind in a plan, by their keys.
fn names_in(store: &(impl Kv + ?Sized), number: u32, of: Of, names: &mut BTreeMap<String, String>) {
    let (from, to) = keys::rosters(number, of);
    store.scan(&from, &to, false, &mut |_, value| {
        let Roster { name, .. } = record::decode(value);
        let key = if of == Of::Class { class_key(&name) } else { name.clone() };
        names.insert(key, name);
        true
    });
}

fn plan_view(store: &(impl Kv + ?Sized), plan: &Plan) -> PlanView {
    let by_name = match &plan.by {
        Actor::Account(by) => super::account(store, by).map_or_else(String::new, |known| known.name),
        Actor::Operator => String::new(),
    };
    PlanView {
        plan: plan.name.clone(),
        from: plan.from,
        until: plan.until,
        at: plan.at,
        by_name,
        lessons: plan.lessons,
    }
}

/// All lessons of the plan that holds on a day: for comparing with a file.
pub fn planned(store: &(impl Kv + ?Sized), day: Day) -> BTreeSet<Lesson> {
    let plans = plans(store);
    plan_of(&plans, day).map_or_else(BTreeSet::new, |plan| all_lessons(store, plan.number))
}

/// All substitutions from a day on: for comparing with a file.
pub fn substituted(store: &(impl Kv + ?Sized), from: Day) -> BTreeSet<Substitution> {
    of_days(store, from).into_values().flatten().collect()
}

/// Keys of the classes that somebody could be in.
pub fn classes_of_groups(store: &(impl Kv + ?Sized), viewer: &AccountId) -> BTreeSet<String> {
    let groups = super::groups(store, viewer);
    groups.iter().flat_map(|group| [class_key(&group.name), class_key(group.group.as_str())]).collect()
}
