//! Files of messages: durable before they are named, in the core before what names them, and only for those who see it.

mod support;

use axum::{
    body::Body,
    http::{Request, header},
};
use schulhof_edge::blob::hash;
use schulhof_school::view::MessageView;
use schulhof_wire::{
    BlobHash, LogIndex,
    api::{Page, SubmitState, UploadAnswer, UploadProgress},
    blob::PART_LEN,
};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use support::{Nord, Options, browser::Browser};

fn sheet(n: u8) -> Vec<u8> {
    (0..PART_LEN + 4_000).map(|at| (at / 13) as u8 ^ n).collect()
}

async fn put(browser: &Browser, blob: BlobHash, offset: usize, bytes: &[u8]) -> support::browser::Answer {
    let request = Request::put(format!("/api/blobs/{blob}?offset={offset}"));
    let request = request.header(header::ORIGIN, "http://localhost:8080").body(Body::from(bytes.to_vec()));
    browser.send(request.unwrap()).await
}

async fn begin(browser: &Browser, bytes: &[u8]) -> UploadAnswer {
    browser.post("/api/blobs", &json!({"size": bytes.len(), "hash": hash(bytes)})).await.ok()
}

async fn upload(browser: &Browser, bytes: &[u8]) {
    let begun = begin(browser, bytes).await;
    for (n, piece) in bytes.chunks(begun.chunk_len as usize).enumerate() {
        let _: UploadProgress = put(browser, begun.upload, n * begun.chunk_len as usize, piece).await.ok();
    }
}

fn message(bytes: &[u8]) -> Value {
    let file = json!({"hash": hash(bytes), "name": "Blatt.pdf", "mime": "application/pdf", "size": bytes.len()});
    json!({"type": "message.post", "room": "7a", "text": "", "attachments": [file]})
}

fn path(bytes: &[u8]) -> String {
    format!("/api/rooms/7a/blobs/{}", hash(bytes))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(support::browser::PATIENCE, wait).await.is_ok(), "{what}");
}

#[tokio::test]
async fn a_message_waits_for_its_file_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    nord.carry();
    nord.depot.away.store(true, Ordering::Relaxed);
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    upload(&eva, &sheet(1)).await;
    let answer = eva.submit(&[(1, message(&sheet(1)))]).await;
    assert_eq!(answer.json::<schulhof_wire::api::SubmitAnswer>().results[0].state, SubmitState::Saved);
    ali.submit(&[(1, json!({"type": "message.post", "room": "7a", "text": "ohne"}))]).await;
    nord.pump().await;
    // Saved, seen by the room with its file; the other one's is secured meanwhile.
    let page: Page<MessageView> = ali.get("/api/rooms/7a/messages").await.ok();
    let indices: Vec<Option<LogIndex>> = page.items.iter().map(|message| message.index).collect();
    assert!(matches!(indices[..], [Some(_), None]), "{indices:?}");
    assert_eq!(ali.get(&path(&sheet(1))).await.body, sheet(1));

    nord.depot.away.store(false, Ordering::Relaxed);
    until("the file comes to the core", || nord.depot.has(hash(&sheet(1)))).await;
    until("the message goes", || nord.store.link_state().online && nord.app.blobs.shelf().waiting().is_empty()).await;
    nord.pump().await;
    let page: Page<MessageView> = ali.get("/api/rooms/7a/messages").await.ok();
    assert!(page.items.iter().all(|message| message.index.is_some()), "{page:?}");
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_after_a_restart_and_the_message_still_waits() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    nord.carry();
    nord.depot.away.store(true, Ordering::Relaxed);
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let (bytes, blob) = (sheet(2), hash(&sheet(2)));
    assert_eq!(begin(&eva, &bytes).await.have, 0);
    let _: UploadProgress = put(&eva, blob, 0, &bytes[..PART_LEN]).await.ok();
    put(&eva, blob, 5, &bytes[5..10]).await.refused(409, "wrong-offset");
    // Named before it is whole: refused, the number stays free.
    let answer: schulhof_wire::api::SubmitAnswer = {
        nord.depot.away.store(false, Ordering::Relaxed);
        let text = json!({"type": "message.post", "room": "7a", "text": "danach"});
        eva.submit(&[(1, message(&bytes)), (2, text)]).await.ok()
    };
    nord.depot.away.store(true, Ordering::Relaxed);
    let states: Vec<_> = answer.results.iter().map(|result| (result.state, result.reason.as_deref())).collect();
    assert_eq!(states, [(SubmitState::Refused, Some("unknown-blob")), (SubmitState::Gap, None)]);
    eva.submit(&[(1, message(&bytes))]).await.refused(503, "blob-unreachable");

    let depot = nord.depot.clone();
    let log = std::mem::take(&mut *nord.log.lock());
    let weak = std::sync::Arc::downgrade(&nord.store);
    let cookie = eva.cookie.clone();
    drop((nord, eva));
    until("the store is closed", || weak.upgrade().is_none()).await;
    let nord = Nord::with(Options { depot, ..Options::in_folder(folder.path()) }, folder.path(), log);
    nord.carry();
    let mut eva = Browser::new(&nord, "eva-1");
    eva.cookie = cookie;
    assert_eq!(begin(&eva, &bytes).await.have, PART_LEN as u64);
    let _: UploadProgress = put(&eva, blob, PART_LEN, &bytes[PART_LEN..]).await.ok();
    assert_eq!(begin(&eva, &bytes).await.have, bytes.len() as u64);
    eva.submit(&[(1, message(&bytes))]).await.ok::<schulhof_wire::api::SubmitAnswer>();
    nord.connect().await;
    assert_eq!(nord.store.status().1, 1, "it waits");
    nord.depot.away.store(false, Ordering::Relaxed);
    until("the file comes to the core", || nord.app.blobs.shelf().waiting().is_empty()).await;
    nord.pump().await;
    assert_eq!(nord.store.status().1, 0);
}

