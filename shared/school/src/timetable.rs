//! What a timetable consists of: lessons, bells, weeks. The forms in which operations carry them.
//!
//! Classes, teachers and rooms have the short names of the school's timetable program here, since it knows no others. A class is
//! matched with the group that is called like it ([`class_key`]); a teacher says which short name is the own one.

pub mod changes;
pub mod duties;

use crate::reject::Reject;
use changes::Substitution;
use duties::Duty;
use schulhof_wire::Day;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use ts_rs::TS;

/// Longest short name of a class, teacher, room or subject in bytes.
pub const SHORT_LEN_MAX: usize = 64;
/// Most classes, teachers or rooms of one lesson: a whole year in the gym.
pub const LESSON_NAMES_MAX: usize = 60;
/// Periods are numbered from 0 to this.
pub const PERIOD_MAX: u8 = 30;
/// Most lessons of a plan; a school of 2,000 has some 2,500.
pub const LESSONS_MAX: usize = 20_000;
/// Most classes, teachers and rooms of all lessons of a plan together: under each of them its lessons are kept.
pub const REFERENCES_MAX: usize = 100_000;
const MINUTES_OF_DAY: u16 = 24 * 60;

/// One lesson of a week.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// 1 is Monday, 7 Sunday.
    pub day: u8,
    pub period: u8,
    /// The program's number of the lesson; 0 if it has none.
    pub number: u32,
    pub classes: Vec<String>,
    pub teachers: Vec<String>,
    pub subject: String,
    pub rooms: Vec<String>,
    pub weeks: Weeks,
    /// If it is not held during the whole plan.
    pub from: Option<Day>,
    pub until: Option<Day>,
}

/// In which weeks a lesson is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Weeks {
    #[default]
    All,
    A,
    B,
}

/// From when to when a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub period: u8,
    /// Minutes since midnight.
    pub from: u16,
    pub to: u16,
}

/// What holds for the timetable of the whole school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Pupils do not see who teaches.
    pub teachers_hidden: bool,
    /// Some day in an A week; the weeks alternate. None: the school has no A and B weeks.
    pub week_a: Option<Day>,
    /// In order; none: periods have numbers only.
    pub periods: Vec<Period>,
}

impl Default for Settings {
    /// Teachers' names stay hidden until the school decides otherwise.
    fn default() -> Self {
        Self { teachers_hidden: true, week_a: None, periods: Vec::new() }
    }
}

/// A piece of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Lesson(Lesson),
    Change(Substitution),
    Duty(Duty),
}

/// What the parts of an import are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// The lessons of all weeks in a span of days; without an end: until another plan. It lies over plans from before.
    Plan { from: Day, until: Option<Day> },
    /// All substitutions from a day on, in place of those that were known.
    Changes { from: Day },
    /// All break duties, in place of those that were known.
    Duties,
}

/// What names that mean the same class have in common: `5a`, `05A` and `Klasse 5a`.
pub fn class_key(name: &str) -> String {
    let lower: String = name.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let short = lower.strip_prefix("klasse").filter(|rest| !rest.is_empty()).unwrap_or(&lower);
    let zeros = short.len() - short.trim_start_matches('0').len();
    let rest = &short[zeros..];
    // A zero that is the number itself stays.
    let rest = if rest.starts_with(|c: char| c.is_ascii_digit()) { rest } else { short };
    rest.to_owned()
}

/// A short name of a class, teacher, room or subject.
pub fn short(name: &str) -> Result<(), Reject> {
    let fits = (1..=SHORT_LEN_MAX).contains(&name.len())
        && !name.chars().any(char::is_control)
        && name.trim().len() == name.len();
    if fits { Ok(()) } else { Err(Reject::BadTimetable) }
}

impl Lesson {
    pub fn check(&self) -> Result<(), Reject> {
        let lists = [&self.classes, &self.teachers, &self.rooms];
        let fits = (1..=7).contains(&self.day)
            && self.period <= PERIOD_MAX
            && (self.subject.is_empty() || short(&self.subject).is_ok())
            && lists.iter().all(|list| list.len() <= LESSON_NAMES_MAX && list.iter().all(|name| short(name).is_ok()))
            && lists.iter().any(|list| !list.is_empty())
            && self.from.zip(self.until).is_none_or(|(from, until)| from <= until);
        if fits { Ok(()) } else { Err(Reject::BadTimetable) }
    }

