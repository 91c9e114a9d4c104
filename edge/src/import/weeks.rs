//! Untis' file of lessons, GPU002: in which weeks, and from when to when, a lesson of the timetable is held.
//!
//! The timetable's own file knows neither; both are joined by the lesson's number.

use super::{Problems, lessons::Fields, table, text};
use schulhof_school::timetable::{Lesson, Weeks};
use schulhof_wire::{Day, import::ListFormat};
use std::collections::{BTreeMap, BTreeSet};

/// Columns of the lesson's group and of its dates.
const GROUP: usize = 12;
const FROM: usize = 15;
const UNTIL: usize = 16;

/// When a lesson is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    pub weeks: Weeks,
    pub from: Option<Day>,
    pub until: Option<Day>,
}

/// By the lessons' numbers.
pub type HeldByNumber = BTreeMap<u32, Held>;

/// A file that was read.
#[derive(Debug)]
pub struct File {
    pub format: ListFormat,
    pub held: HeldByNumber,
    pub problems: Problems,
}

/// Reads GPU002.
pub fn read(bytes: &[u8]) -> File {
    let mut problems = Problems::default();
    let (text, encoding) = text::decode(bytes, &mut problems);
    let delimiter = table::delimiter(&text);
    let rows = table::bare(&text, delimiter, &mut problems);
    let mut held = BTreeMap::new();
    for row in &rows {
        if row.fields.len() < GROUP {
            problems.add((row.line, row.fields.len() + 1), "too-few-fields", "");
            continue;
        }
        let mut fields = Fields::new(row, &mut problems);
        let Some(number) = fields.number(1, 0, u32::MAX) else { continue };
        let weeks = weeks(fields.text(GROUP));
        let (Some(from), Some(until)) = (fields.day_or_none(FROM), fields.day_or_none(UNTIL)) else { continue };
        // A lesson has a row for each class and teacher; its group stands in all of them.
        held.entry(number).or_insert(Held {
            weeks,
            from,
            until: until.filter(|until| from.is_none_or(|from| from <= *until)),
        });
    }
    if rows.is_empty() && problems.is_empty() {
        problems.add((0, 0), "empty-file", "");
    }
    File { format: ListFormat { encoding: encoding.into(), delimiter, columns: Vec::new() }, held, problems }
}

/// What schools call their two weeks; anything else is a group that says nothing about weeks.
fn weeks(group: &str) -> Weeks {
    let plain: String = group.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    match plain.as_str() {
        "a" | "wa" | "awoche" | "wochea" | "w1" | "ungerade" | "u" | "uw" => Weeks::A,
        "b" | "wb" | "bwoche" | "wocheb" | "w2" | "gerade" | "g" | "gw" => Weeks::B,
        _ => Weeks::All,
    }
}

/// What is known of lessons by their numbers.
pub fn known(lessons: &BTreeSet<Lesson>) -> HeldByNumber {
    let numbered = lessons.iter().filter(|lesson| lesson.number != 0);
    numbered
        .map(|lesson| (lesson.number, Held { weeks: lesson.weeks, from: lesson.from, until: lesson.until }))
        .collect()
}

/// The lessons, held when it says so; of a lesson that it does not know nothing is changed.
pub fn join(lessons: BTreeSet<Lesson>, held: &HeldByNumber) -> BTreeSet<Lesson> {
    let joined = lessons.into_iter().map(|lesson| match held.get(&lesson.number) {
        Some(Held { weeks, from, until }) if lesson.number != 0 => {
            Lesson { weeks: *weeks, from: *from, until: *until, ..lesson }
        }
        _ => lesson,
    });
    joined.collect()
}

#[cfg(test)]
mod tests {
    use super::super::lessons;
    use super::*;

    const GPU002: &str = "1,2,,,\"5a\",\"MUE\",\"M\",,,,,\"A\",,,20260810,20270131\n2,2,,,\"5a\",\"SCH\",\"D\",,,,,\"B-Woche\"\n\
                          3,2,,,\"5a\",\"SCH\",\"E\",,,,,\"Chor\",,,,\n";

    #[test]
    fn weeks_and_dates_come_to_the_lessons_of_the_same_number() {
        let file = read(GPU002.as_bytes());
        assert!(file.problems.is_empty(), "{:?}", file.problems);
        let plan = lessons::read(b"1,\"5a\",\"MUE\",\"M\",\"1\",1,1\n2,\"5a\",\"SCH\",\"D\",\"1\",1,1\n3,\"5a\",\"SCH\",\"E\",\"1\",1,2\n4,\"5a\",\"X\",\"F\",\"1\",1,3\n");
        let joined = join(plan.lessons.clone(), &file.held);
        let weeks: Vec<_> = joined.iter().map(|lesson| (lesson.number, lesson.weeks)).collect();
        assert_eq!(weeks, [(1, Weeks::A), (2, Weeks::B), (3, Weeks::All), (4, Weeks::All)]);
        let first = joined.first().unwrap();
        assert_eq!((first.from, first.until), (Day::new(2026, 8, 10), Day::new(2027, 1, 31)));
        // The timetable's file read once more keeps what is known.
        assert_eq!(join(plan.lessons, &known(&joined)), joined);
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let problems = |text: &str| {
            let problems = read(text.as_bytes()).problems.into_inner();
            problems.into_iter().map(|problem| (problem.line, problem.column, problem.code)).collect::<Vec<_>>()
        };
        assert_eq!(problems(""), [(0, 0, "empty-file".into())]);
        assert_eq!(problems("1;5a;M;M;1;1;1;;\n"), [(1, 10, "too-few-fields".into())]);
        assert_eq!(problems("x;;;;;;;;;;;A\n"), [(1, 1, "bad-number".into())]);
        assert_eq!(problems("1;;;;;;;;;;;A;;;morgen;\n"), [(1, 15, "bad-date".into())]);
    }
}
