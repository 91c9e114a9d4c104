//! A replica that is loaded from the school's state instead of from its entries.

mod world;

use schulhof_school::{KvMut, MemoryKv, Operation, view};
use schulhof_sync::{BoxSync, CoreSession, Peer, Received, Staging, Submit, SyncError};
use schulhof_wire::{
    LogIndex,
    chunk::SchoolChunk,
    node::{EncodedOperation, SYNC_VERSION, ToBox, ToCore},
};
use world::{Core, dump, found, id, op, post, school};

/// A replica with the place beside its state.
struct Replica {
    confirmed: MemoryKv,
    staged: MemoryKv,
    sync: BoxSync,
}

impl Replica {
    fn new(confirmed: MemoryKv, outbox: Vec<(u64, Operation)>) -> Self {
        let sync = BoxSync::new(school(), outbox, &confirmed);
        Self { confirmed, staged: MemoryKv::default(), sync }
    }

    fn greet(&mut self, core: &Core) -> ToCore {
        let hello = self.sync.connected(0);
        let welcome = ToBox::Welcome { version: SYNC_VERSION, head: core.head() };
        self.receive(welcome).unwrap();
        hello
    }

    /// As the shell does: with the last chunk the staged state takes the confirmed one's place.
    fn receive(&mut self, frame: ToBox) -> Result<Received, SyncError> {
        let mut received = self.sync.receive(0, &mut self.confirmed, frame)?;
        match received.staging.take() {
            None => {}
            Some(Staging::Begin { .. }) => self.staged = MemoryKv::default(),
            Some(Staging::Records(records)) => {
                for (key, value) in &records {
                    self.staged.put(key, value);
                }
            }
            Some(Staging::End { records, .. }) => {
                assert_eq!(self.staged.0.len() as u64, records);
                self.confirmed = std::mem::take(&mut self.staged);
                received = self.sync.switched(0, &self.confirmed);
            }
        }
        Ok(received)
    }

    fn load(&mut self, chunks: &[SchoolChunk]) -> Result<Received, SyncError> {
        let mut last = Received::default();
        for chunk in chunks {
            last = self.receive(ToBox::Snapshot { chunk: chunk.encode() })?;
        }
        Ok(last)
    }
}

fn core_with_messages(messages: u64) -> Core {
    let mut core = Core::default();
    found(&mut core);
    for n in 1..=messages {
        core.order(EncodedOperation(op("d", n, "anna", post("5a", &format!("message {n}"))).encode()));
    }
    core
}

#[test]
fn an_empty_replica_gets_the_state_and_then_entries_from_where_it_ends() {
    let mut core = core_with_messages(3_000);
    let mut replica = Replica::new(MemoryKv::default(), vec![]);
    let hello = replica.greet(&core);
    let mut session = CoreSession::accept(&hello, &Peer::Gateway, LogIndex(1), core.head()).unwrap();
    assert!(matches!(session.poll_transmit(|_, _| vec![]), Some(ToBox::Welcome { .. })));
    assert!(session.wants_snapshot());
    let chunks = dump(&core.store, 500);
    // Written while the state is under way.
    core.order(EncodedOperation(op("d", 3_001, "anna", post("5a", "meanwhile")).encode()));
    session.head_moved(core.head());
    for chunk in &chunks {
        assert_eq!(session.poll_transmit(|_, _| panic!("no entries amid a state")), None);
        let frame = session.snapshot(chunk);
        replica.receive(frame).unwrap();
    }
    assert!(!session.wants_snapshot());
    assert_eq!(replica.sync.cursor(), LogIndex(core.head().0 - 1));
    let entries = session.poll_transmit(|after, _| core.entries_after(after)).unwrap();
    replica.receive(entries).unwrap();
    assert_eq!(replica.confirmed, core.store);
    assert_eq!((replica.sync.cursor(), session.lag()), (core.head(), 0));
}

