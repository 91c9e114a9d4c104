//! Where conferences are placed, and what the tickets say.

mod support;

use parking_lot::Mutex;
use schulhof_edge::placement::{Reservations, Reserved};
use schulhof_placement::TicketKeys;
use schulhof_wire::{
    ConferenceId,
    api::TicketAnswer,
    ticket::{Claims, MediaNode, MediaRole, NodeKind},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
};
use support::{Log, Nord, Options, browser::Browser, id, school, ticket_key};

/// A relay that does as it is told.
struct Relay {
    node: MediaNode,
    answer: Mutex<Reserved>,
    held: Mutex<BTreeMap<ConferenceId, u32>>,
    /// In its queue.
    waiting: Mutex<BTreeSet<ConferenceId>>,
    called_home: Mutex<Vec<ConferenceId>>,
}

impl Relay {
    fn new(name: &str, answer: Reserved) -> Arc<Self> {
        let node = MediaNode { name: id(name), kind: NodeKind::Relay, url: "http://localhost:8490".to_owned() };
        Arc::new(Self {
            node,
            answer: Mutex::new(answer),
            held: Mutex::default(),
            waiting: Mutex::default(),
            called_home: Mutex::default(),
        })
    }

    fn held(&self) -> usize {
        self.held.lock().len()
    }
}

type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Reservations for Relay {
    fn node(&self) -> &MediaNode {
        &self.node
    }

    fn reserve<'a>(&'a self, conference: &'a ConferenceId, participants: u32) -> Answering<'a, Reserved> {
        let answer = *self.answer.lock();
        self.waiting.lock().remove(conference);
        match answer {
            Reserved::Yes => drop(self.held.lock().insert(conference.clone(), participants)),
            Reserved::Full { .. } => drop(self.waiting.lock().insert(conference.clone())),
            Reserved::TooLarge | Reserved::Unreachable => {}
        }
        Box::pin(std::future::ready(answer))
    }

    fn release<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, ()> {
        self.held.lock().remove(conference);
        self.waiting.lock().remove(conference);
        Box::pin(std::future::ready(()))
    }

    fn call_home<'a>(&'a self, conference: &'a ConferenceId) -> Answering<'a, bool> {
        self.called_home.lock().push(conference.clone());
        Box::pin(std::future::ready(true))
    }
}

async fn nord(folder: &Path, own: Option<u32>, relays: &[&Arc<Relay>]) -> Nord {
    let relays = relays.iter().map(|relay| (*relay).clone() as Arc<dyn Reservations>).collect();
    let options = Options { relays, own, ..Options::in_folder(folder) };
    let nord = Nord::with(options, folder, Log::with_school());
    nord.connect().await;
    nord.app.placement.own_node_ready();
    nord
}

async fn open(weber: &mut Browser, conference: &str, expected: u32) {
    let body = json!({"type": "conference.open", "conference": conference, "room": "7a", "title": "Mathe",
        "expected": expected});
    let answer = weber.operate(body).await;
    assert_eq!(answer.results[0].reason, None);
}

async fn ticket(browser: &Browser, conference: &str) -> TicketAnswer {
    browser.post_text(&format!("/api/conferences/{conference}/ticket"), "").await.ok()
}

async fn granted(browser: &Browser, conference: &str) -> (String, Claims) {
    match ticket(browser, conference).await {
        TicketAnswer::Granted { ticket, claims } => (ticket, claims),
        queued @ TicketAnswer::Queued { .. } => panic!("{queued:?}"),
    }
}

fn names(claims: &Claims) -> (&str, Option<&str>) {
    (claims.primary.name.as_str(), claims.standby.as_ref().map(|node| node.name.as_str()))
}

#[tokio::test]
async fn a_ticket_is_signed_for_the_box_with_the_relay_as_standby() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    let (text, claims) = granted(&weber, "c1").await;
    assert_eq!(names(&claims), ("nord", Some("relay-1")));
    assert_eq!((claims.role, claims.name.as_str()), (MediaRole::Moderator, "Weber"));
    let mut keys = TicketKeys::default();
    keys.insert(school(), ticket_key().public());
    for node in ["nord", "relay-1"] {
        assert_eq!(keys.verify(&text, schulhof_edge::clock::unix_ms(), &id(node)).unwrap(), claims);
    }
    let eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let (_, of_eva) = granted(&eva, "c1").await;
    assert_eq!((of_eva.role, names(&of_eva)), (MediaRole::Participant, names(&claims)));
    assert_ne!(of_eva.id, claims.id);
}

#[tokio::test]
async fn a_conference_that_the_box_cannot_take_whole_goes_to_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    open(&mut weber, "c2", 20).await;
    assert_eq!(names(&granted(&weber, "c1").await.1).0, "nord");
    assert_eq!(names(&granted(&weber, "c2").await.1), ("relay-1", None));
    // The first one is not harmed, and the second stays where it is when the box has room again.
    assert_eq!(names(&granted(&weber, "c1").await.1).0, "nord");
    weber.operate(json!({"type": "conference.close", "conference": "c1"})).await;
    nord.app.placement.conference_changed(&id("c1")).await;
    let (_, claims) = granted(&weber, "c2").await;
    assert_eq!(names(&claims), ("relay-1", Some("nord")), "now the box is its standby");
}

