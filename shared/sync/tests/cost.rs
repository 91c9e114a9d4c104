//! Invariant: coming back after a long outage costs what waits, not its square.

mod world;

use schulhof_school::{Kv, KvMut, MemoryKv};
use schulhof_sync::{BoxSync, Submit, order};
use schulhof_wire::{
    LogIndex,
    node::{Entry, SYNC_VERSION, ToBox, ToCore},
};
use std::cell::Cell;
use world::{Core, found, op, post, school};

/// Counts what is asked of a store.
struct Counting {
    store: MemoryKv,
    calls: Cell<u64>,
}

impl Counting {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl Kv for Counting {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.count();
        self.store.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], descending: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.count();
        self.store.scan(from, to, descending, visit);
    }
}

impl KvMut for Counting {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.count();
        self.store.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.count();
        self.store.delete(key);
    }
}

struct Outage {
    core: Core,
    confirmed: Counting,
    sync: BoxSync,
}

/// A box that took so many messages while the core was away, and is connected again.
fn outage(waiting: u64) -> Outage {
    let mut core = Core::default();
    found(&mut core);
    let mut confirmed = Counting { store: MemoryKv::default(), calls: Cell::new(0) };
    for entry in &core.log {
        order(&mut confirmed, entry.operation.clone()).unwrap();
    }
    let mut sync = BoxSync::new(school(), [], &confirmed);
    for n in 1..=waiting {
        let device = if n % 2 == 0 { "d-anna" } else { "d-ben" };
        let submitted =
            sync.submit(&confirmed, op(device, n.div_ceil(2), &device[2..], post("5a", "while the line was cut")));
        assert!(matches!(submitted, Submit::Saved { .. }), "{submitted:?}");
    }
    sync.connected(0);
    sync.receive(0, &mut confirmed, ToBox::Welcome { version: SYNC_VERSION, head: core.head() }).unwrap();
    confirmed.calls.set(0);
    Outage { core, confirmed, sync }
}

impl Outage {
    fn entries(&mut self, entries: Vec<Entry>) {
        self.sync.receive(1, &mut self.confirmed, ToBox::Entries { entries }).unwrap();
    }

    /// Everything goes through, in batches; how many frames it took.
    fn drain(&mut self) -> u64 {
        let mut frames = 0;
        while self.sync.pending() > 0 {
            let Some(ToCore::Submit { batch, operations }) = self.sync.poll_transmit(1) else {
                panic!("nothing to send")
            };
            let after = self.core.head();
            for operation in operations {
                self.core.order(operation);
            }
            self.entries(self.core.entries_after(after));
            self.sync.receive(1, &mut self.confirmed, ToBox::Committed { batch }).unwrap();
            frames += 1;
        }
        frames
    }
}

#[test]
fn twenty_thousand_waiting_operations_are_confirmed_without_replaying_those_behind() {
    let mut school = outage(20_000);
    let frames = school.drain();
    assert_eq!(frames, 20);
    let calls = school.confirmed.calls.get();
    assert!(calls < 20_000 * 12, "{calls} calls of the store for 20000 operations");
    assert!(school.sync.changes().is_empty());
    assert_eq!(school.core.store, school.confirmed.store);
}

#[test]
fn a_foreign_entry_costs_one_replay_per_frame_and_not_one_per_entry() {
    let mut school = outage(2_000);
    let after = school.core.head();
    for n in 1..=100 {
        school
            .core
            .order(schulhof_wire::node::EncodedOperation(op("d-tina", n, "tina", post("5a", "from home")).encode()));
    }
    let entries = school.core.entries_after(after);
    school.entries(entries);
    let calls = school.confirmed.calls.get();
    assert!(calls < (2_000 + 100) * 12, "{calls} calls of the store");
    school.drain();
    assert_eq!(school.core.store, school.confirmed.store);
    assert_eq!(school.sync.cursor(), LogIndex(school.core.log.len() as u64));
}

#[test]
fn frames_that_come_together_cost_one_replay() {
    let mut school = outage(2_000);
    let after = school.core.head();
    for n in 1..=400 {
        let operation = op("d-tina", n, "tina", post("5a", "from home"));
        school.core.order(schulhof_wire::node::EncodedOperation(operation.encode()));
    }
    let entries = school.core.entries_after(after);
    let frames = entries.chunks(10).map(|entries| ToBox::Entries { entries: entries.to_vec() });
    school.sync.receive_all(1, &mut school.confirmed, frames.collect::<Vec<_>>()).unwrap();
    let calls = school.confirmed.calls.get();
    assert!(calls < (2_000 + 400) * 12, "{calls} calls of the store for 40 frames");
    school.drain();
    assert_eq!(school.core.store, school.confirmed.store);
}

#[test]
fn saving_costs_the_same_whatever_waits_and_whether_or_not_the_core_answers() {
    let mut school = outage(1);
    let mut calls = Vec::new();
    for n in 2..=20_000 {
        let submitted = school.sync.submit(&school.confirmed, op("d-carl", n - 1, "ben", post("5a", "more")));
        assert!(matches!(submitted, Submit::Saved { .. }), "{submitted:?}");
        // The first batches go, no answer comes, and the rest waits.
        school.sync.poll_transmit(1);
        if n % 5_000 == 0 {
            calls.push(school.confirmed.calls.replace(0));
        }
    }
    assert!(calls.iter().all(|calls| *calls < 5_000 * 12), "{calls:?}");
}
