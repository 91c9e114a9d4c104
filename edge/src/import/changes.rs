//! Untis' file of substitutions, GPU014.
//!
//! What is not needed to say what happens to a lesson is not read: why somebody is absent, statistics codes, whether it counts for
//! the substitute's pay. Lines that the program marks as not to be printed are left out.

use super::{Problems, lessons::Fields, table, text};
use schulhof_school::timetable::{
    PERIOD_MAX,
    changes::{DAY_CHANGES_MAX, DAYS_MAX, Kind, Substitution, TEXT_LEN_MAX},
};
use schulhof_wire::{Day, import::ListFormat, timetable::TimetableLine};
use std::collections::{BTreeMap, BTreeSet};

const COLUMNS_MIN: usize = 18;

/// Bits of the 18th field.
mod bit {
    pub const CANCELLED: u32 = 1;
    pub const SUPERVISION: u32 = 1 << 1;
    pub const SPECIAL: u32 = 1 << 2;
    pub const MOVED_AWAY: u32 = 1 << 3;
    pub const RELEASED: u32 = 1 << 4;
    pub const PARTIAL: u32 = 1 << 6;
    pub const MOVED_HERE: u32 = 1 << 7;
    pub const ROOM: u32 = 1 << 16;
    pub const BREAK_DUTY: u32 = 1 << 17;
    pub const NO_LESSON: u32 = 1 << 18;
    pub const DO_NOT_PRINT: u32 = 1 << 20;
}

/// A file that was read.
#[derive(Debug)]
pub struct File {
    pub format: ListFormat,
    pub changes: BTreeSet<Substitution>,
    pub problems: Problems,
}

/// Reads GPU014. It may be empty: then there are none.
pub fn read(bytes: &[u8]) -> File {
    let mut problems = Problems::default();
    let (text, encoding) = text::decode(bytes, &mut problems);
    let delimiter = table::delimiter(&text);
    let rows = table::bare(&text, delimiter, &mut problems);
    let mut changes = BTreeSet::new();
    let mut per_day: BTreeMap<Day, usize> = BTreeMap::new();
    for row in &rows {
        if row.fields.len() < COLUMNS_MIN
            && row.fields.get(1).is_some_and(|field| Day::from_digits(field.trim()).is_none())
        {
            problems.add((row.line, 2), "wrong-file", &row.fields[1]);
            break;
        }
        if let Some(change) = change(row, &mut problems) {
            let count = per_day.entry(change.day).or_default();
            *count += 1;
            if *count > DAY_CHANGES_MAX || per_day.len() > DAYS_MAX {
                problems.add((row.line, 2), "too-many-rows", &DAY_CHANGES_MAX.to_string());
                break;
            }
            changes.insert(change);
        }
    }
    let format = ListFormat { encoding: encoding.into(), delimiter, columns: Vec::new() };
    File { format, changes, problems }
}

/// Nothing if the row has a problem, or is not to be shown.
fn change(row: &table::Row, problems: &mut Problems) -> Option<Substitution> {
    if row.fields.len() < COLUMNS_MIN {
        problems.add((row.line, row.fields.len() + 1), "too-few-fields", "");
        return None;
    }
    let mut fields = Fields::new(row, problems);
    let number = fields.number(1, 0, u32::MAX)?;
    let day = fields.day(2)?;
    let period = fields.number(3, 0, u32::from(PERIOD_MAX))? as u8;
    let lesson = fields.number(5, 0, u32::MAX)?;
    let absent = fields.person(6)?;
    let teacher = fields.person(7)?;
    let subject = fields.name(8)?;
    let new_subject = fields.name(10)?;
    let rooms = fields.names(12)?;
    let new_rooms = fields.names(13)?;
    let mut classes = fields.names(15)?;
    let text = fields.line(17, TEXT_LEN_MAX)?;
    let bits = fields.number(18, 0, u32::MAX)?;
    let instead = if row.fields.len() > 18 { fields.names(19)? } else { Vec::new() };
    let kind = kind(fields.text(20), bits);
    if bits & bit::DO_NOT_PRINT != 0 {
        return None;
    }
    // Classes that come in addition see it, too.
    let all: BTreeSet<String> = classes.drain(..).chain(instead).collect();
    let classes = all.into_iter().collect();
    let change = Substitution {
        day,
        period,
        number,
        lesson,
        kind,
        classes,
        absent,
        teacher,
        subject,
        new_subject,
        rooms,
        new_rooms,
        text,
    };
    if change.check().is_err() {
        problems.add((row.line, 0), "too-many-names", "");
        return None;
    }
    Some(change)
}

/// What the type's letter and the bits say together. What is not held is that whatever else is said; of the rest the letter
/// decides, and without one that is known the bits do.
pub fn kind(letter: &str, bits: u32) -> Kind {
    let has = |bit: u32| bits & bit != 0;
    if has(bit::CANCELLED) {
        return Kind::Cancelled;
    }
    if has(bit::NO_LESSON) {
        return Kind::NoLesson;
    }
    match letter {
        "C" => Kind::Cancelled,
        "L" => Kind::Released,
        // The same move is told of at both of its ends.
        "T" if has(bit::MOVED_HERE) => Kind::MovedHere,
        "T" => Kind::MovedAway,
        "F" if has(bit::MOVED_AWAY) => Kind::MovedAway,
        "F" => Kind::MovedHere,
        "W" => Kind::Swap,
        "S" => Kind::Supervision,
        "A" => Kind::Special,
        "P" => Kind::Partial,
        "R" => Kind::Room,
        "B" => Kind::BreakDuty,
        "~" => Kind::TeacherSwap,
        "E" => Kind::Exam,
        _ if has(bit::MOVED_AWAY) => Kind::MovedAway,
        _ if has(bit::RELEASED) => Kind::Released,
        _ if has(bit::MOVED_HERE) => Kind::MovedHere,
        _ if has(bit::BREAK_DUTY) => Kind::BreakDuty,
        _ if has(bit::SUPERVISION) => Kind::Supervision,
        _ if has(bit::SPECIAL) => Kind::Special,
        _ if has(bit::PARTIAL) => Kind::Partial,
        _ if has(bit::ROOM) => Kind::Room,
        _ => Kind::Substitution,
    }
}

/// The first day that a file says something about.
pub fn first_day(changes: &BTreeSet<Substitution>) -> Option<Day> {
    changes.first().map(|change| change.day)
}

/// For a comparison.
pub fn line(change: &Substitution) -> TimetableLine {
    let kind = serde_json::to_value(change.kind).ok();
    TimetableLine {
        day: change.day.weekday(),
        date: Some(change.day),
        period: change.period,
        classes: change.classes.join(", "),
        teachers: change.teaches().to_owned(),
        subject: change.teaching().to_owned(),
        rooms: change.where_to().join(", "),
        kind: kind.and_then(|kind| kind.as_str().map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests;
