//! The matrix of reads: every address of the door, asked for by everybody who could.

mod support;

use schulhof_school::{Body, PeopleChange, Role};
use serde_json::json;
use support::{Log, Nord, Options, PASSWORD, browser::Browser, id};

/// Not signed in; a pupil of the class, a pupil of no class, a teacher of the class, an admin in no room, somebody with a first
/// password.
const VIEWERS: [&str; 6] = ["-", "eva", "sam", "weber", "amt", "neu"];

/// What each of them is answered.
const MATRIX: &[(&str, [u16; 6])] = &[
    ("GET /api/session", [401, 200, 200, 200, 200, 200]),
    ("GET /api/people", [401, 200, 200, 200, 200, 403]),
    ("GET /api/groups", [401, 200, 200, 200, 200, 403]),
    ("GET /api/rooms", [401, 200, 200, 200, 200, 403]),
    ("GET /api/rooms/7a", [401, 200, 403, 200, 403, 403]),
    ("GET /api/rooms/none", [401, 404, 404, 404, 404, 403]),
    ("GET /api/rooms/7a/messages", [401, 200, 403, 200, 403, 403]),
    ("GET /api/rooms/7a/messages?limit=x", [401, 400, 400, 400, 400, 403]),
    (
        "GET /api/rooms/7a/blobs/0000000000000000000000000000000000000000000000000000000000000000",
        [401, 404, 403, 404, 403, 403],
    ),
    ("GET /api/conferences/c1", [401, 200, 403, 200, 403, 403]),
    ("POST /api/conferences/c1/ticket", [401, 200, 403, 200, 403, 403]),
    ("GET /api/devices/unused", [401, 200, 200, 200, 200, 403]),
    // Of weber's.
    ("GET /api/devices/weber-1", [401, 403, 403, 200, 403, 403]),
    ("GET /api/imports", [401, 403, 403, 403, 200, 403]),
    ("POST /api/imports?role=pupil", [401, 403, 403, 403, 200, 403]),
    ("POST /api/imports/none/apply", [401, 404, 404, 404, 404, 403]),
    ("POST /api/imports/none/undo", [401, 403, 403, 403, 409, 403]),
    ("GET /api/exams?from=2026-11-30&until=2026-12-31", [401, 200, 200, 200, 200, 403]),
    ("GET /api/exams?from=2026-11-30", [401, 400, 400, 400, 400, 403]),
    ("GET /api/exams/load?groups=7a&kind=written&from=2026-11-30&until=2026-12-31", [401, 403, 403, 200, 200, 403]),
    ("GET /api/exams/load?groups=none&kind=written&from=2026-11-30&until=2026-12-31", [401, 403, 403, 404, 404, 403]),
    ("GET /api/timetable?week=2026-11-30", [401, 200, 200, 200, 200, 403]),
    ("GET /api/timetable?week=x", [401, 400, 400, 400, 400, 403]),
    ("GET /api/timetable/week?week=2026-11-30", [401, 200, 200, 200, 200, 403]),
    // The own class.
    ("GET /api/timetable/week?week=2026-11-30&of=class&name=7a", [401, 200, 403, 200, 200, 403]),
    ("GET /api/timetable/week?week=2026-11-30&of=teacher&name=WEB", [401, 403, 403, 200, 200, 403]),
    ("GET /api/timetable/week?week=2026-11-30&of=room&name=101", [401, 403, 403, 200, 200, 403]),
    ("GET /api/screen/none?day=2026-11-30", [404; 6]),
    ("GET /api/screen/lobby?day=2026-11-30", [200; 6]),
    ("GET /api/timetable/watch", [401, 403, 403, 403, 200, 403]),
    ("POST /api/timetable/imports?kind=plan&from=2026-11-30", [401, 403, 403, 403, 200, 403]),
    ("POST /api/timetable/imports/none/apply", [401, 404, 404, 404, 404, 403]),
    ("POST /api/operations", [401, 200, 200, 200, 200, 403]),
    ("POST /api/blobs", [401, 400, 400, 400, 400, 403]),
    ("POST /api/password", [401, 403, 403, 403, 403, 403]),
    ("GET /api/events", [401, 426, 426, 426, 426, 403]),
    ("GET /api/none", [404; 6]),
    ("PUT /api/people", [405; 6]),
];

/// The school of the tests, with a conference in 7a and somebody who has never signed in.
fn log() -> Log {
    let mut log = Log::with_school();
    let neu = PeopleChange::Account {
        account: id("neu"),
        source: id("list"),
        record: "1".into(),
        login: "neu".into(),
        name: "Neu".into(),
        role: Role::Admin,
        password: log.password("eva"),
    };
    log.operate(Body::ImportPart { import: id("i1"), part: 0, changes: vec![neu] });
    log.operate(Body::ImportApply { import: id("i1"), parts: 1 });
    let open = Body::ConferenceOpen { conference: id("c1"), room: id("7a"), title: "Mathe".into(), expected: None };
    assert_eq!(log.act("weber", "weber-1", 1, open).rejected, None);
    log.operate(Body::TimetableScreen { key: Some(schulhof_wire::BlobHash(*blake3::hash(b"lobby").as_bytes())) });
    log
}

fn body(address: &str) -> String {
    match address {
        "POST /api/imports?role=pupil" => "Vorname;Nachname\nAnna;Bach\n".to_owned(),
        "POST /api/operations" => json!({"device": "unused", "operations": []}).to_string(),
        "POST /api/password" => json!({"old": "another", "new": "Radiergummi"}).to_string(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn everybody_is_answered_exactly_what_the_matrix_says() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::with(Options { own: Some(100), ..Options::in_folder(folder.path()) }, folder.path(), log());
    nord.connect().await;
    let mut browsers = Vec::new();
    for viewer in VIEWERS {
        let mut browser = Browser::new(&nord, viewer);
        if viewer != "-" {
            assert_eq!(browser.login(viewer, PASSWORD).await.status.as_u16(), 200, "{viewer}");
        }
        browsers.push(browser);
    }
    let mut wrong = Vec::new();
    for (address, row) in MATRIX {
        let (method, path) = address.split_once(' ').unwrap();
        for ((viewer, browser), expected) in VIEWERS.iter().zip(&browsers).zip(row) {
            let answer = match method {
                "GET" => browser.get(path).await,
                "POST" => browser.post_text(path, body(address)).await,
                _ => browser.put(path).await,
            };
            if answer.status.as_u16() != *expected {
                wrong.push(format!(
                    "{address} by {viewer}: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
