//! Keys of the exam plan: all begin with `E` and a letter of their own.

use super::Range;
use schulhof_wire::{Day, ExamId, GroupId};

pub const RULES: &[u8] = b"Er";
const EXAMS: &[u8] = b"Ee";
const BY_DAY: &[u8] = b"Ed";
const OF_GROUP: &[u8] = b"Eg";

pub fn exam(exam: &ExamId) -> Vec<u8> {
    [EXAMS, exam.as_str().as_bytes()].concat()
}

/// Whether the key is that of an exam, and of which.
pub fn exam_of(key: &[u8]) -> Option<ExamId> {
    std::str::from_utf8(key.strip_prefix(EXAMS)?).ok()?.parse().ok()
}

pub fn on_day(day: Day, exam: &ExamId) -> Vec<u8> {
    [BY_DAY, &day.number().to_be_bytes(), exam.as_str().as_bytes()].concat()
}

/// All exams of a span of days, both ends included.
pub fn days(from: Day, until: Day) -> Range {
    span(BY_DAY, from, until)
}

pub fn of_group(group: &GroupId, day: Day, exam: &ExamId) -> Vec<u8> {
    [&group_prefix(group), &day.number().to_be_bytes()[..], exam.as_str().as_bytes()].concat()
}

/// A group's exams of a span of days, both ends included.
pub fn group_days(group: &GroupId, from: Day, until: Day) -> Range {
    span(&group_prefix(group), from, until)
}

fn group_prefix(group: &GroupId) -> Vec<u8> {
    [OF_GROUP, group.as_str().as_bytes(), &[0]].concat()
}

fn span(prefix: &[u8], from: Day, until: Day) -> Range {
    let at = |number: u32| [prefix, &number.to_be_bytes()].concat();
    (at(from.number()), at(until.number() + 1))
}

/// The exam in a key by day or group: what follows on the day.
pub fn listed(key: &[u8], (from, _): &Range) -> ExamId {
    let tail = std::str::from_utf8(&key[from.len()..]).ok();
    tail.and_then(|text| text.parse().ok()).expect("such a key ends with an identifier")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_days_holds_its_days_of_its_group_and_no_other() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let id = |text: &str| text.parse::<ExamId>().unwrap();
        let group = |text: &str| text.parse::<GroupId>().unwrap();
        let range = group_days(&group("5a"), day("2026-11-30"), day("2026-12-01"));
        let holds = |key: &Vec<u8>| (&range.0..&range.1).contains(&key);
        assert!(holds(&of_group(&group("5a"), day("2026-11-30"), &id("x"))));
        let last = of_group(&group("5a"), day("2026-12-01"), &id("zz"));
        assert!(holds(&last));
        assert_eq!(listed(&last, &range), id("zz"));
        assert!(!holds(&of_group(&group("5a"), day("2026-12-02"), &id("x"))));
        assert!(!holds(&of_group(&group("5a"), day("2026-11-29"), &id("x"))));
        assert!(!holds(&of_group(&group("5ab"), day("2026-11-30"), &id("x"))));
        assert_eq!(exam_of(&exam(&id("x"))), Some(id("x")));
        assert_eq!(exam_of(&last), None);
    }
}
