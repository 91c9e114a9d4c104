use super::{MONDAY, day, lesson, shown, substitution};
use crate::{
    Body, Reject,
    tests::{Town, id},
    timetable::{Item, Scope, changes::Kind, duties::Duty},
    view::{self, timetable::Whose},
};

fn duty(text: &str) -> Duty {
    let fields: Vec<&str> = text.split(' ').collect();
    let (weekday, before) = fields[0].split_once('.').unwrap();
    Duty {
        day: weekday.parse().unwrap(),
        before: before.parse().unwrap(),
        teacher: fields[1].into(),
        area: fields[2].into(),
    }
}

fn town() -> Town {
    let mut town = Town::new();
    town.plan("t1", "2026-08-01", vec![lesson("1.1 5a TIN M 101"), lesson("1.2 5a TOM D 101")]);
    town.ok("tina", Body::TimetableTeacher { short: "TIN".into(), account: Some(id("tina")) });
    town
}

#[test]
fn a_plan_is_changed_lesson_by_lesson() {
    let mut town = town();
    let edit = |remove: &[&str], add: &[&str]| {
        let all = |texts: &[&str]| texts.iter().map(|text| lesson(text)).collect();
        Body::TimetableEdit { plan: id("t1"), remove: all(remove), add: all(add) }
    };
    town.ok("root", edit(&["1.1 5a TIN M 101"], &["1.1 5a TIN M 102", "2.1 5b TIN E 103"]));
    let week = |town: &Town, viewer: &str| {
        shown(&view::timetable::week(&town.store, &id(viewer), &Whose::Own, day(MONDAY)).unwrap())
    };
    assert_eq!(week(&town, "anna"), ["1.1 M  102", "1.2 D  101"]);
    assert_eq!((week(&town, "carl"), week(&town, "tina").len()), (vec!["2.1 E  103".to_owned()], 2));
    // Taking away what is gone already is no error, and a class without lessons has none.
    town.ok("root", edit(&["1.1 5a TIN M 101", "2.1 5b TIN E 103"], &[]));
    assert!(week(&town, "carl").is_empty());
    let plans = view::timetable::timetable(&town.store, &id("root"), day(MONDAY)).unwrap().plans;
    assert_eq!((plans.len(), plans[0].lessons), (1, 2));
    town.forbidden("root", edit(&[], &["9.1 5a TIN M 102"]), Reject::BadTimetable);
    let other = Body::TimetableEdit { plan: id("t9"), remove: vec![], add: vec![] };
    town.forbidden("root", other, Reject::UnknownPlan);
}

#[test]
fn who_manages_sees_what_can_be_changed_and_nobody_else_does() {
    let mut town = town();
    town.ok("root", Body::TimetableChange { remove: vec![], add: vec![substitution("2026-11-30 1 5a TIN M 101")] });
    let class = Whose::Class("5a".into());
    let seen = |viewer: &str| view::timetable::week(&town.store, &id(viewer), &class, day(MONDAY)).unwrap();
    let root = seen("root");
    assert_eq!((root.plan, &root.days[0].lessons[0].source), (Some(id("t1")), &Some(lesson("1.1 5a TIN M 101"))));
    assert!(root.days[0].lessons[0].changes[0].source.is_some());
    for viewer in ["tina", "anna"] {
        let week = seen(viewer);
        assert!(
            week.plan.is_none() && week.days.iter().flat_map(|day| &day.lessons).all(|lesson| lesson.source.is_none())
        );
        assert!(week.days[0].lessons[0].changes[0].source.is_none(), "it names teachers");
    }
    // Classes of the school can be planned before they have a lesson.
    assert_eq!(view::timetable::timetable(&town.store, &id("root"), day(MONDAY)).unwrap().classes, ["5a", "Klasse 5b"]);
}

