mod by_hand;
mod changes;

pub use changes::substitution;

use super::{Town, id};
use crate::{
    Body, GroupKind, Reject, Role,
    timetable::{Item, LESSONS_MAX, Lesson, Scope, Settings, Weeks},
    view::{
        self,
        timetable::{WeekView, Whose},
    },
};
use schulhof_wire::Day;

const MONDAY: &str = "2026-11-30";

pub fn day(text: &str) -> Day {
    text.parse().unwrap()
}

pub fn plan_from(from: &str) -> Scope {
    Scope::Plan { from: day(from), until: None }
}

/// `1.3 5a MUE M 101`: Monday's third period; `-` for none.
pub fn lesson(text: &str) -> Lesson {
    let fields: Vec<&str> = text.split(' ').collect();
    let (weekday, period) = fields[0].split_once('.').unwrap();
    let list = |n: usize| match fields[n] {
        "-" => Vec::new(),
        names => names.split('~').map(str::to_owned).collect(),
    };
    Lesson {
        day: weekday.parse().unwrap(),
        period: period.parse().unwrap(),
        number: 0,
        classes: list(1),
        teachers: list(2),
        subject: fields[3].into(),
        rooms: list(4),
        weeks: Weeks::All,
        from: None,
        until: None,
    }
}

impl Town {
    pub fn plan(&mut self, name: &str, from: &str, lessons: Vec<Lesson>) {
        let items = lessons.into_iter().map(Item::Lesson).collect();
        self.ok("root", Body::TimetablePart { import: id(name), part: 0, items });
        self.ok("root", Body::TimetableApply { import: id(name), parts: 1, scope: plan_from(from) });
    }

    fn week(&self, viewer: &str, whose: &Whose, of: &str) -> WeekView {
        view::timetable::week(&self.store, &id(viewer), whose, day(of)).unwrap()
    }

    fn settings(&mut self, settings: Settings) {
        self.ok("root", Body::TimetableSettings { settings });
    }
}

/// `1.3 M MUE 101` of each lesson.
fn shown(week: &WeekView) -> Vec<String> {
    let line = |day: Day, lesson: &view::timetable::LessonView| {
        let teachers = lesson.teachers.join("~");
        format!("{}.{} {} {} {}", day.weekday(), lesson.period, lesson.subject, teachers, lesson.rooms.join("~"))
    };
    week.days.iter().flat_map(|of| of.lessons.iter().map(move |lesson| line(of.day, lesson))).collect()
}

fn lessons() -> Vec<Lesson> {
    vec![
        lesson("1.1 5a TIN M 101"),
        lesson("1.2 5a~5b TOM Sport Halle"),
        lesson("3.1 05B TIN M 102"),
        lesson("6.1 5a TOM AG 101"),
        lesson("2.5 - TIN Konf L"),
    ]
}

fn town() -> Town {
    let mut town = Town::new();
    town.plan("t1", "2026-08-01", lessons());
    town
}

#[test]
fn everybody_sees_the_own_week_and_pupils_no_teachers() {
    let mut town = town();
    let anna = town.week("anna", &Whose::Own, MONDAY);
    assert_eq!(shown(&anna), ["1.1 M  101", "1.2 Sport  Halle", "6.1 AG  101"]);
    assert_eq!((anna.names.as_slice(), anna.days.len()), (&["Klasse 5a".to_owned()][..], 6));
    assert_eq!(shown(&town.week("carl", &Whose::Own, "2026-12-02")), ["1.2 Sport  Halle", "3.1 M  102"]);
    // Tina has not said yet which short name is hers.
    assert!(town.week("tina", &Whose::Own, MONDAY).names.is_empty());
    town.ok("tina", Body::TimetableTeacher { short: "TIN".into(), account: Some(id("tina")) });
    let tina = town.week("tina", &Whose::Own, MONDAY);
    assert_eq!(shown(&tina), ["1.1 M Tina 101", "2.5 Konf Tina L", "3.1 M Tina 102"]);
    town.settings(Settings { teachers_hidden: false, ..Settings::default() });
    assert_eq!(shown(&town.week("anna", &Whose::Own, MONDAY))[..2], ["1.1 M Tina 101", "1.2 Sport TOM Halle"]);
}

