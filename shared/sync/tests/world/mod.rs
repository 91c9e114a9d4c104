//! A school's people, what they do, and an ordered log of it. Shared by the scenario files beside.
#![allow(dead_code, reason = "each scenario file uses a part of it")]

mod core;
mod school;

pub use self::{core::Core, school::*};

use schulhof_school::{Kv, MemoryKv, view};
use schulhof_wire::{
    LogIndex,
    chunk::{SchoolChunk, Summary},
};

/// A state in chunks of so many records.
pub fn dump(store: &MemoryKv, records_per_chunk: usize) -> Vec<SchoolChunk> {
    let head = view::head(store);
    let first = LogIndex(head.0 + 1);
    let mut records = Vec::new();
    store.scan(&[], &[0xff], false, &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        true
    });
    let count = records.len() as u64;
    let mut chunks = vec![SchoolChunk::Begin { school: school(), head, first }];
    chunks.extend(records.chunks(records_per_chunk).map(|part| SchoolChunk::State(part.to_vec())));
    chunks.push(SchoolChunk::Entries(Vec::new()));
    let entries_hash = view::StateHasher::default().finish();
    let state_hash = view::state_hash(store);
    chunks.push(SchoolChunk::End(Summary { head, first, records: count, state_hash, entries_hash }));
    chunks
}
