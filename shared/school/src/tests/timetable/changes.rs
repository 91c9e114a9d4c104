use super::{MONDAY, day, lesson, plan_from};
use crate::{
    Body, Change, Reject,
    tests::{Town, id},
    timetable::{
        Item, Scope, Settings,
        changes::{Kind, PAST_DAYS, Substitution},
    },
    view::{
        self,
        timetable::{LessonView, ScreenView, Whose},
    },
};
use schulhof_wire::{AccountId, BlobHash, Day};

/// `2026-11-30 2 5a TIN M 101`: cancelled, unless something else is put in.
pub fn substitution(text: &str) -> Substitution {
    let fields: Vec<&str> = text.split(' ').collect();
    Substitution {
        day: day(fields[0]),
        period: fields[1].parse().unwrap(),
        number: 1,
        lesson: 0,
        kind: Kind::Cancelled,
        classes: fields[2].split('~').filter(|name| *name != "-").map(str::to_owned).collect(),
        absent: fields[3].into(),
        teacher: String::new(),
        subject: fields[4].into(),
        new_subject: String::new(),
        rooms: vec![fields[5].into()],
        new_rooms: Vec::new(),
        text: String::new(),
    }
}

impl Town {
    fn substitute(&mut self, from: &str, all: &[Substitution]) -> Vec<Change> {
        let items = all.iter().cloned().map(Item::Change).collect();
        self.ok("root", Body::TimetablePart { import: id("v"), part: 0, items });
        self.ok("root", Body::TimetableApply { import: id("v"), parts: 1, scope: Scope::Changes { from: day(from) } })
    }

    fn lessons(&self, viewer: &str, whose: &Whose, of: &str) -> Vec<LessonView> {
        let week = view::timetable::week(&self.store, &id(viewer), whose, day(of)).unwrap();
        week.days.into_iter().find(|found| found.day == day(of)).unwrap().lessons
    }

    fn screen(&self, secret: &str) -> Option<ScreenView> {
        view::timetable::screen(&self.store, secret, day(MONDAY))
    }
}

fn town() -> Town {
    let mut town = Town::new();
    let lessons = ["1.1 5a TIN M 101", "1.2 5a~5b TOM Sport Halle", "1.3 5a TIN kR 102", "1.3 5a TOM Eth 103"];
    town.plan("t1", "2026-08-01", lessons.map(lesson).to_vec());
    for (short, account) in [("TIN", "tina"), ("TOM", "tom")] {
        town.ok(account, Body::TimetableTeacher { short: short.into(), account: Some(id(account)) });
    }
    town
}

fn told(changes: &[Change]) -> Vec<(&str, Vec<Day>)> {
    let told = changes.iter().filter_map(|change| match change {
        Change::Substituted { account, days } => Some((account.as_str(), days.clone())),
        _ => None,
    });
    told.collect()
}

#[test]
fn each_sees_what_happens_to_the_own_lessons() {
    let mut town = town();
    let room =
        Substitution { kind: Kind::Room, new_rooms: vec!["204".into()], ..substitution("2026-11-30 3 5a TOM Eth 103") };
    let moved = Substitution {
        kind: Kind::MovedHere,
        text: "statt Dienstag".into(),
        ..substitution("2026-11-30 5 5b TIN D 102")
    };
    let instead =
        Substitution { kind: Kind::Substitution, teacher: "TOM".into(), ..substitution("2026-11-30 1 5a TIN M 101") };
    let sport = substitution("2026-11-30 2 5b TOM Sport Halle");
    town.substitute(MONDAY, &[room, moved, instead, sport]);

    let anna = town.lessons("anna", &Whose::Own, MONDAY);
    assert_eq!(anna.iter().map(|lesson| lesson.subject.as_str()).collect::<Vec<_>>(), ["M", "Sport", "kR", "Eth"]);
    assert_eq!((anna[0].changes[0].kind, &anna[0].changes[0].teacher), (Kind::Substitution, &None), "names are hidden");
    assert!(anna[1].changes.is_empty(), "sport is cancelled for the other class only");
    assert_eq!((anna[3].changes[0].kind, anna[3].changes[0].rooms.join("")), (Kind::Room, "204".into()));
    assert!(anna[2].changes.is_empty(), "beside it nothing changes");
    let carl = town.lessons("carl", &Whose::Own, MONDAY);
    assert_eq!(
        (carl[0].changes[0].held, carl[1].planned, carl[1].changes[0].text.as_str()),
        (false, false, "statt Dienstag")
    );

    let tina = town.lessons("tina", &Whose::Own, MONDAY);
    assert_eq!(tina[0].changes[0].teacher.as_deref(), Some("Tom"));
    assert_eq!((tina[2].subject.as_str(), tina[2].planned), ("D", false));
    // The substitute has a lesson more, and the room is taken.
    let tom = town.lessons("tom", &Whose::Own, MONDAY);
    assert_eq!((tom[0].subject.as_str(), tom[0].planned, tom[0].teachers.join("")), ("M", false, "Tom".into()));
    let taken = town.lessons("tom", &Whose::Room("204".into()), MONDAY);
    assert_eq!((taken.len(), taken[0].subject.as_str(), taken[0].planned), (1, "Eth", false));
    assert!(town.lessons("anna", &Whose::Own, "2026-12-07").iter().all(|lesson| lesson.changes.is_empty()));
}

