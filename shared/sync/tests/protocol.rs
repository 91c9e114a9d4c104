//! The frames between box and core: what each end takes, refuses, repeats, and how long it waits.

mod world;

use schulhof_school::{Body, MemoryKv, Operation, view};
use schulhof_sync::{BoxSync, CoreSession, NUMBER_TAKEN, Peer, Refusal, Submit, SyncError};
use schulhof_wire::{
    LogIndex,
    node::{BATCH_LEN_MAX, EncodedOperation, Entry, OPERATION_LEN_MAX, SYNC_VERSION, ToBox, ToCore},
};
use world::{Core, found, id, op, post, school};

struct Pair {
    core: Core,
    confirmed: MemoryKv,
    sync: BoxSync,
}

/// A box that holds all that the core has, and is welcome.
fn pair() -> Pair {
    let mut core = Core::default();
    found(&mut core);
    let confirmed = core.store.clone();
    let mut sync = BoxSync::new(school(), [], &confirmed);
    sync.connected(0);
    let mut pair = Pair { core, confirmed, sync };
    let head = pair.core.head();
    pair.receive(ToBox::Welcome { version: SYNC_VERSION, head }).unwrap();
    pair
}

impl Pair {
    fn receive(&mut self, frame: ToBox) -> Result<schulhof_sync::Received, SyncError> {
        self.sync.receive(0, &mut self.confirmed, frame)
    }

    fn submit(&mut self, op: Operation) {
        assert!(matches!(self.sync.submit(&self.confirmed, op), Submit::Saved { .. }));
    }

    fn order(&mut self, op: &Operation) -> Entry {
        self.core.order(EncodedOperation(op.encode()));
        self.core.log.last().unwrap().clone()
    }

    fn batch(&mut self, now_ms: u64) -> Option<(u64, usize)> {
        match self.sync.poll_transmit(now_ms) {
            Some(ToCore::Submit { batch, operations }) => Some((batch, operations.len())),
            Some(ToCore::Ping) | None => None,
            Some(other) => panic!("{other:?}"),
        }
    }
}

fn texts(pair: &Pair) -> Vec<String> {
    let read = pair.sync.read(&pair.confirmed);
    let page = view::messages(&read, &id("tina"), &id("5a"), None, 50).unwrap();
    page.items.into_iter().map(|message| message.text).collect()
}

#[test]
fn entries_that_leave_a_hole_are_refused_whole() {
    let mut pair = pair();
    let mut entries: Vec<Entry> = (1..=3).map(|n| pair.order(&op("d", n, "anna", post("5a", "x")))).collect();
    entries.remove(1);
    let before = pair.confirmed.clone();
    let expected_next = pair.core.head().0 - 1;
    let error = pair.receive(ToBox::Entries { entries }).unwrap_err();
    assert!(
        matches!(error, SyncError::NotGapless { expected, got } if expected == expected_next && got == expected + 1)
    );
    assert_eq!(pair.confirmed, before);
}

#[test]
fn a_verdict_that_differs_from_the_cores_is_an_error_that_names_both() {
    let mut pair = pair();
    let mut entry = pair.order(&op("d", 1, "anna", post("5a", "x")));
    entry.rejected = Some("not-a-member".into());
    let index = entry.index.0;
    let error = pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap_err();
    let SyncError::Diverged { index: at, ours, theirs } = error else { panic!("{error}") };
    assert_eq!((at, ours.as_str(), theirs.as_str()), (index, "accepted", "not-a-member"));
}

#[test]
fn an_entry_of_a_kind_that_only_the_core_knows_asks_for_an_update() {
    let mut pair = pair();
    let json = String::from_utf8(op("d", 1, "anna", post("5a", "x")).encode()).unwrap();
    let operation = EncodedOperation(json.replace("message.post", "message.sing").into_bytes());
    let index = LogIndex(pair.core.head().0 + 1);
    let entry = Entry { index, operation, rejected: None };
    let error = pair.receive(ToBox::Entries { entries: vec![entry.clone()] }).unwrap_err();
    assert!(matches!(error, SyncError::NotUnderstood { .. }), "{error}");
}