#[test]
fn a_single_substitution_comes_and_goes_without_the_others() {
    let mut town = town();
    let (first, second) = (substitution("2026-11-30 1 5a TIN M 101"), substitution("2026-11-30 2 5a TOM D 101"));
    let change = |remove: &[&_], add: &[&_]| {
        let all = |changes: &[&crate::timetable::changes::Substitution]| {
            changes.iter().map(|change| (*change).clone()).collect()
        };
        Body::TimetableChange { remove: all(remove), add: all(add) }
    };
    town.ok("root", change(&[], &[&first, &second]));
    let room =
        crate::timetable::changes::Substitution { kind: Kind::Room, new_rooms: vec!["204".into()], ..first.clone() };
    town.ok("root", change(&[&first], &[&room]));
    let day_of = |town: &Town| {
        view::timetable::week(&town.store, &id("anna"), &Whose::Own, day(MONDAY)).unwrap().days.remove(0).lessons
    };
    assert_eq!((day_of(&town)[0].changes[0].kind, day_of(&town)[1].changes[0].kind), (Kind::Room, Kind::Cancelled));
    town.ok("root", change(&[&room, &second], &[]));
    assert!(day_of(&town).iter().all(|lesson| lesson.changes.is_empty()));
    let bad = crate::timetable::changes::Substitution { period: 31, ..first };
    town.forbidden("root", change(&[], &[&bad]), Reject::BadTimetable);
}

#[test]
fn break_duties_stand_in_the_weeks_of_those_who_have_them() {
    let mut town = town();
    let items = |texts: &[&str]| texts.iter().map(|text| Item::Duty(duty(text))).collect();
    let part = |texts: &[&str]| Body::TimetablePart { import: id("d"), part: 0, items: items(texts) };
    let apply = Body::TimetableApply { import: id("d"), parts: 1, scope: Scope::Duties };
    town.ok("root", part(&["1.3 TIN Hof", "1.3 TOM Flur", "2.5 TIN Hof"]));
    town.ok("root", apply.clone());
    let duties = |town: &Town, viewer: &str, whose: &Whose| -> Vec<String> {
        let week = view::timetable::week(&town.store, &id(viewer), whose, day(MONDAY)).unwrap();
        week.days.iter().flat_map(|of| of.duties.iter().map(|duty| format!("{} {}", duty.before, duty.area))).collect()
    };
    assert_eq!(duties(&town, "tina", &Whose::Own), ["3 Hof", "5 Hof"]);
    assert_eq!(duties(&town, "tina", &Whose::Teacher("TOM".into())), ["3 Flur"]);
    assert!(duties(&town, "anna", &Whose::Own).is_empty());
    town.ok("root", part(&["1.3 TIN Aula"]));
    town.ok("root", apply.clone());
    assert_eq!(duties(&town, "tina", &Whose::Own), ["3 Aula"]);
    town.ok("root", part(&["8.3 TIN Aula"]));
    town.forbidden("root", apply.clone(), Reject::BadTimetable);
    let items = vec![Item::Lesson(lesson("1.1 5a TIN M 101"))];
    town.ok("root", Body::TimetablePart { import: id("d"), part: 0, items });
    town.forbidden("root", apply, Reject::BadTimetable);
}

#[test]
fn the_folder_is_watched_in_the_name_of_who_says_so() {
    let mut town = town();
    assert_eq!(view::timetable::watcher(&town.store), None);
    town.ok("root", Body::TimetableWatch { on: true });
    assert_eq!(view::timetable::watcher(&town.store), Some(id("root")));
    let seen = |town: &Town, viewer: &str| {
        view::timetable::timetable(&town.store, &id(viewer), day(MONDAY)).unwrap().watched_by
    };
    assert_eq!((seen(&town, "root"), seen(&town, "tina")), (Some("Root".into()), None));
    town.ok("root", Body::TimetableWatch { on: false });
    assert_eq!(view::timetable::watcher(&town.store), None);
    assert_eq!(view::timetable::next_plan(&town.store, day("2026-07-01")), Some(day("2026-08-01")));
    assert_eq!(view::timetable::next_plan(&town.store, day("2026-08-01")), None);
}
