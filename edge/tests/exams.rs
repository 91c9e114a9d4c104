//! The exam plan over HTTP, and two who take the last place on different ways to the core.

mod support;

use schulhof_edge::live::LiveEvent;
use schulhof_school::{
    Body,
    exam::{Exam, Kind, Over, Rules},
    view::exam::{DayLoad, ExamsView},
};
use schulhof_wire::{Day, LogIndex, api::SubmitState, live::Event};
use serde_json::json;
use support::{
    Nord,
    browser::{Browser, listen},
    id,
};

const SPAN: &str = "from=2026-11-30&until=2026-12-04";

fn exam(subject: &str, day: &str) -> Exam {
    Exam {
        kind: Kind::Written,
        subject: subject.into(),
        day: day.parse::<Day>().unwrap(),
        from: 1,
        to: 2,
        groups: vec![id("7a")],
        room: String::new(),
    }
}

/// At most one on a day, and no more.
fn strict(nord: &Nord) {
    nord.log.lock().operate(Body::ExamRules { rules: Rules { over: Over::Refuse, ..Rules::default() } });
}

fn subjects(view: &ExamsView) -> Vec<&str> {
    view.exams.iter().map(|exam| exam.subject.as_str()).collect()
}

#[tokio::test]
async fn of_two_who_take_the_last_place_on_different_ways_one_is_told_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let before = nord.log.lock().head();
    strict(&nord);
    nord.deliver_after(before).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let mut events = weber.events(addr, "").await;
    // The box cannot know better: on it the day is free.
    let plan = json!({"type": "exam.plan", "exam": "e1", "plan": exam("Mathe", "2026-12-01")});
    assert_eq!(weber.operate(plan).await.results[0].state, SubmitState::Saved);
    assert_eq!(subjects(&weber.get(&format!("/api/exams?{SPAN}")).await.ok()), ["Mathe"]);
    // Over a gateway somebody else was there first.
    let other = Body::ExamPlan { exam: id("e2"), plan: exam("Deutsch", "2026-12-01") };
    assert_eq!(nord.log.lock().act("amt", "elsewhere", 1, other).rejected, None);
    let before = LogIndex(nord.log.lock().head().0 - 1);
    nord.deliver_after(before).await;
    nord.pump().await;
    let rejected = |event: &LiveEvent| match event {
        Event::Rejected { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(events.until(rejected).await, "exam-day-full");
    assert_eq!(subjects(&weber.get(&format!("/api/exams?{SPAN}")).await.ok()), ["Deutsch"]);
}

#[tokio::test]
async fn a_change_of_the_plan_is_told_to_those_who_look_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let mut events = eva.events(addr, "").await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    weber.operate(json!({"type": "exam.plan", "exam": "e1", "plan": exam("Mathe", "2026-12-01")})).await;
    events.until(|event| matches!(event, Event::Exams { .. }).then_some(())).await;
    let seen: ExamsView = eva.get(&format!("/api/exams?{SPAN}")).await.ok();
    assert_eq!((subjects(&seen), seen.exams[0].by_name.as_str(), seen.exams[0].may_change), (vec!["Mathe"], "", false));
}

#[tokio::test]
async fn the_load_of_days_is_for_staff_and_says_what_is_wrong_with_a_question() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    weber.operate(json!({"type": "exam.plan", "exam": "e1", "plan": exam("Mathe", "2026-12-01")})).await;
    let path = |groups: &str, more: &str| format!("/api/exams/load?groups={groups}&kind=written&{SPAN}{more}");
    let days: Vec<DayLoad> = weber.get(&path("7a", "")).await.ok();
    let over: Vec<bool> = days.iter().map(|day| day.over).collect();
    assert_eq!(over, [false, true, false, false, false]);
    let days: Vec<DayLoad> = weber.get(&path("7a", "&except=e1")).await.ok();
    assert!(days.iter().all(|day| !day.over && day.exams.is_empty()), "to be moved it does not stand in its own way");
    eva.get(&path("7a", "")).await.refused(403, "not-allowed");
    weber.get(&path("none", "")).await.refused(404, "unknown-group");
    let many = (0..13).map(|n| format!("g{n}")).collect::<Vec<_>>().join(",");
    weber.get(&path(&many, "")).await.refused(422, "bad-exam");
    weber.get(&format!("/api/exams/load?groups=7a&kind=large&{SPAN}")).await.refused(400, "bad-query");
    weber.get("/api/exams?from=2026-11-31&until=2026-12-04").await.refused(400, "bad-query");
}