#[test]
fn break_duties_are_for_staff_alone() {
    let mut town = town();
    let duty =
        Substitution { kind: Kind::BreakDuty, teacher: "TOM".into(), ..substitution("2026-11-30 3 5a TIN - Hof") };
    town.ok("operator", Body::TimetableScreen { key: Some(hash("lobby")) });
    town.substitute(MONDAY, &[duty]);
    assert!(town.lessons("anna", &Whose::Own, MONDAY).iter().all(|lesson| lesson.changes.is_empty()));
    assert!(town.screen("lobby").unwrap().days[0].rows.is_empty());
    assert_eq!(town.lessons("tom", &Whose::Own, MONDAY).iter().filter(|lesson| !lesson.planned).count(), 1);
}

#[test]
fn only_those_are_told_whom_a_difference_concerns() {
    let mut town = town();
    let (first, second) = (substitution("2026-11-30 1 5a TIN M 101"), substitution("2026-12-01 1 5b TOM D 102"));
    let both = [first.clone(), second.clone()];
    let (monday, tuesday) = (day("2026-11-30"), day("2026-12-01"));
    let expected = vec![
        ("anna", vec![monday]),
        ("ben", vec![monday]),
        ("carl", vec![tuesday]),
        ("tina", vec![monday]),
        ("tom", vec![tuesday]),
    ];
    assert_eq!(told(&town.substitute(MONDAY, &both)), expected);
    assert_eq!(told(&town.substitute(MONDAY, &both)), [], "the same again is nothing new");
    let later = Substitution { text: "Aufgaben".into(), ..second };
    assert_eq!(told(&town.substitute("2026-12-01", &[later])), [("carl", vec![tuesday]), ("tom", vec![tuesday])]);
    assert!(!town.lessons("anna", &Whose::Own, MONDAY)[0].changes.is_empty(), "days before the first stay");
    // Withdrawn.
    assert_eq!(told(&town.substitute(MONDAY, &[])).len(), 5);
    assert!(town.lessons("anna", &Whose::Own, MONDAY)[0].changes.is_empty());
}

#[test]
fn nobody_is_told_of_days_that_are_over_and_they_are_forgotten() {
    let mut town = town();
    // The operations of these tests are from 1970, so no day is over; this one's clock says otherwise.
    let past = substitution("2026-11-30 1 5a TIN M 101");
    town.substitute(MONDAY, std::slice::from_ref(&past));
    town.ok("root", Body::TimetableDay { day: day(MONDAY), text: "Wandertag".into() });
    town.substitute(&past.day.plus(PAST_DAYS).to_string(), &[]);
    assert!(!town.lessons("anna", &Whose::Own, MONDAY)[0].changes.is_empty());
    town.substitute(&past.day.plus(PAST_DAYS + 1).to_string(), &[]);
    let week = view::timetable::week(&town.store, &id("anna"), &Whose::Own, day(MONDAY)).unwrap();
    assert!(week.days[0].lessons[0].changes.is_empty() && week.days[0].text.is_empty());
    let items = vec![Item::Change(past)];
    town.ok("root", Body::TimetablePart { import: id("v"), part: 0, items });
    let scope = Scope::Changes { from: day(MONDAY) };
    let mut op = town.op("root", Body::TimetableApply { import: id("v"), parts: 1, scope });
    op.at = schulhof_wire::Hlc::from_ms(1_796_100_000_000);
    let crate::Applied::Entry { changes, .. } = town.apply(&op) else { panic!("a place") };
    assert_eq!(told(&changes), []);
    assert!(changes.contains(&Change::Timetable));
}

