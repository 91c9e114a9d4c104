//! Invariant: a box that dies between any two steps loses nothing that it acknowledged and doubles nothing.

mod world;

use schulhof_school::{KvMut, MemoryKv, Operation, view};
use schulhof_sync::{BoxSync, Received, Submit};
use schulhof_wire::node::{SYNC_VERSION, ToBox, ToCore};
use world::{Core, found, op, post, school};

struct Durable {
    confirmed: MemoryKv,
    outbox: Vec<(u64, Operation)>,
}

fn setup() -> (Core, Durable) {
    let mut core = Core::default();
    found(&mut core);
    (core, Durable { confirmed: MemoryKv::default(), outbox: Vec::new() })
}

impl Durable {
    fn start(&self) -> BoxSync {
        BoxSync::new(school(), self.outbox.clone(), &self.confirmed)
    }

    fn submit(&mut self, sync: &mut BoxSync, op: Operation) {
        let Submit::Saved { position, encoded, .. } = sync.submit(&self.confirmed, op) else { panic!("not saved") };
        self.outbox.push((position, Operation::decode(&encoded).unwrap()));
    }
}

fn welcome(sync: &mut BoxSync, confirmed: &mut impl KvMut, core: &Core) -> Received {
    let ToCore::Hello { after, .. } = sync.connected(0) else { panic!("no hello") };
    let frame = ToBox::Welcome { version: SYNC_VERSION, head: core.head() };
    let mut received = sync.receive(0, confirmed, frame).unwrap();
    let entries = core.entries_after(after);
    if !entries.is_empty() {
        let more = sync.receive(0, confirmed, ToBox::Entries { entries }).unwrap();
        received.entries.extend(more.entries);
        received.drop_outbox.extend(more.drop_outbox);
    }
    received
}

fn send(sync: &mut BoxSync, core: &mut Core) {
    let Some(ToCore::Submit { operations, .. }) = sync.poll_transmit(0) else { panic!("nothing to send") };
    for operation in operations {
        core.order(operation);
    }
}

#[test]
fn what_was_saved_but_not_sent_is_sent_after_the_restart() {
    let (mut core, mut disk) = setup();
    let mut sync = disk.start();
    welcome(&mut sync, &mut disk.confirmed, &core);
    disk.submit(&mut sync, op("d", 1, "anna", post("5a", "saved")));
    drop(sync);
    let mut sync = disk.start();
    assert_eq!(sync.pending(), 1);
    welcome(&mut sync, &mut disk.confirmed, &core);
    let before = core.log.len();
    send(&mut sync, &mut core);
    assert_eq!(core.log.len(), before + 1);
}

#[test]
fn what_was_committed_but_not_heard_of_is_in_the_log_once() {
    let (mut core, mut disk) = setup();
    let mut sync = disk.start();
    welcome(&mut sync, &mut disk.confirmed, &core);
    disk.submit(&mut sync, op("d", 1, "anna", post("5a", "committed")));
    send(&mut sync, &mut core);
    let committed = core.log.len();
    let mut sync = disk.start();
    sync.connected(0);
    sync.receive(0, &mut disk.confirmed, ToBox::Welcome { version: SYNC_VERSION, head: core.head() }).unwrap();
    send(&mut sync, &mut core);
    assert_eq!(core.log.len(), committed, "sent again, it made a second entry");
    let received = welcome(&mut disk.start(), &mut disk.confirmed, &core);
    assert_eq!(received.drop_outbox, vec![1]);
}

#[test]
fn what_is_confirmed_but_still_in_the_durable_outbox_is_dropped_and_not_shown_twice() {
    let (mut core, mut disk) = setup();
    let mut sync = disk.start();
    welcome(&mut sync, &mut disk.confirmed, &core);
    disk.submit(&mut sync, op("d", 1, "anna", post("5a", "once")));
    disk.submit(&mut sync, op("d", 2, "anna", post("5a", "still waits")));
    let first = core.order(schulhof_wire::node::EncodedOperation(disk.outbox[0].1.encode()));
    assert!(matches!(first, schulhof_sync::Ordered::Entry { .. }));
    let entries = core.entries_after(sync.cursor());
    // The outbox's removal never reaches the disk.
    sync.receive(0, &mut disk.confirmed, ToBox::Entries { entries }).unwrap();
    let mut sync = disk.start();
    assert_eq!(sync.pending(), 1);
    let read = sync.read(&disk.confirmed);
    let page = view::messages(&read, &"ben".parse().unwrap(), &"5a".parse().unwrap(), None, 10).unwrap();
    let texts: Vec<_> = page.items.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["once", "still waits"]);
    assert_eq!(welcome(&mut sync, &mut disk.confirmed, &core).drop_outbox, vec![1]);
    let mut again = disk.start();
    disk.submit(&mut again, op("d", 3, "anna", post("5a", "new")));
    assert_eq!(disk.outbox.last().unwrap().0, 3, "a position that the disk still holds was used again");
}

#[test]
fn an_operation_refused_at_the_door_leaves_its_number_free() {
    let (core, mut disk) = setup();
    let mut sync = disk.start();
    welcome(&mut sync, &mut disk.confirmed, &core);
    let refused = sync.submit(&disk.confirmed, op("d", 1, "carl", post("5a", "not a member")));
    assert_eq!(refused, Submit::Refused(schulhof_school::Reject::NotAMember));
    assert!(sync.changes().is_empty());
    let unknown = sync.submit(&disk.confirmed, op("d", 2, "carl", post("5a", "x")));
    assert_eq!(unknown, Submit::Gap { expected: 1 });
    let direct = schulhof_school::Body::RoomDirect { with: "tina".parse().unwrap() };
    disk.submit(&mut sync, op("d", 1, "carl", direct));
    let marks = sync.marks(&disk.confirmed, &"d".parse().unwrap());
    assert_eq!((marks.saved.0, marks.secured.0), (1, 0));
}
