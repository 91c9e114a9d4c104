//! The state of a group: what survives a crash, and what a snapshot carries over.

use super::*;
use crate::{
    log::tests::id,
    raft::types::{Answer, Command, Entry, Epoch, Group, LogId, OperationAnswer},
};
use openraft::{RaftSnapshotBuilder, entry::RaftEntry, storage::RaftStateMachine};
use schulhof_school::{Actor, Body, Operation, view};
use schulhof_wire::{DeviceId, Hlc, LogIndex, SchoolId, Seq, node::EncodedOperation};
use std::{path::Path, sync::Arc};

pub(super) const GROUP: Group = Group(1);
const CACHE_LEN: usize = 8 << 20;

pub(super) fn school(name: &str) -> SchoolId {
    SchoolId::new(name).unwrap()
}

fn rename(seq: u64) -> EncodedOperation {
    dated(seq, seq)
}

/// With its clock in milliseconds since 1970.
pub(super) fn dated(seq: u64, at_ms: u64) -> EncodedOperation {
    let operation = Operation {
        device: DeviceId::new("op-1").unwrap(),
        seq: Seq(seq),
        actor: Actor::Operator,
        at: Hlc::from_ms(at_ms),
        body: Body::SchoolName { name: format!("Schule {seq}") },
    };
    EncodedOperation(operation.encode())
}

/// The log's entry with this index, renaming a school with these numbers.
pub(super) fn entry(index: u64, name: &str, seqs: impl IntoIterator<Item = u64>) -> Entry {
    let operations = Arc::new(seqs.into_iter().map(rename).collect());
    command(index, Command::Operations { school: school(name), epoch: Epoch::FIRST, operations })
}

pub(super) fn command(index: u64, command: Command) -> Entry {
    Entry::new_normal(id(1, index), command)
}

pub(super) fn open(dir: &Path) -> Store {
    Store::open(&dir.join("group-1.redb"), GROUP, CACHE_LEN).unwrap()
}

pub(super) fn name(store: &Store, of: &str) -> String {
    store.with_school(&school(of), |kv| view::school_name(kv)).unwrap()
}

pub(super) fn applied(store: &Store) -> Option<LogId> {
    store.applied().unwrap().0
}

#[test]
fn each_operation_is_answered_and_places_have_no_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let head = store.head(&school("nord")).unwrap();
    let answers = store.apply(&[entry(0, "nord", [1, 2]), entry(1, "nord", [2, 4, 3]), entry(2, "sued", [1])]).unwrap();
    let place = |index| OperationAnswer::Entry { index: LogIndex(index), rejected: None };
    assert_eq!(answers[0], Answer::Operations(vec![place(1), place(2)]));
    let second = vec![OperationAnswer::Duplicate, OperationAnswer::Gap { expected: 3 }, place(3)];
    assert_eq!(answers[1], Answer::Operations(second));
    assert_eq!(answers[2], Answer::Operations(vec![place(1)]), "each school counts by itself");
    assert_eq!(*head.borrow(), LogIndex(3));
    assert_eq!(*store.head(&school("sued")).unwrap().borrow(), LogIndex(1));
    let entries = store.entries(&school("nord"), LogIndex(1), 10, usize::MAX).unwrap();
    assert_eq!(entries.iter().map(|e| e.index.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(entries[1].operation, rename(3));
    assert_eq!(store.entries(&school("nord"), LogIndex(0), 1, usize::MAX).unwrap().len(), 1);
    assert_eq!(store.entries(&school("nord"), LogIndex(0), 10, 1).unwrap().len(), 1, "bytes are bounded, one comes");
}

#[test]
fn what_cannot_be_read_takes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let nonsense = Arc::new(vec![EncodedOperation(b"nonsense".to_vec()), rename(1)]);
    let batch = Command::Operations { school: school("nord"), epoch: Epoch::FIRST, operations: nonsense };
    let answers = store.apply(&[command(0, batch)]).unwrap();
    let second = OperationAnswer::Entry { index: LogIndex(1), rejected: None };
    assert_eq!(answers[0], Answer::Operations(vec![OperationAnswer::Malformed, second]));
}

/// A crash: the file as the disk has it, without a farewell from redb.
fn crash(store: &Store, dir: &Path) -> tempfile::TempDir {
    let after = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("group-1.redb"), after.path().join("group-1.redb")).unwrap();
    assert!(applied(store).is_some());
    after
}

