//! A box that is loaded from the school's state: whole or not at all, and what waits stays.

mod support;

use schulhof_edge::store::FrameError;
use schulhof_school::{Body, view::MessageView};
use schulhof_sync::SyncError;
use schulhof_wire::{
    LogIndex,
    api::{DeviceMarks, Page},
    chunk::SchoolChunk,
    live::Event,
    node::{SYNC_VERSION, ToBox, ToCore},
};
use support::{
    Log, Nord, Options,
    browser::{Browser, listen},
    id, school,
};

/// The core's side of it.
impl Nord {
    async fn greet(&self) -> LogIndex {
        let ToCore::Hello { after, .. } = self.store.link_connected() else { panic!("a hello comes first") };
        let head = self.log.lock().head();
        self.store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head }).await.expect("welcome");
        after
    }

    async fn load(&self, chunks: &[SchoolChunk]) -> Result<(), FrameError> {
        for chunk in chunks {
            self.store.link_frame(ToBox::Snapshot { chunk: chunk.encode() }).await?;
        }
        Ok(())
    }
}

fn history(messages: u64) -> Log {
    let mut log = Log::with_school();
    for seq in 1..=messages {
        log.act("eva", "eva-old", seq, Body::post(id("7a"), format!("message {seq}")));
    }
    log
}

#[tokio::test]
async fn every_page_of_the_history_is_there_after_a_load_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), history(2_500));
    assert_eq!(nord.greet().await, LogIndex(0));
    let chunks = nord.log.lock().chunks(&school());
    let head = nord.log.lock().head();
    assert!(chunks.len() > 4, "in parts");
    nord.load(&chunks).await.unwrap();
    let nord = nord.restart(folder.path(), |_| {});
    assert_eq!(nord.store.status(), (head, 0, true));
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page: Page<MessageView> = ali.get(&format!("/api/rooms/7a/messages?limit=200{before}")).await.ok();
        let Some(first) = page.items.first() else { break };
        before = format!("&before={}", first.index.expect("all are secured").0);
        seen.extend(page.items.into_iter().rev().map(|message| message.text));
    }
    assert_eq!(seen, (1..=2_500).rev().map(|seq| format!("message {seq}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_load_that_is_broken_off_changes_nothing_and_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), history(2_500));
    let chunks = nord.log.lock().chunks(&school());
    nord.greet().await;
    nord.load(&chunks[..chunks.len() - 1]).await.unwrap();
    assert_eq!(nord.store.status().0, LogIndex(0), "nothing is shown before the end");
    // The line breaks: the next load does not go on with the parts of this one.
    nord.disconnect();
    nord.greet().await;
    nord.load(&chunks[..2]).await.unwrap();
    let nord = nord.restart(folder.path(), |_| {});
    assert_eq!(nord.greet().await, LogIndex(0));
    let head = nord.log.lock().head();
    nord.load(&chunks).await.unwrap();
    assert_eq!(nord.store.status().0, head);
    nord.log.lock().act("weber", "weber-1", 1, Body::post(id("7a"), "follows"));
    nord.deliver_after(head).await;
    assert_eq!(nord.store.status().0.0, head.0 + 1);
}

#[tokio::test]
async fn what_waits_stays_while_the_state_under_it_is_replaced_and_those_who_look_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    nord.disconnect();
    eva.say("waits 1").await;
    eva.say("waits 2").await;
    let mut events = eva.events(addr, "").await;
    // The first of them came to the core by another way; much else happened there, and somebody was locked out.
    {
        let mut log = nord.log.lock();
        for seq in 1..=1_500 {
            log.act("ali", "ali-old", seq, Body::post(id("7a"), format!("elsewhere {seq}")));
        }
        let first = nord.store.read(|snapshot| snapshot.outbox().unwrap()[0].1.encode()).unwrap();
        log.order(&first).expect("new to the core");
        log.operate(Body::AccountLock { account: id("weber"), locked: true });
    }
    nord.greet().await;
    let chunks = nord.log.lock().chunks(&school());
    let head = nord.log.lock().head();
    nord.load(&chunks).await.unwrap();
    assert_eq!(nord.store.status(), (head, 1, true));
    let told = events.until(|event| if let Event::Reload { head } = event { Some(*head) } else { None }).await;
    assert_eq!(told, head);
    assert_eq!(weber.get("/api/rooms").await.status, 401, "a locked account has no session");
    let page: Page<MessageView> = eva.get("/api/rooms/7a/messages?limit=2").await.ok();
    let texts: Vec<_> = page.items.iter().map(|m| (m.text.as_str(), m.index.is_some())).collect();
    assert_eq!(texts, [("waits 1", true), ("waits 2", false)]);
    nord.pump().await;
    let marks: DeviceMarks = eva.get("/api/devices/eva-1").await.ok();
    assert_eq!((marks.saved.0, marks.secured.0), (2, 2));
    assert_eq!(nord.log.lock().head().0, head.0 + 1, "each has one place");
}

#[tokio::test]
async fn who_wrote_what_was_rejected_before_a_load_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), history(1_500));
    // Saved by a box that burnt down, and rejected at its place: sam is in no class.
    let rejected = nord.log.lock().act("sam", "sam-1", 1, Body::post(id("7a"), "let me in"));
    assert_eq!(rejected.rejected.as_deref(), Some("not-a-member"));
    nord.log.lock().act("ali", "sam-1", 1, Body::post(id("7a"), "another one's name of a device"));
    nord.log.lock().act("eva", "eva-1", 1, Body::post(id("7a"), "after it"));
    nord.greet().await;
    let chunks = nord.log.lock().chunks(&school());
    nord.load(&chunks).await.unwrap();
    let entries = nord.log.lock().entries.iter().filter(|entry| entry.rejected.is_some()).cloned().collect();
    nord.store.link_frame(ToBox::Verdicts { entries }).await.unwrap();
    let addr = listen(&nord).await;
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    let mut events = sam.events(addr, "&after=10").await;
    let Some(Event::Rejected { seq, reason }) = events.next().await else { panic!("first what has no effect") };
    assert_eq!((seq.0, reason.as_str()), (1, "not-a-member"));
    assert!(matches!(events.next().await, Some(Event::Reload { .. })), "and only that");
}

#[tokio::test]
async fn a_rejection_is_told_at_the_node_where_its_writer_is_and_not_only_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let addr = listen(&nord).await;
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    let mut events = sam.events(addr, "").await;
    let head = nord.log.lock().head();
    nord.log.lock().act("sam", "sam-1", 1, Body::post(id("7a"), "saved elsewhere"));
    nord.deliver_after(head).await;
    let told = events.until(|event| match event {
        Event::Rejected { seq, reason } => Some((seq.0, reason.clone())),
        _ => None,
    });
    assert_eq!(told.await, (1, "not-a-member".to_owned()));
}

#[tokio::test]
async fn a_state_that_is_not_what_was_promised_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let before = nord.store.status();
    for seq in 1..=1_500 {
        nord.log.lock().act("ali", "ali-old", seq, Body::post(id("7a"), "x"));
    }
    let mut chunks = nord.log.lock().chunks(&school());
    let SchoolChunk::State(records) = &mut chunks[1] else { panic!("a part") };
    records[7].1.push(0);
    nord.disconnect();
    nord.greet().await;
    let refused = nord.load(&chunks).await;
    assert!(matches!(refused, Err(FrameError::Sync(SyncError::Damaged(_)))), "{refused:?}");
    assert_eq!(nord.store.status(), before);
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    assert_eq!(ali.get("/api/rooms/7a/messages").await.status, 200, "the box serves what it had");
}