#[tokio::test]
async fn when_nothing_is_free_the_answer_is_a_place_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Full { position: 7, retry_after_ms: 9_000 });
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    open(&mut weber, "c2", 20).await;
    granted(&weber, "c1").await;
    let TicketAnswer::Queued { position, retry_after_ms } = ticket(&weber, "c2").await else { panic!("granted") };
    assert_eq!(position, 1);
    assert!((2_000..=9_000).contains(&retry_after_ms), "{retry_after_ms}");
    // It comes to its turn when the first one ends.
    weber.operate(json!({"type": "conference.close", "conference": "c1"})).await;
    nord.app.placement.conference_changed(&id("c1")).await;
    assert_eq!(names(&granted(&weber, "c2").await.1), ("nord", None));
    open(&mut weber, "c3", 1_000).await;
    *relay.answer.lock() = Reserved::TooLarge;
    weber.post_text("/api/conferences/c3/ticket", "").await.refused(409, "conference-too-large");
}

#[tokio::test]
async fn who_has_a_place_waits_in_no_queue_for_another_one_or_a_standby() {
    let folder = tempfile::tempdir().unwrap();
    let full = Reserved::Full { position: 7, retry_after_ms: 9_000 };
    let (first, second) = (Relay::new("relay-1", full), Relay::new("relay-2", Reserved::Yes));
    let nord = nord(folder.path(), Some(30), &[&first, &second]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    open(&mut weber, "c2", 20).await;
    assert_eq!(names(&granted(&weber, "c1").await.1), ("nord", Some("relay-2")));
    assert_eq!(names(&granted(&weber, "c2").await.1), ("relay-2", None), "the box and the other relay are full");
    assert!(first.waiting.lock().is_empty(), "{:?}", first.waiting.lock());
    // Whoever really waits keeps the place.
    *second.answer.lock() = full;
    open(&mut weber, "c3", 20).await;
    let TicketAnswer::Queued { .. } = ticket(&weber, "c3").await else { panic!("granted") };
    // The first time it loses its standby, the second time it looks for one.
    for _ in 0..2 {
        assert_eq!(names(&granted(&weber, "c1").await.1), ("nord", None));
    }
    for relay in [first, second] {
        assert_eq!(relay.waiting.lock().iter().collect::<Vec<_>>(), [&id::<ConferenceId>("c3")]);
    }
}

#[tokio::test]
async fn when_the_media_process_dies_everybody_goes_to_the_standby() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    open(&mut weber, "c2", 5).await;
    assert_eq!(names(&granted(&weber, "c1").await.1), ("nord", Some("relay-1")));
    nord.app.placement.own_node_lost().await;
    assert_eq!(names(&granted(&weber, "c1").await.1), ("relay-1", None));
    assert_eq!(names(&granted(&weber, "c2").await.1).0, "relay-1", "a new one does not wait for the process");
    nord.app.placement.own_node_ready();
    assert_eq!(names(&granted(&weber, "c1").await.1), ("relay-1", Some("nord")), "nobody is moved back");
}

#[tokio::test]
async fn a_conference_that_fled_comes_home_when_the_media_process_has_proven_itself_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 20).await;
    granted(&weber, "c1").await;
    let placement = &nord.app.placement;
    placement.own_node_lost().await;
    placement.own_node_ready();
    assert_eq!(names(&granted(&weber, "c1").await.1), ("relay-1", Some("nord")));
    placement.come_home(30_000, |_| true).await;
    assert_eq!(names(&granted(&weber, "c1").await.1).0, "relay-1", "not yet");
    placement.come_home(3_600_000, |_| false).await;
    assert!(relay.called_home.lock().is_empty(), "it was not its turn");
    placement.come_home(3_600_000, |_| true).await;
    assert_eq!(*relay.called_home.lock(), [id("c1")]);
    assert_eq!(names(&granted(&weber, "c1").await.1), ("nord", Some("relay-1")));
    placement.come_home(3_600_000, |_| true).await;
    assert_eq!(relay.called_home.lock().len(), 1);
}

#[tokio::test]
async fn a_closed_conference_gives_its_places_back() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let nord = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 30).await;
    granted(&weber, "c1").await;
    assert_eq!(relay.held(), 1);
    nord.app.placement.conference_changed(&id("c1")).await;
    assert_eq!(relay.held(), 1, "it is still open");
    weber.operate(json!({"type": "conference.close", "conference": "c1"})).await;
    nord.app.placement.conference_changed(&id("c1")).await;
    assert_eq!(relay.held(), 0);
    open(&mut weber, "c2", 30).await;
    assert_eq!(names(&granted(&weber, "c2").await.1).0, "nord");
}

#[tokio::test]
async fn a_conference_stays_at_its_relay_over_a_restart_of_the_box() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Yes);
    let first = nord(folder.path(), None, &[&relay]).await;
    let mut weber = Browser::signed_in(&first, "weber", "weber-1").await;
    open(&mut weber, "c1", 5).await;
    assert_eq!(names(&granted(&weber, "c1").await.1), ("relay-1", None));
    let cookie = weber.cookie.take();
    drop((weber, first));
    // The box comes back with a media node that could take it; those in the conference are at the relay.
    let second = nord(folder.path(), Some(30), &[&relay]).await;
    let mut weber = Browser::new(&second, "weber-1");
    weber.cookie = cookie;
    assert_eq!(names(&granted(&weber, "c1").await.1), ("relay-1", Some("nord")));
}

#[tokio::test]
async fn a_relay_that_cannot_be_asked_makes_people_wait_and_not_despair() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new("relay-1", Reserved::Unreachable);
    let nord = nord(folder.path(), None, &[&relay]).await;
    let mut weber = Browser::signed_in(&nord, "weber", "weber-1").await;
    open(&mut weber, "c1", 5).await;
    assert!(matches!(ticket(&weber, "c1").await, TicketAnswer::Queued { .. }));
    *relay.answer.lock() = Reserved::Yes;
    granted(&weber, "c1").await;
    *relay.answer.lock() = Reserved::Unreachable;
    assert_eq!(names(&granted(&weber, "c1").await.1).0, "relay-1", "what was promised stays");
}
