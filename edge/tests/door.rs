//! What the HTTP door lets in, and how it says no.

mod support;

use axum::{
    body::Body,
    http::{Request, header},
};
use schulhof_school::view::{ConferenceView, GroupView, MessageView, PersonView, RoomView};
use schulhof_wire::{
    api::{BODY_LEN_MAX, Page, SessionView, SubmitAnswer, SubmitState},
    problem::Problem,
};
use serde_json::json;
use support::{Log, Nord, Options, PASSWORD, browser::Browser};

#[tokio::test]
async fn a_person_signs_in_and_sees_the_own_school() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut eva = Browser::new(&nord, "eva-1");
    eva.get("/api/session").await.refused(401, "not-signed-in");
    let answer = eva.login(" EVA ", PASSWORD).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    let session: SessionView = answer.ok();
    assert_eq!((session.account.as_str(), session.role.as_str()), ("eva", "pupil"));
    assert_eq!((session.school_name.as_str(), session.core_online), ("Grundschule Nord", true));

    let rooms: Vec<RoomView> = eva.get("/api/rooms").await.ok();
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Klasse 7a"]);
    let people: Vec<PersonView> = eva.get("/api/people").await.ok();
    assert!(people.iter().any(|person| person.account.as_str() == "weber"));
    assert!(people.iter().all(|person| person.account.as_str() != "sam"), "not in her class");
    let groups: Vec<GroupView> = eva.get("/api/groups").await.ok();
    assert_eq!(groups.len(), 1);

    assert_eq!(eva.post_text("/api/logout", "").await.status.as_u16(), 204);
    eva.get("/api/session").await.refused(401, "not-signed-in");
}

#[tokio::test]
async fn wrong_password_unknown_login_and_locked_account_get_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut answers = Vec::new();
    for (login, password) in [("eva", "wrong"), ("nobody", PASSWORD), ("leo", PASSWORD), ("eva", &"x".repeat(5000))] {
        let answer = Browser::new(&nord, "d").login(login, password).await;
        answer.refused(401, "wrong-credentials");
        answers.push((answer.headers, answer.body));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "they can be told apart");
}

#[tokio::test]
async fn too_many_wrong_passwords_have_to_wait_even_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    for _ in 0..10 {
        Browser::new(&nord, "d").login("eva", "wrong").await.refused(401, "wrong-credentials");
    }
    let answer = Browser::new(&nord, "d").login("eva", PASSWORD).await;
    let problem = answer.refused(429, "too-many-tries");
    let seconds = problem.retry_after_s.unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(answer.headers[header::RETRY_AFTER], seconds.to_string());
    Browser::signed_in(&nord, "ali", "d").await;
}

#[tokio::test]
async fn a_box_that_has_not_got_its_school_yet_calls_no_password_wrong_and_counts_no_try() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::with_school());
    for _ in 0..12 {
        let problem = Browser::new(&nord, "d").login("eva", PASSWORD).await.refused(503, "loading");
        assert!(problem.retry_after_s.is_some());
    }
    nord.connect().await;
    Browser::signed_in(&nord, "eva", "d").await;
}

#[tokio::test]
async fn a_page_of_another_origin_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let body = json!({"device": "eva-1", "operations": [{"seq": 1, "at": 1,
        "body": {"type": "message.post", "room": "7a", "text": "not me"}}]});
    for origin in ["https://evil.example", "null", "http://localhost:8081"] {
        let request = Request::post("/api/operations")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, origin)
            .body(Body::from(body.to_string()));
        eva.send(request.unwrap()).await.refused(403, "foreign-origin");
    }
    let page: Page<MessageView> = eva.get("/api/rooms/7a/messages").await.ok();
    assert!(page.items.is_empty());
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let browser = Browser::new(&nord, "d");
    for path in ["/", "/api/session", "/none.js"] {
        let answer = browser.get(path).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers["permissions-policy"].to_str().unwrap().contains("camera=(self)"));
    }
    assert_eq!(browser.get("/api/session").await.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let problem = eva.post_text("/api/operations", "{\n \"device\": \"eva-1\",\n oops").await;
    let problem = problem.refused(400, "malformed-json");
    assert!(problem.title.contains("line 3 column 2"), "{}", problem.title);
    let large = format!("{{\"device\":\"{}\"}}", "x".repeat(BODY_LEN_MAX));
    eva.post_text("/api/operations", large).await.refused(413, "too-large");
    eva.submit(&[(1, json!({"type": "poll.open"}))]).await.refused(422, "unknown-operation");
    let many: Vec<_> = (1..=201).map(|n| (n, json!({"type": "message.post", "room": "7a", "text": "x"}))).collect();
    eva.submit(&many).await.refused(422, "too-many-operations");
    let request = Request::post("/api/operations").header(header::ORIGIN, "http://localhost:8080");
    eva.send(request.body(Body::from("a=b")).unwrap()).await.refused(415, "not-json");
    eva.get("/api/rooms/7a/messages?limit=many").await.refused(400, "bad-query");
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    eva.get("/api/none").await.refused(404, "not-found");
    eva.get("/api/login").await.refused(405, "method-not-allowed");
    eva.get("/api/events").await.refused(426, "websocket-only");
    eva.post_text("/rooms", "").await.refused(405, "method-not-allowed");
}

#[tokio::test]
async fn what_one_person_wrote_is_not_posted_by_the_next_on_the_same_browser() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let written_by = |account: &str| {
        json!({"account": account, "device": "eva-1", "operations":
            [{"seq": 1, "at": 1, "body": {"type": "message.post", "room": "7a", "text": "mine"}}]})
        .to_string()
    };
    eva.post_text("/api/operations", written_by("sam")).await.refused(401, "other-account");
    let answer: SubmitAnswer = eva.post_text("/api/operations", written_by("eva")).await.json();
    assert_eq!(answer.results[0].state, SubmitState::Saved);
}

