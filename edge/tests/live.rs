//! The live stream: who is told what, in which order, and what a browser that was away gets.

mod support;

use schulhof_edge::live::LiveEvent;
use schulhof_school::Body;
use schulhof_wire::{LogIndex, live::Event};
use serde_json::json;
use support::{
    Nord, PASSWORD,
    browser::{Browser, listen},
    id,
};
use tokio_tungstenite::tungstenite;

fn message(event: &LiveEvent) -> Option<(String, Option<LogIndex>)> {
    match event {
        Event::Message { message, .. } => Some((message.text.clone(), message.index)),
        _ => None,
    }
}

fn marks(event: &LiveEvent) -> Option<(u64, u64)> {
    match event {
        Event::Marks { marks } => Some((marks.saved.0, marks.secured.0)),
        _ => None,
    }
}

#[tokio::test]
async fn hello_comes_first_and_a_message_comes_twice_first_without_then_with_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    let (mut to_eva, mut to_ali) = (eva.events(addr, "").await, ali.events(addr, "").await);
    let mut to_sam = sam.events(addr, "").await;
    let head = nord.log.lock().head();
    for events in [&mut to_eva, &mut to_ali, &mut to_sam] {
        let Some(Event::Hello { head: at, marks: Some(marks), core_online: true }) = events.hello.take() else {
            panic!("hello says how things stand")
        };
        assert_eq!((at, marks.saved.0), (head, 0));
    }

    eva.say("Guten Morgen").await;
    assert_eq!(to_eva.until(marks).await, (1, 0));
    assert_eq!(to_ali.until(message).await, ("Guten Morgen".to_owned(), None));
    let unread = |event: &LiveEvent| match event {
        Event::Room { room, .. } => Some(room.unread),
        _ => None,
    };
    assert_eq!(to_ali.until(unread).await, 1);

    nord.pump().await;
    assert_eq!(to_eva.until(marks).await, (1, 1));
    assert_eq!(to_ali.until(message).await, ("Guten Morgen".to_owned(), Some(LogIndex(head.0 + 1))));

    // Sam, who is in no class, hears nothing of all this, and yet his resume point moves on.
    loop {
        to_sam.send(r#"{"type":"ping"}"#).await;
        match to_sam.next().await {
            Some(Event::Pong { head: at }) if at == head => tokio::task::yield_now().await,
            Some(Event::Pong { head: at }) => break assert_eq!(at, LogIndex(head.0 + 1)),
            told => panic!("sam was told {told:?}"),
        }
    }
}

#[tokio::test]
async fn a_browser_that_was_away_gets_exactly_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    eva.say("seen").await;
    nord.pump().await;
    let seen = nord.log.lock().head();
    for n in 0..1_200 {
        let body = Body::post(id("7a"), format!("missed {n}"));
        nord.log.lock().act("weber", "elsewhere", n + 1, body);
    }
    nord.deliver_after(seen).await;
    nord.disconnect();
    eva.say("waits").await;

    let mut events = ali.events(addr, &format!("&after={}", seen.0)).await;
    let mut texts = Vec::new();
    let mut highest = seen;
    while texts.len() < 1_201 {
        let event = events.next().await.unwrap();
        if let Event::Message { head, message } = &event {
            // Resuming after any event's head must lose nothing: it never runs ahead of what was told.
            assert!(message.index.is_none_or(|index| *head <= index && index.0 > highest.0), "{event:?}");
            highest = highest.max(*head);
            texts.push(message.text.clone());
        }
    }
    assert_eq!(highest, nord.log.lock().head());
    let expected = (0..1_200).map(|n| format!("missed {n}")).chain(["waits".to_owned()]);
    assert!(texts.iter().cloned().eq(expected), "something is missing, double or out of order");
}

#[tokio::test]
async fn nothing_is_lost_between_resuming_and_going_live() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let start = nord.log.lock().head();
    let mut seq = 0;
    let mut grow = |count: u64| {
        let before = nord.log.lock().head();
        for _ in 0..count {
            seq += 1;
            let body = Body::post(id("7a"), seq.to_string());
            nord.log.lock().act("weber", "elsewhere", seq, body);
        }
        before
    };
    nord.deliver_after(grow(300)).await;
    // The log grows while the browsers connect and resume, again and again from where they are.
    let mut after = start;
    let mut texts = Vec::new();
    for round in 0..8 {
        let mut events = ali.events(addr, &format!("&after={}", after.0)).await;
        nord.deliver_after(grow(50)).await;
        let wanted = 300 + 50 * round;
        while texts.len() < wanted {
            if let Some(Event::Message { head, message }) = events.next().await {
                texts.push((message.index.unwrap(), message.text));
                after = after.max(head);
            }
        }
    }
    texts.sort();
    texts.dedup();
    let got: Vec<u64> = texts.iter().map(|(_, text)| text.parse().unwrap()).collect();
    let mut sorted = got.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(1..=got.len() as u64), "a message is missing");
}

