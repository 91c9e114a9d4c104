use super::*;

const GPU001: &str = "12;5a;MUE;M;101;1;3;;\n12;5b;MUE;M;101;1;3;;\n13;5a;SCH;Sp;Halle;2;1;;\n13;5a;TOM;Sp;Halle;2;1;;\n\
                      14;5a;REL;kR;102;3;2;;\n14;5a;ETH;Eth;103;3;2;;\n15;;TOM;Konf;L;4;7;;\n16;5a;MUE;D;;0;0;;\n";

fn from() -> Day {
    "2026-11-30".parse().unwrap()
}

fn shown(file: &File) -> Vec<String> {
    let line = |lesson: &Lesson| {
        let list = |names: &Vec<String>| names.join("~");
        let (classes, teachers, rooms) = (list(&lesson.classes), list(&lesson.teachers), list(&lesson.rooms));
        format!("{}.{} {classes} {teachers} {} {rooms}", lesson.day, lesson.period, lesson.subject)
    };
    file.lessons.iter().map(line).collect()
}

fn problems(text: &str) -> Vec<(usize, usize, String)> {
    let problems = read(text.as_bytes()).problems.into_inner();
    problems.into_iter().map(|problem| (problem.line, problem.column, problem.code)).collect()
}

#[test]
fn rows_of_one_lesson_are_put_together_and_what_is_taught_side_by_side_is_not() {
    let file = read(GPU001.as_bytes());
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    let expected = [
        "1.3 5a~5b MUE M 101",
        "2.1 5a SCH~TOM Sp Halle",
        "3.2 5a ETH Eth 103",
        "3.2 5a REL kR 102",
        "4.7  TOM Konf L",
    ];
    assert_eq!(shown(&file), expected);
}

#[test]
fn delimiters_quotes_and_encodings_of_the_export_are_found() {
    let expected = shown(&read("7;\u{dc}5;MÜL;Frz;Aula;5;6;;\r\n".as_bytes()));
    assert_eq!(expected, ["5.6 Ü5 MÜL Frz Aula"]);
    for text in [
        "7,\"Ü5\",\"MÜL\",\"Frz\",\"Aula\",5,6,,\r\n",
        "7\t'Ü5'\t'MÜL'\t'Frz'\t'Aula'\t5\t6\t\t\n",
        "\u{feff}7; Ü5 ;MÜL;Frz;Aula;5;6",
    ] {
        assert_eq!(shown(&read(text.as_bytes())), expected, "{text:?}");
    }
    let latin = encoding_rs::WINDOWS_1252.encode("7;Ü5;MÜL;Frz;Aula;5;6\n").0.into_owned();
    let file = read(&latin);
    assert_eq!((shown(&file), file.format.encoding.as_str()), (expected, "iso-8859-15"));
    // An apostrophe in an unquoted field is a part of it.
    assert_eq!(shown(&read(b"7;5a;O'H;En;1;1;1\n")), ["1.1 5a O'H En 1"]);
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    let at = |line, column, code: &str| vec![(line, column, code.to_owned())];
    assert_eq!(problems(""), at(0, 0, "empty-file"));
    assert_eq!(problems("1;5a;M;M;1;1;1\n1;5a;M;M;1;x;1\n"), at(2, 6, "bad-number"));
    assert_eq!(problems("1;5a;M;M;1;8;1\n"), at(1, 6, "bad-number"));
    assert_eq!(problems("1;5a;M;M;1;1;31\n"), at(1, 7, "bad-number"));
    assert_eq!(problems("99999999999;5a;M;M;1;1;1\n"), at(1, 1, "bad-number"));
    assert_eq!(problems("1;5a;M;M;1;1\n"), at(1, 7, "too-few-fields"));
    assert_eq!(problems(&format!("1;5a;{};M;1;1;1\n", "x".repeat(65))), at(1, 3, "too-long"));
    assert_eq!(problems("1;\"5a;M;M;1;1;1\n"), at(1, 2, "broken-quotes"));
    assert_eq!(problems("a\0b"), at(1, 0, "not-text"));
    assert_eq!(problems("1;20261130;3;0;0;A;B;M;;M;;1;1;;5a;;;0;;;202611291200;\n"), at(1, 2, "wrong-file"));
}