#[test]
fn staff_see_all_and_pupils_their_own_class_only() {
    let town = town();
    let class = |name: &str| Whose::Class(name.into());
    assert_eq!(shown(&town.week("tom", &class("Klasse 5b"), MONDAY)), ["1.2 Sport TOM Halle", "3.1 M TIN 102"]);
    assert_eq!(shown(&town.week("tom", &Whose::Room("101".into()), MONDAY)), ["1.1 M TIN 101", "6.1 AG TOM 101"]);
    assert_eq!(
        shown(&town.week("root", &Whose::Teacher("TOM".into()), MONDAY)),
        ["1.2 Sport TOM Halle", "6.1 AG TOM 101"]
    );
    assert_eq!(shown(&town.week("anna", &class("5A"), MONDAY)).len(), 3);
    for whose in [class("5b"), Whose::Teacher("TIN".into()), Whose::Room("101".into())] {
        let refused = view::timetable::week(&town.store, &id("anna"), &whose, day(MONDAY));
        assert_eq!(refused, Err(Reject::NotAllowed), "{whose:?}");
    }
    let all = view::timetable::timetable(&town.store, &id("tom"), day(MONDAY)).unwrap();
    assert_eq!((all.classes.join(" "), all.rooms.join(" ")), ("5a 5b".into(), "101 102 Halle L".into()));
    assert_eq!(all.teachers.iter().map(|teacher| teacher.short.as_str()).collect::<Vec<_>>(), ["TIN", "TOM"]);
    assert!(all.plans.is_empty() && !all.may_manage);
    let anna = view::timetable::timetable(&town.store, &id("anna"), day(MONDAY)).unwrap();
    assert!(anna.classes.is_empty() && anna.teachers.is_empty() && anna.rooms.is_empty());
}

