//! The matrix of rights: every kind of operation, done by everybody who could try.

use super::{HASH, Town, exam::exam, id, ids, timetable::plan_from};
use crate::{Body, GroupKind, PeopleChange, Reject, Role, exam::Rules, timetable::Settings};
use schulhof_wire::{Day, LogIndex};
use std::collections::BTreeSet;

/// In this order in each row: the operator, an admin, a teacher of the class 5a, a teacher who is in no room, a pupil of 5a, a
/// pupil of another class, a locked account, somebody unknown, and who has a first password.
const ACTORS: [&str; 9] = ["operator", "root", "tina", "tom", "anna", "carl", "lara", "nobody", "nina"];

/// Y: may. N: not-allowed. M: not-a-member. W: may-not-write. Who is locked, unknown or has a first password never may.
const MATRIX: &[(&str, &str)] = &[
    ("school.name", "YYNNNN"),
    ("account.create", "YYNNNN"),
    ("account.password", "YYNNNN"),
    ("account.lock", "YYNNNN"),
    ("import.part", "YYNNNN"),
    ("import.apply", "YYNNNN"),
    ("import.undo", "YYNNNN"),
    ("group.create", "YYNNNN"),
    ("group.members", "YYNNNN"),
    ("room.create", "NYYYNN"),
    // In a free room of tina's in which anna is, too.
    ("room.members", "NMYMNM"),
    // To ben, who is in 5a with anna.
    ("room.direct", "NYYYYW"),
    ("message.post", "NMYMYM"),
    ("read.mark", "NMYMYM"),
    ("conference.open", "NMYMNN"),
    // Of one that tina has opened in 5a.
    ("conference.close", "NNYNNN"),
    ("exam.rules", "YYNNNN"),
    // For 5a, which tina is in.
    ("exam.plan", "NYYMNN"),
    // Of tina's.
    ("exam.change", "NYYNNN"),
    ("exam.cancel", "NYYNNN"),
    ("timetable.settings", "YYNNNN"),
    ("timetable.part", "YYNNNN"),
    ("timetable.apply", "YYNNNN"),
    ("timetable.remove", "YYNNNN"),
    // Tina of herself.
    ("timetable.teacher", "YYYNNN"),
    ("timetable.day", "YYNNNN"),
    ("timetable.screen", "YYNNNN"),
    // In somebody's name.
    ("timetable.watch", "NYNNNN"),
    ("timetable.edit", "YYNNNN"),
    ("timetable.change", "YYNNNN"),
];

fn town() -> Town {
    let mut town = Town::new();
    town.ok("operator", Town::account("lara", Role::Teacher));
    town.ok("operator", Body::AccountLock { account: id("lara"), locked: true });
    town.ok("tina", Body::RoomCreate { room: id("free"), name: "Frei".into(), members: ids(&["anna"]) });
    town.post("ben", "5a", "hi");
    town.ok(
        "tina",
        Body::ConferenceOpen { conference: id("c1"), room: id("5a"), title: "Mathe".into(), expected: None },
    );
    let nina = PeopleChange::Account {
        account: id("nina"),
        source: id("list"),
        record: "1".into(),
        login: "nina".into(),
        name: "Nina".into(),
        role: Role::Admin,
        password: HASH.into(),
    };
    town.ok("root", Body::ImportPart { import: id("i1"), part: 0, changes: vec![nina] });
    town.ok("root", Body::ImportApply { import: id("i1"), parts: 1 });
    let rename = PeopleChange::Name { account: id("ben"), name: "Benno".into() };
    town.ok("root", Body::ImportPart { import: id("i2"), part: 0, changes: vec![rename] });
    town.ok("tina", Body::ExamPlan { exam: id("e1"), plan: exam("M", "2026-11-30", (1, 2), &["5a"]) });
    town.plan("t1", "2026-08-01", Vec::new());
    town.ok("root", Body::TimetablePart { import: id("t2"), part: 0, items: Vec::new() });
    town
}

