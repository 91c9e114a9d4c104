//! Files of the timetable program Untis as lessons: GPU001, and what one would change.
//!
//! The files have no header; delimiter, quotes and encoding are options of the export and are detected. A row is one class with one
//! teacher in one room; rows of one lesson are put together again: a lesson of several classes, or with several teachers.

use super::{Problems, table, text};
use schulhof_school::{
    Actor, Body, Operation,
    timetable::{Item, LESSON_NAMES_MAX, LESSONS_MAX, Lesson, PERIOD_MAX, SHORT_LEN_MAX, Scope, Weeks, class_key},
};
use schulhof_wire::{
    AccountId, Day, DeviceId, Hlc, Seq,
    import::ListFormat,
    timetable::{FileKind, LINES_SHOWN_MAX, TimetableDraft, TimetableLine},
};
use std::collections::{BTreeMap, BTreeSet};

/// JSON of one part's items; an operation has at most 64 KiB.
const PART_LEN_MAX: usize = 40 * 1024;
/// Items of one part, as many as the rules take.
const PART_ITEMS_MAX: usize = 1_000;
/// Parts of a list within a field.
const LIST_DELIMITER: char = '~';

/// A file that was read.
#[derive(Debug)]
pub struct File {
    pub format: ListFormat,
    pub lessons: BTreeSet<Lesson>,
    pub problems: Problems,
}

/// Reads GPU001.
pub fn read(bytes: &[u8]) -> File {
    let mut problems = Problems::default();
    let (text, encoding) = text::decode(bytes, &mut problems);
    let delimiter = table::delimiter(&text);
    let rows = table::bare(&text, delimiter, &mut problems);
    let mut slots = BTreeMap::new();
    for row in &rows {
        if looks_like_changes(row) {
            problems.add((row.line, 2), "wrong-file", &row.fields[1]);
            break;
        }
        if let Some((slot, class)) = slot(row, &mut problems) {
            let (_, classes): &mut (usize, BTreeSet<String>) =
                slots.entry(slot).or_insert_with(|| (row.line, BTreeSet::new()));
            classes.extend(class);
        }
    }
    if rows.is_empty() && problems.is_empty() {
        problems.add((0, 0), "empty-file", "");
    }
    let lessons = together(slots, &mut problems);
    let format = ListFormat { encoding: encoding.into(), delimiter, columns: Vec::new() };
    File { format, lessons, problems }
}

/// GPU014 has a date where GPU001 has the class.
fn looks_like_changes(row: &table::Row) -> bool {
    row.fields.len() > 12 && row.fields.get(1).is_some_and(|field| Day::from_digits(field.trim()).is_some())
}

/// A row without its class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    number: u32,
    day: u8,
    period: u8,
    subject: String,
    rooms: Vec<String>,
    teachers: Vec<String>,
}

/// Nothing if the row has a problem, or if the lesson has no time yet.
fn slot(row: &table::Row, problems: &mut Problems) -> Option<(Slot, Vec<String>)> {
    if row.fields.len() < 7 {
        problems.add((row.line, row.fields.len() + 1), "too-few-fields", "");
        return None;
    }
    let mut fields = Fields::new(row, problems);
    let number = fields.number(1, 0, u32::MAX)?;
    let classes = fields.names(2)?;
    let teachers = fields.names(3)?;
    let subject = fields.name(4)?;
    let rooms = fields.names(5)?;
    let day = fields.number(6, 0, 7)?;
    let period = fields.number(7, 0, u32::from(PERIOD_MAX))?;
    if day == 0 || (classes.is_empty() && teachers.is_empty() && rooms.is_empty()) {
        return None;
    }
    let slot = Slot { number, day: day as u8, period: period as u8, subject, rooms, teachers };
    Some((slot, classes))
}

/// A row's fields, each checked, with its place if it is wrong. Columns from 1.
pub struct Fields<'a> {
    row: &'a table::Row,
    problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    pub fn new(row: &'a table::Row, problems: &'a mut Problems) -> Self {
        Self { row, problems }
    }

    pub fn text(&self, column: usize) -> &str {
        self.row.fields.get(column - 1).map_or("", |field| field.trim())
    }

    fn problem(&mut self, column: usize, code: &str) {
        let value = self.text(column).to_owned();
        self.problems.add((self.row.line, column), code, &value);
    }

    /// Empty is the least.
    pub fn number(&mut self, column: usize, min: u32, max: u32) -> Option<u32> {
        let text = self.text(column);
        let number = if text.is_empty() { Some(min) } else { text.parse().ok() };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.problem(column, "bad-number");
        }
        number
    }

    pub fn name(&mut self, column: usize) -> Option<String> {
        let name = self.text(column);
        if name.len() > SHORT_LEN_MAX || name.chars().any(char::is_control) {
            self.problem(column, "too-long");
            return None;
        }
        Some(name.to_owned())
    }

    /// `20261130`
    pub fn day(&mut self, column: usize) -> Option<Day> {
        let day = Day::from_digits(self.text(column));
        if day.is_none() {
            self.problem(column, "bad-date");
        }
        day
    }

    /// Empty or `0`: none.
    pub fn day_or_none(&mut self, column: usize) -> Option<Option<Day>> {
        if matches!(self.text(column), "" | "0") { Some(None) } else { self.day(column).map(Some) }
    }

    /// What stands for nobody is nobody.
    pub fn person(&mut self, column: usize) -> Option<String> {
        let name = self.name(column)?;
        Some(if is_nobody(&name) { String::new() } else { name })
    }

    /// A text of one line.
    pub fn line(&mut self, column: usize, len_max: usize) -> Option<String> {
        let text = self.text(column);
        if text.len() > len_max {
            self.problem(column, "too-long");
            return None;
        }
        Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// A list; what stands for nobody is nobody.
    pub fn names(&mut self, column: usize) -> Option<Vec<String>> {
        let names = self.text(column).split(LIST_DELIMITER).map(str::trim);
        let names: BTreeSet<String> = names.filter(|name| !is_nobody(name)).map(str::to_owned).collect();
        let bad = |name: &String| name.len() > SHORT_LEN_MAX || name.chars().any(char::is_control);
        if names.len() > LESSON_NAMES_MAX || names.iter().any(bad) {
            self.problem(column, "too-long");
            return None;
        }
        Some(names.into_iter().collect())
    }
}

