//! Substitutions: what differs from the plan on a day, and which of the plan's lessons it means.
//!
//! Why somebody is absent has no place here: it is dropped where a file is read, and never comes into the log.

use super::{LESSON_NAMES_MAX, Lesson, PERIOD_MAX, class_key, short};
use crate::reject::Reject;
use schulhof_wire::Day;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use ts_rs::TS;

/// Longest text of a substitution or a day in bytes.
pub const TEXT_LEN_MAX: usize = 1_000;
/// Most substitutions of a day: in a school of 2,000 on a bad day some 200.
pub const DAY_CHANGES_MAX: usize = 1_000;
/// Most days that one import changes.
pub const DAYS_MAX: usize = 100;
/// Past days are kept so long: who has taught instead of whom is nobody's business for ever.
pub const PAST_DAYS: i32 = 30;

/// What happens to a lesson. The words for it are the page's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename = "ChangeKind")]
pub enum Kind {
    /// Somebody else teaches, or something else is taught.
    Substitution,
    Cancelled,
    Supervision,
    /// A special duty.
    Special,
    /// Moved to another time: it is not held at this one.
    MovedAway,
    /// Moved from another time to this one.
    MovedHere,
    Swap,
    /// The class is elsewhere, on a trip: the teacher is free.
    Released,
    Partial,
    Room,
    BreakDuty,
    TeacherSwap,
    Exam,
    NoLesson,
}

impl Kind {
    /// Whether pupils have a lesson at this time all the same.
    pub fn is_held(self) -> bool {
        !matches!(self, Self::Cancelled | Self::MovedAway | Self::Released | Self::NoLesson)
    }
}

/// One substitution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Substitution {
    pub day: Day,
    pub period: u8,
    /// The program's number of it, and of the lesson that it means; 0: none.
    pub number: u32,
    pub lesson: u32,
    pub kind: Kind,
    pub classes: Vec<String>,
    /// Who would have taught, and who does.
    pub absent: String,
    pub teacher: String,
    pub subject: String,
    pub new_subject: String,
    pub rooms: Vec<String>,
    pub new_rooms: Vec<String>,
    pub text: String,
}

/// A text that may be empty, without control characters besides line breaks.
pub fn text(text: &str) -> Result<(), Reject> {
    let fits = text.len() <= TEXT_LEN_MAX && !text.chars().any(|c| c.is_control() && c != '\n');
    if fits { Ok(()) } else { Err(Reject::BadTimetable) }
}

impl Substitution {
    pub fn check(&self) -> Result<(), Reject> {
        let names = [&self.absent, &self.teacher, &self.subject, &self.new_subject];
        let lists = [&self.classes, &self.rooms, &self.new_rooms];
        let fits = self.period <= PERIOD_MAX
            && names.iter().all(|name| name.is_empty() || short(name).is_ok())
            && lists.iter().all(|list| list.len() <= LESSON_NAMES_MAX && list.iter().all(|name| short(name).is_ok()));
        if fits { text(&self.text) } else { Err(Reject::BadTimetable) }
    }

    /// Whether it means a lesson that is held at its time by the plan.
    pub fn means(&self, lesson: &Lesson) -> bool {
        let same_subject = self.subject.is_empty() || self.subject == lesson.subject;
        let same_teacher = self.absent.is_empty() || lesson.teachers.contains(&self.absent);
        let same_class = || {
            let keys: BTreeSet<String> = lesson.classes.iter().map(|name| class_key(name)).collect();
            self.classes.iter().any(|name| keys.contains(&class_key(name)))
        };
        let known = if self.lesson == 0 { same_class() } else { self.lesson == lesson.number };
        self.period == lesson.period && self.kind != Kind::BreakDuty && known && same_subject && same_teacher
    }

    /// Who teaches now; nobody, if the lesson is not held.
    pub fn teaches(&self) -> &str {
        if !self.kind.is_held() {
            ""
        } else if self.teacher.is_empty() {
            &self.absent
        } else {
            &self.teacher
        }
    }

    pub fn teaching(&self) -> &str {
        if self.new_subject.is_empty() { &self.subject } else { &self.new_subject }
    }

    pub fn where_to(&self) -> &[String] {
        if self.new_rooms.is_empty() { &self.rooms } else { &self.new_rooms }
    }
}

/// The substitutions of each day, each once, within the limits. All of them are from `from` on.
pub fn by_day(changes: Vec<Substitution>, from: Day) -> Result<BTreeMap<Day, BTreeSet<Substitution>>, Reject> {
    let mut days: BTreeMap<Day, BTreeSet<Substitution>> = BTreeMap::new();
    for change in changes {
        change.check()?;
        if change.day < from {
            return Err(Reject::BadTimetable);
        }
        let of_day = days.entry(change.day).or_default();
        of_day.insert(change);
        if of_day.len() > DAY_CHANGES_MAX {
            return Err(Reject::BadTimetable);
        }
    }
    if days.len() > DAYS_MAX { Err(Reject::BadTimetable) } else { Ok(days) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::timetable::{day, lesson, substitution};

    #[test]
    fn a_substitution_means_its_lesson_and_not_the_one_beside_it() {
        let mut change = substitution("2026-11-30 2 5a REL kR 102");
        let (religion, ethics) = (lesson("1.2 5a~5b REL kR 102"), lesson("1.2 5a~5b ETH Eth 103"));
        assert!(change.means(&religion) && !change.means(&ethics));
        assert!(!change.means(&lesson("1.3 5a REL kR 102")) && !change.means(&lesson("1.2 6a REL kR 102")));
        // By number, whatever the classes are called.
        change.lesson = 7;
        assert!(!change.means(&religion));
        assert!(change.means(&Lesson { number: 7, ..lesson("1.2 6a REL kR 102") }));
        change.kind = Kind::BreakDuty;
        assert!(!change.means(&Lesson { number: 7, ..religion }));
    }

    #[test]
    fn days_before_the_first_and_too_many_are_refused() {
        let change = substitution("2026-11-30 2 5a REL kR 102");
        assert_eq!(by_day(vec![change.clone(), change.clone()], change.day).unwrap()[&change.day].len(), 1);
        assert_eq!(by_day(vec![change.clone()], day("2026-12-01")), Err(Reject::BadTimetable));
        let many = (0..=DAY_CHANGES_MAX).map(|n| Substitution { number: n as u32, ..change.clone() }).collect();
        assert_eq!(by_day(many, change.day), Err(Reject::BadTimetable));
        let days = (0..=DAYS_MAX).map(|n| Substitution { day: change.day.plus(n as i32), ..change.clone() }).collect();
        assert_eq!(by_day(days, change.day), Err(Reject::BadTimetable));
        let long = Substitution { text: "x".repeat(TEXT_LEN_MAX + 1), ..change.clone() };
        assert_eq!(by_day(vec![long], change.day), Err(Reject::BadTimetable));
    }
}
