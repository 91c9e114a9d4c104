//! How full days are for those who would write an exam: counted per class and course, and per pupil over all classes and
//! courses that the pupil is in.

use super::{Exam, Kind, Over, PUPILS_MAX, Rules, WEEK_MAX};
use crate::{
    effect::room::room_of_group,
    key::{self, exam as keys},
    op::Role,
    record::{self, Account, exam::Planned},
    reject::Reject,
    store::Kv,
};
use schulhof_wire::{AccountId, Day, ExamId, GroupId};
use std::collections::{BTreeMap, BTreeSet};

const WEEK: i32 = 7;
/// Most days that are looked at together.
const DAYS_MAX: i32 = 400;
/// Friday.
const LAST_SCHOOL_DAY: u8 = 5;

/// The exams of a span of days that matter to some classes and courses and to everybody in them.
pub struct Load {
    /// Whose exams are counted together: each class or course by itself, and each pupil's classes and courses.
    sets: BTreeMap<BTreeSet<GroupId>, Who>,
    exams: BTreeMap<ExamId, Exam>,
    of_group: BTreeMap<GroupId, Vec<ExamId>>,
}

#[derive(Default)]
struct Who {
    pupils: u32,
}

/// What stands against an exam on its day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Against {
    pub day_full: bool,
    pub week_full: bool,
    pub clash: bool,
    /// For how many pupils any of it is so.
    pub pupils: u32,
}

/// How full one day is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fullness {
    /// Most exams that count, of whoever has the most: on the day, and in its week.
    pub day: u8,
    pub week: u8,
    /// All that anybody there writes on the day, counted or not.
    pub exams: BTreeSet<ExamId>,
}

impl Load {
    /// Of the whole weeks that the days touch. `except` is left out: it is about to be another one.
    pub fn of(
        store: &(impl Kv + ?Sized),
        groups: &[GroupId],
        (from, until): (Day, Day),
        except: Option<&ExamId>,
    ) -> Result<Self, Reject> {
        let mut sets: BTreeMap<BTreeSet<GroupId>, Who> = BTreeMap::new();
        let mut pupils: BTreeSet<AccountId> = BTreeSet::new();
        for group in groups {
            if store.get(&key::group(group)).is_none() {
                return Err(Reject::UnknownGroup);
            }
            sets.entry(BTreeSet::from([group.clone()])).or_default();
            for account in record::ids::<AccountId>(store, &key::members(&room_of_group(group))) {
                if is_pupil(store, &account) {
                    pupils.insert(account);
                }
                if pupils.len() > PUPILS_MAX {
                    return Err(Reject::TooManyMembers);
                }
            }
        }
        for pupil in &pupils {
            let own = record::ids(store, &key::groups_of(pupil)).into_iter().collect();
            sets.entry(own).or_default().pupils += 1;
        }
        let mut load = Self { sets, exams: BTreeMap::new(), of_group: BTreeMap::new() };
        load.read(store, (from.monday(), until.monday().plus(WEEK - 1)), except);
        Ok(load)
    }

    fn read(&mut self, store: &(impl Kv + ?Sized), (from, until): (Day, Day), except: Option<&ExamId>) {
        let groups: BTreeSet<&GroupId> = self.sets.keys().flatten().collect();
        for group in groups {
            let range = keys::group_days(group, from, until);
            let mut ids = Vec::new();
            store.scan(&range.0, &range.1, false, &mut |key, _| {
                ids.push(keys::listed(key, &range));
                true
            });
            ids.retain(|id| Some(id) != except);
            for id in &ids {
                if !self.exams.contains_key(id)
                    && let Some(Planned { exam, .. }) = record::load(store, &keys::exam(id))
                {
                    self.exams.insert(id.clone(), exam);
                }
            }
            self.of_group.insert(group.clone(), ids);
        }
    }