#[test]
fn a_newer_box_follows_a_core_that_did_not_know_the_kind() {
    let mut pair = pair();
    let written = op("d", 1, "anna", post("5a", "new kind"));
    pair.submit(written.clone());
    let behind = op("d", 2, "anna", post("5a", "old kind"));
    pair.submit(behind.clone());
    let index = LogIndex(pair.core.head().0 + 1);
    let rejected = Some("unknown-operation".to_owned());
    let entry = Entry { index, operation: EncodedOperation(written.encode()), rejected };
    let received = pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap();
    assert_eq!(received.rejected_own[0].reason, "unknown-operation");
    assert_eq!(texts(&pair), ["old kind"]);
    assert_eq!(pair.sync.changes(), BoxSync::new(school(), [(2, behind)], &pair.confirmed).changes());
    assert_eq!(view::device(&pair.confirmed, &id("d")).0, 1);
}

#[test]
fn who_wrote_is_told_when_the_rules_changed_under_a_waiting_operation() {
    let mut pair = pair();
    pair.submit(op("d", 1, "anna", post("5a", "goes through")));
    pair.submit(op("d", 2, "anna", post("5a", "comes too late")));
    pair.submit(op("e", 1, "ben", post("5a", "unharmed")));
    let first = pair.order(&op("d", 1, "anna", post("5a", "goes through")));
    let lock = pair.order(&op("r", 1, "root", Body::AccountLock { account: id("anna"), locked: true }));
    let received = pair.receive(ToBox::Entries { entries: vec![first, lock] }).unwrap();
    assert_eq!(received.rejected_own, vec![]);
    assert_eq!(received.overlay_changes.len(), 1, "the room lost a message that was shown");
    assert_eq!(texts(&pair), ["goes through", "unharmed"], "what would be rejected is not shown");
    assert_eq!(pair.sync.pending(), 2, "but it still waits for the core's word");
    let entry = pair.order(&op("d", 2, "anna", post("5a", "comes too late")));
    let received = pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap();
    let notice = &received.rejected_own[0];
    assert_eq!((notice.seq.0, notice.reason.as_str()), (2, "account-locked"));
    assert_eq!(received.drop_outbox, vec![2]);
    assert_eq!(pair.sync.pending(), 1);
}

#[test]
fn an_operation_that_came_by_another_box_leaves_the_outbox_too() {
    let mut pair = pair();
    let written = op("d", 1, "anna", post("5a", "by two ways"));
    pair.submit(op("e", 1, "ben", post("5a", "first in the queue")));
    pair.submit(written.clone());
    let entry = pair.order(&written);
    let received = pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap();
    assert_eq!(received.drop_outbox, vec![2]);
    assert_eq!(texts(&pair), ["by two ways", "first in the queue"]);
    assert_eq!(pair.batch(0), Some((1, 1)));
}

#[test]
fn a_number_that_another_operation_took_is_reported() {
    let mut pair = pair();
    pair.submit(op("d", 1, "anna", post("5a", "mine")));
    let entry = pair.order(&op("d", 1, "anna", post("5a", "from a copy of my profile")));
    let received = pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap();
    assert_eq!(received.rejected_own[0].reason, NUMBER_TAKEN);
    assert_eq!(texts(&pair), ["from a copy of my profile"]);
    assert_eq!(pair.sync.pending(), 0);
}

#[test]
fn with_something_in_flight_operations_gather_and_the_window_is_bounded() {
    let mut pair = pair();
    pair.submit(op("d", 1, "anna", post("5a", "x")));
    assert_eq!(pair.batch(0), Some((1, 1)));
    for n in 2..=50 {
        pair.submit(op("d", n, "anna", post("5a", "x")));
    }
    assert_eq!(pair.batch(0), None);
    pair.receive(ToBox::Committed { batch: 1 }).unwrap();
    assert_eq!(pair.batch(0), Some((2, 49)));
    for n in 51..=6_000 {
        pair.submit(op("d", n, "anna", post("5a", "x")));
    }
    let sent: Vec<_> = std::iter::from_fn(|| pair.batch(0)).collect();
    assert_eq!(sent, [(3, BATCH_LEN_MAX), (4, BATCH_LEN_MAX), (5, BATCH_LEN_MAX)]);
}