#[tokio::test]
async fn who_is_too_far_behind_or_ahead_loads_anew() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let head = nord.log.lock().head();
    let reload = |event: &LiveEvent| match event {
        Event::Reload { head } => Some(*head),
        _ => None,
    };
    let mut ahead = ali.events(addr, &format!("&after={}", head.0 + 1)).await;
    assert_eq!(ahead.until(reload).await, head);
    for n in 0..10_001 {
        let body = Body::post(id("7a"), "x");
        nord.log.lock().act("weber", "elsewhere", n + 1, body);
    }
    nord.deliver_after(head).await;
    let mut behind = ali.events(addr, &format!("&after={}", head.0)).await;
    assert_eq!(behind.until(reload).await, nord.log.lock().head());
}

#[tokio::test]
async fn what_the_core_rejects_is_told_to_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let mut events = eva.events(addr, "").await;
    // Eva leaves the class by another way before her message comes to its place.
    eva.say("too late").await;
    nord.log.lock().operate(Body::GroupMembers { group: id("7a"), add: vec![], remove: vec![id("eva")] });
    let before = LogIndex(nord.log.lock().head().0 - 1);
    nord.deliver_after(before).await;
    nord.pump().await;
    let gone = |event: &LiveEvent| matches!(event, Event::RoomGone { room, .. } if room.as_str() == "7a").then_some(());
    events.until(gone).await;
    let rejected = |event: &LiveEvent| match event {
        Event::Rejected { seq, reason } => Some((seq.0, reason.clone())),
        _ => None,
    };
    assert_eq!(events.until(rejected).await, (1, "not-a-member".to_owned()));
}

#[tokio::test]
async fn read_marks_and_conferences_are_told_to_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let mut to_eva = eva.events(addr, "").await;
    let mut to_weber = weber.events(addr, "").await;
    weber.say("Seite 12").await;
    nord.pump().await;
    let upto = nord.log.lock().head();
    eva.operate(json!({"type": "read.mark", "room": "7a", "upto": upto.0})).await;
    let read = |event: &LiveEvent| match event {
        Event::Read { account, upto, .. } => Some((account.to_string(), *upto)),
        _ => None,
    };
    assert_eq!(to_weber.until(read).await, ("eva".to_owned(), upto));
    let open = json!({"type": "conference.open", "conference": "c1", "room": "7a", "title": "Mathe", "expected": null});
    weber.operate(open).await;
    let conference = |event: &LiveEvent| match event {
        Event::Conference { conference, .. } => Some((conference.open, conference.may_close)),
        _ => None,
    };
    assert_eq!(to_eva.until(conference).await, (true, false));
    assert_eq!(to_weber.until(conference).await, (true, true));
}

#[tokio::test]
async fn the_line_to_the_core_is_told_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    let mut events = sam.events(addr, "").await;
    let core = |event: &LiveEvent| match event {
        Event::Core { online } => Some(*online),
        _ => None,
    };
    nord.disconnect();
    assert!(!events.until(core).await);
    nord.connect().await;
    assert!(events.until(core).await);
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let mut amt = Browser::signed_in(&nord, "amt", "amt-1").await;
    let mut to_eva = eva.events(addr, "").await;
    let mut to_ali = ali.events(addr, "").await;
    let ended = |event: &LiveEvent| matches!(event, Event::SessionEnded).then_some(());
    eva.post_text("/api/logout", "").await;
    to_eva.until(ended).await;
    assert!(to_eva.next().await.is_none(), "and closes");
    amt.operate(json!({"type": "account.lock", "account": "ali", "locked": true})).await;
    to_ali.until(ended).await;
}

#[tokio::test]
async fn a_foreign_page_and_a_stranger_get_no_stream() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let status = |result: Result<support::browser::Events, tungstenite::Error>| match result {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the stream opened"),
    };
    assert_eq!(status(eva.try_events(addr, "", "https://evil.example").await), 403);
    assert_eq!(status(Browser::new(&nord, "d").try_events(addr, "", "http://localhost:8080").await), 401);
    assert_eq!(status(eva.try_events(addr, "&after=x", "http://localhost:8080").await), 400);
    let mut events = eva.events(addr, "").await;
    events.send(r#"{"type":"shout"}"#).await;
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_browser_that_reads_nothing_is_cut_off_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    // Ali's browser never reads. The kernel's buffers take some megabytes, then its queue runs full.
    let _deaf = ali.events(addr, "").await;
    assert_eq!(nord.app.hub.len(), 1);
    let text = "x".repeat(16_000);
    let mut sent = 0;
    while nord.app.hub.len() == 1 {
        eva.say(&text).await;
        sent += 1;
        assert!(sent < 10_000, "the queue is not bounded");
    }
    let answer = Browser::new(&nord, "d").login("eva", PASSWORD).await;
    assert_eq!(answer.status.as_u16(), 200);
}