#[test]
fn lessons_and_substitutions_do_not_mix() {
    let mut town = town();
    let apply = |scope| Body::TimetableApply { import: id("x"), parts: 1, scope };
    town.ok(
        "root",
        Body::TimetablePart { import: id("x"), part: 0, items: vec![Item::Lesson(lesson("1.1 5a TIN M 101"))] },
    );
    town.forbidden("root", apply(Scope::Changes { from: day(MONDAY) }), Reject::BadTimetable);
    let items = vec![Item::Change(substitution("2026-11-30 1 5a TIN M 101"))];
    town.ok("root", Body::TimetablePart { import: id("x"), part: 0, items });
    town.forbidden("root", apply(plan_from(MONDAY)), Reject::BadTimetable);
    town.forbidden("root", apply(Scope::Changes { from: day("2026-12-01") }), Reject::BadTimetable);
}

fn hash(secret: &str) -> BlobHash {
    BlobHash(*blake3::hash(secret.as_bytes()).as_bytes())
}

#[test]
fn the_screen_shows_two_days_to_whoever_knows_the_secret_and_no_hidden_names() {
    let mut town = town();
    let moved =
        Substitution { kind: Kind::Substitution, teacher: "TOM".into(), ..substitution("2026-12-01 1 5a TIN M 101") };
    town.substitute(
        MONDAY,
        &[substitution("2026-11-30 2 5a TOM Sport Halle"), moved, substitution("2026-12-02 2 5a TOM D 1")],
    );
    town.ok("root", Body::TimetableDay { day: day("2026-12-01"), text: " Feueralarm um 10 Uhr ".into() });
    assert_eq!(town.screen("lobby"), None);
    town.ok("root", Body::TimetableScreen { key: Some(hash("lobby")) });
    assert_eq!(town.screen("other"), None);
    let screen = town.screen("lobby").unwrap();
    let days: Vec<_> =
        screen.days.iter().map(|shown| (shown.day.to_string(), shown.text.as_str(), shown.rows.len())).collect();
    assert_eq!(days, [(MONDAY.to_owned(), "", 1), ("2026-12-01".to_owned(), "Feueralarm um 10 Uhr", 1)]);
    assert_eq!((screen.school_name.as_str(), &screen.days[1].rows[0].change.teacher), ("Nordschule", &None));
    town.ok("root", Body::TimetableSettings { settings: Settings { teachers_hidden: false, ..Settings::default() } });
    assert_eq!(town.screen("lobby").unwrap().days[1].rows[0].change.teacher.as_deref(), Some("Tom"));
    // Renewed, the old address shows nothing any more.
    town.ok("root", Body::TimetableScreen { key: Some(hash("hall")) });
    assert!(town.screen("lobby").is_none() && town.screen("hall").is_some());
    town.ok("root", Body::TimetableScreen { key: None });
    assert_eq!(town.screen("hall"), None);
}

#[test]
fn a_days_text_is_for_everybody_until_it_is_emptied() {
    let mut town = town();
    let text = |town: &Town, viewer: &str| {
        let viewer: AccountId = id(viewer);
        view::timetable::week(&town.store, &viewer, &Whose::Own, day(MONDAY)).unwrap().days[0].text.clone()
    };
    town.ok("root", Body::TimetableDay { day: day(MONDAY), text: "Wandertag".into() });
    assert_eq!((text(&town, "anna"), text(&town, "tina")), ("Wandertag".into(), "Wandertag".into()));
    let long = Body::TimetableDay { day: day(MONDAY), text: "x".repeat(1_001) };
    town.forbidden("root", long, Reject::BadTimetable);
    town.ok("root", Body::TimetableDay { day: day(MONDAY), text: " ".into() });
    assert_eq!(text(&town, "anna"), "");
}
