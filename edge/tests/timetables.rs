//! Timetables over HTTP: read, applied, looked at, taken away.

mod support;

use schulhof_school::view::timetable::{TimetableView, WeekView};
use schulhof_wire::{
    api::SubmitState,
    timetable::{TimetableDraft, WatchView, WatchedState},
};
use serde_json::json;
use std::{path::Path, time::Duration};
use support::{Nord, browser::Browser};

const GPU001: &str = "12;7a;WEB;M;101;1;1;;\n13;7a~7b;KLE;Sp;Halle;1;2;;\n14;7b;WEB;D;102;2;1;;\n";
const WEEK: &str = "/api/timetable/week?week=2026-12-01";

async fn read(browser: &Browser, file: &str) -> TimetableDraft {
    browser.post_text("/api/timetable/imports?kind=plan&from=2026-11-30", file.to_owned()).await.ok()
}

async fn apply(browser: &Browser, draft: &TimetableDraft) {
    let answer = browser.post_text(&format!("/api/timetable/imports/{}/apply", draft.import), "").await;
    assert_eq!(answer.status.as_u16(), 204);
}

fn subjects(week: &WeekView) -> Vec<&str> {
    week.days.iter().flat_map(|day| day.lessons.iter().map(|lesson| lesson.subject.as_str())).collect()
}

#[tokio::test]
async fn a_file_becomes_everybodys_week_and_is_taken_away_again() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let draft = read(&amt, GPU001).await;
    assert_eq!((draft.entries, draft.added_count, draft.unknown_classes.as_slice()), (3, 3, &["7b".to_owned()][..]));
    let empty: WeekView = eva.get(WEEK).await.ok();
    assert!(!empty.planned && subjects(&empty).is_empty(), "nothing has happened yet");
    apply(&amt, &draft).await;
    let week: WeekView = eva.get(WEEK).await.ok();
    assert_eq!((subjects(&week), week.monday.to_string().as_str()), (vec!["M", "Sp"], "2026-11-30"));
    assert!(
        week.days.iter().flat_map(|day| &day.lessons).all(|lesson| lesson.teachers.is_empty()),
        "hidden from pupils"
    );
    let class: WeekView = amt.get(&format!("{WEEK}&of=class&name=7b")).await.ok();
    assert_eq!(subjects(&class), ["Sp", "D"]);
    assert_eq!(class.days[0].lessons[0].teachers, ["KLE"]);

    let again = read(&amt, GPU001).await;
    assert_eq!((again.added_count, again.removed_count), (0, 0));
    let all: TimetableView = amt.get("/api/timetable?week=2026-12-01").await.ok();
    assert_eq!((all.plans.len(), all.plans[0].by_name.as_str(), all.classes.join(" ")), (1, "Amt", "7a 7b".into()));
    let remove = json!({"device": "amt-9", "operations": [{"seq": 1, "at": 0, "body": {"type": "timetable.remove", "plan": all.plans[0].plan}}]});
    let done: schulhof_wire::api::SubmitAnswer = amt.post("/api/operations", &remove).await.ok();
    assert_eq!(done.results[0].state, SubmitState::Saved);
    assert!(subjects(&eva.get(WEEK).await.ok()).is_empty());
    // And all of it holds where it is ordered.
    nord.pump().await;
    assert!(nord.log.lock().entries.iter().all(|entry| entry.rejected.is_none()));
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let broken = read(&amt, &GPU001.replace("101;1;1", "101;Mo;1")).await;
    let problem = &broken.problems[0];
    assert_eq!(
        (problem.line, problem.column, problem.code.as_str(), problem.value.as_str()),
        (1, 6, "bad-number", "Mo")
    );
    let apply = format!("/api/timetable/imports/{}/apply", broken.import);
    amt.post_text(&apply, "").await.refused(404, "unknown-import");
    let path = |query: &str| format!("/api/timetable/imports?{query}");
    amt.post_text(&path("kind=plan&from=2026-11-30"), "x".repeat((4 << 20) + 1)).await.refused(413, "too-large");
    for query in [
        "kind=plan",
        "kind=plan&from=tomorrow",
        "kind=other&from=2026-11-30",
        "from=2026-11-30",
        "kind=plan&from=2026-11-30&x=1",
    ] {
        amt.post_text(&path(query), GPU001).await.refused(400, "bad-query");
    }
}

