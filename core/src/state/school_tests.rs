//! One school, from one group's store into another's.

use super::{
    school::{CHUNK_LEN_MAX, LoadError, Parts, SchoolChunk},
    tests::{GROUP, applied, entry, name, open, school},
    *,
};
use std::{collections::BTreeSet, io};

fn dumped(store: &Store, of: &str, parts: Parts) -> Vec<SchoolChunk> {
    store.dump_school(&school(of), parts).unwrap().map(Result::unwrap).collect()
}

fn source() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Schools whose names are each other's beginning must stay apart.
    store.apply(&[entry(0, "nord", 1..=3_000), entry(1, "nordwest", [1]), entry(2, "no", [1, 2])]).unwrap();
    (dir, store)
}

fn whole(chunks: &[SchoolChunk]) -> impl Iterator<Item = io::Result<SchoolChunk>> + '_ {
    chunks.iter().map(|chunk| Ok(SchoolChunk::decode(&chunk.encode()).unwrap()))
}

#[test]
fn a_school_goes_from_store_to_store_and_is_the_same_there() {
    let (_dir, from) = source();
    let (dir, nord) = (tempfile::tempdir().unwrap(), school("nord"));
    let to = open(dir.path());
    to.apply(&[entry(0, "nord", [1, 2]), entry(1, "nordwest", [1, 2])]).unwrap();
    let mut head = to.head(&nord).unwrap();
    head.borrow_and_update();
    let mut dump = from.dump_school(&nord, Parts::StateAndEntries).unwrap();
    // What comes later is not in it.
    from.apply(&[entry(3, "nord", [3_001])]).unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = dump.next_chunk().unwrap() {
        assert!(chunk.encode().len() <= CHUNK_LEN_MAX);
        chunks.push(chunk);
    }
    let summary = to.load_school(&nord, whole(&chunks)).unwrap();
    assert_eq!((summary.head.0, summary.first.0), (3_000, 1));
    assert_eq!(summary.state_hash, to.state_hash(&nord).unwrap());
    assert_eq!((head.borrow_and_update().0, name(&to, "nord").as_str()), (3_000, "Schule 3000"));
    let entries = |store: &Store| store.entries(&nord, schulhof_wire::LogIndex(0), 3_000, usize::MAX).unwrap();
    assert_eq!(entries(&to), entries(&from));
    assert_eq!(to.kept(&school("nordwest")).unwrap().0.0, 2, "its neighbour is as it was");
    assert_eq!(applied(&to).unwrap().index, 1, "and so is the place in Raft's log");

    to.drop_school(&nord).unwrap();
    assert_eq!((to.kept(&nord).unwrap().0.0, name(&to, "nord").as_str(), head.borrow().0), (0, "", 0));
    assert_eq!(name(&to, "nordwest"), "Schule 2");
}

#[test]
fn the_state_alone_is_enough_to_go_on_from() {
    let (_dir, from) = source();
    let dir = tempfile::tempdir().unwrap();
    let to = open(dir.path());
    let summary = to.load_school(&school("nord"), whole(&dumped(&from, "nord", Parts::State))).unwrap();
    assert_eq!((summary.head.0, summary.first.0), (3_000, 3_001));
    assert_eq!(to.state_hash(&school("nord")).unwrap(), from.state_hash(&school("nord")).unwrap());
    to.apply(&[entry(0, "nord", [3_000, 3_001])]).unwrap();
    assert_eq!(to.kept(&school("nord")).unwrap(), (schulhof_wire::LogIndex(3_001), schulhof_wire::LogIndex(3_001)));
}

#[test]
fn what_is_lost_doubled_damaged_or_of_another_school_changes_nothing() {
    let (_dir, from) = source();
    let (dir, nord) = (tempfile::tempdir().unwrap(), school("nord"));
    let to = open(dir.path());
    to.apply(&[entry(0, "nord", [1])]).unwrap();
    let before = to.state_hash(&nord).unwrap();
    let chunks = dumped(&from, "nord", Parts::StateAndEntries);
    let mut broken: Vec<Vec<SchoolChunk>> = Vec::new();
    for lost in 0..chunks.len() {
        let empty = matches!(&chunks[lost], SchoolChunk::State(records) if records.is_empty());
        if !empty {
            broken.push([&chunks[..lost], &chunks[lost + 1..]].concat());
        }
    }
    broken.push([&chunks[..], &chunks[..]].concat());
    let mut shorter = chunks.clone();
    for chunk in &mut shorter {
        if let SchoolChunk::Entries(records) = chunk {
            records.remove(records.len() / 2);
            break;
        }
    }
    broken.push(shorter);
    broken.push(dumped(&from, "nordwest", Parts::StateAndEntries));
    for chunks in broken {
        let error = to.load_school(&nord, whole(&chunks)).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
        assert_eq!((to.state_hash(&nord).unwrap(), to.kept(&nord).unwrap().0.0), (before, 1));
    }
    let mut bytes = chunks[1].encode();
    for at in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        bytes[at] ^= 1;
        SchoolChunk::decode(&bytes).unwrap_err();
        bytes[at] ^= 1;
    }
    SchoolChunk::decode(&bytes[..3]).unwrap_err();
    SchoolChunk::decode(&bytes).unwrap();
    assert_eq!(GROUP, to.group);
}

#[test]
fn a_later_dump_repeats_the_chunks_in_which_nothing_has_changed() {
    let (_dir, store) = source();
    let first: BTreeSet<Vec<u8>> =
        dumped(&store, "nord", Parts::StateAndEntries).iter().map(SchoolChunk::encode).collect();
    assert!(first.len() > 5, "{} chunks", first.len());
    store.apply(&[entry(3, "nord", 3_001..=3_010)]).unwrap();
    let second = dumped(&store, "nord", Parts::StateAndEntries);
    let new = second.iter().filter(|chunk| !first.contains(&chunk.encode())).count();
    // Begin, end, the state of this small school, the last entries.
    assert!(new <= 4, "{new} of {} chunks are new", second.len());
}