#[test]
fn after_a_crash_the_state_is_that_of_the_last_durable_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.apply(&[entry(0, "nord", [1])]).unwrap();
    assert_eq!(store.make_durable().unwrap().0, Some(id(1, 0)));
    store.apply(&[entry(1, "nord", [2])]).unwrap();
    assert_eq!((name(&store, "nord").as_str(), applied(&store)), ("Schule 2", Some(id(1, 1))));

    let after = crash(&store, dir.path());
    let store = open(after.path());
    assert_eq!((name(&store, "nord").as_str(), applied(&store)), ("Schule 1", Some(id(1, 0))));
    // The log is replayed, to the same places.
    store.apply(&[entry(1, "nord", [2]), entry(2, "nord", [3])]).unwrap();
    assert_eq!(*store.head(&school("nord")).unwrap().borrow(), LogIndex(3));
}

#[test]
fn much_work_becomes_durable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for index in 0..21 {
        store.apply(&[entry(index, "nord", index * 1_000 + 1..=(index + 1) * 1_000)]).unwrap();
    }
    let after = crash(&store, dir.path());
    assert!(applied(&open(after.path())) >= Some(id(1, 19)), "20,000 operations bound what is lost");
}

fn machine(dir: &Path) -> (Arc<Store>, Machine) {
    let store = Arc::new(open(dir));
    (store.clone(), Machine::new(store, dir.to_owned()))
}

#[tokio::test]
async fn a_snapshot_carries_state_and_entries_over_and_replaces_what_was_there() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((source, mut sending), (target, mut taking)) = (machine(from.path()), machine(to.path()));
    source.apply(&[entry(0, "nord", 1..=5_000), entry(1, "sued", [1])]).unwrap();
    target.apply(&[entry(0, "west", [1])]).unwrap();
    let mut head = target.head(&school("nord")).unwrap();
    head.borrow_and_update();

    let snapshot = sending.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(snapshot.meta.last_log_id, Some(id(1, 1)));
    // What comes later is not in it.
    source.apply(&[entry(2, "nord", [5_001])]).unwrap();
    taking.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(applied(&target), Some(id(1, 1)));
    assert_eq!(name(&target, "nord"), "Schule 5000");
    assert_eq!(name(&target, "west"), "");
    assert_eq!(*head.borrow_and_update(), LogIndex(5_000), "who waits for entries is told");
    let entries = |store: &Store| store.entries(&school("nord"), LogIndex(0), 10_000, usize::MAX).unwrap();
    assert_eq!(entries(&target)[..], entries(&source)[..5_000]);
    // And it is durable.
    let after = crash(&target, to.path());
    assert_eq!(name(&open(after.path()), "nord"), "Schule 5000");
}

#[tokio::test]
async fn a_cut_or_damaged_snapshot_changes_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((source, mut sending), (target, mut taking)) = (machine(from.path()), machine(to.path()));
    source.apply(&[entry(0, "nord", 1..=100)]).unwrap();
    target.apply(&[entry(0, "west", [1])]).unwrap();
    for cut in [true, false] {
        let snapshot = sending.get_current_snapshot().await.unwrap().unwrap();
        let SnapshotData::Own(mut dump) = snapshot.snapshot else { panic!("an own one") };
        let mut received = taking.receive().unwrap();
        while let Some(chunk) = dump.next_chunk().unwrap() {
            match chunk {
                Chunk::End { .. } if cut => break,
                Chunk::State(mut records) => {
                    // Not damaged in the file, but one record short.
                    records.truncate(records.len().saturating_sub(usize::from(!cut)));
                    received.write(&Chunk::State(records)).unwrap();
                }
                other => received.write(&other).unwrap(),
            }
        }
        let error = taking.install_snapshot(&snapshot.meta, SnapshotData::Received(received)).await.unwrap_err();
        assert!(error.to_string().starts_with("a received snapshot cannot be used"), "{error}");
        assert_eq!((name(&target, "west").as_str(), applied(&target)), ("Schule 1", Some(id(1, 0))));
    }
    let left: Vec<_> = std::fs::read_dir(to.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["group-1.redb"], "what was received is removed");
}

#[tokio::test]
async fn what_a_snapshot_promises_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut machine) = machine(dir.path());
    store.apply(&[entry(0, "nord", [1]), entry(1, "nord", [2])]).unwrap();
    let snapshot = machine.build_snapshot().await.unwrap();
    let after = crash(&store, dir.path());
    assert_eq!(applied(&open(after.path())), snapshot.meta.last_log_id);
}