    /// What these classes and courses write together, each exam once.
    fn of_set<'a>(&'a self, set: &'a BTreeSet<GroupId>) -> BTreeMap<&'a ExamId, &'a Exam> {
        let ids = set.iter().filter_map(|group| self.of_group.get(group)).flatten();
        ids.filter_map(|id| self.exams.get_key_value(id)).collect()
    }

    /// What would stand against this exam, by the school's numbers.
    pub fn against(&self, rules: &Rules, exam: &Exam) -> Against {
        self.find(rules, exam.kind, exam.day, |other| other.overlaps(exam.from, exam.to))
    }

    /// The same of any exam of this kind on the day, whenever it is.
    pub fn against_any(&self, rules: &Rules, kind: Kind, day: Day) -> Against {
        self.find(rules, kind, day, |_| false)
    }

    fn find(&self, rules: &Rules, kind: Kind, day: Day, clashes: impl Fn(&Exam) -> bool) -> Against {
        let mut all = Against::default();
        let over =
            |most: Option<u8>, now: usize| rules.counts(kind) && most.is_some_and(|most| now >= usize::from(most));
        for (set, who) in &self.sets {
            let written = self.of_set(set);
            let counted = |same: &dyn Fn(&Exam) -> bool| {
                written.values().filter(|other| rules.counts(other.kind) && same(other)).count()
            };
            let day_full = over(rules.day_max, counted(&|other| other.day == day));
            let week_full = over(rules.week_max, counted(&|other| other.day.monday() == day.monday()));
            let clash = written.values().any(|other| other.day == day && clashes(other));
            all.day_full |= day_full;
            all.week_full |= week_full;
            all.clash |= clash;
            if day_full || week_full || clash {
                all.pupils += who.pupils;
            }
        }
        all
    }

    pub fn on(&self, rules: &Rules, day: Day) -> Fullness {
        let mut fullness = Fullness { day: 0, week: 0, exams: BTreeSet::new() };
        for set in self.sets.keys() {
            let written = self.of_set(set);
            let most = |so_far: u8, same: &dyn Fn(&Exam) -> bool| {
                let counted = written.values().filter(|exam| rules.counts(exam.kind) && same(exam)).count();
                so_far.max(u8::try_from(counted).unwrap_or(u8::MAX))
            };
            fullness.day = most(fullness.day, &|exam| exam.day == day);
            fullness.week = most(fullness.week, &|exam| exam.day.monday() == day.monday());
            fullness.exams.extend(written.iter().filter(|(_, exam)| exam.day == day).map(|(id, _)| (*id).clone()));
        }
        fullness
    }
}

/// Whether it may stand where it is to be.
pub fn admit(store: &(impl Kv + ?Sized), rules: &Rules, exam: &Exam, except: Option<&ExamId>) -> Result<(), Reject> {
    if rules.blocked_on(exam.day).is_some() {
        return Err(Reject::ExamBlocked);
    }
    let load = Load::of(store, &exam.groups, (exam.day, exam.day), except)?;
    if load.exams.len() >= WEEK_MAX {
        return Err(Reject::ExamWeekFull);
    }
    let against = load.against(rules, exam);
    match rules.over {
        Over::Refuse if against.day_full => Err(Reject::ExamDayFull),
        Over::Refuse if against.week_full => Err(Reject::ExamWeekFull),
        Over::Refuse if against.clash => Err(Reject::ExamClash),
        Over::Refuse | Over::Warn => Ok(()),
    }
}

/// The school days of a span.
pub fn school_days(from: Day, until: Day) -> impl Iterator<Item = Day> {
    // Counting on stops at the last day that there is.
    let days = (0..DAYS_MAX).map(move |n| from.plus(n)).take_while(move |day| *day <= until);
    days.filter(|day| day.weekday() <= LAST_SCHOOL_DAY)
}

fn is_pupil(store: &(impl Kv + ?Sized), account: &AccountId) -> bool {
    record::load::<Account>(store, &key::account(account))
        .is_some_and(|known| known.role == Role::Pupil && !known.locked)
}