/// Uploaded at another box: the core has the file, and its message comes with the log.
async fn send_from_elsewhere(nord: &Nord, seq: u64, bytes: &[u8]) {
    let recipe = schulhof_wire::blob::Recipe {
        blob: hash(bytes),
        size: bytes.len() as u64,
        parts: bytes.chunks(PART_LEN).map(hash).collect(),
    };
    let whole = bytes.to_vec();
    let read = std::sync::Arc::new(move |n: usize| {
        Ok(bytes::Bytes::copy_from_slice(whole.chunks(PART_LEN).nth(n).expect("a part")))
    });
    schulhof_edge::blob::Depot::put(&*nord.depot, nord.app.blobs.school(), recipe, read).await.unwrap();
    let body = serde_json::from_value(message(bytes)).unwrap();
    let entry = nord.log.lock().act("weber", "w-1", seq, body);
    nord.deliver_after(LogIndex(entry.index.0 - 1)).await;
}

#[tokio::test]
async fn the_newest_files_are_on_a_box_that_is_cut_off_before_anybody_asked_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    for n in 1..=3 {
        send_from_elsewhere(&nord, n.into(), &sheet(n)).await;
    }
    // Somebody's words wait for the core: they go first.
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    eva.submit(&[(1, json!({"type": "message.post", "room": "7a", "text": "zuerst"}))]).await;
    assert!(!nord.app.blobs.is_line_free());
    nord.prefetch();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(nord.depot.given.load(Ordering::Relaxed), 0);
    nord.pump().await;
    // From now on the line is free, until the fetching begins.
    until("all are here", || (1..=3).all(|n| nord.app.blobs.shelf().has(&hash(&sheet(n))))).await;
    assert_eq!(nord.depot.given.load(Ordering::Relaxed), 6, "each part once");

    nord.depot.away.store(true, Ordering::Relaxed);
    nord.disconnect();
    for n in 1..=3 {
        assert_eq!(eva.get(&path(&sheet(n))).await.body, sheet(n));
    }
    // What comes once the line is back is fetched, too.
    nord.depot.away.store(false, Ordering::Relaxed);
    nord.connect().await;
    send_from_elsewhere(&nord, 4, &sheet(4)).await;
    until("the new one is here", || nord.app.blobs.shelf().has(&hash(&sheet(4)))).await;
}

#[tokio::test]
async fn a_file_that_the_core_has_given_up_is_brought_again_from_the_copy_when_a_message_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    nord.carry();
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    upload(&eva, &sheet(5)).await;
    until("the file comes to the core", || nord.app.blobs.shelf().waiting().is_empty()).await;
    // A month later, with another process.
    let log = std::mem::take(&mut *nord.log.lock());
    let (weak, cookie) = (std::sync::Arc::downgrade(&nord.store), eva.cookie.clone());
    drop((nord, eva));
    until("the store is closed", || weak.upgrade().is_none()).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), log);
    let mut eva = Browser::new(&nord, "eva-1");
    eva.cookie = cookie;
    assert!(!nord.depot.has(hash(&sheet(5))) && nord.app.blobs.shelf().has(&hash(&sheet(5))));
    eva.submit(&[(1, message(&sheet(5)))]).await.ok::<schulhof_wire::api::SubmitAnswer>();
    nord.connect().await;
    assert_eq!(nord.store.status().1, 1, "it waits for its file");
    nord.carry();
    until("the file comes to the core again", || nord.depot.has(hash(&sheet(5)))).await;
    until("the copy is settled", || nord.app.blobs.shelf().waiting().is_empty()).await;
    nord.pump().await;
    assert_eq!(nord.store.status().1, 0);
}

#[tokio::test]
async fn a_file_of_another_box_is_fetched_once_and_only_for_the_rooms_members() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let bytes = sheet(3);
    send_from_elsewhere(&nord, 1, &bytes).await;

    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let sam = Browser::signed_in(&nord, "sam", "sam-1").await;
    sam.get(&path(&bytes)).await.refused(403, "not-a-member");
    eva.get(&path(b"other")).await.refused(404, "not-found");
    let paths = path(&bytes);
    let answers = futures_util::future::join_all((0..5).map(|_| eva.get(&paths))).await;
    for answer in &answers {
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.body, bytes);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    }
    assert_eq!(nord.depot.given.load(Ordering::Relaxed), 2, "each part once for all five");

    // The copy is damaged on the disk: it is not served, and is fetched again.
    let file = folder.path().join("blobs/kept").join(hash(&bytes).to_string());
    let mut torn = std::fs::read(&file).unwrap();
    torn[9] ^= 1;
    std::fs::write(&file, torn).unwrap();
    eva.get(&paths).await.refused(503, "storage-failed");
    assert_eq!(eva.get(&paths).await.body, bytes);
    nord.depot.away.store(true, Ordering::Relaxed);
    assert_eq!(eva.get(&paths).await.body, bytes, "from the box while the core is away");
}
