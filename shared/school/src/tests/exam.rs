use super::{Town, id, ids};
use crate::{
    Body, GroupKind, Reject,
    exam::{Blocked, Exam, Kind, Over, Rules, WEEK_MAX},
    view::{
        self,
        exam::{DayLoad, ExamsView},
    },
};
use schulhof_wire::Day;

const MONDAY: &str = "2026-11-30";
const TUESDAY: &str = "2026-12-01";

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

pub fn exam(subject: &str, on: &str, periods: (u8, u8), groups: &[&str]) -> Exam {
    let groups = groups.iter().map(|group| id(group)).collect();
    Exam {
        kind: Kind::Written,
        subject: subject.into(),
        day: day(on),
        from: periods.0,
        to: periods.1,
        groups,
        room: String::new(),
    }
}

fn plan(name: &str, exam: Exam) -> Body {
    Body::ExamPlan { exam: id(name), plan: exam }
}

fn change(name: &str, exam: Exam) -> Body {
    Body::ExamChange { exam: id(name), plan: exam }
}

/// `5a` with anna and ben, `5b` with carl, tina in both; a course of anna and carl with tom.
fn town(over: Over) -> Town {
    let mut town = Town::new();
    town.ok("root", Body::GroupCreate { group: id("latin"), name: "Latein".into(), kind: GroupKind::Course });
    town.ok("root", Body::GroupMembers { group: id("latin"), add: ids(&["tom", "anna", "carl"]), remove: vec![] });
    town.ok("root", Body::ExamRules { rules: Rules { over, ..Rules::default() } });
    town
}

fn seen(town: &Town, viewer: &str) -> ExamsView {
    view::exam::exams(&town.store, &id(viewer), (day(MONDAY), day("2026-12-31"))).unwrap()
}

fn subjects(town: &Town, viewer: &str) -> Vec<String> {
    seen(town, viewer).exams.into_iter().map(|exam| exam.subject).collect()
}

fn load(town: &Town, groups: &[&str]) -> Vec<DayLoad> {
    let groups: Vec<_> = groups.iter().map(|group| id(group)).collect();
    view::exam::load(&town.store, &id("tina"), &groups, Kind::Written, (day(MONDAY), day("2026-12-04")), None).unwrap()
}

#[test]
fn an_exam_is_seen_by_those_who_write_it_and_by_staff_in_order() {
    let mut town = town(Over::Warn);
    town.ok("tina", plan("e2", exam("Mathe", TUESDAY, (1, 2), &["5a"])));
    town.ok("tina", plan("e1", exam("Deutsch", MONDAY, (3, 4), &["5a", "5b"])));
    town.ok("tina", plan("e3", exam("Bio", MONDAY, (1, 1), &["5b"])));
    assert_eq!(subjects(&town, "anna"), ["Deutsch", "Mathe"]);
    assert_eq!(subjects(&town, "carl"), ["Bio", "Deutsch"]);
    assert_eq!(subjects(&town, "tom"), ["Bio", "Deutsch", "Mathe"]);
    let anna = seen(&town, "anna");
    assert_eq!(anna.exams[0].group_names, ["Klasse 5a", "Klasse 5b"]);
    assert!(anna.exams.iter().all(|exam| exam.by_name.is_empty() && !exam.may_change) && anna.groups.is_empty());
    let tina = seen(&town, "tina");
    assert!(tina.exams.iter().all(|exam| exam.by_name == "Tina" && exam.may_change));
    assert_eq!((tina.groups.len(), seen(&town, "root").groups.len()), (2, 3));
}

#[test]
fn the_second_on_a_day_and_the_fourth_in_a_week_are_refused() {
    let mut town = town(Over::Refuse);
    for (n, on) in [MONDAY, TUESDAY, "2026-12-02"].iter().enumerate() {
        town.ok("tina", plan(&format!("e{n}"), exam("M", on, (1, 2), &["5a"])));
    }
    town.forbidden("tina", plan("x", exam("D", MONDAY, (5, 6), &["5a"])), Reject::ExamDayFull);
    town.forbidden("tina", plan("x", exam("D", "2026-12-04", (5, 6), &["5a"])), Reject::ExamWeekFull);
    town.ok("tina", plan("next", exam("D", "2026-12-07", (5, 6), &["5a"])));
    // What does not count is not counted, but two at the same time are still two.
    let oral = Exam { kind: Kind::Oral, ..exam("D", MONDAY, (5, 6), &["5a"]) };
    town.ok("tina", plan("oral", oral.clone()));
    town.forbidden("tina", plan("x", Exam { from: 6, to: 7, ..oral }), Reject::ExamClash);
}

#[test]
fn a_pupil_counts_over_all_classes_and_courses() {
    let mut town = town(Over::Refuse);
    town.ok("tina", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])));
    // The course has none on this day, but anna is in the class.
    town.forbidden("tom", plan("e2", exam("La", MONDAY, (5, 6), &["latin"])), Reject::ExamDayFull);
    town.ok("tom", plan("e2", exam("La", TUESDAY, (5, 6), &["latin"])));
    // Anna and carl write latin on Tuesday: neither class can, although none has an exam of its own.
    town.forbidden("tina", plan("e3", exam("D", TUESDAY, (1, 2), &["5b"])), Reject::ExamDayFull);
    town.ok("root", Body::AccountLock { account: id("carl"), locked: true });
    town.ok("tina", plan("e3", exam("D", TUESDAY, (1, 2), &["5b"])));
}

