//! A school goes from one group to another by entries of their logs, whatever is repeated on the way.

use super::{
    place::{Place, Stage},
    school::Parts,
    tests::{command, entry, open, school},
    *,
};
use crate::raft::types::{Answer, Command, Epoch, Loaded, OperationAnswer};
use schulhof_wire::LogIndex;
use std::sync::Arc;

/// Applies one command as the log's next entry.
fn apply(store: &Store, next: Command) -> Answer {
    let index = store.applied().unwrap().0.map_or(0, |id| id.index + 1);
    store.apply(&[command(index, next)]).unwrap().remove(0)
}

fn operations(store: &Store, epoch: u64, seq: u64) -> Answer {
    let openraft::EntryPayload::Normal(Command::Operations { school, operations, .. }) =
        entry(0, "nord", [seq]).payload
    else {
        unreachable!("it is made of operations")
    };
    apply(store, Command::Operations { school, epoch: Epoch(epoch), operations })
}

fn seal(store: &Store, epoch: u64) -> Answer {
    apply(store, Command::Seal { school: school("nord"), epoch: Epoch(epoch) })
}

fn drop_at(store: &Store, epoch: u64) -> Answer {
    apply(store, Command::Drop { school: school("nord"), epoch: Epoch(epoch) })
}

fn load(store: &Store, epoch: u64, number: usize, chunk: &[u8]) -> Answer {
    let (school, chunk) = (school("nord"), Arc::new(chunk.to_vec()));
    apply(store, Command::Load { school, epoch: Epoch(epoch), number: number as u64, chunk })
}

fn dump(store: &Store) -> Vec<Vec<u8>> {
    let dump = store.dump_school(&school("nord"), Parts::StateAndEntries).unwrap();
    dump.map(|chunk| chunk.unwrap().encode()).collect()
}

fn place(epoch: u64, stage: Stage) -> Place {
    Place { epoch: Epoch(epoch), stage }
}

fn accepted(index: u64) -> Answer {
    Answer::Operations(vec![OperationAnswer::Entry { index: LogIndex(index), rejected: None }])
}

#[test]
fn a_school_moves_there_and_back_and_its_places_go_on_without_a_gap() {
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(dir_a.path()), open(dir_b.path()));
    for seq in 1..=30 {
        assert_eq!(operations(&a, 1, seq), accepted(seq));
    }
    let mut head = a.head(&school("nord")).unwrap();
    assert_eq!(seal(&a, 1), Answer::Sealed { head: LogIndex(30) });
    assert_eq!(seal(&a, 1), Answer::Sealed { head: LogIndex(30) }, "twice is as good as once");
    assert_eq!(operations(&a, 1, 31), Answer::Moved, "what is sealed takes nothing");

    let chunks = dump(&a);
    assert!(chunks.len() >= 4, "begin, state, entries, end");
    for round in 0..2 {
        // Another one begins anew where the first one died.
        for (number, chunk) in chunks.iter().enumerate().take(2 + round * chunks.len()) {
            let expected = if number + 1 == chunks.len() { Loaded::Whole } else { Loaded::Next(number as u64 + 1) };
            assert_eq!(load(&b, 2, number, chunk), Answer::Loaded(expected));
        }
    }
    assert_eq!(b.place(&school("nord")).unwrap(), place(2, Stage::Served));
    assert_eq!(load(&b, 2, 0, &chunks[0]), Answer::Loaded(Loaded::Whole), "late chunks change nothing");
    assert_eq!(operations(&b, 1, 31), Answer::Moved, "not at the old epoch");
    assert_eq!(operations(&b, 2, 31), accepted(31));

    assert_eq!(drop_at(&b, 2), Answer::Moved, "what is served is not dropped");
    assert_eq!(drop_at(&a, 1), Answer::Dropped);
    assert_eq!(drop_at(&a, 1), Answer::Dropped);
    assert_eq!(a.place(&school("nord")).unwrap(), place(1, Stage::Gone));
    assert!(a.entries(&school("nord"), LogIndex(0), 10, usize::MAX).unwrap().is_empty());
    assert!(head.has_changed().is_err(), "who watches it learns that it is gone");
    assert_eq!(operations(&a, 1, 32), Answer::Moved);

    assert_eq!(seal(&b, 2), Answer::Sealed { head: LogIndex(31) });
    for (number, chunk) in dump(&b).iter().enumerate() {
        load(&a, 3, number, chunk);
    }
    assert_eq!(operations(&a, 3, 32), accepted(32));
    head = a.head(&school("nord")).unwrap();
    assert_eq!(*head.borrow(), LogIndex(32));
    assert_eq!(load(&b, 2, 0, &chunks[0]), Answer::Moved, "chunks of an old move come too late");
}

#[test]
fn damaged_chunks_are_thrown_away_and_what_is_served_stays() {
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(dir_a.path()), open(dir_b.path()));
    for seq in 1..=3 {
        operations(&a, 1, seq);
        operations(&b, 1, seq);
    }
    let chunks = dump(&a);
    assert_eq!(load(&b, 2, 0, &chunks[0]), Answer::Moved, "a served school is not overwritten before it is sealed");
    assert_eq!(operations(&b, 1, 4), accepted(4));

    seal(&b, 1);
    let mut flipped = chunks[0].clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(load(&b, 2, 0, &flipped), Answer::Loaded(Loaded::Damaged(_))));
    assert_eq!(b.place(&school("nord")).unwrap(), place(1, Stage::Sealed), "nothing has begun");
    load(&b, 2, 0, &chunks[0]);
    assert_eq!(load(&b, 2, 2, &chunks[2]), Answer::Loaded(Loaded::Next(1)), "a chunk is missing");
    // The state is missing: the end finds out.
    let last = chunks.last().unwrap();
    assert!(matches!(load(&b, 2, 1, last), Answer::Loaded(Loaded::Damaged(_))));
    assert_eq!(b.place(&school("nord")).unwrap(), place(2, Stage::Loading { next: 0 }));
    assert_eq!(operations(&b, 2, 5), Answer::Moved);
}

#[test]
fn a_snapshot_carries_where_schools_are() {
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (Arc::new(open(dir_a.path())), Arc::new(open(dir_b.path())));
    operations(&a, 1, 1);
    seal(&a, 1);
    let (meta, mut dump) = Dump::new(&a).unwrap();
    let mut received = Machine::new(b.clone(), dir_b.path().to_owned()).receive().unwrap();
    while let Some(chunk) = dump.next_chunk().unwrap() {
        received.write(&chunk).unwrap();
    }
    received.install(&meta, &b).unwrap();
    assert_eq!(b.place(&school("nord")).unwrap(), place(1, Stage::Sealed));
}