#[tokio::test]
async fn a_foreign_room_stays_closed() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    eva.say("for the class only").await;
    let mut sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    sam.get("/api/rooms/7a").await.refused(403, "not-a-member");
    sam.get("/api/rooms/7a/messages").await.refused(403, "not-a-member");
    sam.get("/api/rooms/none").await.refused(404, "unknown-room");
    sam.get("/api/rooms/..%2F7a").await.refused(404, "not-found");
    let answer = sam.say("let me in").await;
    assert_eq!(answer.results[0].state, SubmitState::Refused);
    assert_eq!(answer.results[0].reason.as_deref(), Some("not-a-member"));
    sam.get("/api/devices/eva-1").await.refused(403, "device-of-another");
}

#[tokio::test]
async fn a_refused_operation_takes_no_number_and_a_gap_says_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let say = |text: &str| json!({"type": "message.post", "room": "7a", "text": text});
    let states = |answer: support::browser::Answer| {
        let answer: schulhof_wire::api::SubmitAnswer = answer.ok();
        let states: Vec<_> = answer.results.iter().map(|result| result.state).collect();
        (states, answer.marks.saved.0)
    };
    let first = eva.submit(&[(1, say("")), (1, say("one")), (3, say("three"))]).await;
    assert_eq!(states(first), (vec![SubmitState::Refused, SubmitState::Saved, SubmitState::Gap], 1));
    let again = eva.submit(&[(1, say("one")), (2, say("two"))]).await;
    assert_eq!(states(again), (vec![SubmitState::Duplicate, SubmitState::Saved], 2));
    let page: Page<MessageView> = eva.get("/api/rooms/7a/messages").await.ok();
    assert_eq!(page.items.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn sessions_end_when_the_account_is_locked_or_its_password_changes() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let mut amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    amt.operate(json!({"type": "account.lock", "account": "eva", "locked": true})).await;
    eva.get("/api/rooms").await.refused(401, "not-signed-in");
    Browser::new(&nord, "d").login("eva", PASSWORD).await.refused(401, "wrong-credentials");

    // By the core, from elsewhere.
    let before = nord.log.lock().head();
    let password = schulhof_edge::door::password::hash(b"new one");
    nord.log.lock().operate(schulhof_school::Body::AccountPassword { account: support::id("ali"), password });
    nord.deliver_after(before).await;
    ali.get("/api/rooms").await.refused(401, "not-signed-in");
    let answer = Browser::new(&nord, "d").login("ali", "new one").await;
    assert_eq!(answer.ok::<SessionView>().account.as_str(), "ali");
    assert_eq!(amt.get("/api/session").await.ok::<SessionView>().role, "admin");
}

#[tokio::test]
async fn history_pages_are_the_same_from_the_cache_and_only_for_members() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    for n in 0..30 {
        eva.say(&format!("message {n}")).await;
    }
    nord.pump().await;
    let newest: Page<MessageView> = eva.get("/api/rooms/7a/messages?limit=10").await.ok();
    let path = format!("/api/rooms/7a/messages?limit=10&before={}", newest.older.unwrap().0);
    let rendered = eva.get(&path).await;
    let from_cache = eva.get(&path).await;
    assert_eq!(rendered.ok::<Page<MessageView>>().items.len(), 10);
    assert_eq!(rendered.body, from_cache.body);
    assert_eq!(from_cache.headers[header::CONTENT_TYPE], "application/json");
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    sam.get(&path).await.refused(403, "not-a-member");
    // An upper end in the future is no closed page: what comes later must be seen.
    let future = format!("/api/rooms/7a/messages?limit=10&before={}", nord.log.lock().head().0 + 100);
    let before: Page<MessageView> = eva.get(&future).await.ok();
    eva.say("later").await;
    nord.pump().await;
    let after: Page<MessageView> = eva.get(&future).await.ok();
    assert_eq!(before.items.last().unwrap().text, "message 29");
    assert_eq!(after.items.last().unwrap().text, "later");
}

#[tokio::test]
async fn pages_still_come_when_the_cache_folder_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    for n in 0..30 {
        eva.say(&format!("message {n}")).await;
    }
    nord.pump().await;
    let path = format!("/api/rooms/7a/messages?limit=10&before={}", nord.log.lock().head().0 - 5);
    let before: Page<MessageView> = eva.get(&path).await.ok();
    let cookie = eva.cookie.take();
    drop(eva);
    let nord = nord.restart(folder.path(), |folder| damage(&folder.join("pages")));
    let mut eva = Browser::new(&nord, "eva-1");
    eva.cookie = cookie;
    let after: Page<MessageView> = eva.get(&path).await.ok();
    assert_eq!(before.items, after.items);
}

fn damage(folder: &std::path::Path) {
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
            std::fs::write(&file, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_closed_conference_gives_no_ticket_and_a_box_without_nodes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let open = json!({"type": "conference.open", "conference": "c1", "room": "7a", "title": "Mathe", "expected": null});
    weber.operate(open).await;
    let view: ConferenceView = weber.get("/api/conferences/c1").await.ok();
    assert!(view.open && view.may_close);
    weber.post_text("/api/conferences/c1/ticket", "").await.refused(503, "no-media-node");
    weber.operate(json!({"type": "conference.close", "conference": "c1"})).await;
    weber.post_text("/api/conferences/c1/ticket", "").await.refused(409, "conference-closed");
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    let problem: Problem = sam.post_text("/api/conferences/c1/ticket", "").await.json();
    assert_eq!((problem.status, problem.code.as_str()), (403, "not-a-member"));
}