#[test]
fn the_load_says_for_each_school_day_what_stands_against_it() {
    let mut town = town(Over::Warn);
    town.ok("tina", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])));
    town.ok("tom", plan("e2", exam("La", TUESDAY, (5, 6), &["latin"])));
    let blocked = vec![Blocked { from: day("2026-12-03"), until: day("2026-12-03"), why: "Ausflug".into() }];
    town.ok("root", Body::ExamRules { rules: Rules { blocked, ..Rules::default() } });
    let days = load(&town, &["5a"]);
    let told: Vec<_> = days.iter().map(|day| (day.on_day, day.in_week, day.over, day.pupils)).collect();
    // Of anna, who is in the course too: two in the week.
    assert_eq!(told, [(1, 2, true, 2), (1, 2, true, 1), (0, 2, false, 0), (0, 2, false, 0), (0, 2, false, 0)]);
    assert_eq!(days[0].exams, [id("e1")]);
    assert_eq!(days[3].blocked.as_deref(), Some("Ausflug"));
    town.forbidden("tina", plan("e3", exam("D", "2026-12-03", (1, 2), &["5a"])), Reject::ExamBlocked);
    town.ok("tina", plan("e3", exam("D", MONDAY, (3, 4), &["5a"])));
    assert!(
        view::exam::load(&town.store, &id("anna"), &[id("5a")], Kind::Test, (day(MONDAY), day(TUESDAY)), None).is_err()
    );
}

#[test]
fn moving_leaves_its_old_place_and_a_cancelled_one_is_gone() {
    let mut town = town(Over::Refuse);
    town.ok("tina", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])));
    town.ok("tina", change("e1", exam("M", MONDAY, (2, 3), &["5a"])));
    town.ok("tina", change("e1", exam("M", TUESDAY, (2, 3), &["5a", "5b"])));
    assert_eq!(load(&town, &["5a"])[0].exams, []);
    assert_eq!(subjects(&town, "carl"), ["M"]);
    town.ok("tina", plan("e2", exam("D", MONDAY, (1, 2), &["5a"])));
    town.forbidden("tina", change("e1", exam("M", MONDAY, (5, 6), &["5a"])), Reject::ExamDayFull);
    town.ok("tina", Body::ExamCancel { exam: id("e1") });
    town.forbidden("tina", Body::ExamCancel { exam: id("e1") }, Reject::UnknownExam);
    assert_eq!(subjects(&town, "carl"), Vec::<String>::new());
}

#[test]
fn one_plans_for_own_classes_and_changes_own_exams_unless_one_may_more() {
    let mut town = town(Over::Warn);
    town.forbidden("tom", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])), Reject::NotAMember);
    town.forbidden("anna", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])), Reject::NotAllowed);
    town.ok("tina", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])));
    town.forbidden("tina", plan("e1", exam("M", MONDAY, (1, 2), &["5a"])), Reject::IdTaken);
    town.forbidden("tom", Body::ExamCancel { exam: id("e1") }, Reject::NotAllowed);
    town.ok("root", Body::ExamRules { rules: Rules { editors: ids(&["tom"]), ..Rules::default() } });
    town.ok("tom", change("e1", exam("M", TUESDAY, (1, 2), &["5a"])));
    assert_eq!(seen(&town, "root").exams[0].by_name, "Tina", "it stays hers");
    assert!(seen(&town, "tina").rules.editors.is_empty());
    town.forbidden(
        "root",
        Body::ExamRules { rules: Rules { editors: ids(&["anna"]), ..Rules::default() } },
        Reject::NotAllowed,
    );
}

#[test]
fn a_week_holds_only_so_many_whatever_the_school_allows() {
    let mut town = town(Over::Warn);
    for n in 0..WEEK_MAX {
        town.ok("tina", plan(&format!("e{n}"), exam("M", MONDAY, (1, 2), &["5a"])));
    }
    town.forbidden("tina", plan("x", exam("M", "2026-12-04", (1, 2), &["5a"])), Reject::ExamWeekFull);
    town.ok("tina", plan("x", exam("M", "2026-12-07", (1, 2), &["5a"])));
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let mut town = town(Over::Warn);
    let good = exam("M", MONDAY, (1, 2), &["5a"]);
    for bad in [
        Exam { subject: " ".into(), ..good.clone() },
        Exam { subject: "x".repeat(81), ..good.clone() },
        Exam { room: "a\nb".into(), ..good.clone() },
        Exam { from: 3, ..good.clone() },
        Exam { to: 31, ..good.clone() },
        Exam { groups: vec![], ..good.clone() },
        Exam { groups: vec![id("5a"), id("5a")], ..good.clone() },
    ] {
        town.forbidden("tina", plan("x", bad), Reject::BadExam);
    }
    town.forbidden("root", plan("x", Exam { groups: vec![id("no")], ..good }), Reject::UnknownGroup);
    for rules in [
        Rules { day_max: Some(0), ..Rules::default() },
        Rules {
            blocked: vec![Blocked { from: day(TUESDAY), until: day(MONDAY), why: String::new() }],
            ..Rules::default()
        },
    ] {
        town.forbidden("root", Body::ExamRules { rules }, Reject::BadExam);
    }
}
