//! Lists of a school's people over HTTP: planned, applied, signed in with, undone; and first passwords.

mod support;

use axum::http::header;
use schulhof_school::view::{PersonView, RoomView};
use schulhof_wire::{
    api::{SessionView, SubmitState},
    import::{FirstPassword, ImportDone, ImportPlan, ImportView},
};
use serde_json::json;
use support::{Nord, PASSWORD, browser::Browser};

const LIST: &str = "Schülernummer;Nachname;Vorname;Klasse\n1001;Müller;Jörg;7a\n1002;Bach;Anna;8b\n";

async fn read(browser: &Browser, list: &str) -> ImportPlan {
    browser.post_text("/api/imports?role=pupil", list.to_owned()).await.ok()
}

async fn apply(browser: &Browser, plan: &ImportPlan) -> Vec<FirstPassword> {
    let done: ImportDone = browser.post_text(&format!("/api/imports/{}/apply", plan.import), "").await.ok();
    done.passwords
}

async fn change(browser: &mut Browser, old: &str, new: &str) -> support::browser::Answer {
    let answer = browser.post("/api/password", &json!({"old": old, "new": new})).await;
    if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
        browser.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
    }
    answer
}

#[tokio::test]
async fn a_list_becomes_people_who_sign_in_change_their_password_and_are_in_their_class() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let plan = read(&amt, LIST).await;
    assert_eq!((plan.rows, plan.new_people.len(), plan.new_groups.as_slice()), (2, 2, &["8b".to_owned()][..]));
    let people: Vec<PersonView> = amt.get("/api/people").await.ok();
    assert_eq!(people.len(), 6, "nothing has happened yet");
    let sheets = apply(&amt, &plan).await;
    let sheet = &sheets[0];
    assert_eq!((sheet.name.as_str(), sheet.login.as_str()), ("Jörg Müller", "joerg.mueller"));

    let mut joerg = Browser::new(&nord, "j-1");
    let session: SessionView = joerg.login("joerg.mueller", &sheet.password).await.ok();
    assert!(session.must_change_password);
    joerg.get("/api/rooms").await.refused(403, "password-first");
    let session: SessionView = joerg.get("/api/session").await.ok();
    assert_eq!(session.login, "joerg.mueller");
    change(&mut joerg, "falsch", "Radiergummi").await.refused(403, "wrong-password");
    for weak in ["kurz", "joerg.mueller1", "Müllermilch9", sheet.password.as_str()] {
        change(&mut joerg, &sheet.password, weak).await.refused(422, "weak-password");
    }
    assert_eq!(change(&mut joerg, &sheet.password, "Radiergummi").await.status.as_u16(), 204);
    let session: SessionView = joerg.get("/api/session").await.ok();
    assert!(!session.must_change_password);
    let rooms: Vec<RoomView> = joerg.get("/api/rooms").await.ok();
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Klasse 7a"]);
    assert_eq!(joerg.say("hallo").await.results[0].state, SubmitState::Saved);
    Browser::new(&nord, "j-2").login("joerg.mueller", &sheet.password).await.refused(401, "wrong-credentials");
    // And all of it holds where it is ordered.
    nord.pump().await;
    assert!(nord.log.lock().entries.iter().all(|entry| entry.rejected.is_none()));
}

#[tokio::test]
async fn another_password_ends_the_other_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let other = Browser::signed_in(&nord, "eva", "eva-2").await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    assert_eq!(change(&mut eva, PASSWORD, "Schwamm-und-Kreide").await.status.as_u16(), 204);
    eva.get("/api/rooms").await.ok::<Vec<RoomView>>();
    other.get("/api/rooms").await.refused(401, "not-signed-in");
    assert_eq!(Browser::new(&nord, "d").login("eva", "Schwamm-und-Kreide").await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_same_list_again_changes_nothing_and_undoing_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let before: Vec<PersonView> = amt.get("/api/people").await.ok();
    let plan = read(&amt, LIST).await;
    apply(&amt, &plan).await;
    let again = read(&amt, LIST).await;
    assert_eq!((again.unchanged, again.new_people.len(), again.leavers.len()), (2, 0, 0));
    assert!(apply(&amt, &again).await.is_empty());
    let imports: Vec<ImportView> = amt.get("/api/imports").await.ok();
    assert_eq!(imports.len(), 1, "nothing to do is no import");
    assert_eq!((imports[0].created, imports[0].by_name.as_str(), imports[0].may_undo), (2, "Amt", true));
    let undo = format!("/api/imports/{}/undo", imports[0].import);
    assert_eq!(amt.post_text(&undo, "").await.status.as_u16(), 204);
    assert_eq!(amt.get("/api/people").await.ok::<Vec<PersonView>>(), before);
    amt.post_text(&undo, "").await.refused(409, "not-newest");
    nord.pump().await;
    assert!(nord.log.lock().entries.iter().all(|entry| entry.rejected.is_none()));
}

#[tokio::test]
async fn a_plan_that_does_not_hold_any_more_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let (first, second) = (read(&amt, LIST).await, read(&amt, LIST).await);
    apply(&amt, &first).await;
    let path = |plan: &ImportPlan| format!("/api/imports/{}/apply", plan.import);
    amt.post_text(&path(&second), "").await.refused(409, "plan-changed");
    amt.post_text(&path(&first), "").await.refused(404, "unknown-import");
    let broken = read(&amt, "Vorname;Nachname\nAnna\n").await;
    assert_eq!((broken.problems[0].line, broken.problems[0].column), (2, 2));
    amt.post_text(&path(&broken), "").await.refused(404, "unknown-import");
}

#[tokio::test]
async fn only_admins_import_and_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    for login in ["eva", "weber"] {
        let browser = Browser::signed_in(&nord, login, &format!("{login}-1")).await;
        browser.post_text("/api/imports?role=pupil", LIST).await.refused(403, "not-allowed");
        browser.get("/api/imports").await.refused(403, "not-allowed");
        browser.post_text("/api/imports/i1/undo", "").await.refused(403, "not-allowed");
        browser.post_text("/api/imports/i1/apply", "").await.refused(404, "unknown-import");
    }
    Browser::new(&nord, "d").post_text("/api/imports?role=pupil", LIST).await.refused(401, "not-signed-in");
    let amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    amt.post_text("/api/imports?role=king", LIST).await.refused(400, "bad-query");
    amt.post_text("/api/imports", LIST).await.refused(400, "bad-query");
    amt.post_text("/api/imports?role=pupil", "x".repeat((4 << 20) + 1)).await.refused(413, "too-large");
}