#[tokio::test]
async fn a_school_of_two_thousand_has_its_plan_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let row = |n: usize| {
        format!(
            "{n};{}{};T{};F{};R{};{};{};;\n",
            5 + n % 8,
            ["a", "b", "c"][n / 8 % 3],
            n % 160,
            n % 12,
            n % 90,
            n % 5 + 1,
            n / 320 + 1
        )
    };
    let file: String = (0..2_500).map(row).collect();
    let started = std::time::Instant::now();
    let draft = read(&amt, &file).await;
    let drafted = started.elapsed();
    apply(&amt, &draft).await;
    let applied = started.elapsed();
    let week: WeekView = amt.get(&format!("{WEEK}&of=class&name=7a")).await.ok();
    eprintln!("read in {drafted:?}, applied after {applied:?}, a week after {:?}", started.elapsed());
    assert!(subjects(&week).len() > 50);
}

async fn operate(browser: &Browser, device: &str, body: serde_json::Value) {
    let request = json!({"device": device, "operations": [{"seq": 1, "at": 0, "body": body}]});
    let done: schulhof_wire::api::SubmitAnswer = browser.post("/api/operations", &request).await.ok();
    assert_eq!(done.results[0].state, SubmitState::Saved, "{done:?}");
}

/// Looks until the folder's file is in a state.
async fn until(amt: &Browser, name: &str, state: WatchedState) -> WatchView {
    for _ in 0..500 {
        let view: WatchView = amt.get("/api/timetable/watch").await.ok();
        if view.files.iter().any(|file| file.name == name && file.state == state) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} does not become {state:?}");
}

/// Another time of change than before, as a later write has.
fn write(path: &Path, text: &str, age_s: u64) {
    std::fs::write(path, text).unwrap();
    let at = std::time::SystemTime::now() - Duration::from_secs(age_s);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn files_in_the_folder_are_applied_by_themselves_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let drop = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let watching = schulhof_edge::watch::run(
        nord.app.clone(),
        drop.path().into(),
        Duration::from_millis(10),
        nord.stopping.clone(),
    );
    let watching = tokio::spawn(watching);
    let today = schulhof_wire::Day::from_unix_ms(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    // On a weekend there is no lesson before the next week.
    let monday = today.plus(7);
    let week = format!("/api/timetable/week?week={monday}&of=class&name=7a");
    write(&drop.path().join("GPU001.TXT"), GPU001, 60);
    write(&drop.path().join("GPU002.txt"), "12;1;;;7a;WEB;M;;;;;A\n", 60);
    operate(&amt, "amt-7", json!({"type": "timetable.watch", "on": true})).await;
    let view = until(&amt, "GPU001.TXT", WatchedState::Applied).await;
    assert!(view.folder && view.files[0].entries == 3, "{view:?}");
    let seen: WeekView = weber.get(&week).await.ok();
    assert_eq!(subjects(&seen), ["M", "Sp"]);
    assert_eq!(
        seen.days[0].lessons[0].weeks,
        schulhof_school::timetable::Weeks::A,
        "with the weeks from the file beside it"
    );

    write(&drop.path().join("GPU001.TXT"), &GPU001.replace("101;1;1", "101;Mo;1"), 50);
    let view = until(&amt, "GPU001.TXT", WatchedState::Broken).await;
    assert_eq!((view.files.last().unwrap().problems[0].line, view.files.last().unwrap().problems[0].column), (1, 6));
    assert_eq!(weber.get(&week).await.ok::<WeekView>(), seen, "what was planned still is");

    write(&drop.path().join("GPU001.TXT"), GPU001, 40);
    until(&amt, "GPU001.TXT", WatchedState::Same).await;
    let day = monday.monday().to_string().replace('-', "");
    write(&drop.path().join("gpu014.txt"), &format!("1;{day};1;0;12;WEB;;M;;;;101;;;7a;krank;;1;;;;\n"), 60);
    until(&amt, "GPU014.TXT", WatchedState::Applied).await;
    let changed: WeekView = weber.get(&week).await.ok();
    assert!(!changed.days[0].lessons[0].changes[0].held);
    write(&drop.path().join("GPU009.TXT"), "Hof;WEB;1;3;20;\n", 60);
    until(&amt, "GPU009.TXT", WatchedState::Applied).await;
    // And all of it holds where it is ordered, in the name of who has switched it on.
    nord.pump().await;
    assert!(nord.log.lock().entries.iter().all(|entry| entry.rejected.is_none()));
    nord.stop.stop();
    watching.await.unwrap();
}