/// One of each kind, which is right in all but who does it.
fn examples() -> Vec<Body> {
    vec![
        Body::SchoolName { name: "Ostschule".into() },
        Town::account("new", Role::Pupil),
        Body::AccountPassword { account: id("ben"), password: HASH.into() },
        Body::AccountLock { account: id("ben"), locked: true },
        Body::ImportPart { import: id("i3"), part: 0, changes: Vec::new() },
        Body::ImportApply { import: id("i2"), parts: 1 },
        Body::ImportUndo { import: id("i1") },
        Body::GroupCreate { group: id("9z"), name: "9z".into(), kind: GroupKind::Class },
        Body::GroupMembers { group: id("5a"), add: ids(&["carl"]), remove: vec![] },
        Body::RoomCreate { room: id("neu"), name: "Neu".into(), members: vec![] },
        Body::RoomMembers { room: id("free"), add: ids(&["ben"]), remove: vec![] },
        Body::RoomDirect { with: id("ben") },
        Body::post(id("5a"), "hi"),
        Body::ReadMark { room: id("5a"), upto: LogIndex(1) },
        Body::ConferenceOpen { conference: id("c2"), room: id("5a"), title: "Bio".into(), expected: None },
        Body::ConferenceClose { conference: id("c1") },
        Body::ExamRules { rules: Rules::default() },
        Body::ExamPlan { exam: id("e2"), plan: exam("D", "2026-12-01", (1, 2), &["5a"]) },
        Body::ExamChange { exam: id("e1"), plan: exam("M", "2026-12-01", (1, 2), &["5a"]) },
        Body::ExamCancel { exam: id("e1") },
        Body::TimetableSettings { settings: Settings::default() },
        Body::TimetablePart { import: id("t3"), part: 0, items: Vec::new() },
        Body::TimetableApply { import: id("t2"), parts: 1, scope: plan_from("2026-08-01") },
        Body::TimetableRemove { plan: id("t1") },
        Body::TimetableTeacher { short: "TIN".into(), account: Some(id("tina")) },
        Body::TimetableDay { day: Day::FIRST, text: "Wandertag".into() },
        Body::TimetableScreen { key: None },
        Body::TimetableWatch { on: true },
        Body::TimetableEdit { plan: id("t1"), remove: Vec::new(), add: Vec::new() },
        Body::TimetableChange { remove: Vec::new(), add: Vec::new() },
    ]
}

fn kind(body: &Body) -> String {
    let json = serde_json::to_value(body).unwrap();
    json["type"].as_str().unwrap().to_owned()
}

fn expected(cell: char) -> Result<(), Reject> {
    match cell {
        'Y' => Ok(()),
        'N' => Err(Reject::NotAllowed),
        'M' => Err(Reject::NotAMember),
        'W' => Err(Reject::MayNotWrite),
        other => panic!("{other} is no cell"),
    }
}

#[test]
fn everybody_may_exactly_what_the_matrix_says() {
    let town = town();
    for body in examples() {
        let kind = kind(&body);
        let (_, row) =
            MATRIX.iter().find(|(of, _)| *of == kind).unwrap_or_else(|| panic!("{kind} is not in the matrix"));
        let others = [Reject::AccountLocked, Reject::UnknownActor, Reject::PasswordFirst];
        let cells = row.chars().map(expected).chain(others.map(Err));
        for (actor, expected) in ACTORS.iter().zip(cells) {
            let done = town.clone().act(actor, body.clone()).map(drop);
            assert_eq!(done, expected, "{kind} by {actor}");
        }
    }
}

#[test]
fn the_matrix_has_every_kind_of_operation() {
    // The compiler's list: an unknown kind names all that there are.
    let error = serde_json::from_str::<Body>(r#"{"type":"?"}"#).unwrap_err().to_string();
    let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    let listed: BTreeSet<&str> = MATRIX.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(known, listed, "{error}");
    assert_eq!(examples().iter().map(kind).collect::<BTreeSet<_>>().len(), MATRIX.len());
}