#[test]
fn a_draft_says_what_changes_and_which_classes_are_nobodys() {
    let import: DeviceId = "timetable:1".parse().unwrap();
    let groups: BTreeSet<String> = ["5a".to_owned()].into();
    let drafted = |text: &str, known: &BTreeSet<Lesson>| {
        let File { format, lessons, problems } = read(text.as_bytes());
        let head = (&import, FileKind::Plan, from());
        (draft(head, (format, problems), (&lessons, known), |one| &one.classes, line, &groups), lessons)
    };
    let (first, lessons) = drafted(GPU001, &BTreeSet::new());
    assert_eq!((first.entries, first.added_count, first.removed_count), (5, 5, 0));
    assert_eq!(first.unknown_classes, ["5b"]);
    let (same, _) = drafted(GPU001, &lessons);
    assert_eq!((same.added_count, same.removed_count), (0, 0));
    let (moved, _) = drafted(&GPU001.replace("13;5a;TOM;Sp;Halle;2;1", "13;5a;TOM;Sp;Halle;2;2"), &lessons);
    assert_eq!((moved.added_count, moved.removed_count), (2, 1));
    let (broken, _) = drafted("1;5a\n", &lessons);
    assert_eq!((broken.removed_count, broken.problems.len()), (0, 1));
}

/// A row for each lesson of a school of 2,000.
fn large() -> String {
    let row = |n: usize| {
        format!(
            "{n};{}{};T{:03};F{};R{};{};{};;\n",
            5 + n % 8,
            ["a", "b", "c", "d"][n / 8 % 4],
            n % 160,
            n % 12,
            n % 90,
            n % 5 + 1,
            n / 320 + 1
        )
    };
    (0..2_500).map(row).collect()
}

#[test]
fn a_large_school_is_few_operations_that_fit() {
    let file = read(large().as_bytes());
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    let lessons = file.lessons.len();
    let items = file.lessons.into_iter().map(Item::Lesson).collect();
    let scope = Scope::Plan { from: from(), until: None };
    let (import, by) = ("timetable:1".parse().unwrap(), "root".parse().unwrap());
    let operations = operations(&import, &by, Hlc::from_ms(1), scope, items);
    assert!(operations.iter().all(|operation| operation.encode().len() <= 60 * 1024));
    assert!(operations.len() < 20, "{}", operations.len());
    let items = operations.iter().map(|operation| match &operation.body {
        Body::TimetablePart { items, .. } => items.len(),
        _ => 0,
    });
    assert_eq!(items.sum::<usize>(), lessons);
}

/// xorshift: the same bytes for the same seed.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What may go wrong in a file.
const BYTES: &[u8] = b";,\t\"'\n\r~0123456789aZ\x00\xfc\xff";

#[test]
fn whatever_the_bytes_are_the_reader_ends_within_its_bounds() {
    for seed in 1..=400_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = if seed % 2 == 0 { GPU001.as_bytes().to_vec() } else { Vec::new() };
        for _ in 0..next(&mut state) % 300 {
            let byte = BYTES[next(&mut state) as usize % BYTES.len()];
            let at = next(&mut state) as usize % (bytes.len() + 1);
            if next(&mut state).is_multiple_of(3) && at < bytes.len() {
                bytes[at] = byte;
            } else {
                bytes.insert(at, byte);
            }
        }
        let file = read(&bytes);
        assert!(file.lessons.iter().all(|lesson| lesson.check().is_ok()), "seed {seed}");
        assert!(file.problems.into_inner().len() <= schulhof_wire::import::PROBLEMS_MAX, "seed {seed}");
    }
}
