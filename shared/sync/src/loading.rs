//! A school's state on its way to a replica: chunks in order, of this school, and in the end of the hash that was promised.
//!
//! What is checked here is what came; that it is on the disk, and nothing else with it, is the shell's transaction.

use schulhof_school::view::StateHasher;
use schulhof_wire::{
    LogIndex, SchoolId,
    chunk::{SchoolChunk, Summary},
};

/// What to do with the place beside the confirmed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staging {
    /// Empty it.
    Begin { head: LogIndex },
    /// Keys and values, in order of the keys, each once.
    Records(Vec<(Vec<u8>, Vec<u8>)>),
    /// It is whole: this many records, with this head. Let it take the confirmed state's place.
    End { head: LogIndex, records: u64 },
}

/// A state that cannot be used. Connecting again gets another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(String);

#[derive(Debug)]
pub struct Loading {
    head: LogIndex,
    records: u64,
    last_key: Vec<u8>,
    hasher: StateHasher,
}

impl Loading {
    /// Takes the next chunk. `loading` is what has begun on this connection.
    pub fn take(
        loading: &mut Option<Self>,
        school: &SchoolId,
        cursor: LogIndex,
        chunk: &[u8],
    ) -> Result<Staging, Damaged> {
        let chunk = SchoolChunk::decode(chunk).map_err(Damaged)?;
        match (chunk, loading.take()) {
            (SchoolChunk::Begin { school: of, head, first }, None) => {
                if of != *school {
                    return Err(Damaged(format!("it is of {of}")));
                }
                if head < cursor || first.0 != head.0.saturating_add(1) {
                    return Err(Damaged(format!("it is of entry {}, here is {} already", head.0, cursor.0)));
                }
                let (records, last_key, hasher) = (0, Vec::new(), StateHasher::default());
                *loading = Some(Self { head, records, last_key, hasher });
                Ok(Staging::Begin { head })
            }
            (SchoolChunk::State(records), Some(mut state)) => {
                for (key, value) in &records {
                    if *key <= state.last_key {
                        return Err(Damaged("its keys are not in order".to_owned()));
                    }
                    state.hasher.record(key, value);
                    state.last_key.clone_from(key);
                }
                state.records += records.len() as u64;
                *loading = Some(state);
                Ok(Staging::Records(records))
            }
            // A state alone was asked for: the part of the entries is empty.
            (SchoolChunk::Entries(entries), Some(state)) if entries.is_empty() => {
                *loading = Some(state);
                Ok(Staging::Records(Vec::new()))
            }
            (SchoolChunk::End(summary), Some(state)) => state.end(&summary),
            (chunk, _) => Err(Damaged(format!("{} at the wrong time", name(&chunk)))),
        }
    }

    fn end(self, summary: &Summary) -> Result<Staging, Damaged> {
        let (head, records) = (self.head, self.records);
        if summary.head != head || summary.records != records {
            let Summary { head: promised, records: of, .. } = summary;
            let detail = format!("{records} records of entry {}, promised were {of} of {}", head.0, promised.0);
            return Err(Damaged(detail));
        }
        if self.hasher.finish() != summary.state_hash {
            return Err(Damaged("its hash is another one than was promised".to_owned()));
        }
        Ok(Staging::End { head, records })
    }
}

fn name(chunk: &SchoolChunk) -> &'static str {
    match chunk {
        SchoolChunk::Begin { .. } => "a beginning",
        SchoolChunk::State(_) => "a part",
        SchoolChunk::Entries(_) => "entries",
        SchoolChunk::End(_) => "an end",
    }
}