fn is_nobody(name: &str) -> bool {
    matches!(name, "" | "?" | "---")
}

/// Rows that differ in the class alone are one lesson, and then those that differ in the teacher alone.
fn together(slots: BTreeMap<Slot, (usize, BTreeSet<String>)>, problems: &mut Problems) -> BTreeSet<Lesson> {
    let mut lessons: BTreeMap<Lesson, (usize, BTreeSet<String>)> = BTreeMap::new();
    for (slot, (line, classes)) in slots {
        let Slot { number, day, period, subject, rooms, teachers } = slot;
        let lesson = Lesson {
            day,
            period,
            number,
            classes: classes.into_iter().collect(),
            teachers: Vec::new(),
            subject,
            rooms,
            weeks: Weeks::All,
            from: None,
            until: None,
        };
        let (_, all) = lessons.entry(lesson).or_insert_with(|| (line, BTreeSet::new()));
        all.extend(teachers);
    }
    if lessons.len() > LESSONS_MAX {
        problems.add((0, 0), "too-many-rows", &LESSONS_MAX.to_string());
        return BTreeSet::new();
    }
    let whole = lessons.into_iter().filter_map(|(mut lesson, (line, teachers))| {
        lesson.teachers = teachers.into_iter().collect();
        if lesson.check().is_err() {
            problems.add((line, 0), "too-many-names", &lesson.subject);
            return None;
        }
        Some(lesson)
    });
    whole.collect()
}

/// What a file would change: of `known` nothing stays that is not in it.
pub fn draft<T: Ord>(
    (import, kind, from): (&DeviceId, FileKind, Day),
    (format, problems): (ListFormat, Problems),
    (said, known): (&BTreeSet<T>, &BTreeSet<T>),
    classes_of: impl Fn(&T) -> &[String],
    line: impl Fn(&T) -> TimetableLine,
    groups: &BTreeSet<String>,
) -> TimetableDraft {
    let problems = problems.into_inner();
    // A broken file says nothing about what is missing in it.
    let whole = problems.is_empty();
    let added: Vec<&T> = said.difference(known).filter(|_| whole).collect();
    let removed: Vec<&T> = known.difference(said).filter(|_| whole).collect();
    let named: BTreeMap<String, &String> =
        said.iter().flat_map(classes_of).map(|name| (class_key(name), name)).collect();
    let unknown = named.into_iter().filter(|(key, _)| !groups.contains(key)).map(|(_, name)| name.clone());
    let lines = |all: &[&T]| all.iter().take(LINES_SHOWN_MAX).map(|one| line(one)).collect();
    TimetableDraft {
        import: import.clone(),
        kind,
        format,
        from,
        entries: said.len(),
        added_count: added.len(),
        removed_count: removed.len(),
        added: lines(&added),
        removed: lines(&removed),
        unknown_classes: unknown.take(LINES_SHOWN_MAX).collect(),
        problems,
    }
}

/// For a comparison.
pub fn line(lesson: &Lesson) -> TimetableLine {
    TimetableLine {
        day: lesson.day,
        date: None,
        kind: None,
        period: lesson.period,
        classes: lesson.classes.join(", "),
        teachers: lesson.teachers.join(", "),
        subject: lesson.subject.clone(),
        rooms: lesson.rooms.join(", "),
    }
}

/// Operations of a device that is named like the import: its parts, and that they be applied.
pub fn operations(import: &DeviceId, by: &AccountId, at: Hlc, scope: Scope, items: Vec<Item>) -> Vec<Operation> {
    let mut bodies: Vec<Body> = Vec::new();
    for (part, items) in (0..).zip(cut(items)) {
        bodies.push(Body::TimetablePart { import: import.clone(), part, items });
    }
    bodies.push(Body::TimetableApply { import: import.clone(), parts: bodies.len() as u32, scope });
    let operation =
        |(seq, body)| Operation { device: import.clone(), seq: Seq(seq), actor: Actor::Account(by.clone()), at, body };
    (1..).zip(bodies).map(operation).collect()
}

fn cut(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut parts = vec![Vec::new()];
    let mut len = 0;
    for item in items {
        let own = serde_json::to_vec(&item).map_or(0, |json| json.len());
        let part = parts.last_mut().expect("one at least");
        if !part.is_empty() && (len + own > PART_LEN_MAX || part.len() == PART_ITEMS_MAX) {
            parts.push(Vec::new());
            len = 0;
        }
        len += own;
        parts.last_mut().expect("one at least").push(item);
    }
    parts
}

#[cfg(test)]
mod tests;
