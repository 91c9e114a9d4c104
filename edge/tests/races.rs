//! What happens at the same moment: a line that breaks while entries come, a lock while somebody signs in, a browser that
//! hangs up while its ticket is made.

mod support;

use parking_lot::Mutex;
use schulhof_edge::{
    clock::{Monotonic, unix_ms},
    door::password,
    live::Notice,
    placement::{Reservations, Reserved},
    session::{Session, SessionKey},
    store::{self, FreeSpace, OpenSession, Store},
};
use schulhof_school::{Actor, Body, Operation};
use schulhof_wire::{
    ConferenceId, Hlc, LogIndex, Seq,
    api::{SubmitState, TicketAnswer},
    node::{SYNC_VERSION, ToBox},
    ticket::{MediaNode, NodeKind},
};
use serde_json::json;
use std::{future::Future, pin::Pin, sync::Arc};
use support::{Log, Nord, Options, PASSWORD, browser::Browser, id, school};
use tokio::sync::Notify;

#[tokio::test]
async fn the_news_that_the_line_broke_stands_for_no_entries() {
    let folder = tempfile::tempdir().unwrap();
    let file = store::file(&folder.path().join("box.redb"), store::MEMORY_BYTES);
    let (store, notices) = Store::open(school(), file, FreeSpace::of(folder.path()), Monotonic::start()).unwrap();
    let log = Log::with_school();
    store.link_connected();
    store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head: log.head() }).await.unwrap();
    store.link_frame(ToBox::Entries { entries: log.entries.clone() }).await.unwrap();
    store.link_disconnected();
    let told: Vec<Notice> = notices.try_iter().collect();
    assert!(told.iter().any(|notice| notice.head == log.head()));
    // It may overtake the notice of the entries: a socket that took their head from it would skip them.
    let of_line: Vec<_> = told.iter().filter(|notice| notice.core_online.is_some()).collect();
    assert_eq!(of_line.iter().map(|notice| notice.core_online).collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert!(of_line.iter().all(|notice| notice.head == LogIndex(0)));
}

#[tokio::test]
async fn who_signs_in_while_the_account_is_locked_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let nord = Nord::start(folder.path()).await;
    let phc = {
        let read = |snapshot: &store::Snapshot<'_>| schulhof_school::view::credentials(&snapshot.kv(), "eva");
        nord.store.read(read).unwrap().unwrap().password
    };
    assert!(phc.starts_with("$argon2id$") && password::hash(PASSWORD.as_bytes()) != phc);
    for round in 0..40_u64 {
        let lock = |seq, locked| Operation {
            device: id("amt-1"),
            seq: Seq(seq),
            actor: Actor::Account(id("amt")),
            at: Hlc::from_ms(seq),
            body: Body::AccountLock { account: id("eva"), locked },
        };
        let key = SessionKey::of(&format!("token-{round}"));
        let session = Session::new(id("eva"), &phc, unix_ms());
        let open = OpenSession { key, session, replaces: None, kept: true };
        // Both wait for the writer at once, so that one commit takes them together.
        let (opened, locked) = tokio::join!(
            nord.store.open_session(open),
            nord.store.submit(id("amt-1"), vec![lock(2 * round + 1, true)])
        );
        opened.unwrap();
        assert_eq!(locked.unwrap().results[0].state, SubmitState::Saved);
        assert_eq!(nord.store.sessions().get(&key, unix_ms()), None, "round {round}");
        nord.store.submit(id("amt-1"), vec![lock(2 * round + 2, false)]).await.unwrap();
    }
}

/// A relay that answers, or hangs.
struct Relay {
    node: MediaNode,
    answer: Mutex<Option<Reserved>>,
    asked: Notify,
}

type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Reservations for Relay {
    fn node(&self) -> &MediaNode {
        &self.node
    }

    fn reserve<'a>(&'a self, _: &'a ConferenceId, _: u32) -> Answering<'a, Reserved> {
        self.asked.notify_one();
        match *self.answer.lock() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn release<'a>(&'a self, _: &'a ConferenceId) -> Answering<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn call_home<'a>(&'a self, _: &'a ConferenceId) -> Answering<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}

#[tokio::test]
async fn who_hangs_up_while_a_ticket_is_made_does_not_move_the_conference() {
    let folder = tempfile::tempdir().unwrap();
    let node = MediaNode { name: id("relay-1"), kind: NodeKind::Relay, url: "http://localhost:8490".to_owned() };
    let relay = Arc::new(Relay { node, answer: Mutex::new(Some(Reserved::Yes)), asked: Notify::new() });
    let relays: Vec<Arc<dyn Reservations>> = vec![relay.clone()];
    let options = Options { relays, own: Some(30), ..Options::in_folder(folder.path()) };
    let nord = Nord::with(options, folder.path(), Log::with_school());
    nord.connect().await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    let body = json!({"type": "conference.open", "conference": "c1", "room": "7a", "title": "Mathe", "expected": 20});
    assert_eq!(weber.operate(body).await.results[0].reason, None);
    let ticket = async || -> TicketAnswer { weber.post_text("/api/conferences/c1/ticket", "").await.ok() };
    let primary = |answer: TicketAnswer| match answer {
        TicketAnswer::Granted { claims, .. } => claims.primary.name.to_string(),
        queued @ TicketAnswer::Queued { .. } => format!("{queued:?}"),
    };
    // The box's own node is not up yet.
    assert_eq!(primary(ticket().await), "relay-1");
    nord.app.placement.own_node_ready();

    relay.asked.notified().await;
    *relay.answer.lock() = None;
    tokio::select! {
        answer = ticket() => panic!("{answer:?}"),
        () = relay.asked.notified() => {}
    }
    *relay.answer.lock() = Some(Reserved::Yes);
    assert_eq!(primary(ticket().await), "relay-1");
}
