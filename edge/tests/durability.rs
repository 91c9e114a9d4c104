//! "Saved" means saved: after a restart, after a kill, and not when the disk refuses.

mod support;

use redb::{Database, StorageBackend, backends::InMemoryBackend};
use schulhof_edge::{
    clock::Monotonic,
    store::{self, FreeSpace, Store},
};
use schulhof_school::view::MessageView;
use schulhof_wire::{
    LogIndex,
    api::{DeviceMarks, Page, SubmitState},
    node::{SYNC_VERSION, ToBox, ToCore},
};
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use support::{Log, Nord, Options, browser::Browser};

async fn texts(browser: &Browser) -> Vec<(String, Option<LogIndex>)> {
    let page: Page<MessageView> = browser.get("/api/rooms/7a/messages?limit=200").await.ok();
    page.items.into_iter().map(|message| (message.text, message.index)).collect()
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_restart_and_gets_its_place_later() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    eva.say("secured").await;
    nord.pump().await;
    let head = nord.log.lock().head();
    nord.disconnect();
    let answer = eva.say("saved only").await;
    assert_eq!((answer.marks.saved.0, answer.marks.secured.0), (2, 1));

    let (cookie, seq) = (eva.cookie.take(), eva.seq);
    drop(eva);
    let nord = nord.restart(folder.path(), |_| {});
    let mut eva = Browser::new(&nord, "eva-1");
    (eva.cookie, eva.seq) = (cookie, seq);
    let expected = [("secured".to_owned(), Some(head)), ("saved only".to_owned(), None)];
    assert_eq!(texts(&eva).await, expected);
    let again = eva.submit(&[(2, json!({"type": "message.post", "room": "7a", "text": "saved only"}))]).await;
    assert_eq!(again.ok::<schulhof_wire::api::SubmitAnswer>().results[0].state, SubmitState::Duplicate);

    nord.connect().await;
    assert_eq!(texts(&eva).await[1], ("saved only".to_owned(), Some(LogIndex(head.0 + 1))));
    let marks: DeviceMarks = eva.get("/api/devices/eva-1").await.ok();
    assert_eq!((marks.saved.0, marks.secured.0), (2, 2));
    assert_eq!(nord.store.status().1, 0, "nothing waits any more");
}

/// The part of the next test that runs in a process of its own, to be killed. Does nothing otherwise.
#[tokio::test]
async fn child_that_saves_until_it_is_killed() {
    let Some(folder) = std::env::var_os("SCHULHOF_TEST_FOLDER").map(PathBuf::from) else { return };
    let nord = Nord::start(&folder).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    loop {
        let answer = eva.say(&format!("message {}", eva.seq + 1)).await;
        assert_eq!(answer.results[0].state, SubmitState::Saved);
        // The line to the core works now and then, so that the kill meets commits of both kinds.
        if eva.seq % 7 == 0 {
            nord.pump().await;
        }
        println!("saved {}", eva.seq);
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn every_acknowledged_operation_survives_a_kill() {
    for kill_after in [3, 20, 61] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_saves_until_it_is_killed", "--nocapture"])
            .env("SCHULHOF_TEST_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        for line in lines {
            if let Some(seq) = line.unwrap().strip_prefix("saved ") {
                acknowledged = seq.parse().unwrap();
                if acknowledged >= kill_after {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged >= kill_after, "the child ended by itself");

        // The core knows the school, but none of the messages that waited only on the box.
        let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
        let marks = nord.store.marks(support::id("eva-1")).await.unwrap();
        assert!(marks.saved.0 >= acknowledged, "{} of {acknowledged} are left", marks.saved.0);
        let eva = Browser::signed_in(&nord, "eva", "eva-2").await;
        let texts: Vec<String> = texts(&eva).await.into_iter().map(|(text, _)| text).collect();
        let expected: Vec<String> = (1..=marks.saved.0).map(|n| format!("message {n}")).collect();
        assert_eq!(texts, expected);
    }
}

/// A disk in memory that can be told to fail.
#[derive(Debug)]
struct Disk {
    memory: Arc<InMemoryBackend>,
    fails: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> Result<(), std::io::Error> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("the disk fails"));
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.check()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.check()?;
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.check()?;
        self.memory.write(offset, data)
    }
}

#[tokio::test]
async fn a_failing_disk_refuses_writes_and_is_used_again_when_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, fails) = (Arc::new(InMemoryBackend::new()), Arc::new(AtomicBool::new(false)));
    let of_opener = fails.clone();
    let opener: store::Opener = Box::new(move || {
        let disk = Disk { memory: memory.clone(), fails: of_opener.clone() };
        Database::builder().create_with_backend(disk)
    });
    let options = Options { opener, journal: None, ..Options::in_folder(folder.path()) };
    let nord = Nord::with(options, folder.path(), Log::with_school());
    nord.connect().await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    eva.say("before").await;
    nord.pump().await;

    fails.store(true, Ordering::SeqCst);
    let say = |text: &str| json!({"type": "message.post", "room": "7a", "text": text});
    eva.submit(&[(2, say("lost"))]).await.refused(503, "storage-failed");

    fails.store(false, Ordering::SeqCst);
    // The store is opened again at most once a second.
    let saved = loop {
        let answer = eva.submit(&[(2, say("after"))]).await;
        if answer.status.as_u16() == 200 {
            break answer.ok::<schulhof_wire::api::SubmitAnswer>();
        }
        answer.refused(503, "storage-failed");
        tokio::task::yield_now().await;
    };
    assert_eq!(saved.results[0].state, SubmitState::Saved);
    nord.disconnect();
    nord.connect().await;
    let texts: Vec<String> = texts(&eva).await.into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["before", "after"]);
}