    /// Under how many names it is kept.
    pub fn references(&self) -> usize {
        self.classes.len() + self.teachers.len() + self.rooms.len()
    }

    /// Whether it is held on a day of its weekday; `week` is what that week is.
    pub fn is_held(&self, day: Day, week: Option<Weeks>) -> bool {
        self.day == day.weekday()
            && self.from.is_none_or(|from| from <= day)
            && self.until.is_none_or(|until| day <= until)
            && (self.weeks == Weeks::All || week.is_none_or(|week| week == self.weeks))
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), Reject> {
        let whole = self
            .periods
            .iter()
            .all(|period| period.period <= PERIOD_MAX && period.from < period.to && period.to <= MINUTES_OF_DAY);
        let in_order = self.periods.windows(2).all(|two| two[0].period < two[1].period && two[0].to <= two[1].from);
        if whole && in_order { Ok(()) } else { Err(Reject::BadTimetable) }
    }

    /// Whether a day's week is an A or a B week; nothing if the school has none.
    pub fn week(&self, day: Day) -> Option<Weeks> {
        let weeks = day.weeks_since(self.week_a?);
        Some(if weeks.rem_euclid(2) == 0 { Weeks::A } else { Weeks::B })
    }
}

impl Scope {
    pub fn check(self) -> Result<(), Reject> {
        match self {
            Self::Plan { from, until: Some(until) } if until < from => Err(Reject::BadTimetable),
            Self::Plan { .. } | Self::Changes { .. } | Self::Duties => Ok(()),
        }
    }
}

/// The lessons of a plan, each once, within the limits.
pub fn lessons(items: Vec<Item>) -> Result<BTreeSet<Lesson>, Reject> {
    let mut lessons = BTreeSet::new();
    let mut references = 0;
    for item in items {
        let Item::Lesson(lesson) = item else { return Err(Reject::BadTimetable) };
        lesson.check()?;
        references += lesson.references();
        lessons.insert(lesson);
        if lessons.len() > LESSONS_MAX || references > REFERENCES_MAX {
            return Err(Reject::BadTimetable);
        }
    }
    Ok(lessons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_same_class_have_one_key() {
        for name in ["5a", "05A", "Klasse 5a", " klasse 05 A ", "5 a"] {
            assert_eq!(class_key(name), "5a", "{name}");
        }
        assert_eq!((class_key("Q1").as_str(), class_key("Klasse").as_str()), ("q1", "klasse"));
        assert_eq!((class_key("0").as_str(), class_key("10b").as_str(), class_key("0a").as_str()), ("0", "10b", "0a"));
    }

    #[test]
    fn weeks_alternate_from_a_day_in_an_a_week() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let settings = Settings { week_a: Some(day("2026-11-25")), ..Settings::default() };
        assert_eq!(settings.week(day("2026-11-23")), Some(Weeks::A));
        assert_eq!(settings.week(day("2026-11-30")), Some(Weeks::B));
        assert_eq!(settings.week(day("2026-11-16")), Some(Weeks::B));
        assert_eq!(settings.week(day("2027-01-04")), Some(Weeks::A));
        assert_eq!(Settings::default().week(day("2026-11-23")), None);
    }

    #[test]
    fn bells_that_overlap_or_stand_still_are_refused() {
        let bells = |periods: &[(u8, u16, u16)]| {
            let periods = periods.iter().map(|(period, from, to)| Period { period: *period, from: *from, to: *to });
            Settings { periods: periods.collect(), ..Settings::default() }.check()
        };
        assert_eq!(bells(&[(0, 420, 465), (1, 480, 525), (2, 525, 570)]), Ok(()));
        for bad in [
            &[(1, 480, 480)][..],
            &[(31, 480, 525)],
            &[(1, 480, 1_441)],
            &[(1, 480, 525), (2, 520, 560)],
            &[(2, 1, 2), (1, 3, 4)],
        ] {
            assert_eq!(bells(bad), Err(Reject::BadTimetable), "{bad:?}");
        }
    }
}