#[test]
fn batches_are_bounded_in_bytes() {
    let mut pair = pair();
    for n in 1..=200 {
        pair.submit(op("d", n, "anna", post("5a", &"x".repeat(16_000))));
    }
    let Some(ToCore::Submit { operations, .. }) = pair.sync.poll_transmit(0) else { panic!("no batch") };
    let bytes: usize = operations.iter().map(|operation| operation.0.len()).sum();
    assert!(bytes <= 1 << 20 && bytes > (1 << 20) - 20_000, "{bytes}");
}

#[test]
fn a_busy_core_is_left_alone_for_the_time_it_names_and_then_gets_all_again_in_order() {
    let mut pair = pair();
    for n in 1..=2_500 {
        pair.submit(op("d", n, "anna", post("5a", "x")));
    }
    assert_eq!((pair.batch(0), pair.batch(0)), (Some((1, 1_000)), Some((2, 1_000))));
    pair.receive(ToBox::Busy { batch: 1, retry_after_ms: 500 }).unwrap();
    assert_eq!(pair.batch(499), None);
    assert_eq!(pair.sync.poll_timeout(), Some(500));
    let Some(ToCore::Submit { operations, .. }) = pair.sync.poll_transmit(500) else { panic!("no batch") };
    assert_eq!(Operation::decode(&operations[0].0).unwrap().seq.0, 1);
    pair.receive(ToBox::Committed { batch: 2 }).unwrap();
}

#[test]
fn a_batch_without_an_answer_and_an_answer_without_entries_are_sent_again() {
    let mut pair = pair();
    pair.submit(op("d", 1, "anna", post("5a", "x")));
    assert_eq!(pair.batch(0), Some((1, 1)));
    assert_eq!(pair.batch(9_999), None);
    assert_eq!(pair.batch(10_000), Some((2, 1)));
    pair.receive(ToBox::Committed { batch: 2 }).unwrap();
    assert_eq!(pair.batch(9_000), None);
    assert_eq!(pair.batch(10_001), Some((3, 1)));
}

#[test]
fn after_a_reconnect_everything_that_waits_is_sent_again() {
    let mut pair = pair();
    pair.submit(op("d", 1, "anna", post("5a", "x")));
    assert_eq!(pair.batch(0), Some((1, 1)));
    pair.sync.disconnected(0, 0);
    assert!(!pair.sync.online());
    assert_eq!(pair.batch(0), None);
    let ToCore::Hello { after, .. } = pair.sync.connected(100) else { panic!("no hello") };
    assert_eq!(after, pair.core.head());
    let head = pair.core.head();
    pair.receive(ToBox::Welcome { version: SYNC_VERSION, head }).unwrap();
    assert_eq!(pair.batch(100), Some((2, 1)));
}

#[test]
fn tries_to_connect_spread_and_grow_rarer_up_to_a_bound() {
    let mut sync = BoxSync::new(school(), [], &MemoryKv::default());
    assert_eq!(sync.connect_at(), Some(0));
    let mut delays = Vec::new();
    for _ in 0..12 {
        sync.disconnected(0, 0);
        let shortest = sync.connect_at().unwrap();
        delays.push(shortest);
    }
    assert_eq!(delays[..4], [100, 200, 400, 750]);
    assert!(delays.is_sorted() && delays[11] == 750);
    sync.disconnected(0, u64::MAX);
    assert!((750..=1_500).contains(&sync.connect_at().unwrap()));
    let spread: std::collections::BTreeSet<u64> = (0..50)
        .map(|jitter| {
            sync.disconnected(0, jitter * 7_919);
            sync.connect_at().unwrap()
        })
        .collect();
    assert!(spread.len() > 40);
}

