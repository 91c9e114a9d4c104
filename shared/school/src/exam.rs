//! What an exam plan consists of: exams, and how many of them anybody is to write. The forms in which operations carry them.

pub mod load;

use crate::reject::Reject;
use schulhof_wire::{AccountId, Day, GroupId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use ts_rs::TS;

/// Longest subject, room or reason in characters.
pub const TEXT_LEN_MAX: usize = 80;
/// Most classes and courses that write one exam together.
pub const GROUPS_MAX: usize = 12;
/// Most pupils of one exam: all that are asked at each planning.
pub const PUPILS_MAX: usize = 500;
/// Most exams in a week of all who would write one of them, whatever the school allows: what is looked at at each planning.
pub const WEEK_MAX: usize = 300;
/// Most spans of days without exams.
pub const BLOCKED_MAX: usize = 100;
/// Most people who may change others' exams.
pub const EDITORS_MAX: usize = 200;
/// Periods are numbered from 0 to this.
pub const PERIOD_MAX: u8 = 30;

/// What kind of exam. Which kinds count is the school's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename = "ExamKind")]
pub enum Kind {
    /// A large one, on paper, announced.
    Written,
    /// A short one.
    Test,
    Oral,
    Practical,
}

/// An exam as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Exam {
    pub kind: Kind,
    pub subject: String,
    pub day: Day,
    /// First and last period.
    pub from: u8,
    pub to: u8,
    /// Classes and courses that write it.
    pub groups: Vec<GroupId>,
    /// May be empty.
    pub room: String,
}

impl Exam {
    /// What can be told without a school.
    pub fn check(&self) -> Result<(), Reject> {
        let Self { subject, from, to, groups, room, .. } = self;
        let distinct: BTreeSet<_> = groups.iter().collect();
        let groups_fit = (1..=GROUPS_MAX).contains(&groups.len()) && distinct.len() == groups.len();
        let periods_fit = from <= to && *to <= PERIOD_MAX;
        if groups_fit && periods_fit && !subject.trim().is_empty() && text_fits(subject) && text_fits(room) {
            Ok(())
        } else {
            Err(Reject::BadExam)
        }
    }

    pub fn overlaps(&self, from: u8, to: u8) -> bool {
        self.from <= to && from <= self.to
    }
}

fn text_fits(text: &str) -> bool {
    text.chars().count() <= TEXT_LEN_MAX && !text.chars().any(char::is_control)
}

/// What happens when somebody would have more exams than the school wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename = "ExamOver")]
pub enum Over {
    /// It is shown, and the exam is planned.
    #[default]
    Warn,
    Refuse,
}

/// Days on which nobody writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(rename = "ExamBlocked")]
pub struct Blocked {
    pub from: Day,
    pub until: Day,
    pub why: String,
}

/// What the school has decided about exams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(rename = "ExamRules")]
pub struct Rules {
    /// Kinds that count.
    pub counted: Vec<Kind>,
    /// Most that count, for each class, course and pupil; none: as many as wanted.
    pub day_max: Option<u8>,
    pub week_max: Option<u8>,
    pub over: Over,
    /// Refused in either case.
    pub blocked: Vec<Blocked>,
    /// Teachers who may change others' exams, and plan for classes that are not theirs.
    pub editors: Vec<AccountId>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            counted: vec![Kind::Written],
            day_max: Some(1),
            week_max: Some(3),
            over: Over::Warn,
            blocked: Vec::new(),
            editors: Vec::new(),
        }
    }
}

impl Rules {
    pub fn check(&self) -> Result<(), Reject> {
        let Self { counted, day_max, week_max, blocked, editors, .. } = self;
        let spans_fit =
            blocked.len() <= BLOCKED_MAX && blocked.iter().all(|span| span.from <= span.until && text_fits(&span.why));
        let some = |max: &Option<u8>| *max != Some(0);
        let sizes_fit = counted.len() <= 4 && editors.len() <= EDITORS_MAX;
        if spans_fit && sizes_fit && some(day_max) && some(week_max) { Ok(()) } else { Err(Reject::BadExam) }
    }

    pub fn counts(&self, kind: Kind) -> bool {
        self.counted.contains(&kind)
    }

    /// Why nobody writes on the day.
    pub fn blocked_on(&self, day: Day) -> Option<&str> {
        let span = self.blocked.iter().find(|span| span.from <= day && day <= span.until);
        span.map(|span| span.why.as_str())
    }
}
