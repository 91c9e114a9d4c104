//! Untis' file of break duties, GPU009: corridor, teacher, day, the period before which the break is, minutes.

use super::{Problems, lessons::Fields, table, text};
use schulhof_school::timetable::{
    PERIOD_MAX,
    duties::{DUTIES_MAX, Duty},
};
use schulhof_wire::{import::ListFormat, timetable::TimetableLine};
use std::collections::BTreeSet;

/// The minutes may be missing.
const COLUMNS_MIN: usize = 4;

/// A file that was read.
#[derive(Debug)]
pub struct File {
    pub format: ListFormat,
    pub duties: BTreeSet<Duty>,
    pub problems: Problems,
}

/// Reads GPU009.
pub fn read(bytes: &[u8]) -> File {
    let mut problems = Problems::default();
    let (text, encoding) = text::decode(bytes, &mut problems);
    let delimiter = table::delimiter(&text);
    let mut duties = BTreeSet::new();
    for row in &table::bare(&text, delimiter, &mut problems) {
        if row.fields.len() < COLUMNS_MIN {
            problems.add((row.line, row.fields.len() + 1), "too-few-fields", "");
        } else if let Some(duty) = duty(row, &mut problems) {
            duties.insert(duty);
        }
        if duties.len() > DUTIES_MAX {
            problems.add((row.line, 0), "too-many-rows", &DUTIES_MAX.to_string());
            break;
        }
    }
    File { format: ListFormat { encoding: encoding.into(), delimiter, columns: Vec::new() }, duties, problems }
}

/// Nothing if the row has a problem, or is nobody's.
fn duty(row: &table::Row, problems: &mut Problems) -> Option<Duty> {
    let mut fields = Fields::new(row, problems);
    let area = fields.name(1)?;
    let teacher = fields.person(2)?;
    let day = fields.number(3, 1, 7)? as u8;
    let before = fields.number(4, 0, u32::from(PERIOD_MAX))? as u8;
    let duty = Duty { day, before, area, teacher };
    duty.check().is_ok().then_some(duty)
}

/// For a comparison.
pub fn line(duty: &Duty) -> TimetableLine {
    TimetableLine {
        day: duty.day,
        date: None,
        kind: None,
        period: duty.before,
        classes: String::new(),
        teachers: duty.teacher.clone(),
        subject: String::new(),
        rooms: duty.area.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_duties_and_those_of_nobody_do_not() {
        let file = read("\"Hof\";\"MUE\";1;3;20;\n\"Flur 1\";\"---\";1;3;20;\n Hof ;SCH;5;1\n".as_bytes());
        assert!(file.problems.is_empty(), "{:?}", file.problems);
        let duties: Vec<_> =
            file.duties.iter().map(|duty| (duty.day, duty.before, duty.area.as_str(), duty.teacher.as_str())).collect();
        assert_eq!(duties, [(1, 3, "Hof", "MUE"), (5, 1, "Hof", "SCH")]);
        assert!(read(b"").problems.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let problems = |text: &str| {
            let problems = read(text.as_bytes()).problems.into_inner();
            problems.into_iter().map(|problem| (problem.line, problem.column, problem.code)).collect::<Vec<_>>()
        };
        assert_eq!(problems("Hof;MUE;1\n"), [(1, 4, "too-few-fields".into())]);
        assert_eq!(problems("Hof;MUE;8;1\n"), [(1, 3, "bad-number".into())]);
        assert_eq!(problems(&format!("Hof;{};1;1\n", "x".repeat(65))), [(1, 2, "too-long".into())]);
    }
}