#[test]
fn a_redirect_is_followed_at_once_but_not_in_circles() {
    let mut sync = BoxSync::new(school(), [], &MemoryKv::default());
    let mut confirmed = MemoryKv::default();
    let mut waits = Vec::new();
    for _ in 0..6 {
        sync.connected(0);
        let frame = ToBox::Redirect { leader: Some(id("core-2")) };
        let received = sync.receive(0, &mut confirmed, frame).unwrap();
        assert_eq!(received.redirect.unwrap().leader, Some(id("core-2")));
        sync.disconnected(0, 0);
        waits.push(sync.connect_at().unwrap());
    }
    assert_eq!(waits[..3], [0, 0, 0]);
    assert!(waits[3..].iter().all(|wait| *wait > 0), "{waits:?}");
}

#[test]
fn a_silent_core_and_one_that_keeps_entries_back_are_left() {
    let mut pair = pair();
    assert!(!pair.sync.is_silent(9_999));
    assert!(pair.sync.is_silent(10_000));
    assert_eq!(pair.sync.poll_transmit(3_000), Some(ToCore::Ping));
    let ahead = LogIndex(pair.core.head().0 + 1);
    for now_ms in [3_000, 6_000, 9_000, 12_000] {
        assert!(!pair.sync.is_silent(now_ms));
        pair.sync.receive(now_ms, &mut pair.confirmed, ToBox::Head { head: ahead }).unwrap();
    }
    assert!(pair.sync.is_silent(13_000));
}

#[test]
fn nothing_is_taken_before_the_welcome_nor_from_a_core_that_lost_entries() {
    let pair = pair();
    let mut confirmed = pair.confirmed.clone();
    let mut sync = BoxSync::new(school(), [], &confirmed);
    sync.connected(0);
    let early = sync.receive(0, &mut confirmed, ToBox::Entries { entries: vec![] }).unwrap_err();
    assert!(matches!(early, SyncError::Unexpected(_)));
    let behind = ToBox::Welcome { version: SYNC_VERSION, head: LogIndex(1) };
    assert!(matches!(sync.receive(0, &mut confirmed, behind).unwrap_err(), SyncError::CoreBehind { head: 1, .. }));
    let other = ToBox::Welcome { version: SYNC_VERSION + 1, head: pair.core.head() };
    assert!(matches!(sync.receive(0, &mut confirmed, other).unwrap_err(), SyncError::Version(_)));
    let refused = ToBox::Refused { code: "wrong-school".into(), detail: String::new() };
    assert!(matches!(sync.receive(0, &mut confirmed, refused).unwrap_err(), SyncError::Refused { .. }));
    sync.disconnected(0, 0);
    assert_eq!(sync.connect_at(), Some(10_000), "what lasts is not tried again soon");
}

fn hello(after: u64) -> ToCore {
    ToCore::Hello { version: SYNC_VERSION, software: "test".into(), school: school(), after: LogIndex(after) }
}

