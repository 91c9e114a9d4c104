use super::*;

/// One row, as the program exports it, with a type and bits.
fn row(letter: &str, bits: u32) -> String {
    format!(
        "4711;20261130;3;12;77;MUE;SCH;M;;D;;101;102;stat;5a~5b;krank;Aufgaben im Heft;{bits};;{letter};202611291200;\n"
    )
}

fn only(text: &str) -> Substitution {
    let file = read(text.as_bytes());
    assert!(file.problems.is_empty(), "{:?}", file.problems);
    file.changes.into_iter().next().expect("one at least")
}

fn problems(text: &str) -> Vec<(usize, usize, String)> {
    let problems = read(text.as_bytes()).problems.into_inner();
    problems.into_iter().map(|problem| (problem.line, problem.column, problem.code)).collect()
}

#[test]
fn a_row_becomes_a_substitution_without_what_is_nobodys_business() {
    let change = only(&row("", 0));
    let expected = Substitution {
        day: "2026-11-30".parse().unwrap(),
        period: 3,
        number: 4711,
        lesson: 77,
        kind: Kind::Substitution,
        classes: vec!["5a".into(), "5b".into()],
        absent: "MUE".into(),
        teacher: "SCH".into(),
        subject: "M".into(),
        new_subject: "D".into(),
        rooms: vec!["101".into()],
        new_rooms: vec!["102".into()],
        text: "Aufgaben im Heft".into(),
    };
    assert_eq!(change, expected);
    assert!(!serde_json::to_string(&change).unwrap().contains("krank"));
}

#[test]
fn every_type_is_what_it_says() {
    let types = [
        ("T", Kind::MovedAway),
        ("F", Kind::MovedHere),
        ("W", Kind::Swap),
        ("S", Kind::Supervision),
        ("A", Kind::Special),
        ("C", Kind::Cancelled),
        ("L", Kind::Released),
        ("P", Kind::Partial),
        ("R", Kind::Room),
        ("B", Kind::BreakDuty),
        ("~", Kind::TeacherSwap),
        ("E", Kind::Exam),
        ("", Kind::Substitution),
        (" ", Kind::Substitution),
        ("Z", Kind::Substitution),
    ];
    for (letter, kind) in types {
        assert_eq!(only(&row(letter, 0)).kind, kind, "{letter:?}");
    }
}

#[test]
fn every_bit_is_what_it_says() {
    let bits = [
        (0, Kind::Cancelled),
        (1, Kind::Supervision),
        (2, Kind::Special),
        (3, Kind::MovedAway),
        (4, Kind::Released),
        // A plus for the substitute's account: pay, and not read.
        (5, Kind::Substitution),
        (6, Kind::Partial),
        (7, Kind::MovedHere),
        (16, Kind::Room),
        (17, Kind::BreakDuty),
        (18, Kind::NoLesson),
        // New since the last print.
        (21, Kind::Substitution),
    ];
    for (bit, kind) in bits {
        assert_eq!(only(&row("", 1 << bit)).kind, kind, "bit {bit}");
    }
    // Not to be printed.
    assert!(read(row("", 1 << 20).as_bytes()).changes.is_empty());
}

#[test]
fn letter_and_bits_together_say_first_whether_there_is_a_lesson() {
    for (letter, bits, kind) in [
        ("E", 1, Kind::Cancelled),
        ("R", 1 << 18, Kind::NoLesson),
        ("T", 1 << 7, Kind::MovedHere),
        ("F", 1 << 3, Kind::MovedAway),
        ("T", 1 << 3, Kind::MovedAway),
        ("S", 1 << 5 | 1 << 1, Kind::Supervision),
        ("", 1 << 16 | 1 << 6, Kind::Partial),
    ] {
        assert_eq!(super::kind(letter, bits), kind, "{letter} {bits:b}");
        assert_eq!(kind.is_held(), !matches!(kind, Kind::Cancelled | Kind::NoLesson | Kind::MovedAway), "{kind:?}");
    }
    assert!(!Kind::Released.is_held());
}

#[test]
fn an_empty_file_says_that_there_are_none() {
    let file = read(b"");
    assert!(file.problems.is_empty() && file.changes.is_empty());
    assert_eq!(first_day(&file.changes), None);
}

#[test]
fn spaces_quotes_and_unknown_people_are_read_as_what_they_mean() {
    let change = only(
        "1,\"20261130\", 3 ,0,0,\" MUE \",\"---\",\"M\",,\"\",,\"101\",\"?\",,\"5a ~ 5b\",,\" \",0,\"5c\",\" \",,\r\n",
    );
    assert_eq!((change.absent.as_str(), change.teacher.as_str(), change.text.as_str()), ("MUE", "", ""));
    assert_eq!((change.classes.join(" "), change.new_rooms.len()), ("5a 5b 5c".into(), 0));
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    let at = |line, column, code: &str| vec![(line, column, code.to_owned())];
    let good = row("", 0);
    assert_eq!(problems(&format!("{good}{}", good.replace("20261130", "20261131"))), at(2, 2, "bad-date"));
    assert_eq!(problems(&good.replace(";3;12;", ";31;12;")), at(1, 3, "bad-number"));
    assert_eq!(problems(&good.replace(";0;;;", ";viel;;;")), at(1, 18, "bad-number"));
    assert_eq!(problems("1;20261130;3\n"), at(1, 4, "too-few-fields"));
    assert_eq!(problems(&good.replace("MUE", &"x".repeat(65))), at(1, 6, "too-long"));
    assert_eq!(problems(&good.replace("Aufgaben im Heft", &"x".repeat(1_001))), at(1, 17, "too-long"));
    // The timetable's own file.
    assert_eq!(problems("12;5a;MUE;M;101;1;3;;\n"), at(1, 2, "wrong-file"));
    let many: String = (0..=DAY_CHANGES_MAX).map(|n| good.replace("4711", &n.to_string())).collect();
    assert_eq!(problems(&many), at(DAY_CHANGES_MAX + 1, 2, "too-many-rows"));
}

#[test]
fn whatever_the_bytes_are_the_reader_ends_within_its_bounds() {
    const BYTES: &[u8] = b";,\t\"'\n\r~0123456789aZ\x00\xfc\xff";
    for seed in 1..=400_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let mut bytes = row("~", 5).repeat(3).into_bytes();
        for _ in 0..next() % 60 {
            let (at, byte) = (next() % bytes.len(), BYTES[next() % BYTES.len()]);
            if next() % 3 == 0 { bytes[at] = byte } else { bytes.insert(at, byte) }
        }
        let file = read(&bytes);
        assert!(file.changes.iter().all(|change| change.check().is_ok()), "seed {seed}");
        assert!(file.problems.into_inner().len() <= schulhof_wire::import::PROBLEMS_MAX, "seed {seed}");
    }
}