#[tokio::test]
async fn a_full_disk_refuses_operations_while_reading_and_the_core_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1 << 40));
    let of_space = free.clone();
    let space = FreeSpace::by(move || Some(of_space.load(Ordering::SeqCst)));
    let nord = Nord::with(Options { space, ..Options::in_folder(folder.path()) }, folder.path(), Log::with_school());
    nord.connect().await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    free.store(32 << 20, Ordering::SeqCst);
    let body = json!({"type": "message.post", "room": "7a", "text": "?"});
    // Free space is looked at once a second.
    let mut seq = 1;
    let refused = loop {
        let answer = eva.submit(&[(seq, body.clone())]).await;
        if answer.status.as_u16() != 200 {
            break answer;
        }
        seq += 1;
    };
    refused.refused(507, "disk-full");
    let marks: DeviceMarks = eva.get("/api/devices/eva-1").await.ok();
    assert_eq!(marks.saved.0, seq - 1);
    let before = nord.log.lock().head();
    let text = "from the core".to_owned();
    nord.log.lock().act("weber", "elsewhere", 1, schulhof_school::Body::post(support::id("7a"), text));
    nord.deliver_after(before).await;
    assert_eq!(texts(&eva).await[0].0, "from the core");
    Browser::signed_in(&nord, "ali", "ali-1").await;
}

/// A disk in memory that counts its syncs, and takes as long for one as a slow disk.
#[derive(Debug)]
struct Counting(InMemoryBackend, Arc<AtomicU64>);
impl StorageBackend for Counting {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        // As long as a slow disk takes: others queue up meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(5));
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
}

#[tokio::test]
async fn many_submissions_share_few_commits() {
    let folder = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU64::new(0));
    let of_opener = syncs.clone();
    let opener: store::Opener =
        Box::new(move || Database::builder().create_with_backend(Counting(InMemoryBackend::new(), of_opener.clone())));
    let options = Options { opener, journal: None, ..Options::in_folder(folder.path()) };
    let nord = Nord::with(options, folder.path(), Log::with_school());
    nord.connect().await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let before = syncs.load(Ordering::SeqCst);
    let mut submissions = tokio::task::JoinSet::new();
    for n in 0..200 {
        let mut browser = eva.clone();
        browser.device = format!("eva-{n}");
        submissions.spawn(async move {
            browser.submit(&[(1, json!({"type": "message.post", "room": "7a", "text": "x"}))]).await
        });
    }
    for answer in submissions.join_all().await {
        assert_eq!(answer.ok::<schulhof_wire::api::SubmitAnswer>().results[0].state, SubmitState::Saved);
    }
    let commits = syncs.load(Ordering::SeqCst) - before;
    assert!((1..100).contains(&commits), "{commits} syncs for 200 submissions");
    assert_eq!(nord.store.status().1, 200);
}

#[tokio::test]
async fn frames_that_do_not_fit_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let head = nord.log.lock().head();
    let skipped = nord.log.lock().act("weber", "elsewhere", 1, schulhof_school::Body::post(support::id("7a"), "one"));
    let entry = nord.log.lock().act("weber", "elsewhere", 2, schulhof_school::Body::post(support::id("7a"), "two"));
    let gap = nord.store.link_frame(ToBox::Entries { entries: vec![entry.clone()] }).await;
    assert!(gap.is_err(), "an entry is missing");
    assert_eq!(nord.store.status().0, head);
    let ToCore::Hello { after, .. } = nord.store.link_connected() else { panic!("a hello") };
    assert_eq!(after, head, "it asks for what it does not have");
    nord.store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head: entry.index }).await.unwrap();
    let mut lied = skipped.clone();
    lied.rejected = Some("not-a-member".into());
    assert!(nord.store.link_frame(ToBox::Entries { entries: vec![lied] }).await.is_err(), "another verdict");
    assert!(texts(&eva).await.is_empty());
    nord.store.link_connected();
    nord.store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head: entry.index }).await.unwrap();
    nord.store.link_frame(ToBox::Entries { entries: vec![skipped, entry] }).await.unwrap();
    assert_eq!(texts(&eva).await.len(), 2);
}

#[test]
fn a_damaged_store_is_refused_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.redb");
    std::fs::write(&path, b"no database").unwrap();
    let opened = Store::open(
        support::school(),
        store::file(&path, store::MEMORY_BYTES),
        FreeSpace::of(folder.path()),
        Monotonic::start(),
    );
    assert!(opened.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"no database", "and left as it is");
}