fn code(refusal: &Refusal) -> &str {
    match &refusal.0 {
        ToBox::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_box_speaks_for_its_own_school_only_and_the_operator_for_any() {
    let peer = Peer::Box(id("sued"));
    assert_eq!(code(&CoreSession::accept(&hello(0), &peer, LogIndex(1), LogIndex(5)).unwrap_err()), "wrong-school");
    assert!(CoreSession::accept(&hello(0), &Peer::Operator, LogIndex(1), LogIndex(5)).is_ok());
    let peer = Peer::Box(school());
    assert_eq!(code(&CoreSession::accept(&hello(6), &peer, LogIndex(1), LogIndex(5)).unwrap_err()), "ahead");
    assert_eq!(code(&CoreSession::accept(&ToCore::Ping, &peer, LogIndex(1), LogIndex(5)).unwrap_err()), "malformed");
    let old = ToCore::Hello { version: 99, software: String::new(), school: school(), after: LogIndex(0) };
    assert_eq!(code(&CoreSession::accept(&old, &peer, LogIndex(1), LogIndex(5)).unwrap_err()), "version");
}

#[test]
fn the_door_keeps_out_nonsense_giants_and_false_operators() {
    let submit = |operations: Vec<Vec<u8>>| ToCore::Submit {
        batch: 1,
        operations: operations.into_iter().map(EncodedOperation).collect(),
    };
    let peer = Peer::Box(school());
    let fresh = || CoreSession::accept(&hello(0), &peer, LogIndex(1), LogIndex(0)).unwrap();
    let good = op("d", 1, "anna", post("5a", "x")).encode();
    let operator = op("d", 1, "operator", Body::SchoolName { name: "X".into() }).encode();
    let giant = op("d", 1, "anna", post("5a", &"x".repeat(OPERATION_LEN_MAX))).encode();
    for bad in
        [vec![], vec![b"{}".to_vec()], vec![good.clone(), giant], vec![operator.clone()], vec![good.clone(); 1_001]]
    {
        assert_eq!(code(&fresh().receive(submit(bad)).unwrap_err()), "malformed");
    }
    assert!(fresh().receive(submit(vec![good])).unwrap().is_some());
    let mut session = CoreSession::accept(&hello(0), &Peer::Operator, LogIndex(1), LogIndex(0)).unwrap();
    assert!(session.receive(submit(vec![operator])).unwrap().is_some());
}

#[test]
fn a_flooding_box_is_told_to_wait_and_then_shut_out() {
    let mut session = CoreSession::accept(&hello(0), &Peer::Box(school()), LogIndex(1), LogIndex(0)).unwrap();
    session.poll_transmit(|_, _| vec![]);
    let encoded = EncodedOperation(op("d", 1, "anna", post("5a", "x")).encode());
    let mut outcomes = Vec::new();
    for batch in 1..40 {
        match session.receive(ToCore::Submit { batch, operations: vec![encoded.clone()] }) {
            Ok(Some(_)) => outcomes.push('t'),
            Ok(None) => outcomes.push('b'),
            Err(_) => {
                outcomes.push('x');
                break;
            }
        }
    }
    let outcomes: String = outcomes.into_iter().collect();
    assert!(outcomes.starts_with("ttttttttb") && outcomes.ends_with('x') && outcomes.len() < 20, "{outcomes}");
}

#[test]
fn entries_go_out_gaplessly_in_bounded_frames() {
    let mut pair = pair();
    for n in 1..=1_500 {
        pair.order(&op("d", n, "anna", post("5a", &"x".repeat(2_000))));
    }
    let head = pair.core.head();
    let mut session = CoreSession::accept(&hello(3), &Peer::Box(school()), LogIndex(1), head).unwrap();
    assert_eq!(session.poll_transmit(|_, _| vec![]), Some(ToBox::Welcome { version: SYNC_VERSION, head }));
    assert_eq!(session.lag(), head.0 - 3);
    let log = &pair.core;
    let mut next = 4;
    while let Some(ToBox::Entries { entries }) =
        session.poll_transmit(|after, len| log.entries_after(after).into_iter().take(len).collect())
    {
        let bytes: usize = entries.iter().map(|entry| entry.operation.0.len()).sum();
        assert!(bytes <= 1 << 20 && entries.len() <= 1_000);
        for entry in entries {
            assert_eq!(entry.index.0, next);
            next += 1;
        }
    }
    assert_eq!(next, head.0 + 1);
    assert_eq!(session.lag(), 0);
    session.receive(ToCore::Ping).unwrap();
    assert_eq!(session.poll_transmit(|_, _| vec![]), Some(ToBox::Head { head }));
}

#[test]
fn entries_that_came_after_the_head_was_read_do_not_leave_the_box_ahead_of_it() {
    let mut core = Core::default();
    found(&mut core);
    let head = core.head();
    let hello = ToCore::Hello { version: SYNC_VERSION, software: String::new(), school: school(), after: LogIndex(0) };
    let mut session = CoreSession::accept(&hello, &Peer::Box(school()), LogIndex(1), LogIndex(head.0 - 1)).unwrap();
    assert!(matches!(session.poll_transmit(|_, _| Vec::new()), Some(ToBox::Welcome { .. })));
    assert!(matches!(session.poll_transmit(|_, _| core.log.clone()), Some(ToBox::Entries { .. })));
    assert_eq!((session.cursor(), session.lag()), (head, 0));
}

fn hello_in(version: u16, after: u64) -> ToCore {
    ToCore::Hello { version, software: "test".into(), school: school(), after: LogIndex(after) }
}

#[test]
fn a_box_speaks_the_version_before_with_a_core_that_is_yet_to_be_updated() {
    let mut pair = pair();
    pair.sync.disconnected(0, 0);
    assert!(matches!(pair.sync.connected(100), ToCore::Hello { version: 2, .. }));
    let refused = || ToBox::Refused { code: "version".into(), detail: String::new() };
    let received = pair.receive(refused()).unwrap();
    assert_eq!(received.redirect.map(|redirect| redirect.leader), Some(None));
    pair.sync.disconnected(100, 0);
    assert_eq!(pair.sync.connect_at(), Some(100), "at once again");
    assert!(matches!(pair.sync.connected(100), ToCore::Hello { version: 1, .. }));
    let head = pair.core.head();
    pair.receive(ToBox::Welcome { version: 1, head }).unwrap();
    pair.submit(op("d", 1, "anna", post("5a", "to an older core")));
    assert_eq!(pair.batch(100).map(|(_, len)| len), Some(1));
    let entry = pair.order(&op("d", 1, "anna", post("5a", "to an older core")));
    pair.receive(ToBox::Entries { entries: vec![entry] }).unwrap();
    assert_eq!(pair.sync.pending(), 0);
    // After that connection the newer one is tried again: the core may have been updated.
    pair.sync.disconnected(200, 0);
    assert!(matches!(pair.sync.connected(1_000), ToCore::Hello { version: 2, .. }));
    // A core that knows neither is a misfit.
    pair.receive(refused()).unwrap();
    pair.sync.disconnected(1_000, 0);
    pair.sync.connected(1_000);
    assert!(matches!(pair.receive(refused()).unwrap_err(), SyncError::Refused { .. }));
}

#[test]
fn a_core_answers_a_box_that_is_yet_to_be_updated_in_its_version_and_with_entries_alone() {
    let (peer, head) = (Peer::Box(school()), LogIndex(50_000));
    let mut session = CoreSession::accept(&hello_in(1, 0), &peer, LogIndex(1), head).unwrap();
    assert_eq!(session.poll_transmit(|_, _| vec![]), Some(ToBox::Welcome { version: 1, head }));
    assert!(!session.wants_snapshot());
    assert_eq!(session.lag(), head.0);
    let behind = CoreSession::accept(&hello_in(1, 0), &peer, LogIndex(7), head).unwrap_err();
    assert_eq!(code(&behind), "behind");
    assert!(CoreSession::accept(&hello_in(1, 6), &peer, LogIndex(7), head).is_ok());
}

#[test]
fn a_state_is_for_replicas_that_hold_nothing_and_would_need_much_or_lack_what_is_not_kept() {
    let wants = |peer: Peer, after, first, head| {
        CoreSession::accept(&hello(after), &peer, LogIndex(first), LogIndex(head)).unwrap().wants_snapshot()
    };
    for peer in [Peer::Box(school()), Peer::Gateway] {
        assert!(!wants(peer.clone(), 0, 1, 2_000), "little");
        assert!(wants(peer.clone(), 0, 1, 2_001), "nothing, and much");
        assert!(!wants(peer.clone(), 1, 1, 1_000_000), "what it holds goes on");
        assert!(wants(peer.clone(), 5, 7, 10), "entry 6 is not kept");
        assert!(!wants(peer, 6, 7, 10), "entry 7 is");
    }
    assert!(!wants(Peer::Operator, 0, 7, 1_000_000), "an operator holds no replica");
}

#[test]
fn a_redirect_may_name_a_node_that_the_box_has_not_heard_of() {
    let mut pair = pair();
    let (leader, address) = (id("core-9"), "192.0.2.1:7000".parse().unwrap());
    let redirect = pair.receive(ToBox::RedirectTo { leader, address }).unwrap().redirect.unwrap();
    assert_eq!((redirect.leader, redirect.address), (Some(id("core-9")), Some(address)));
}