#[test]
fn what_waits_is_kept_over_the_new_state_and_what_is_in_it_already_leaves() {
    let mut core = core_with_messages(50);
    let mut replica = Replica::new(core.store.clone(), vec![]);
    let save = |sync: &mut BoxSync, confirmed: &MemoryKv, seq, text: &str| {
        let submitted = sync.submit(confirmed, op("e", seq, "ben", post("5a", text)));
        assert!(matches!(submitted, Submit::Saved { .. }), "{submitted:?}");
    };
    save(&mut replica.sync, &replica.confirmed, 1, "secured meanwhile");
    save(&mut replica.sync, &replica.confirmed, 2, "still waits");
    core.order(EncodedOperation(op("e", 1, "ben", post("5a", "secured meanwhile")).encode()));
    core.order(EncodedOperation(op("d", 51, "anna", post("5a", "from elsewhere")).encode()));
    replica.greet(&core);
    let switched = replica.load(&dump(&core.store, 7)).unwrap();
    assert_eq!(switched.drop_outbox, [1]);
    assert_eq!((replica.sync.pending(), replica.sync.cursor()), (1, core.head()));
    let read = replica.sync.read(&replica.confirmed);
    let page = view::messages(&read, &id("tina"), &id("5a"), None, 3).unwrap();
    let texts: Vec<_> = page.items.iter().map(|message| (message.text.as_str(), message.index.is_some())).collect();
    assert_eq!(texts, [("secured meanwhile", true), ("from elsewhere", true), ("still waits", false)]);
    // The overlay is what a restart would give.
    let outbox = vec![(2, op("e", 2, "ben", post("5a", "still waits")))];
    let fresh = BoxSync::new(school(), outbox, &replica.confirmed);
    assert_eq!(fresh.changes(), replica.sync.changes());
}

#[test]
fn a_state_that_is_damaged_short_doubled_or_of_another_school_is_refused_and_nothing_changes() {
    let core = core_with_messages(50);
    let whole = dump(&core.store, 10);
    let altered = |change: &dyn Fn(&mut Vec<SchoolChunk>)| {
        let mut chunks = whole.clone();
        change(&mut chunks);
        chunks
    };
    let cases: [(&str, Vec<SchoolChunk>); 7] = [
        ("a part is missing", altered(&|chunks| drop(chunks.remove(3)))),
        ("a part comes twice", altered(&|chunks| chunks.insert(3, chunks[3].clone()))),
        ("parts are swapped", altered(&|chunks| chunks.swap(2, 3))),
        ("it has no beginning", altered(&|chunks| drop(chunks.remove(0)))),
        ("it begins twice", altered(&|chunks| chunks.insert(1, chunks[0].clone()))),
        (
            "a value differs",
            altered(&|chunks| {
                let SchoolChunk::State(records) = &mut chunks[2] else { panic!() };
                records[0].1.push(1);
            }),
        ),
        (
            "it is of another school",
            altered(&|chunks| {
                let SchoolChunk::Begin { school, .. } = &mut chunks[0] else { panic!() };
                *school = id("sued");
            }),
        ),
    ];
    for (what, chunks) in cases {
        let mut replica = Replica::new(MemoryKv::default(), vec![]);
        replica.greet(&core);
        let error = replica.load(&chunks).err();
        assert!(matches!(error, Some(SyncError::Damaged(_))), "{what}: {error:?}");
        assert_eq!((replica.sync.cursor(), replica.confirmed.0.len()), (LogIndex(0), 0), "{what}");
        // On the next connection it begins anew.
        replica.sync.disconnected(0, 0);
        replica.greet(&core);
        replica.load(&whole).unwrap();
        assert_eq!(replica.confirmed, core.store);
    }
    let mut replica = Replica::new(MemoryKv::default(), vec![]);
    replica.greet(&core);
    let mut bytes = whole[1].encode();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(replica.receive(ToBox::Snapshot { chunk: bytes }), Err(SyncError::Damaged(_))));
}

#[test]
fn a_state_of_before_and_entries_amid_one_are_refused() {
    let core = core_with_messages(50);
    let old = dump(&core.store, 10);
    let newer = core_with_messages(60);
    let mut replica = Replica::new(newer.store.clone(), vec![]);
    replica.greet(&newer);
    assert!(matches!(replica.load(&old), Err(SyncError::Damaged(_))));
    let mut replica = Replica::new(MemoryKv::default(), vec![]);
    replica.greet(&core);
    replica.load(&old[..3]).unwrap();
    let entries = core.entries_after(LogIndex(0));
    assert!(matches!(replica.receive(ToBox::Entries { entries }), Err(SyncError::Unexpected(_))));
}