#[test]
fn a_plan_lies_over_the_one_before_and_taking_it_away_restores_that() {
    let mut town = town();
    let before = town.store.clone();
    town.plan("t2", "2026-12-02", vec![lesson("1.1 5a TIN D 101"), lesson("3.1 5a TIN D 101")]);
    // The week in which the new one begins is half and half.
    assert_eq!(shown(&town.week("anna", &Whose::Own, MONDAY)), ["1.1 M  101", "1.2 Sport  Halle", "3.1 D  101"]);
    assert_eq!(shown(&town.week("anna", &Whose::Own, "2026-12-08")), ["1.1 D  101", "3.1 D  101"]);
    let plans = view::timetable::timetable(&town.store, &id("root"), day(MONDAY)).unwrap().plans;
    let plans: Vec<_> = plans.iter().map(|plan| (plan.plan.as_str(), plan.lessons, plan.by_name.as_str())).collect();
    assert_eq!(plans, [("t2", 2, "Root"), ("t1", 5, "Root")]);
    town.ok("root", Body::TimetableRemove { plan: id("t2") });
    let content = |kv: &crate::MemoryKv| -> Vec<_> {
        kv.0.iter().filter(|(key, _)| key[0] == b'T').map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    assert_eq!(content(&town.store), content(&before));
    town.forbidden("root", Body::TimetableRemove { plan: id("t2") }, Reject::UnknownPlan);
}

#[test]
fn lessons_of_a_and_b_weeks_and_of_a_time_are_held_then_only() {
    let mut town = Town::new();
    let mut all = [lesson("1.1 5a - A 1"), lesson("1.2 5a - B 1"), lesson("1.3 5a - Dez 1")];
    (all[0].weeks, all[1].weeks) = (Weeks::A, Weeks::B);
    (all[2].from, all[2].until) = (Some(day("2026-12-01")), Some(day("2026-12-31")));
    town.plan("t1", "2026-08-01", all.to_vec());
    // Without a first A week both are shown, as nobody can tell.
    assert_eq!(shown(&town.week("anna", &Whose::Own, MONDAY)), ["1.1 A  1", "1.2 B  1"]);
    town.settings(Settings { week_a: Some(day(MONDAY)), ..Settings::default() });
    let first = town.week("anna", &Whose::Own, MONDAY);
    assert_eq!((shown(&first), first.week), (vec!["1.1 A  1".to_owned()], Some(Weeks::A)));
    assert_eq!(shown(&town.week("anna", &Whose::Own, "2026-12-09")), ["1.2 B  1", "1.3 Dez  1"]);
}

#[test]
fn a_short_name_belongs_to_one_teacher_who_has_one() {
    let mut town = town();
    let call =
        |short: &str, account: Option<&str>| Body::TimetableTeacher { short: short.into(), account: account.map(id) };
    town.ok("tina", call("TIN", Some("tina")));
    town.forbidden("tom", call("TIN", Some("tom")), Reject::ShortTaken);
    town.forbidden("tom", call("TIN", None), Reject::ShortTaken);
    town.forbidden("tom", call("TOM", Some("tina")), Reject::NotAllowed);
    town.forbidden("anna", call("ANN", Some("anna")), Reject::NotAllowed);
    town.forbidden("root", call("ANN", Some("anna")), Reject::NotAllowed);
    town.forbidden("root", call("X", Some("nobody")), Reject::UnknownAccount);
    town.forbidden("root", call("", Some("tom")), Reject::BadTimetable);
    town.ok("tina", call("TI", Some("tina")));
    let shorts = |town: &Town| view::timetable::timetable(&town.store, &id("root"), day(MONDAY)).unwrap().teachers;
    let called: Vec<_> =
        shorts(&town).into_iter().filter(|teacher| teacher.account.is_some()).map(|t| t.short).collect();
    assert_eq!(called, ["TI"]);
    town.ok("root", call("TI", Some("tom")));
    town.ok("tom", call("TI", None));
    assert!(shorts(&town).iter().all(|teacher| teacher.account.is_none()));
}

#[test]
fn what_is_out_of_bounds_leaves_the_plan_as_it_was() {
    let mut town = town();
    let long = "x".repeat(65);
    let mut bad = vec![lesson("0.1 5a - M 1"), lesson("8.1 5a - M 1"), lesson("1.31 5a - M 1"), lesson("1.1 - - M -")];
    bad.extend([lesson("1.1 5a - M 1"), lesson("1.1 5a - M 1"), lesson("1.1 5a - M 1"), lesson("1.1 5a - M 1")]);
    bad[4].classes = vec![long.clone()];
    bad[5].subject = long;
    bad[6].rooms = vec![" 1".into()];
    bad[7].teachers = (0..61).map(|n| n.to_string()).collect();
    for bad in bad {
        town.ok("root", Body::TimetablePart { import: id("t2"), part: 0, items: vec![Item::Lesson(bad)] });
        let apply = Body::TimetableApply { import: id("t2"), parts: 1, scope: plan_from(MONDAY) };
        town.forbidden("root", apply, Reject::BadTimetable);
    }
    let apply = |name: &str, parts, scope| Body::TimetableApply { import: id(name), parts, scope };
    town.forbidden("root", apply("t2", 2, plan_from(MONDAY)), Reject::BadImport);
    town.forbidden("root", apply("t3", 1, plan_from(MONDAY)), Reject::BadImport);
    let ends_before = Scope::Plan { from: day(MONDAY), until: Some(day("2026-11-29")) };
    town.forbidden("root", apply("t2", 1, ends_before), Reject::BadTimetable);
    town.ok("root", Body::TimetablePart { import: id("t1"), part: 0, items: vec![] });
    town.forbidden("root", apply("t1", 1, plan_from(MONDAY)), Reject::IdTaken);
}

#[test]
fn plans_and_their_lessons_are_bounded() {
    let mut town = Town::new();
    for n in 0..10 {
        town.plan(&format!("t{n}"), MONDAY, lessons());
    }
    let plans = view::timetable::timetable(&town.store, &id("root"), day(MONDAY)).unwrap().plans;
    assert_eq!(plans.len(), crate::effect::timetable::PLANS_MAX);
    let part = |n: usize| {
        (0..1_000).map(|k| Item::Lesson(Lesson { number: (n * 1_000 + k) as u32, ..lesson("1.1 5a - M 1") })).collect()
    };
    for n in 0..=LESSONS_MAX / 1_000 {
        town.ok("root", Body::TimetablePart { import: id("big"), part: n as u32, items: part(n) });
    }
    let parts = LESSONS_MAX as u32 / 1_000 + 1;
    town.forbidden(
        "root",
        Body::TimetableApply { import: id("big"), parts, scope: plan_from(MONDAY) },
        Reject::BadTimetable,
    );
}

#[test]
fn a_course_that_is_called_like_a_class_of_the_plan_is_in_its_pupils_weeks() {
    let mut town = town();
    town.ok("root", Body::GroupCreate { group: id("chor"), name: "Chor".into(), kind: GroupKind::Course });
    town.ok("root", Body::GroupMembers { group: id("chor"), add: vec![id("anna")], remove: vec![] });
    town.plan("t2", MONDAY, vec![lesson("4.7 CHOR TOM Mu Aula"), lesson("4.8 5a TOM Mu Aula")]);
    let week = town.week("anna", &Whose::Own, MONDAY);
    assert_eq!(shown(&week), ["4.7 Mu  Aula", "4.8 Mu  Aula"]);
    assert_eq!(week.names, ["Klasse 5a"]);
    town.ok("operator", Town::account("neu", Role::Pupil));
    assert!(!town.week("neu", &Whose::Own, MONDAY).days.iter().any(|day| !day.lessons.is_empty()));
}
